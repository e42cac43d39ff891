// The bodies of MemorySolver, for the sources that instantiate it.
#pragma once
#include "memory_solver_declaration.hpp"
#include "softreg/model/memory_solve.hpp"

namespace softreg {

SR_MEMORY_PARTS(extern, LaneGroup<1>, DenseMatrix)
SR_MEMORY_PARTS(extern, LaneGroup<1>, Kronecker)

template <class LossT, class T>
void solve_on_one_lane(const Batch<T>& batch, std::int64_t i, SolverMemory<T>& memory) {
  const LaneGroup<1> lane;
  const Extent e = extent_of(batch, i);
  memory.workspace.resize(static_cast<std::size_t>(memory_solve_values<T>(e, batch.watched())));
  T* const workspace = memory.workspace.data();
  if (batch.matrix)
    solve_in_memory<Kronecker<T>, LossT, true>(lane, batch, i, workspace);
  else
    solve_in_memory<DenseMatrix<T>, LossT, true>(lane, batch, i, workspace);
}

template <class Op, class LossT, class T>
void measure_start(const Batch<T>& batch, std::int64_t i, int step, SolverMemory<T>& memory) {
  const Extent e = extent_of(batch, i);
  memory.x.resize(static_cast<std::size_t>(e.parameters));
  memory.workspace.resize(static_cast<std::size_t>(MemoryWorkspace<T>::size(e)));
  memory.before.resize(static_cast<std::size_t>(ShiftWorkspace<T>::size(e, Watched::bounds)));
  const auto arrays = MemoryWorkspace<T>::carve(memory.workspace.data(), e);
  using Placement = MemoryPlacement<LaneGroup<1>, Op, T>;
  Evaluator<Placement, LossT, T, true> evaluator{{{{},
                                                   Op::of(batch, i, arrays.attended),
                                                   batch.target_of(i),
                                                   batch.weights_of(i),
                                                   batch.weight,
                                                   batch.start_of(i),
                                                   memory.x.data(),
                                                   arrays},
                                                  batch,
                                                  i,
                                                  ShiftWorkspace<T>::of(memory.before.data(), e)}};
  evaluator.p.load();
  evaluator.init();
  evaluator.evaluate(step, false);
}
template <class LossT, class T>
void measure_on_one_lane(const Batch<T>& batch, std::int64_t i, int step, SolverMemory<T>& memory) {
  if (batch.matrix)
    measure_start<Kronecker<T>, LossT>(batch, i, step, memory);
  else
    measure_start<DenseMatrix<T>, LossT>(batch, i, step, memory);
}

template <class LossT>
void MemorySolver<LossT>::solve(const Batch<float>& batch, std::int64_t i,
                                SolverMemory<float>& memory) {
  solve_on_one_lane<LossT>(batch, i, memory);
}
template <class LossT>
void MemorySolver<LossT>::solve(const Batch<double>& batch, std::int64_t i,
                                SolverMemory<double>& memory) {
  solve_on_one_lane<LossT>(batch, i, memory);
}
template <class LossT>
void MemorySolver<LossT>::measure(const Batch<float>& batch, std::int64_t i, int step,
                                  SolverMemory<float>& memory) {
  measure_on_one_lane<LossT>(batch, i, step, memory);
}
template <class LossT>
void MemorySolver<LossT>::measure(const Batch<double>& batch, std::int64_t i, int step,
                                  SolverMemory<double>& memory) {
  measure_on_one_lane<LossT>(batch, i, step, memory);
}

}  // namespace softreg
