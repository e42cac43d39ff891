// solve_kernel: the one kernel. A group of lanes takes an instance, builds its placement and runs
// the trajectory from start to finish, then takes the next: no host between two steps.
#pragma once
#include "policy.hpp"
#include "register_placement.hpp"
#include "softreg/model/batch.hpp"
#include "softreg/model/memory_solve.hpp"

namespace softreg {

// Numbers of T in global memory that one group needs: what the placement keeps there, and the
// memory of a shift trace.
template <class T>
constexpr std::int64_t kernel_workspace(const KernelPolicy& p, const Extent& e, std::int64_t memory,
                                        bool shifts) {
  if (p.placement == Placement::registers) return shifts ? ShiftWorkspace<T>::size(e) : 0;
  return memory_solve_values<T>(e, memory, shifts);
}

// Shared memory of one block.
template <class PolicyT>
constexpr int kernel_shared_bytes() {
  return SimtGroup<PolicyT::policy.lanes>::scratch_bytes() * PolicyT::policy.groups_per_block();
}

// workspace: workspace_stride numbers for each group of the grid.
template <class PolicyT, class LossT, class Opt, class T>
SR_KERNEL void solve_kernel(Batch<T> batch, T* workspace, std::int64_t workspace_stride) {
  constexpr KernelPolicy P = PolicyT::policy;
  using Group = SimtGroup<P.lanes>;
  constexpr int per_block = P.groups_per_block(), scratch = Group::scratch_bytes();
  const int group_in_block = simt::thread_index() / P.lanes;
  const int group = simt::block_index() * per_block + group_in_block;
  const int groups = simt::grid_size() * per_block;
  const Group g{static_cast<unsigned char*>(simt::dynamic_shared()) +
                std::int64_t{group_in_block} * scratch};
  T* const own = workspace + group * workspace_stride;

  for (std::int64_t i = group; i < batch.count; i += groups) {
    Outcome<T> outcome;
    if constexpr (P.placement == Placement::registers) {
      using Registers =
          RegisterPlacement<P.lanes, P.rows_per_lane(), P.max_parameters, Opt::memory, T>;
      Evaluator<Registers, LossT, Opt, T> e{{{g, batch, i}, batch, i, {own, batch.rows_of(i)}}};
      e.p.load();
      outcome = trajectory<T>(e, batch.stop);
    } else if constexpr (P.placement == Placement::matrix) {
      outcome = solve_in_memory<Kronecker<T>, LossT, Opt>(g, batch, i, own);
    } else {
      outcome = solve_in_memory<Dense<Matrix<const T>, T>, LossT, Opt>(g, batch, i, own);
    }
    g.once([&] { batch.outcome[i] = outcome; });
  }
}

}  // namespace softreg
