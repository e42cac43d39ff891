// Writes the records of a zip archive whose members are stored, so that they can be mapped.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "zip_format.hpp"

namespace softreg {

// An archive is local header, contents, local header, contents, ..., directory. The zip64 form of a
// local header fits any size, and is needed from zip64_limit on.
std::string zip_local_header(const ZipMember& member, bool zip64);

// The directory and the end records, for a directory that begins at `offset`. Numbers from
// `zip64_from` on, which is at most zip64_limit, take the zip64 form.
std::string zip_directory(std::span<const ZipMember> members, std::uint64_t offset,
                          std::uint64_t zip64_from);

}  // namespace softreg
