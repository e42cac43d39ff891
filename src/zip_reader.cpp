// End record, zip64 end record, central directory, local headers, in this order. All arithmetic on
// sizes and offsets is 64-bit, and nothing is added before it is compared.
#include "zip_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {
namespace {

using namespace zip;

// Where the central directory lies; it ends where the end records begin.
struct Directory {
  std::uint64_t count = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
};

// What a local or central header says about a member.
struct Entry {
  std::uint32_t flags = 0;
  std::uint32_t method = 0;
  std::uint32_t crc = 0;
  std::uint64_t stored_size = 0;
  std::uint64_t size = 0;
  std::uint64_t header_offset = 0;  // central header only
  std::string_view name;
};

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class DirectoryReader {
 public:
  DirectoryReader(std::span<const std::byte> bytes, const std::string& file)
      : bytes_(bytes), file_(quoted_path(file)) {}

  std::vector<ZipMember> read() const {
    const Directory directory = find_directory();
    Fields fields(bytes_.subspan(directory.offset, directory.size));
    if (directory.count > directory.size / central_size) {
      corrupt(fmt::format("its directory of {} bytes cannot hold {} members", directory.size,
                          directory.count));
    }
    std::vector<Entry> entries;
    entries.reserve(directory.count);
    while (entries.size() < directory.count) entries.push_back(central_entry(fields));
    if (fields.left() != 0) {
      corrupt(fmt::format("its directory has {} bytes after its {} members", fields.left(),
                          directory.count));
    }
    std::vector<ZipMember> members;
    members.reserve(entries.size());
    for (const Entry& entry : entries) members.push_back(member_of(entry, directory));
    check_names(members);
    check_overlaps(members);
    return members;
  }

 private:
  [[noreturn]] void corrupt(const std::string& sentence) const {
    throw Error(ErrorKind::io, fmt::format("{} is corrupt: {}", file_, sentence));
  }
  [[noreturn]] void corrupt(const Entry& entry, const std::string& sentence) const {
    corrupt(fmt::format("member {} {}", quoted(entry.name), sentence));
  }
  [[noreturn]] void refuse(const Entry& entry, const std::string& sentence) const {
    throw Error(ErrorKind::invalid_input,
                fmt::format("{}: member {} {}", file_, quoted(entry.name), sentence));
  }

  // The offset of the end record: the last one whose comment ends with the file.
  std::uint64_t find_end() const {
    const std::uint64_t size = bytes_.size();
    const std::uint64_t farthest = end_size + full16;
    for (std::uint64_t tail = end_size; tail <= std::min(size, farthest); ++tail) {
      Fields fields(bytes_.subspan(size - tail, end_size));
      if (fields.u32() != end_signature) continue;
      fields.skip(16);
      if (fields.u16() == tail - end_size) return size - tail;
    }
    if (as_text(bytes_).starts_with("\x93NUMPY")) {
      throw Error(ErrorKind::invalid_input, fmt::format("{} is an .npy file, not an .npz", file_),
                  "save the arrays by name with numpy.savez");
    }
    if (as_text(bytes_).starts_with("PK\x03\x04")) {
      refuse_appended();
      throw Error(ErrorKind::io,
                  fmt::format("{} is truncated: its {} bytes begin like an .npz file but have no "
                              "directory at their end",
                              file_, size));
    }
    throw Error(ErrorKind::io, fmt::format("{} is not an .npz file ({} bytes)", file_, size));
  }

  // Throws when there is an end record, but more than its comment behind it.
  void refuse_appended() const {
    constexpr std::uint64_t farthest = std::uint64_t{1} << 20;  // enough for a slip of the pen
    const auto tail = bytes_.last(std::min<std::uint64_t>(bytes_.size(), farthest));
    const std::size_t found = as_text(tail).rfind("PK\x05\x06");
    if (found == std::string_view::npos || tail.size() - found < end_size) return;
    Fields fields(tail.subspan(found, end_size));
    fields.skip(end_size - 2);
    const std::uint64_t end = found + end_size + fields.u16();
    if (end < tail.size()) corrupt(fmt::format("{} bytes follow its end", tail.size() - end));
  }

  Directory find_directory() const {
    const std::uint64_t end = find_end();
    Fields fields(bytes_.subspan(end, end_size));
    fields.skip(4);
    const std::uint32_t disk = fields.u16();
    const std::uint32_t directory_disk = fields.u16();
    const std::uint32_t disk_count = fields.u16();
    Directory directory;
    directory.count = fields.u16();
    directory.size = fields.u32();
    directory.offset = fields.u32();
    if (disk != 0 || directory_disk != 0 || disk_count != directory.count) {
      throw Error(ErrorKind::invalid_input, fmt::format("{} is one part of several", file_));
    }
    std::uint64_t directory_end = end;
    // A directory that ends here is followed by no zip64 record, whatever its last bytes look like.
    if (directory.offset + directory.size != end) directory_end = read_zip64_end(end, directory);
    if (directory.size > directory_end || directory.offset != directory_end - directory.size) {
      corrupt(fmt::format("its directory of {} bytes at offset {} does not end at offset {}",
                          directory.size, directory.offset, directory_end));
    }
    return directory;
  }

  // Takes the numbers from the zip64 end record and returns where it begins; leaves them alone and
  // returns `end` when there is none.
  std::uint64_t read_zip64_end(std::uint64_t end, Directory& directory) const {
    if (end < zip64_locator_size + zip64_end_size) return end;
    Fields locator(bytes_.subspan(end - zip64_locator_size, zip64_locator_size));
    if (locator.u32() != zip64_locator_signature) return end;
    const std::uint32_t disk = locator.u32();
    const std::uint64_t offset = locator.u64();
    const std::uint32_t disks = locator.u32();
    const std::uint64_t locator_offset = end - zip64_locator_size;
    if (disk != 0 || disks != 1) {
      throw Error(ErrorKind::invalid_input, fmt::format("{} is one part of several", file_));
    }
    if (offset > locator_offset - zip64_end_size) {
      corrupt(fmt::format("its zip64 record at offset {} is not before offset {}", offset,
                          locator_offset));
    }
    Fields fields(bytes_.subspan(offset, zip64_end_size));
    const bool signed_right = fields.u32() == zip64_end_signature;
    const std::uint64_t rest = fields.u64();
    fields.skip(4);  // versions
    const std::uint64_t disk_numbers = fields.u64();
    const std::uint64_t disk_count = fields.u64();
    const Directory wide{.count = fields.u64(), .size = fields.u64(), .offset = fields.u64()};
    const auto agrees = [](std::uint64_t narrow, std::uint64_t full, std::uint64_t value) {
      return narrow == full || narrow == value;
    };
    if (!signed_right || rest != locator_offset - offset - 12 || disk_numbers != 0 ||
        disk_count != wide.count || !agrees(directory.count, full16, wide.count) ||
        !agrees(directory.size, full32, wide.size) ||
        !agrees(directory.offset, full32, wide.offset)) {
      corrupt("its zip64 record contradicts its end record");
    }
    directory = wide;
    return offset;
  }

  Entry central_entry(Fields& fields) const {
    if (fields.left() < central_size || fields.u32() != central_signature) {
      corrupt("its directory holds something else than a member");
    }
    Entry entry;
    fields.skip(4);  // versions
    entry.flags = fields.u16();
    entry.method = fields.u16();
    fields.skip(4);  // time and date
    entry.crc = fields.u32();
    entry.stored_size = fields.u32();
    entry.size = fields.u32();
    const std::size_t name_size = fields.u16();
    const std::size_t extra_size = fields.u16();
    const std::size_t comment_size = fields.u16();
    const std::uint32_t disk = fields.u16();
    fields.skip(6);  // attributes
    entry.header_offset = fields.u32();
    if (fields.left() < name_size + extra_size + comment_size) {
      corrupt(fmt::format("a member needs {} bytes of its directory but {} are left",
                          name_size + extra_size + comment_size, fields.left()));
    }
    entry.name = as_text(fields.take(name_size));
    const auto extra = fields.take(extra_size);
    fields.skip(comment_size);
    if (disk != 0) refuse(entry, "lies in another part of the archive");
    std::optional<Fields> wide = find_zip64_extra(entry, extra);
    widen(entry, wide, entry.size);
    widen(entry, wide, entry.stored_size);
    widen(entry, wide, entry.header_offset);
    return entry;
  }

  // The zip64 block among the extra blocks of a header.
  std::optional<Fields> find_zip64_extra(const Entry& entry,
                                         std::span<const std::byte> extra) const {
    Fields fields(extra);
    std::optional<Fields> found;
    while (fields.left() >= 4) {
      const std::uint32_t id = fields.u16();
      const std::size_t size = fields.u16();
      if (size > fields.left()) {
        corrupt(entry, fmt::format("has an extra block of {} bytes where {} are left", size,
                                   fields.left()));
      }
      const auto block = fields.take(size);
      if (id != zip64_extra) continue;
      if (found) corrupt(entry, "has two zip64 blocks");
      found = Fields(block);
    }
    // Archivers pad with up to three bytes, which are zero.
    for (const std::byte padding : fields.take(fields.left())) {
      if (padding != std::byte{0}) corrupt(entry, "has a broken extra block");
    }
    return found;
  }

  void widen(const Entry& entry, std::optional<Fields>& wide, std::uint64_t& value) const {
    if (value != full32 || !wide) return;
    if (wide->left() < 8) corrupt(entry, "has a zip64 block that is too short");
    value = wide->u64();
  }

  ZipMember member_of(const Entry& entry, const Directory& directory) const {
    if ((entry.flags & encrypted_flags) != 0) refuse(entry, "is encrypted");
    if ((entry.flags & ~(descriptor_flag | utf8_flag | deflate_level_flags)) != 0) {
      refuse(entry, fmt::format("has unknown flags {:#06x}", entry.flags));
    }
    if (entry.method != stored_method && entry.method != deflated_method) {
      refuse(entry, fmt::format("has compression method {}; expected 0 (stored) or 8 (deflated)",
                                entry.method));
    }
    const bool deflated = entry.method == deflated_method;
    if (!deflated && entry.size != entry.stored_size) {
      corrupt(entry, fmt::format("is stored, but its sizes {} and {} differ", entry.stored_size,
                                 entry.size));
    }
    const std::uint64_t data_offset = check_local_header(entry, directory.offset);
    if (entry.stored_size > directory.offset - data_offset) {
      throw Error(
          ErrorKind::io,
          fmt::format("{} is truncated: member {} needs {} bytes at offset {} but the "
                      "directory begins at {}",
                      file_, quoted(entry.name), entry.stored_size, data_offset, directory.offset));
    }
    return {.name = std::string(entry.name),
            .deflated = deflated,
            .crc = entry.crc,
            .stored_size = entry.stored_size,
            .size = entry.size,
            .header_offset = entry.header_offset,
            .data_offset = data_offset};
  }

  // Returns the offset of the contents. `limit` is where the directory begins.
  std::uint64_t check_local_header(const Entry& entry, std::uint64_t limit) const {
    if (entry.header_offset > limit || limit - entry.header_offset < local_size) {
      corrupt(entry, fmt::format("begins at offset {}, but the directory at {}",
                                 entry.header_offset, limit));
    }
    Fields fields(bytes_.subspan(entry.header_offset, limit - entry.header_offset));
    if (fields.u32() != local_signature) {
      corrupt(entry, fmt::format("has no header at offset {}", entry.header_offset));
    }
    Entry local;
    fields.skip(2);  // version
    local.flags = fields.u16();
    local.method = fields.u16();
    fields.skip(4);  // time and date
    local.crc = fields.u32();
    local.stored_size = fields.u32();
    local.size = fields.u32();
    const std::size_t name_size = fields.u16();
    const std::size_t extra_size = fields.u16();
    if (fields.left() < name_size + extra_size) {
      corrupt(entry, "has a header that reaches into the directory");
    }
    local.name = as_text(fields.take(name_size));
    std::optional<Fields> wide = find_zip64_extra(entry, fields.take(extra_size));
    widen(entry, wide, local.size);
    widen(entry, wide, local.stored_size);
    const bool postponed = (entry.flags & descriptor_flag) != 0 && local.crc == 0 &&
                           local.size == 0 && local.stored_size == 0;
    const bool same_contents = local.crc == entry.crc && local.size == entry.size &&
                               local.stored_size == entry.stored_size;
    if (((local.flags ^ entry.flags) & ~deflate_level_flags) != 0 || local.method != entry.method ||
        local.name != entry.name || !(same_contents || postponed)) {
      corrupt(entry, "differs between its header and the directory");
    }
    return limit - fields.left();
  }

  void check_names(const std::vector<ZipMember>& members) const {
    std::vector<std::string_view> names;
    for (const ZipMember& member : members) names.push_back(member.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) {
      throw Error(ErrorKind::io, fmt::format("{} has two members {}", file_, quoted(*twice)));
    }
  }

  void check_overlaps(const std::vector<ZipMember>& members) const {
    std::vector<const ZipMember*> order;
    for (const ZipMember& member : members) order.push_back(&member);
    std::sort(order.begin(), order.end(), [](const ZipMember* a, const ZipMember* b) {
      return a->header_offset < b->header_offset;
    });
    for (std::size_t k = 1; k < order.size(); ++k) {
      if (order[k]->header_offset < order[k - 1]->data_offset + order[k - 1]->stored_size) {
        corrupt(fmt::format("members {} and {} overlap", quoted(order[k - 1]->name),
                            quoted(order[k]->name)));
      }
    }
  }

  std::span<const std::byte> bytes_;
  std::string file_;  // for messages
};

}  // namespace

std::vector<ZipMember> read_zip_directory(std::span<const std::byte> bytes,
                                          const std::string& file) {
  return DirectoryReader(bytes, file).read();
}

}  // namespace softreg
