// The caller's problem, vector or matrix, as the one description that everything inside works on.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "plan.hpp"
#include "softreg/model/batch.hpp"
#include "softreg/options.hpp"
#include "softreg/problem.hpp"

namespace softreg {

// Views of the caller's arrays; results are not allocated yet. The problem has been validated.
template <class T>
struct Described {
  Batch<T> batch;
  std::span<const double> step_size;  // (count) or empty: the optimizer's
  Memory memory;                      // of the arrays of T

  // Throws Error (usage) if the arrays lie in device memory and that is not allowed.
  Described(const VectorProblem<T>& problem, const Options& options, Memory allowed = Memory::host);
  Described(const MatrixProblem<T>& problem, const Options& options, Memory allowed = Memory::host);
  Described(const Described&) = delete;
  Described& operator=(const Described&) = delete;

 private:
  void fill(const Options& options, std::span<const T> b, std::span<const T> x0,
            std::span<const T> w);

  std::vector<std::int64_t> begin_z_;
};

// What the planner needs to know of a batch. describing: of evaluate().
template <class T>
BatchShape shape_of(const Described<T>& problem, const Options& options, bool describing);

}  // namespace softreg
