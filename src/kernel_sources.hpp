// The headers that kernels are made of, as text in the library (cmake/embed.cmake).
#pragma once
#include <span>

#include "runtime_compiler.hpp"

namespace softreg {

// None in a build without CUDA.
std::span<const SourceFile> kernel_sources();

}  // namespace softreg
