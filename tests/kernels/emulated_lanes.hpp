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

template <int Lanes, class LossT, class Opt, class T>
void solve_batch(const Batch<T>& batch) {
  using Placed = MemoryPlacement<LaneGroup<Lanes>, Dense<Matrix<const T>, T>, Opt::memory, T>;
  for (std::int64_t i = 0; i < batch.count; ++i) {
    const Matrix<const T> a = batch.matrix(i);
    const std::int64_t own = MemoryWorkspace<T>::size(a.rows, a.cols, Opt::memory);
    const std::int64_t all = own + ShiftWorkspace<T>::size(a.rows, a.cols);
    std::vector<T> memory(static_cast<std::size_t>(all), quiet_nan<T>());
    Evaluator<Placed, LossT, Opt, T> e{
        {{},
         {a},
         batch.target_of(i),
         batch.weights_of(i),
         batch.start_of(i),
         batch.x_of(i),
         MemoryWorkspace<T>::carve(memory.data(), a.rows, a.cols, Opt::memory)},
        batch,
        i,
        {memory.data() + own, a.rows}};
    e.p.load();
    batch.outcome[i] = trajectory<T>(e, batch.stop);
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
