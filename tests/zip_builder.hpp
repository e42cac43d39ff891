// Builds zip archives byte by byte, with every form that NumPy and other archivers write and with
// errors put in on purpose. Knows which bits of the result carry no information.
#pragma once
#include <libdeflate.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace softreg::test {

// A .npy header of any version, with any dict.
inline std::string npy_bytes(const std::string& dict, const std::string& data, int version = 1) {
  std::string out("\x93NUMPY", 6);
  out += static_cast<char>(version);
  out += '\0';
  const std::size_t size = dict.size() + 1;
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) {
    out += static_cast<char>(static_cast<unsigned char>((size >> (8 * i)) & 0xff));
  }
  return out + dict + '\n' + data;
}

inline std::string npy_dict(const std::string& descr, bool fortran, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") +
         ", 'shape': " + shape + ", }";
}

template <class T>
std::string raw(const std::vector<T>& values) {
  std::string out(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
  return out;
}

struct ZipForm {
  bool deflated = false;
  bool zip64_local = false;                  // as numpy.savez writes
  bool zip64_central = false;                // as archives beyond 4 GiB need
  bool descriptor = false;                   // sizes after the contents, as written to a pipe
  std::uint32_t flags = 0;                   // added to both headers
  std::uint32_t method = 0xffff;             // replaces the true one
  std::uint64_t size = ~std::uint64_t{0};    // replaces the true size
  std::uint64_t offset = ~std::uint64_t{0};  // replaces the true header offset
  std::uint32_t crc_error = 0;               // xor
  std::string trailing = {};                 // follows the deflated stream inside the member
};

class ZipBuilder {
 public:
  void add(const std::string& name, const std::string& contents, ZipForm form = {}) {
    Entry entry;
    entry.name = name;
    entry.form = form;
    const std::string stored = form.deflated ? deflate(contents) + form.trailing : contents;
    entry.size = form.size != ~std::uint64_t{0} ? form.size : contents.size();
    entry.stored_size = form.deflated ? stored.size() : entry.size;
    entry.crc = libdeflate_crc32(0, contents.data(), contents.size()) ^ form.crc_error;
    entry.offset = bytes_.size();
    const bool late = form.descriptor;
    const bool wide = form.zip64_local;
    u32(0x04034b50);
    free_u16(45);
    put_common(entry, late ? 0 : entry.crc,
               wide   ? ~0u
               : late ? 0
                      : entry.stored_size,
               wide   ? ~0u
               : late ? 0
                      : entry.size);
    u16(wide ? 20 : 0);
    bytes_ += name;
    if (wide) {
      u16(1), u16(16), u64(late ? 0 : entry.size), u64(late ? 0 : entry.stored_size);
    }
    bytes_ += stored;
    if (form.descriptor) {
      free_u32(0x08074b50), free_u32(entry.crc), free_u32(entry.stored_size), free_u32(entry.size);
    }
    if (form.offset != ~std::uint64_t{0}) entry.offset = form.offset;
    entries_.push_back(entry);
  }

  // The archive; `zip64_end` adds the zip64 end record and its locator.
  std::string finish(bool zip64_end = false, const std::string& comment = "") {
    const std::uint64_t start = bytes_.size();
    for (const Entry& entry : entries_) {
      const bool wide = entry.form.zip64_central;
      u32(0x02014b50);
      free_u16(0x032d), free_u16(45);
      put_common(entry, entry.crc, wide ? ~0u : entry.stored_size, wide ? ~0u : entry.size);
      u16(wide ? 28 : 0), u16(0), u16(0);
      free_u16(0), free_u32(0100644u << 16);
      u32(wide ? ~0u : entry.offset);
      bytes_ += entry.name;
      if (wide) u16(1), u16(24), u64(entry.size), u64(entry.stored_size), u64(entry.offset);
    }
    const std::uint64_t size = bytes_.size() - start;
    const std::uint64_t record = bytes_.size();
    if (zip64_end) {
      u32(0x06064b50), u64(44), free_u16(45), free_u16(45), u32(0), u32(0);
      u64(entries_.size()), u64(entries_.size()), u64(size), u64(start);
      u32(0x07064b50), u32(0), u64(record), u32(1);
    }
    u32(0x06054b50), u16(0), u16(0);
    u16(zip64_end ? 0xffff : entries_.size()), u16(zip64_end ? 0xffff : entries_.size());
    u32(zip64_end ? ~0u : size), u32(zip64_end ? ~0u : start);
    u16(comment.size());
    for (const char c : comment) free_number(static_cast<unsigned char>(c), 1);
    return bytes_;
  }

  // Whether flipping the bit may go unnoticed: versions, dates, attributes, level of compression,
  // comments and what follows the contents of a member.
  bool is_free(std::size_t byte, int bit) const {
    for (const FreeBits& free : free_) {
      if (byte >= free.begin && byte < free.end && ((free.mask >> bit) & 1) != 0) return true;
    }
    return false;
  }

 private:
  struct Entry {
    std::string name;
    ZipForm form;
    std::uint32_t crc = 0;
    std::uint64_t stored_size = 0;
    std::uint64_t size = 0;
    std::uint64_t offset = 0;
  };
  struct FreeBits {
    std::size_t begin;
    std::size_t end;
    unsigned mask;
  };

  static std::string deflate(const std::string& contents) {
    libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
    std::string out(libdeflate_deflate_compress_bound(compressor, contents.size()), '\0');
    out.resize(libdeflate_deflate_compress(compressor, contents.data(), contents.size(), out.data(),
                                           out.size()));
    libdeflate_free_compressor(compressor);
    return out;
  }

  // What both headers share, from the flags to the length of the name.
  void put_common(const Entry& entry, std::uint32_t crc, std::uint64_t stored_size,
                  std::uint64_t size) {
    free_.push_back({bytes_.size(), bytes_.size() + 1, 0x06});
    u16(entry.form.flags | (entry.form.descriptor ? 8u : 0u));
    u16(entry.form.method != 0xffff ? entry.form.method : entry.form.deflated ? 8 : 0);
    free_u32(0x5a21b0c3);
    u32(crc), u32(stored_size), u32(size), u16(entry.name.size());
  }

  void number(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i, value >>= 8) {
      bytes_ += static_cast<char>(static_cast<unsigned char>(value & 0xff));
    }
  }
  void free_number(std::uint64_t value, int size) {
    free_.push_back({bytes_.size(), bytes_.size() + static_cast<std::size_t>(size), 0xff});
    number(value, size);
  }
  void u16(std::uint64_t value) { number(value, 2); }
  void u32(std::uint64_t value) { number(value, 4); }
  void u64(std::uint64_t value) { number(value, 8); }
  void free_u16(std::uint64_t value) { free_number(value, 2); }
  void free_u32(std::uint64_t value) { free_number(value, 4); }

  std::string bytes_;
  std::vector<Entry> entries_;
  std::vector<FreeBits> free_;
};

}  // namespace softreg::test
