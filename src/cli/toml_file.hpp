// TOML files that people write: a table, and its values as texts that the parsers of flags.hpp
// take.
#pragma once
#include <toml++/toml.h>

#include <string>

namespace softreg {

// Throws Error: io, or usage with the line that is no TOML.
toml::table read_toml(const std::string& path);

// A list is its elements with commas between them. Throws Error (usage) for a date, a time or a
// table; `origin` names the value.
std::string toml_text(const toml::node& node, const std::string& origin);

}  // namespace softreg
