// Reads zip archives without trust: what the directory returns lies inside the file and does not
// overlap, and contents are returned only when their checksum is right.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "aligned.hpp"
#include "zip_format.hpp"

namespace softreg {

// The members in the order of the central directory. `file` names it in messages. Throws Error: io
// for a directory that is truncated or contradicts itself or the local headers (sizes, checksums,
// names, overlaps, duplicate names), invalid_input for encryption, other compression methods and
// archives in several parts. Checksums of contents are left to the reader.
std::vector<ZipMember> read_zip_directory(std::span<const std::byte> bytes,
                                          const std::string& file);

// The contents of a deflated member of `bytes`, its CRC-32 verified. `what` opens the messages.
// Throws Error: io, or out_of_memory.
AlignedVector<std::byte> inflate_member(std::span<const std::byte> bytes, const ZipMember& member,
                                        const std::string& what);

// CRC-32 of `bytes` appended to bytes whose checksum is `crc` (0 for none).
std::uint32_t crc32(std::uint32_t crc, std::span<const std::byte> bytes);

}  // namespace softreg
