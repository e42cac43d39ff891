// The name that somebody who mistyped one may have meant.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace softreg {

// The nearest of `names`; empty when all are more than two letters away.
std::string nearest_name(std::string_view word, const std::vector<std::string>& names);

}  // namespace softreg
