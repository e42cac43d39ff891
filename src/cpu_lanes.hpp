// The boundary to the objects compiled per instruction set: plain C, because each of them has
// renamed the namespace and with it every type (cmake/cpu_isa.cmake).
#pragma once
#include <cstdint>

#include "cpu_core.hpp"
#include "softreg/model/memory_solve.hpp"
#include "team.hpp"

namespace softreg {

// Of which the CPU's sums are made: a register of AVX-512, two of AVX2 (float32).
inline constexpr int cpu_lanes = 16;

// The rows of an instance of `rows` when each lane has as many.
constexpr std::int64_t on_lanes(std::int64_t rows) {
  return (rows + cpu_lanes - 1) / cpu_lanes * cpu_lanes;
}

// How many lanes of a register each instance gets where several lie side by side: one where that
// many instances fit the first-level cache, else four, else (0) each instance is alone on the
// lanes. Of instances that share A only b, w, z and u need to be held, and x and its like: for
// these half of the second cache will do. A quarter of it will for the bounds too, as a register
// judges the updates of all its instances in the time of one, and twice the first for shifts; how
// much was measured (DECISIONS.md).
inline constexpr int shared_pack_lanes = 4;
constexpr int pack_lanes(std::int64_t rows, std::int64_t parameters, int value_bytes,
                         const CpuCore& core, bool shares_a = false,
                         Watched watched = Watched::nothing) {
  const std::int64_t cache = watched == Watched::nothing  ? core.first_cache
                             : watched == Watched::shifts ? 2 * core.first_cache
                                                          : core.second_cache / 4;
  if (shares_a && (4 * rows + 3 * parameters) * core.register_bytes <= core.second_cache / 2)
    return 1;
  for (const int lanes : {1, shared_pack_lanes})
    if (lanes * value_bytes < core.register_bytes &&
        rows * parameters * (core.register_bytes / lanes) <= cache)
      return lanes;
  return 0;
}
// Registers that hold the rows of an instance, and those of a pack's arrays
// (src/pack_placement.hpp).
constexpr std::int64_t pack_rows(std::int64_t rows, int lanes) {
  return (rows + lanes - 1) / lanes;
}
inline constexpr int pack_block = 8;  // rows are filled up to whole blocks
constexpr std::int64_t whole_blocks(std::int64_t row_registers) {
  return (row_registers + pack_block - 1) / pack_block * pack_block;
}
// held: columns of A.
constexpr std::int64_t pack_size(std::int64_t row_registers, std::int64_t parameters,
                                 std::int64_t held) {
  return whole_blocks(row_registers) * (held + 4) + 3 * parameters;
}
// An A that all share is read where it lies by packs of one lane.
constexpr std::int64_t held_columns(std::int64_t parameters, int lanes, bool shares_a) {
  return shares_a && lanes == 1 ? 0 : parameters;
}
// Numbers of a workspace: the arrays, and what a trace keeps.
constexpr std::int64_t pack_values(std::int64_t rows, std::int64_t parameters, int lanes,
                                   int value_bytes, int register_bytes, Watched watched,
                                   bool shares_a) {
  const std::int64_t registers = pack_rows(rows, lanes);
  const std::int64_t traced =
      ShiftWorkspace<float>::size({registers, 1, parameters, 0, rows}, watched);
  const std::int64_t arrays =
      pack_size(registers, parameters, held_columns(parameters, lanes, shares_a));
  return (arrays + traced) * (register_bytes / value_bytes);
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

// Instances of one shape, to be solved side by side: next(context) is one more of them, or -1;
// publish(context, i) is told of each that has ended.
struct PackQueue {
  int lanes;  // of a register, that each instance gets
  int rows;   // of each
  std::int64_t (*next)(void* context);
  void (*publish)(void* context, std::int64_t i);
  void* context;
};

// Instance i of one loss, or a queue of them, in a workspace of as many numbers as plan_cpu counts.
// Compiled loss by loss (cmake/losses.cmake), and each once per instruction set.
template <class LossT>
struct LaneSolver {
  static void solve(const Batch<float>& batch, std::int64_t i, float* workspace, const Team& team);
  static void solve(const Batch<double>& batch, std::int64_t i, double* workspace,
                    const Team& team);
  // Only where the instruction set has fused multiply-add (src/pack.hpp).
  static void solve_side_by_side(const Batch<float>& batch, const PackQueue& queue,
                                 float* workspace);
  static void solve_side_by_side(const Batch<double>& batch, const PackQueue& queue,
                                 double* workspace);
};

extern "C" {
// Solves instance i of the Batch<float or double> at batch; the workspace holds the numbers that
// plan_cpu counts. loss: index into AnyLoss. team: the Team of threads that share the instance.
using CpuSolve = void(int value_bytes, int loss, const void* batch, std::int64_t i, void* workspace,
                      const void* team);
CpuSolve softreg_cpu_solve_x86_64, softreg_cpu_solve_x86_64_v3, softreg_cpu_solve_x86_64_v4;

// The instances of the PackQueue at queue.
using CpuPacks = void(int value_bytes, int loss, const void* batch, const void* queue,
                      void* workspace);
CpuPacks softreg_cpu_packs_x86_64_v3, softreg_cpu_packs_x86_64_v4;
}

}  // namespace softreg
