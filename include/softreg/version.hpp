// The version of softreg; CMake reads it from here.
#pragma once

#define SOFTREG_VERSION_STRING "0.1.0"

namespace softreg {

inline constexpr const char* version = SOFTREG_VERSION_STRING;

}  // namespace softreg
