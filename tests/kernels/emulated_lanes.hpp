// The bodies of EmulatedLanes, the yardstick of the kernels: the memory placement on lanes that are
// a loop, instance by instance.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/emulated_machines.hpp"
#include "kernels/emulated_parts.hpp"
#include "kernels/one_pass_memory.hpp"

namespace softreg {

SR_EMULATED_LANES_PARTS(extern)

template <class LossT, class G, class T>
void solve_batch(const G& group, const Batch<T>& batch) {
  for (std::int64_t i = 0; i < batch.count; ++i) {
    const std::int64_t values = memory_solve_values<T>(extent_of(batch, i), batch.watched());
    std::vector<T> memory(static_cast<std::size_t>(values), quiet_nan<T>());
    if constexpr (std::is_same_v<G, LaneGroup<256>>) {  // no other kernel has these
      if (batch.bounds && batch.matrix)
        solve_in_memory<KroneckerTogether<T>, LossT, true>(group, batch, i, memory.data());
      else if (batch.bounds)
        solve_in_memory<DenseTogether<T>, LossT, true>(group, batch, i, memory.data());
      else if (batch.matrix)
        solve_in_memory<Kronecker<T>, LossT>(group, batch, i, memory.data());
      else
        solve_in_memory<DenseMatrix<T>, LossT>(group, batch, i, memory.data());
    } else if (!batch.matrix) {
      solve_in_memory<DenseMatrix<T>, LossT, true>(group, batch, i, memory.data());
    } else {
      throw std::logic_error("no yardstick for matrix problems on these lanes");
    }
  }
}

template <class LossT, class T>
void solve_batch_on(int lanes, const Batch<T>& batch) {
  if (lanes == cpu_lanes)
    solve_batch<LossT>(LaneGroup<cpu_lanes>{}, batch);
  else if (lanes == 256)
    solve_batch<LossT>(LaneGroup<256>{}, batch);
  else
    throw std::logic_error("no yardstick of " + std::to_string(lanes) + " lanes");
}

// The rows of each instance pass by in as many tiles as it needs.
template <class LossT, class T>
void solve_batch_in_one_pass(LaneGrid grid, const Batch<T>& batch) {
  for (std::int64_t i = 0; i < batch.count; ++i) {
    const Extent extent = extent_of(batch, i);
    grid.rows = (int(extent.rows) + grid.lanes - 1) / grid.lanes * grid.lanes;
    std::vector<T> memory(std::size_t(memory_solve_values<T>(extent, batch.watched())),
                          quiet_nan<T>());
    const auto arrays = MemoryWorkspace<T>::carve(memory.data(), extent);
    using Memory = OnePassMemory<LossT, T>;
    Evaluator<Memory, LossT, T> e{
        Memory{GridGroup{grid, true}, DenseMatrix<T>::of(batch, i, nullptr), batch.target_of(i),
               batch.weights_of(i), batch.weight, batch.start_of(i), batch.x_of(i), arrays},
        batch, i, ShiftWorkspace<T>::of(memory.data() + MemoryWorkspace<T>::size(extent), extent)};
    e.p.load();
    trajectory(e, batch.stop);
  }
}

template <class LossT>
void EmulatedLanes<LossT>::solve(int lanes, const Batch<float>& batch) {
  solve_batch_on<LossT>(lanes, batch);
}
template <class LossT>
void EmulatedLanes<LossT>::solve(int lanes, const Batch<double>& batch) {
  solve_batch_on<LossT>(lanes, batch);
}
template <class LossT>
void EmulatedLanes<LossT>::solve(const LaneGrid& grid, const Batch<float>& batch) {
  solve_batch<LossT>(GridGroup{grid}, batch);
}
template <class LossT>
void EmulatedLanes<LossT>::solve(const LaneGrid& grid, const Batch<double>& batch) {
  solve_batch<LossT>(GridGroup{grid}, batch);
}
template <class LossT>
void EmulatedLanes<LossT>::solve_in_one_pass(const LaneGrid& grid, const Batch<float>& batch) {
  solve_batch_in_one_pass<LossT>(grid, batch);
}
template <class LossT>
void EmulatedLanes<LossT>::solve_in_one_pass(const LaneGrid& grid, const Batch<double>& batch) {
  solve_batch_in_one_pass<LossT>(grid, batch);
}

}  // namespace softreg
