// One whole solve with every number of the instance in plain memory: the reference, the kernels
// that keep A in global or shared memory, and what the tests compare all others with.
#pragma once
#include "softreg/model/memory_placement.hpp"

namespace softreg {

// Numbers of T that solve_in_memory needs.
template <class T>
SR_HD constexpr std::int64_t memory_solve_values(const Extent& e, Watched watched) {
  return MemoryWorkspace<T>::size(e) + ShiftWorkspace<T>::size(e, watched);
}

// Instance i on the lanes of g; Op: DenseMatrix<T> or Kronecker<T>. before: what a trace
// keeps. Watches: can trace bounds.
template <class Op, class LossT, bool Watches = false, class G, class T>
SR_HD void solve_in_memory(const G& g, const Batch<T>& batch, std::int64_t i,
                           const MemoryWorkspace<T>& arrays, T* before) {
  Evaluator<MemoryPlacement<G, Op, T>, LossT, T, Watches> e{
      {{g, Op::of(batch, i, arrays.attended), batch.target_of(i), batch.weights_of(i), batch.weight,
        batch.start_of(i), batch.x_of(i), arrays},
       batch,
       i,
       ShiftWorkspace<T>::of(before, extent_of(batch, i))}};
  e.p.load();
  trajectory(e, batch.stop);
}

template <class Op, class LossT, bool Watches = false, class G, class T>
SR_HD void solve_in_memory(const G& g, const Batch<T>& batch, std::int64_t i, T* workspace) {
  const Extent e = extent_of(batch, i);
  solve_in_memory<Op, LossT, Watches>(g, batch, i, MemoryWorkspace<T>::carve(workspace, e),
                                      workspace + MemoryWorkspace<T>::size(e));
}

}  // namespace softreg
