// MemorySolver<Loss>: one lane, plain memory, any size; what the reference runs and probes measure
// with. Compiled loss by loss (cmake/losses.cmake).
#pragma once
#include <cstdint>
#include <vector>

#include "softreg/model/batch.hpp"

namespace softreg {

// The arrays of one instance, kept from one use to the next.
template <class T>
struct SolverMemory {
  std::vector<T> x, workspace, before;
};

template <class LossT>
struct MemorySolver {
  // Instance i from start to end; its outcome, x and traces are written.
  static void solve(const Batch<float>& batch, std::int64_t i, SolverMemory<float>& memory);
  static void solve(const Batch<double>& batch, std::int64_t i, SolverMemory<double>& memory);

  // The trace `bounds` of its start alone, as step number `step`; from step 1 on against the call
  // before, whose `before` is still in memory.
  static void measure(const Batch<float>& batch, std::int64_t i, int step,
                      SolverMemory<float>& memory);
  static void measure(const Batch<double>& batch, std::int64_t i, int step,
                      SolverMemory<double>& memory);
};

}  // namespace softreg
