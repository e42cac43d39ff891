// The header is a Python dict literal; only the subset that NumPy writes is parsed, nothing is
// evaluated.
#include "npy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {
namespace {

constexpr std::string_view magic("\x93NUMPY", 6);
constexpr std::size_t most_dimensions = 64;  // of NumPy 2

// The dict literal of a header: {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }
class DictParser {
 public:
  DictParser(std::string_view text, const std::string& what) : rest_(text), what_(what) {}

  struct Dict {
    std::optional<std::string_view> descr;  // holds nothing for a structured dtype
    bool fortran_order = false;
    std::vector<std::int64_t> shape;
  };

  Dict parse() {
    Dict dict;
    std::array<bool, 3> seen{};
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      const std::size_t index = key == "descr"           ? 0
                                : key == "fortran_order" ? 1
                                : key == "shape"         ? 2
                                                         : 3;
      if (index == 3 || seen[index]) fail();
      seen[index] = true;
      if (index == 0 && !peek('[')) dict.descr = string();
      // A structured dtype ends the parse: it is refused whatever the other keys say.
      if (index == 0 && !dict.descr) return dict;
      if (index == 1) dict.fortran_order = boolean();
      if (index == 2) dict.shape = tuple();
      if (!accept(',') && !peek('}')) fail();
    }
    skip_spaces();
    if (!rest_.empty() || !seen[0] || !seen[1] || !seen[2]) fail();
    return dict;
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(ErrorKind::io, fmt::format("{} has a broken .npy header", what_));
  }
  void skip_spaces() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\n"), rest_.size()));
  }
  bool peek(char c) {
    skip_spaces();
    return rest_.starts_with(c);
  }
  bool accept(char c) {
    if (!peek(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail();
  }
  std::string_view string() {
    if (!peek('\'') && !peek('"')) fail();
    const std::size_t end = rest_.find(rest_.front(), 1);
    if (end == std::string_view::npos) fail();
    const std::string_view text = rest_.substr(1, end - 1);
    if (text.find('\\') != std::string_view::npos) fail();
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool boolean() {
    skip_spaces();
    for (const std::string_view word : {"True", "False"}) {
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return word == "True";
    }
    fail();
  }
  std::int64_t integer() {
    skip_spaces();
    constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
    std::int64_t value = 0;
    std::size_t digits = 0;
    for (; digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits) {
      const std::int64_t digit = rest_[digits] - '0';
      if (value > (largest - digit) / 10) fail();
      value = value * 10 + digit;
    }
    if (digits == 0) fail();
    rest_.remove_prefix(digits);
    if (rest_.starts_with('L')) rest_.remove_prefix(1);  // written by NumPy under Python 2
    return value;
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (!accept(')')) {
      values.push_back(integer());
      const bool comma = accept(',');
      if (values.size() > most_dimensions || (!comma && (values.size() == 1 || !peek(')')))) fail();
    }
    return values;
  }

  std::string_view rest_;
  const std::string& what_;
};

[[noreturn]] void refuse_dtype(std::string_view descr, const std::string& what) {
  throw Error(ErrorKind::invalid_input,
              fmt::format("{} has dtype {}, which softreg does not read", what, quoted(descr)),
              "it reads float32, float64, int32, int64 and strings");
}

// Sets dtype, big_endian and item_size from a descr such as "<f8" or "<U12".
void parse_descr(std::string_view descr, const std::string& what, NpyHeader& header) {
  if (descr.size() >= 2 && descr[1] == 'O') {
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} holds Python objects, which only pickle can read", what),
                "save it as an array of numbers or strings");
  }
  if (descr.size() < 3 || std::string_view("<>|=").find(descr[0]) == std::string_view::npos) {
    refuse_dtype(descr, what);
  }
  const char order = descr[0];
  const char kind = descr[1];
  std::int64_t size = 0;
  for (const char c : descr.substr(2)) {
    // 2^31 is the end of NumPy's item sizes.
    if (c < '0' || c > '9' || size > (std::int64_t{1} << 31) / 10) refuse_dtype(descr, what);
    size = size * 10 + (c - '0');
  }
  header.big_endian = order == '>';
  if (kind == 'f' && order != '|' && (size == 4 || size == 8)) {
    header.dtype = size == 4 ? Dtype::f32 : Dtype::f64;
  } else if (kind == 'i' && order != '|' && (size == 4 || size == 8)) {
    header.dtype = size == 4 ? Dtype::i32 : Dtype::i64;
  } else if (kind == 'U' && size > 0) {
    header.dtype = Dtype::unicode;
    size *= 4;
  } else if (kind == 'S' && size > 0) {
    header.dtype = Dtype::bytes;
  } else {
    refuse_dtype(descr, what);
  }
  header.item_size = size;
}

