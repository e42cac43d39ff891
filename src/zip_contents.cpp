// Deflated contents and checksums by libdeflate, which wants a member whole: its size is known, and
// checked against what the format can do before memory is taken.
#include <fmt/format.h>
#include <libdeflate.h>

#include <memory>
#include <new>

#include "softreg/error.hpp"
#include "zip_reader.hpp"

namespace softreg {

AlignedVector<std::byte> inflate_member(std::span<const std::byte> bytes, const ZipMember& member,
                                        const std::string& what) {
  // 258 bytes from two bits is the most that deflate can promise.
  constexpr std::uint64_t largest_ratio = 1032;
  if (member.size / largest_ratio > member.stored_size) {
    throw Error(ErrorKind::io, fmt::format("{} is corrupt: {} bytes cannot inflate to {}", what,
                                           member.stored_size, member.size));
  }
  const auto deflated = bytes.subspan(member.data_offset, member.stored_size);
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)>
      decompressor(libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
  AlignedVector<std::byte> contents;
  try {
    if (!decompressor) throw std::bad_alloc();
    contents.resize(member.size);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorKind::out_of_memory,
                fmt::format("{} needs {} bytes of memory", what, member.size));
  }
  // libdeflate wants a place to write even when nothing comes.
  std::byte nothing{};
  std::size_t consumed = 0;
  const libdeflate_result result = libdeflate_deflate_decompress_ex(
      decompressor.get(), deflated.data(), deflated.size(),
      contents.empty() ? &nothing : contents.data(), contents.size(), &consumed, nullptr);
  if (result != LIBDEFLATE_SUCCESS || consumed != deflated.size()) {
    throw Error(ErrorKind::io, fmt::format("{} is corrupt: its {} bytes do not inflate to {}", what,
                                           member.stored_size, member.size));
  }
  if (const std::uint32_t crc = crc32(0, contents); crc != member.crc) {
    throw Error(ErrorKind::io, fmt::format("{} is corrupt: its checksum is {:08x} but the file "
                                           "promises {:08x}",
                                           what, crc, member.crc));
  }
  return contents;
}

std::uint32_t crc32(std::uint32_t crc, std::span<const std::byte> bytes) {
  // A null pointer would make libdeflate start afresh.
  return bytes.empty() ? crc : libdeflate_crc32(crc, bytes.data(), bytes.size());
}

}  // namespace softreg
