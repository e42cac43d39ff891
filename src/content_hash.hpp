// XXH3, 128 bits: names bytes by what they are, and tells whether they still are.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace softreg {

// 32 hexadecimal digits.
std::string content_hash(std::span<const std::byte> bytes);
std::string content_hash(std::string_view text);

}  // namespace softreg
