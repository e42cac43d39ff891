// UTF-8 by the table of RFC 3629, section 4.
#include "text.hpp"

#include <fmt/format.h>

#include <cstddef>

namespace softreg {
namespace {

bool is_scalar(char32_t value) { return value <= 0x10ffff && (value < 0xd800 || value > 0xdfff); }

// Reads one code point at `position` and moves it on; false when the bytes there are not UTF-8.
bool next_scalar(std::string_view text, std::size_t& position, char32_t& value) {
  const auto byte_at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte_at(position);
  if (lead < 0x80) {
    value = lead;
    ++position;
    return true;
  }
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (lead < 0xc2 || lead > 0xf4 || length > text.size() - position) return false;
  value = lead & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(position + i) & 0xc0) != 0x80) return false;
    value = (value << 6) | (byte_at(position + i) & 0x3fu);
  }
  position += length;
  return value >= smallest[length] && is_scalar(value);
}

// The position of the UTF-8 character that the byte at `position` belongs to.
std::size_t character_begin(std::string_view text, std::size_t position) {
  std::size_t begin = position;
  while (begin > 0 && position - begin < 3 &&
         (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80)
    --begin;
  return begin;
}

void append_scalar(std::string& text, char32_t value) {
  const auto put = [&](char32_t byte) {
    text.push_back(static_cast<char>(static_cast<unsigned char>(byte)));
  };
  if (value < 0x80) {
    put(value);
  } else if (value < 0x800) {
    put(0xc0 | (value >> 6));
    put(0x80 | (value & 0x3f));
  } else if (value < 0x10000) {
    put(0xe0 | (value >> 12));
    put(0x80 | ((value >> 6) & 0x3f));
    put(0x80 | (value & 0x3f));
  } else {
    put(0xf0 | (value >> 18));
    put(0x80 | ((value >> 12) & 0x3f));
    put(0x80 | ((value >> 6) & 0x3f));
    put(0x80 | (value & 0x3f));
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t start = position;
    char32_t value = 0;
    // Code points below 0xa0 outside printable ASCII are control characters.
    const bool shown =
        next_scalar(text, position, value) && value >= 0x20 && (value < 0x7f || value >= 0xa0);
    if (shown) {
      out.append(text.substr(start, position - start));
    } else {
      position = start + 1;
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[start]));
    }
  }
  return out;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t longest = 80;
  if (text.size() <= longest) return fmt::format("'{}'", printable(text));
  return fmt::format("'{}...'", printable(text.substr(0, character_begin(text, longest))));
}

std::string quoted_path(std::string_view path) {
  constexpr std::size_t longest = 400;
  if (path.size() <= longest) return fmt::format("'{}'", printable(path));
  const std::size_t head = character_begin(path, longest / 4);
  const std::size_t tail = character_begin(path, path.size() - longest / 2);
  return fmt::format("'{}...{}'", printable(path.substr(0, head)), printable(path.substr(tail)));
}

std::optional<std::u32string> decode_utf8(std::string_view text) {
  std::u32string out;
  std::size_t position = 0;
  while (position < text.size()) {
    char32_t value = 0;
    if (!next_scalar(text, position, value)) return std::nullopt;
    out.push_back(value);
  }
  return out;
}

std::optional<std::string> encode_utf8(std::u32string_view text) {
  std::string out;
  for (const char32_t value : text) {
    if (!is_scalar(value)) return std::nullopt;
    append_scalar(out, value);
  }
  return out;
}

}  // namespace softreg
