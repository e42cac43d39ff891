// The boundary to the objects compiled per instruction set: plain C, because each of them has
// renamed the namespace and with it every type (cmake/cpu_isa.cmake).
#pragma once
#include <cstdint>

#include "softreg/model/memory_solve.hpp"
#include "team.hpp"

namespace softreg {

inline constexpr int cpu_lanes = 32;  // as many as a warp: the same bits as the warp kernels

// The rows of an instance of `rows` when each lane has as many.
constexpr std::int64_t on_lanes(std::int64_t rows) {
  return (rows + cpu_lanes - 1) / cpu_lanes * cpu_lanes;
}

// What one softmax takes on the lanes: padded copies of A, b and w, then a solve in memory.
template <class T>
struct LanesWorkspace {
  T *a, *target, *weights, *solve;
  static std::int64_t size(const Extent& padded, Watched watched) {
    return padded.rows * (padded.parameters + 2) + memory_solve_values<T>(padded, watched);
  }
  static LanesWorkspace carve(T* p, const Extent& padded) {
    T *const target = p + padded.rows * padded.parameters, *const weights = target + padded.rows;
    return {p, target, weights, weights + padded.rows};
  }
};

// Instance i of one loss, in a workspace of as many numbers as plan_cpu counts. Compiled loss by
// loss (cmake/losses.cmake), and each once per instruction set.
template <class LossT>
struct LaneSolver {
  static void solve(const Batch<float>& batch, std::int64_t i, float* workspace, const Team& team);
  static void solve(const Batch<double>& batch, std::int64_t i, double* workspace,
                    const Team& team);
};

extern "C" {
// Solves instance i of the Batch<float or double> at batch; the workspace holds the numbers that
// plan_cpu counts. loss: index into AnyLoss. team: the Team of threads that share the instance.
using CpuSolve = void(int value_bytes, int loss, const void* batch, std::int64_t i, void* workspace,
                      const void* team);
CpuSolve softreg_cpu_solve_x86_64, softreg_cpu_solve_x86_64_v3, softreg_cpu_solve_x86_64_v4;
}

}  // namespace softreg
