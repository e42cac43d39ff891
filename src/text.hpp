// Text that comes from outside: quoting it for messages, and UTF-8 to and from code points.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace softreg {

// Control characters and bytes that are not UTF-8 as \xNN: a hostile name must not drive the
// terminal.
std::string printable(std::string_view text);

// The printable text in single quotes, cut after 80 bytes.
std::string quoted(std::string_view text);

// The same for a path: only a very long one is cut, and in its middle, because its end says most.
std::string quoted_path(std::string_view path);

// Nothing when `text` is not UTF-8 (overlong forms, surrogates and values above 0x10ffff included).
std::optional<std::u32string> decode_utf8(std::string_view text);

// Nothing when a value is no Unicode scalar value.
std::optional<std::string> encode_utf8(std::u32string_view text);

}  // namespace softreg
