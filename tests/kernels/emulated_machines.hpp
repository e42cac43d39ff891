// What the tests run in place of a GPU, compiled loss by loss (cmake/losses.cmake): the kernels on
// the emulator, and the evaluator whose bits they must give.
#pragma once
#include "kernels/emulator.hpp"
#include "launch.hpp"

namespace softreg {

template <class LossT>
struct EmulatedLauncher {
  static void run(const Launch& launch, const Batch<float>& batch, simt::Order order,
                  unsigned seed);
  static void run(const Launch& launch, const Batch<double>& batch, simt::Order order,
                  unsigned seed);
};

template <class LossT>
struct EmulatedLanes {
  static void solve(int lanes, const Batch<float>& batch);
  static void solve(int lanes, const Batch<double>& batch);
  static void solve(const LaneGrid& grid, const Batch<float>& batch);
  static void solve(const LaneGrid& grid, const Batch<double>& batch);
  static void solve_in_one_pass(const LaneGrid& grid, const Batch<float>& batch);
  static void solve_in_one_pass(const LaneGrid& grid, const Batch<double>& batch);
};

}  // namespace softreg
