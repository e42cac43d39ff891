// The arrays of a problem in device memory, as the caller has them.
#pragma once
#include <fmt/format.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "device_memory.hpp"
#include "softreg/error.hpp"
#include "softreg/problem.hpp"

namespace softreg {

// With the names of the arguments.
template <class T>
using NamedArrays = std::vector<std::pair<const char*, std::span<const T>>>;
template <class T>
NamedArrays<T> arrays_of(const VectorProblem<T>& p) {
  return {{"A", p.a}, {"b", p.b}, {"x0", p.x0}, {"w", p.w}};
}
template <class T>
NamedArrays<T> arrays_of(const MatrixProblem<T>& p) {
  return {{"A1", p.a1}, {"A2", p.a2}, {"B", p.b}, {"X0", p.x0}, {"w", p.w}};
}

template <class T>
void check_readable(Gpu& gpu, const NamedArrays<T>& arrays) {
  for (const auto& [name, array] : arrays) {
    if (array.empty()) continue;
    for (const T* const at : {&array.front(), &array.back()})
      if (const std::string where = gpu.cannot_read(at); !where.empty())
        throw Error(ErrorKind::invalid_input,
                    fmt::format("argument '{}' is {}{}, but the problem's memory is said to be "
                                "that of device 0",
                                name, at == &array.front() ? "" : "at its end ", where));
  }
}

// The starts, which the host needs, because it returns them where no step was made: (count, d), or
// (d) where they are shared; empty where there are none. Throws Error invalid_input if an array is
// not where it is said to be.
template <class T, template <class> class Problem>
std::vector<T> fetched_start(const Problem<T>& problem) {
  const std::unique_ptr<Gpu> gpu = gpu_source().open();
  check_readable(*gpu, arrays_of(problem));
  return fetched(*gpu, problem.x0.data(), std::ssize(problem.x0));
}

}  // namespace softreg
