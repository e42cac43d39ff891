// NumPy's .npz files: NpzFile reads one without trusting it, NpzWriter writes one that appears
// complete or not at all. Errors name the file and the array.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "aligned.hpp"
#include "mapped_file.hpp"
#include "npy.hpp"
#include "output_file.hpp"
#include "zip_format.hpp"

namespace softreg {

// One thread at a time may use an object. Only the directory is read at first; an array costs
// memory when it is asked for, and never more than its size in the file can justify (deflate: times
// 1032). Throws Error: io when the file is unreadable or corrupt, invalid_input for sound contents
// that softreg does not read, out_of_memory.
class NpzFile {
 public:
  static NpzFile open(const std::string& path);

  // Reads an archive that lies in memory and must outlive the object; `name` stands for the path.
  static NpzFile from_bytes(std::span<const std::byte> bytes, const std::string& name);

  const std::string& path() const { return path_; }

  // The arrays in the order of the file ("A" for the member A.npy).
  const std::vector<std::string>& names() const { return names_; }
  bool has(const std::string& name) const { return members_.count(name) > 0; }

  // Type and shape. The bytes of a stored member are not yet verified against their checksum, those
  // of a deflated one are, and stay in memory until read() takes them.
  const NpyHeader& header(const std::string& name);

  // The elements in C order, whatever the order in the file; shape as header(name) says. T = float
  // or double reads float32 and float64, int64_t reads int32 and int64, int32_t reads int32.
  template <class T>
  AlignedVector<T> read(const std::string& name);

  // An array of strings (dtype str, or bytes as they are) with at most one dimension.
  std::vector<std::string> read_strings(const std::string& name);

 private:
  struct Member {
    ZipMember zip;
    std::optional<NpyHeader> header;
    AlignedVector<std::byte> inflated;
  };

  NpzFile(std::unique_ptr<MappedFile> file, std::span<const std::byte> bytes, std::string path);
  Member& member(const std::string& name);
  std::string what(const std::string& name) const;
  std::span<const std::byte> contents(const std::string& name, Member& member);
  void parse_header(const std::string& name, Member& member);
  template <class Consume>
  void verify(const std::string& name, const Member& member, std::span<const std::byte> contents,
              const Consume& consume);

  std::unique_ptr<MappedFile> file_;  // none for an archive in memory
  std::span<const std::byte> bytes_;
  std::string path_;
  std::vector<std::string> names_;
  std::map<std::string, Member> members_;
};

// Stored members whose data begin at multiples of 64 bytes in the file, so that they can be mapped.
// Throws Error (io) when writing fails; then, and without finish(), nothing is left behind.
class NpzWriter {
 public:
  // See OutputFile. Offsets and sizes from `zip64_from` on take zip64 (for tests; the default is
  // the format's own limit).
  NpzWriter(const std::string& path, bool force, std::uint64_t zip64_from = zip64_limit);

  // The archive's bytes are appended to `bytes`, which must be empty and outlive the object.
  explicit NpzWriter(std::vector<std::byte>& bytes);

  // T is float, double, int32_t or int64_t; `values` in C order, as many as `shape` says.
  template <class T>
  void add(const std::string& name, std::span<const T> values,
           const std::vector<std::int64_t>& shape);

  // UTF-8 strings, shape (count,), NumPy's dtype str; trailing NULs are lost, as NumPy loses them.
  void add_strings(const std::string& name, const std::vector<std::string>& values);

  // One string, shape (): numpy.load(path)[name].item() is the text.
  void add_text(const std::string& name, std::string_view text);

  // Writes the directory and puts the file under its name. Last call.
  void finish();

 private:
  void add_bytes(const std::string& name, std::string_view descr,
                 std::span<const std::int64_t> shape, std::span<const std::byte> data);
  void add_unicode(const std::string& name, std::span<const std::string_view> values,
                   std::span<const std::int64_t> shape);

  std::uint64_t written() const;
  void write(std::span<const std::byte> bytes);
  void write(const std::string& text);

  std::optional<OutputFile> file_;
  std::vector<std::byte>* memory_ = nullptr;  // where there is no file
  std::uint64_t zip64_from_;
  std::vector<ZipMember> members_;
};

}  // namespace softreg
