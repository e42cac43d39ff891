// Equal contents give equal bytes: every member carries the first date the format knows.
#include "zip_writer.hpp"

#include <algorithm>
#include <string_view>

namespace softreg {
namespace {

using namespace zip;

class Record {
 public:
  Record& u16(std::uint64_t value) { return number(value, 2); }
  Record& u32(std::uint64_t value) { return number(value, 4); }
  Record& u64(std::uint64_t value) { return number(value, 8); }
  Record& text(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  Record& number(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i, value >>= 8) {
      bytes_ += static_cast<char>(static_cast<unsigned char>(value & 0xff));
    }
    return *this;
  }
  std::string bytes_;
};

std::uint32_t name_flags(const std::string& name) {
  const bool ascii = std::all_of(name.begin(), name.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return ascii ? 0 : utf8_flag;
}

}  // namespace

std::string zip_local_header(const ZipMember& member, bool zip64) {
  Record record;
  record.u32(local_signature).u16(zip64 ? version_zip64 : version_plain);
  record.u16(name_flags(member.name)).u16(stored_method).u16(0).u16(first_date).u32(member.crc);
  record.u32(zip64 ? full32 : member.size).u32(zip64 ? full32 : member.size);
  record.u16(member.name.size()).u16(zip64 ? 20 : 0).text(member.name);
  if (zip64) record.u16(zip64_extra).u16(16).u64(member.size).u64(member.size);
  return record.bytes();
}

std::string zip_directory(std::span<const ZipMember> members, std::uint64_t offset,
                          std::uint64_t zip64_from) {
  Record record;
  for (const ZipMember& member : members) {
    const bool wide_size = member.size >= zip64_from;
    const bool wide_offset = member.header_offset >= zip64_from;
    const std::uint64_t extra = (wide_size ? 16u : 0u) + (wide_offset ? 8u : 0u);
    const std::uint32_t version = extra > 0 ? version_zip64 : version_plain;
    record.u32(central_signature).u16(unix_host | version).u16(version);
    record.u16(name_flags(member.name)).u16(stored_method).u16(0).u16(first_date);
    record.u32(member.crc).u32(wide_size ? full32 : member.size);
    record.u32(wide_size ? full32 : member.size).u16(member.name.size());
    record.u16(extra > 0 ? extra + 4 : 0).u16(0).u16(0).u16(0).u32(readable_file);
    record.u32(wide_offset ? full32 : member.header_offset).text(member.name);
    if (extra > 0) record.u16(zip64_extra).u16(extra);
    if (wide_size) record.u64(member.size).u64(member.size);
    if (wide_offset) record.u64(member.header_offset);
  }
  const std::uint64_t size = record.bytes().size();
  const bool wide_count = members.size() >= full16;
  const bool wide = wide_count || size >= zip64_from || offset >= zip64_from;
  if (wide) {
    record.u32(zip64_end_signature).u64(zip64_end_size - 12).u16(unix_host | version_zip64);
    record.u16(version_zip64).u32(0).u32(0).u64(members.size()).u64(members.size());
    record.u64(size).u64(offset);
    record.u32(zip64_locator_signature).u32(0).u64(offset + size).u32(1);
  }
  const std::uint64_t count = wide_count ? full16 : members.size();
  record.u32(end_signature).u16(0).u16(0).u16(count).u16(count);
  record.u32(size >= zip64_from ? full32 : size).u32(offset >= zip64_from ? full32 : offset);
  return record.u16(0).bytes();
}

}  // namespace softreg
