#include "toml_file.hpp"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "mapped_file.hpp"
#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {

toml::table read_toml(const std::string& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  try {
    return toml::parse(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                       path);
  } catch (const toml::parse_error& error) {
    throw Error(ErrorKind::usage, fmt::format("{}, line {}: {}", quoted_path(path),
                                              error.source().begin.line, error.description()));
  }
}

std::string toml_text(const toml::node& node, const std::string& origin) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto whole = node.value_exact<std::int64_t>()) return fmt::format("{}", *whole);
  if (const auto number = node.value_exact<double>()) return fmt::format("{}", *number);
  if (const auto truth = node.value_exact<bool>()) return *truth ? "true" : "false";
  if (const toml::array* list = node.as_array()) {
    std::vector<std::string> parts;
    for (const toml::node& element : *list) parts.push_back(toml_text(element, origin));
    return fmt::format("{}", fmt::join(parts, ","));
  }
  throw Error(ErrorKind::usage,
              fmt::format("{} is a date, a time or a table; expected a value", origin));
}

}  // namespace softreg
