// solve_kernel: the one kernel. A group of lanes takes an instance, builds its placement and runs
// the trajectory from start to finish, then takes the next: no host between two steps.
#pragma once
#include "policy.hpp"
#include "register_placement.hpp"
#include "softreg/model/batch.hpp"
#include "softreg/model/memory_placement.hpp"

namespace softreg {

// Numbers of T in global memory that one group needs: what the placement keeps there, and the
// memory of a shift trace.
template <class T>
constexpr std::int64_t kernel_workspace(const KernelPolicy& p, const Extent& e, std::int64_t memory,
                                        bool shifts) {
  const std::int64_t own =
      p.placement == Placement::registers ? 0 : MemoryWorkspace<T>::size(e, memory);
  return own + (shifts ? ShiftWorkspace<T>::size(e) : 0);
}

// Shared memory of one block.
template <class PolicyT>
constexpr int kernel_shared_bytes() {
  return SimtGroup<PolicyT::policy.lanes>::scratch_bytes() * PolicyT::policy.groups_per_block();
}

template <class PolicyT, int Memory, class T>
struct PlacementOf {
  static constexpr KernelPolicy P = PolicyT::policy;
  using Registers =
      RegisterPlacement<P.lanes, P.placement == Placement::registers ? P.rows_per_lane() : 1,
                        P.placement == Placement::registers ? P.max_parameters : 1, Memory, T>;
  using Operator =
      std::conditional_t<P.placement == Placement::matrix, Kronecker<T>, Dense<Matrix<const T>, T>>;
  using Stream = MemoryPlacement<SimtGroup<P.lanes>, Operator, Memory, T>;
  static SR_DEVICE Operator make_operator(const Batch<T>& batch, std::int64_t i, T* projected) {
    if constexpr (P.placement == Placement::matrix)
      return {batch, i, projected};
    else
      return {batch.a_of(i), &batch, i};
  }
};

// workspace: workspace_stride numbers for each group of the grid.
template <class PolicyT, class LossT, class Opt, class T>
SR_KERNEL void solve_kernel(Batch<T> batch, T* workspace, std::int64_t workspace_stride) {
  constexpr KernelPolicy P = PolicyT::policy;
  using Group = SimtGroup<P.lanes>;
  using Placements = PlacementOf<PolicyT, Opt::memory, T>;
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
      Evaluator<typename Placements::Registers, LossT, Opt, T> e{
          {g, batch, i}, batch, i, {own, batch.rows_of(i)}};
      e.p.load();
      outcome = trajectory<T>(e, batch.stop);
    } else {
      const Extent extent = extent_of(batch, i);
      const auto arrays = MemoryWorkspace<T>::carve(own, extent, Opt::memory);
      const auto op = Placements::make_operator(batch, i, arrays.projected);
      const std::int64_t size = MemoryWorkspace<T>::size(extent, Opt::memory);
      Evaluator<typename Placements::Stream, LossT, Opt, T> e{
          {g, op, batch.target_of(i), batch.weights_of(i), batch.weight, batch.start_of(i),
           batch.x_of(i), arrays},
          batch,
          i,
          {own + size, static_cast<int>(extent.rows)}};
      e.p.load();
      outcome = trajectory<T>(e, batch.stop);
    }
    g.once([&] { batch.outcome[i] = outcome; });
  }
}

}  // namespace softreg
