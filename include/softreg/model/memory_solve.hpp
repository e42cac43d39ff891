// One whole solve with every number of the instance in plain memory: the reference, the kernels
// that keep A in global memory, and what the tests compare all others with.
#pragma once
#include "softreg/model/memory_placement.hpp"

namespace softreg {

// Numbers of T that solve_in_memory needs. memory: of the optimizer, per coordinate.
template <class T>
SR_HD constexpr std::int64_t memory_solve_values(const Extent& e, std::int64_t memory,
                                                 bool shifts) {
  return MemoryWorkspace<T>::size(e, memory) + (shifts ? ShiftWorkspace<T>::size(e) : 0);
}

// Instance i on the lanes of g; Op: Dense<Matrix<const T>, T> or Kronecker<T>.
template <class Op, class LossT, class Opt, class G, class T>
SR_HD Outcome<T> solve_in_memory(const G& g, const Batch<T>& batch, std::int64_t i, T* workspace) {
  const Extent extent = extent_of(batch, i);
  const auto arrays = MemoryWorkspace<T>::carve(workspace, extent, Opt::memory);
  T* const before = workspace + MemoryWorkspace<T>::size(extent, Opt::memory);
  Evaluator<MemoryPlacement<G, Op, Opt::memory, T>, LossT, Opt, T> e{
      {{g, Op::of(batch, i, arrays.projected), batch.target_of(i), batch.weights_of(i),
        batch.weight, batch.start_of(i), batch.x_of(i), arrays},
       batch,
       i,
       {before, static_cast<int>(extent.rows)}}};
  e.p.load();
  return trajectory<T>(e, batch.stop);
}

}  // namespace softreg
