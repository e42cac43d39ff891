// The zip container as far as .npz needs it, after PKWARE's APPNOTE 6.3 (4.3 to 4.5): the numbers
// of its records and what is known about a member.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace softreg {

struct ZipMember {
  std::string name;
  bool deflated = false;
  std::uint32_t crc = 0;          // CRC-32 of the contents
  std::uint64_t stored_size = 0;  // bytes in the file, from data_offset
  std::uint64_t size = 0;         // bytes of the contents; equals stored_size unless deflated
  std::uint64_t header_offset = 0;
  std::uint64_t data_offset = 0;
};

// Sizes and offsets from here on need the zip64 form.
inline constexpr std::uint64_t zip64_limit = 0xffffffff;

namespace zip {

inline constexpr std::uint32_t local_signature = 0x04034b50;
inline constexpr std::uint32_t central_signature = 0x02014b50;
inline constexpr std::uint32_t end_signature = 0x06054b50;
inline constexpr std::uint32_t zip64_end_signature = 0x06064b50;
inline constexpr std::uint32_t zip64_locator_signature = 0x07064b50;
inline constexpr std::uint64_t local_size = 30;
inline constexpr std::uint64_t central_size = 46;
inline constexpr std::uint64_t end_size = 22;
inline constexpr std::uint64_t zip64_end_size = 56;
inline constexpr std::uint64_t zip64_locator_size = 20;
inline constexpr std::uint32_t full16 = 0xffff;
inline constexpr std::uint32_t full32 = 0xffffffff;
inline constexpr std::uint16_t zip64_extra = 1;
inline constexpr std::uint32_t stored_method = 0;
inline constexpr std::uint32_t deflated_method = 8;
inline constexpr std::uint32_t encrypted_flags = 0x0001 | 0x0040 | 0x2000;
inline constexpr std::uint32_t descriptor_flag = 0x0008;  // sizes and checksum follow the contents
inline constexpr std::uint32_t utf8_flag = 0x0800;
inline constexpr std::uint32_t deflate_level_flags = 0x0006;
inline constexpr std::uint32_t version_zip64 = 45;
inline constexpr std::uint32_t version_plain = 20;
inline constexpr std::uint32_t unix_host = 3 << 8;
inline constexpr std::uint32_t readable_file = 0100644u << 16;
inline constexpr std::uint32_t first_date =
    (1 << 5) | 1;  // 1980-01-01: equal contents, equal bytes

// Little-endian numbers of a span, front to back. The caller checks the length.
class Fields {
 public:
  explicit Fields(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint32_t u16() { return static_cast<std::uint32_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  std::span<const std::byte> take(std::size_t count) {
    const auto front = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return front;
  }
  void skip(std::size_t count) { bytes_ = bytes_.subspan(count); }
  std::size_t left() const { return bytes_.size(); }

 private:
  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    const auto bytes = take(size);
    for (std::size_t i = size; i-- > 0;) {
      value = (value << 8) | std::to_integer<std::uint64_t>(bytes[i]);
    }
    return value;
  }
  std::span<const std::byte> bytes_;
};

}  // namespace zip
}  // namespace softreg
