// The yardstick of the kernels: the memory placement on lanes that are a loop, instance by
// instance.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "softreg/model/catalog.hpp"
#include "softreg/model/memory_placement.hpp"

namespace softreg {

template <class LossT, class Opt, class Op, class G, class T>
void solve_instance(G, const Batch<T>& batch, std::int64_t i, const Op& op, const Extent& extent,
                    const MemoryWorkspace<T>& arrays, T* before) {
  Evaluator<MemoryPlacement<G, Op, Opt::memory, T>, LossT, Opt, T> e{
      {{},
       op,
       batch.target_of(i),
       batch.weights_of(i),
       batch.weight,
       batch.start_of(i),
       batch.x_of(i),
       arrays},
      batch,
      i,
      {before, static_cast<int>(extent.rows)}};
  e.p.load();
  batch.outcome[i] = trajectory<T>(e, batch.stop);
}

template <int Lanes, class LossT, class Opt, class T>
void solve_batch(const Batch<T>& batch) {
  for (std::int64_t i = 0; i < batch.count; ++i) {
    const Extent extent = extent_of(batch, i);
    const std::int64_t own = MemoryWorkspace<T>::size(extent, Opt::memory);
    const std::int64_t all = own + ShiftWorkspace<T>::size(extent);
    std::vector<T> memory(static_cast<std::size_t>(all), quiet_nan<T>());
    const auto arrays = MemoryWorkspace<T>::carve(memory.data(), extent, Opt::memory);
    T* const before = memory.data() + own;
    const LaneGroup<Lanes> group;
    if (!batch.matrix)
      solve_instance<LossT, Opt>(group, batch, i,
                                 Dense<Matrix<const T>, T>{batch.a_of(i), &batch, i}, extent,
                                 arrays, before);
    else if constexpr (Lanes == 256)  // no kernel has a matrix problem on fewer
      solve_instance<LossT, Opt>(group, batch, i, Kronecker<T>{batch, i, arrays.projected}, extent,
                                 arrays, before);
    else
      throw std::logic_error("no yardstick for matrix problems on these lanes");
  }
}

template <class T, int L = 0>
void solve_lanes(int loss, int optimizer, int lanes, const Batch<T>& batch) {
  if constexpr (L < std::variant_size_v<AnyLoss>) {
    if (loss != L) return solve_lanes<T, L + 1>(loss, optimizer, lanes, batch);
    const auto run = [&]<int Lanes>() {
      using LossT = std::variant_alternative_t<L, AnyLoss>;
      if (optimizer == 0)
        solve_batch<Lanes, LossT, std::variant_alternative_t<0, AnyOptimizer>>(batch);
      else
        solve_batch<Lanes, LossT, std::variant_alternative_t<1, AnyOptimizer>>(batch);
    };
    if (lanes == 32)
      run.template operator()<32>();
    else if (lanes == 256)
      run.template operator()<256>();
    else
      throw std::logic_error("no yardstick of " + std::to_string(lanes) + " lanes");
  }
}

}  // namespace softreg
