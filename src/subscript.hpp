// Counts and positions are std::int64_t here, subscripts of the standard library are not.
#pragma once
#include <cstddef>
#include <cstdint>

namespace softreg {

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace softreg