// Sets elements; the bounds hold for arrays without elements too, so that a caller may multiply any
// of the extents.
void count_elements(const std::string& what, NpyHeader& header) {
  std::int64_t product = header.item_size;
  bool empty = false;
  for (const std::int64_t extent : header.shape) {
    if (extent == 0) {
      empty = true;
    } else if (product > std::numeric_limits<std::int64_t>::max() / extent) {
      throw Error(ErrorKind::io, fmt::format("{} has shape {}, more than 2^63 bytes", what,
                                             shape_text(header.shape)));
    } else {
      product *= extent;
    }
  }
  header.elements = empty ? 0 : product / header.item_size;
}

}  // namespace

std::string_view name(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return "float32";
    case Dtype::f64:
      return "float64";
    case Dtype::i32:
      return "int32";
    case Dtype::i64:
      return "int64";
    case Dtype::unicode:
      return "str";
    case Dtype::bytes:
      return "bytes";
  }
  throw Error(ErrorKind::internal, fmt::format("no dtype {}", static_cast<int>(dtype)));
}

std::string shape_text(std::span<const std::int64_t> shape) {
  return fmt::format("({}{})", fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
}

NpyHeader parse_npy_header(std::span<const std::byte> member, std::uint64_t member_size,
                           const std::string& what) {
  const auto byte = [&](std::size_t i) { return std::to_integer<std::uint32_t>(member[i]); };
  if (member.size() < 10 || std::memcmp(member.data(), magic.data(), magic.size()) != 0) {
    throw Error(ErrorKind::io, fmt::format("{} does not begin like a .npy file", what));
  }
  const std::uint32_t major = byte(6);
  if (major < 1 || major > 3 || byte(7) != 0) {
    throw Error(
        ErrorKind::invalid_input,
        fmt::format("{} has .npy version {}.{}; expected 1.0, 2.0 or 3.0", what, major, byte(7)));
  }
  const std::size_t prefix = major == 1 ? 10 : 12;
  std::uint64_t length = byte(8) | (byte(9) << 8);
  if (major > 1 && member.size() >= 12) length |= (byte(10) << 16) | (byte(11) << 24);
  if (member.size() < prefix || length > member.size() - prefix) {
    throw Error(ErrorKind::io, fmt::format("{} is truncated: its header needs {} bytes but it has "
                                           "{}",
                                           what, prefix + length, member.size()));
  }
  const std::string_view text(reinterpret_cast<const char*>(member.data()) + prefix, length);
  const DictParser::Dict dict = DictParser(text, what).parse();
  if (!dict.descr) {
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} has a structured dtype, which softreg does not read", what));
  }
  NpyHeader header;
  header.shape = dict.shape;
  header.fortran_order = dict.fortran_order;
  header.data_offset = static_cast<std::int64_t>(prefix + length);
  parse_descr(*dict.descr, what, header);
  count_elements(what, header);
  const std::uint64_t data = static_cast<std::uint64_t>(header.elements * header.item_size);
  const std::uint64_t present = member_size - (prefix + length);
  if (data != present) {
    throw Error(ErrorKind::io,
                fmt::format("{} has shape {} of {}, {} bytes, but holds {} bytes", what,
                            shape_text(header.shape), name(header.dtype), data, present));
  }
  return header;
}

std::string npy_header(std::string_view descr, std::span<const std::int64_t> shape,
                       std::uint64_t start) {
  constexpr std::size_t prefix = 10;
  constexpr std::uint64_t alignment = 64;
  std::string dict = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", descr,
                                 shape_text(shape));
  const std::uint64_t end = start + prefix + dict.size() + 1;
  dict.append(static_cast<std::size_t>((alignment - end % alignment) % alignment), ' ');
  dict += '\n';
  std::string header(magic);
  header += '\x01';
  header += '\x00';
  header += static_cast<char>(static_cast<unsigned char>(dict.size() & 0xff));
  header += static_cast<char>(static_cast<unsigned char>(dict.size() >> 8));
  return header + dict;
}

}  // namespace softreg
