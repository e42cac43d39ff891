// The bodies of EmulatedLanes, the yardstick of the kernels: the memory placement on lanes that are
// a loop, instance by instance.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/emulated_machines.hpp"
#include "kernels/emulated_parts.hpp"

namespace softreg {

SR_EMULATED_LANES_PARTS(extern)

template <int Lanes, class LossT, class T>
void solve_batch(const Batch<T>& batch) {
  const LaneGroup<Lanes> lanes;
  for (std::int64_t i = 0; i < batch.count; ++i) {
    const std::int64_t values = memory_solve_values<T>(extent_of(batch, i), batch.watched());
    std::vector<T> memory(static_cast<std::size_t>(values), quiet_nan<T>());
    if (!batch.matrix)
      solve_in_memory<DenseMatrix<T>, LossT, true>(lanes, batch, i, memory.data());
    else if constexpr (Lanes == 256)  // no kernel has a matrix problem on fewer
      solve_in_memory<Kronecker<T>, LossT, true>(lanes, batch, i, memory.data());
    else
      throw std::logic_error("no yardstick for matrix problems on these lanes");
  }
}

template <class LossT, class T>
void solve_batch_on(int lanes, const Batch<T>& batch) {
  if (lanes == 32)
    solve_batch<32, LossT>(batch);
  else if (lanes == 256)
    solve_batch<256, LossT>(batch);
  else
    throw std::logic_error("no yardstick of " + std::to_string(lanes) + " lanes");
}

template <class LossT>
void EmulatedLanes<LossT>::solve(int lanes, const Batch<float>& batch) {
  solve_batch_on<LossT>(lanes, batch);
}
template <class LossT>
void EmulatedLanes<LossT>::solve(int lanes, const Batch<double>& batch) {
  solve_batch_on<LossT>(lanes, batch);
}

}  // namespace softreg
