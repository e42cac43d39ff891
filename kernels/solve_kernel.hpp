// solve_kernel: the one kernel. A group of lanes takes an instance, builds its placement and runs
// the trajectory from start to finish, then takes the next: no host between two steps.
#pragma once
#include "matrix_solve.hpp"
#include "policy.hpp"
#include "register_placement.hpp"
#include "softreg/model/batch.hpp"
#include "softreg/model/memory_solve.hpp"

namespace softreg {

// Numbers of T in global memory that one group needs: what the placement keeps there, and the
// memory of a shift trace.
template <class T>
constexpr std::int64_t kernel_workspace(const KernelPolicy& p, const Extent& e, Watched watched) {
  const std::int64_t trace = ShiftWorkspace<T>::size(e, watched);
  using Workspace = MemoryWorkspace<T>;
  switch (p.placement) {
    case Placement::registers:
    case Placement::resident:
      return trace;
    case Placement::stream:
      return memory_solve_values<T>(e, watched);
    case Placement::tiles:
      break;
  }
  const bool shared = fits_shared<T>(Workspace::tile_size(e));  // for all instances, or for none
  return (shared ? 0 : Workspace::tile_size(e)) + Workspace::kept_size(e) + trace;
}

// Shared memory of one block. e: the most of each of its instances, which together may be more than
// any of those that fit.
template <class T>
constexpr std::int64_t kernel_shared_bytes(const KernelPolicy& p, const Extent& e, const Layout& l,
                                           bool weighted) {
  const std::int64_t tile = MemoryWorkspace<T>::tile_size(e);
  switch (p.placement) {
    case Placement::registers:
    case Placement::stream:
      break;
    case Placement::resident: {
      const std::int64_t most = matrix_shared_bytes<T>(resident_values<T>(e, l, weighted));
      return most < max_shared_bytes ? most : max_shared_bytes;
    }
    case Placement::tiles:
      return matrix_shared_bytes<T>(fits_shared<T>(tile) ? tile : 0);
  }
  return std::int64_t{scratch_bytes_of(p.lanes)} * p.groups_per_block();
}

template <class PolicyT, class T>
using Registers = RegisterPlacement<PolicyT::policy.lanes, PolicyT::policy.rows_per_lane(),
                                    PolicyT::policy.max_parameters, T>;

// workspace: stride numbers for each group of the grid. Of matrix problems alone: shared_values,
// numbers of T that a block's shared memory has; resident, whether they are all of an instance.
// (These as one struct cost the fullest class its last registers: nvcc 13.0 spilled.)
template <class PolicyT, class LossT, class T>
SR_KERNEL void solve_kernel(Batch<T> batch, T* workspace, std::int64_t stride,
                            std::int64_t shared_values, bool resident) {
  constexpr KernelPolicy P = PolicyT::policy;
  using Group = SimtGroup<P.lanes>;
  constexpr int per_block = P.groups_per_block(), scratch = Group::scratch_bytes();
  const int group_in_block = simt::thread_index() / P.lanes;
  const int group = simt::block_index() * per_block + group_in_block;
  const int groups = simt::grid_size() * per_block;
  unsigned char* const shared = static_cast<unsigned char*>(simt::dynamic_shared());
  const Group g{shared + std::int64_t{group_in_block} * scratch};
  T* const own = workspace + group * stride;

  for (std::int64_t i = group; i < batch.count; i += groups) {
    if constexpr (P.placement == Placement::registers) {
      Evaluator<Registers<PolicyT, T>, LossT, T> e{
          {{g, batch, i}, batch, i, {own, batch.rows_of(i)}}};
      e.p.load();
      trajectory(e, batch.stop);
    } else if constexpr (P.placement == Placement::tiles) {
      solve_matrix<LossT, P.watches_bounds>(g, batch, i, resident, shared + scratch, shared_values,
                                            own);
    } else {
      static_assert(P.placement == Placement::stream);
      solve_in_memory<DenseMatrix<T>, LossT, P.watches_bounds>(g, batch, i, own);
    }
  }
}

}  // namespace softreg
