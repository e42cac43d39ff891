// From texts to numbers: nothing but the whole text in the expected form is taken.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "flags.hpp"
#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {
namespace {

[[noreturn]] void refuse(const Setting& setting, const std::string& expected) {
  throw Error(ErrorKind::usage, fmt::format("{} is {}; expected {}", setting.origin,
                                            softreg::quoted(setting.text), expected));
}

template <class Number>
std::optional<Number> whole_text(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

}  // namespace

double parse_number(const Setting& setting, double at_least, double at_most) {
  const auto value = whole_text<double>(setting.text);
  if (value && *value >= at_least && *value <= at_most) return *value;
  const bool bounded = at_most < std::numeric_limits<double>::max();
  const std::string range = at_least > std::numeric_limits<double>::lowest()
                                ? fmt::format(" of at least {}", at_least)
                                : "";
  refuse(setting, bounded ? fmt::format("a number from {} to {}", at_least, at_most)
                          : fmt::format("a finite number{}", range));
}

double parse_positive(const Setting& setting) {
  const auto value = whole_text<double>(setting.text);
  if (value && *value > 0 && std::isfinite(*value)) return *value;
  refuse(setting, "a positive finite number");
}

std::int64_t parse_whole(const Setting& setting, std::int64_t at_least, std::int64_t at_most) {
  const auto value = whole_text<std::int64_t>(setting.text);
  if (value && *value >= at_least && *value <= at_most) return *value;
  refuse(setting, fmt::format("a whole number from {} to {}", at_least, at_most));
}

std::uint64_t parse_seed(const Setting& setting) {
  if (const auto value = whole_text<std::uint64_t>(setting.text)) return *value;
  refuse(setting,
         fmt::format("a whole number from 0 to {}", std::numeric_limits<std::uint64_t>::max()));
}

std::int64_t parse_bytes(const Setting& setting) {
  std::string_view digits = setting.text;
  int shift = 0;
  if (!digits.empty()) {
    const std::size_t unit = std::string_view("KMG").find(digits.back());
    if (unit != std::string_view::npos) {
      shift = 10 * static_cast<int>(unit + 1);
      digits.remove_suffix(1);
    }
  }
  const auto value = whole_text<std::int64_t>(digits);
  if (value && *value > 0 && *value <= (std::numeric_limits<std::int64_t>::max() >> shift)) {
    return *value << shift;
  }
  refuse(setting, "a positive number of bytes, such as 500M or 2G");
}

std::vector<std::string> parse_list(const Setting& setting) {
  std::vector<std::string> result;
  if (setting.text.empty()) return result;
  std::size_t begin = 0;
  while (true) {
    const std::size_t comma = setting.text.find(',', begin);
    result.push_back(setting.text.substr(begin, comma - begin));
    if (result.back().empty()) refuse(setting, "names separated by commas");
    if (comma == std::string::npos) return result;
    begin = comma + 1;
  }
}

std::size_t parse_choice(const Setting& setting, const std::vector<std::string>& choices) {
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (choices[i] == setting.text) return i;
  }
  refuse(setting, fmt::format("{}", fmt::join(choices, ", ")));
}

void require(std::string_view verb, std::string_view name, const Setting& setting) {
  if (!setting.text.empty()) return;
  throw Error(ErrorKind::usage, fmt::format("{} needs {}", verb, name),
              fmt::format("`softreg {} --help` shows an example", verb));
}

}  // namespace softreg
