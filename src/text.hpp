// Text that comes from outside: quoting it for messages, and UTF-8 to and from code points.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace softreg {

// 'text' in single quotes; bytes that are no printable ASCII as \xNN (a hostile name must not drive
// the terminal), valid UTF-8 kept, and at most 80 bytes of it.
std::string quoted(std::string_view text);

// Nothing when `text` is not UTF-8 (overlong forms, surrogates and values above 0x10ffff included).
std::optional<std::u32string> decode_utf8(std::string_view text);

// Nothing when a value is no Unicode scalar value.
std::optional<std::string> encode_utf8(std::u32string_view text);

}  // namespace softreg
