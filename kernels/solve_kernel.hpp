// solve_kernel: the one kernel. A group of lanes takes an instance, builds its placement and runs
// the trajectory from start to finish, then takes the next: no host between two steps.
#pragma once
#include "matrix_solve.hpp"
#include "one_pass_placement.hpp"
#include "policy.hpp"
#include "queue.hpp"
#include "register_placement.hpp"
#include "softreg/model/batch.hpp"
#include "softreg/model/memory_solve.hpp"
#include "stream_solve.hpp"

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
    case Placement::one_pass:
      return one_pass_values(e) + trace;
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
      return grid_shared_bytes<T>(p) * p.groups_per_cluster();
    case Placement::one_pass:
      return one_pass_shared_bytes<T>(p);
    case Placement::stream:
      return stream_shared_bytes<T>(p);
    case Placement::resident: {
      const std::int64_t most = matrix_shared_bytes<T>(resident_values<T>(e, l, weighted));
      return most < max_shared_bytes ? most : max_shared_bytes;
    }
    case Placement::tiles:
      break;
  }
  return matrix_shared_bytes<T>(fits_shared<T>(tile) ? tile : 0);
}

// What is done to one row is so long that, done to several at once, it needs more registers than
// there are (nvcc 13.0).
template <class LossT>
constexpr bool has_long_rows = requires {
  requires Formula<LossT>::long_rows;
};

// Instances whose A stays with their lanes. Groups that share a warp go on side by side, and one
// that has finished takes its next instance where the others test, so that all test in the same
// turns.
template <class PolicyT, class LossT, class A, class T>
SR_DEVICE void solve_in_registers(const Batch<T>& batch, const Queue& queue, void* shared,
                                  T* workspace) {
  constexpr bool few = PolicyT::policy.lanes() < simt::warp_size / 2;
  using Numbers = std::conditional_t<few, typename OfFewLanes<A>::type, A>;
  using InRegisters =
      RegisterPlacement<PolicyT, T, has_long_rows<LossT>, holds_bits<LossT, Numbers>>;
  Evaluator<InRegisters, LossT, T, false, Numbers> e{{{batch, shared}, batch, 0, {}}};
  const auto begin = [&](std::int64_t i) {
    e.instance = e.p.instance = i;
    e.before = {workspace, batch.rows_of(i)};
    e.p.load();
    e.init();
  };
  if constexpr (PolicyT::policy.lanes() >= simt::warp_size) {
    for (std::int64_t i = queue.first(); i < batch.count; i = queue.next(e.p.g)) {
      begin(i);
      Trajectory turns;
      while (turns.advance(e, batch.stop)) {
      }
    }
  } else {
    Trajectory turns;
    bool running = false;
    e.instance = e.p.instance = -1;  // none yet
    // No solve takes more turns: where tests are further apart nobody waits for the next.
    const unsigned most = static_cast<unsigned>(batch.stop.max_steps) + 2;
    const unsigned wanted = static_cast<unsigned>(batch.stop.check_every);
    const unsigned every = simt::opaque(wanted < most ? wanted : most);  // not formed in every turn
    for (;;) {
      if (!running) {
        const std::int64_t i = e.instance < 0 ? queue.first() : queue.next(e.p.g);
        if (i >= batch.count) return;
        begin(i);
        turns = {};
        running = true;
      }
      for (unsigned left = every; left != 0; --left) {
        running = turns.advance(e, batch.stop);
        if (!running) break;
      }
    }
  }
}

// Instances whose rows pass by, each solved by all lanes of a cluster.
template <class PolicyT, class LossT, class T>
SR_DEVICE void solve_in_one_pass(const Batch<T>& batch, const Queue& queue, void* shared,
                                 T* workspace) {
  Evaluator<OnePassPlacement<PolicyT, LossT, T>, LossT, T> e{
      {{batch, shared, workspace}, batch, 0, {}}};
  for (std::int64_t i = queue.first(); i < batch.count; i = queue.next(e.p.g)) {
    e.instance = e.p.instance = i;
    const Extent extent = extent_of(batch, i);
    e.before = ShiftWorkspace<T>::of(workspace + one_pass_values(extent), extent);
    e.p.load();
    trajectory(e, batch.stop);
  }
  e.p.finish();
}

// What the batch of a plain policy has nothing of, as constants.
template <class T>
SR_DEVICE Batch<T> without_extras(Batch<T> batch) {
  batch.weights = nullptr;
  batch.weight = batch.ridge = batch.ball = T(0);
  batch.shifts = nullptr;
  batch.bounds = nullptr;
  batch.output = nullptr;
  return batch;
}

// A: the numbers that the loss is computed with, T or Fast<T>, of which only kernels with A in
// registers know.
// workspace: stride numbers for each group of the grid. Of matrix problems alone: shared_values,
// numbers of T that a block's shared memory has; resident, whether they are all of an instance.
// (These as one struct cost the fullest class its last registers: nvcc 13.0 spilled.)
template <class PolicyT, class LossT, class A, class T>
SR_DEVICE void solve_all(const Batch<T>& batch, T* workspace, std::int64_t stride,
                         std::int64_t shared_values, bool resident) {
  constexpr KernelPolicy P = PolicyT::policy;
  constexpr int lanes = P.lanes(), per_cluster = P.instances_per_cluster();
  const int first_in_cluster = P.cluster() > 1 ? 0 : simt::thread_index() / lanes;
  const int group = simt::block_index() / P.cluster() * per_cluster + first_in_cluster;
  const Queue queue{group, simt::grid_size() / P.cluster() * per_cluster, batch.taken};
  unsigned char* const shared = static_cast<unsigned char*>(simt::dynamic_shared());
  T* const own = workspace + group * stride;

  if constexpr (P.placement == Placement::registers) {
    void* const of_group = shared + first_in_cluster * grid_shared_bytes<T>(P);
    const auto solve = [=](const Batch<T>& of) {
      solve_in_registers<PolicyT, LossT, A>(of, queue, of_group, own);
    };
    if constexpr (P.plain)
      solve(without_extras(batch));
    else
      solve(batch);
  } else if constexpr (P.placement == Placement::one_pass) {
    solve_in_one_pass<PolicyT, LossT>(batch, queue, shared, own);
  } else if constexpr (P.places > 1) {
    static_assert(per_cluster == P.places && P.cluster() == 1);
    solve_side_by_side<PolicyT, LossT>(batch, queue, shared, own, stride);
  } else {
    using Group = SimtGroup<lanes>;
    static_assert(per_cluster == 1 && P.cluster() == 1);
    const Group g{shared};
    for (std::int64_t i = queue.first(); i < batch.count; i = queue.next(g)) {
      if constexpr (P.placement == Placement::tiles)
        solve_matrix<LossT, P.watches_bounds>(g, batch, i, resident,
                                              shared + Group::scratch_bytes(), shared_values, own);
      else
        solve_in_memory<std::conditional_t<P.watches_bounds, StreamTogether<T>, StreamOfOne<T>>,
                        LossT, P.watches_bounds>(g, batch, i, own);
    }
  }
}

template <class PolicyT, class LossT, class T, class A = T>
SR_KERNEL void SR_OCCUPANCY(PolicyT::policy.occupancy.threads, PolicyT::policy.occupancy.blocks)
    solve_kernel(Batch<T> batch, T* workspace, std::int64_t stride, std::int64_t shared_values,
                 bool resident) {
  static_assert(PolicyT::policy.cluster() == 1);
  solve_all<PolicyT, LossT, A>(batch, workspace, stride, shared_values, resident);
}
// Of groups that are clusters. (A cluster of one block is not the same as none.)
template <class PolicyT, class LossT, class T, class A = T>
SR_KERNEL void SR_CLUSTER(PolicyT::policy.cluster())
    SR_OCCUPANCY(PolicyT::policy.occupancy.threads, PolicyT::policy.occupancy.blocks)
        cluster_solve_kernel(Batch<T> batch, T* workspace, std::int64_t stride,
                             std::int64_t shared_values, bool resident) {
  solve_all<PolicyT, LossT, A>(batch, workspace, stride, shared_values, resident);
}
template <class PolicyT, class LossT, class T, class A = T>
constexpr auto kernel_of() {
  if constexpr (PolicyT::policy.cluster() > 1)
    return &cluster_solve_kernel<PolicyT, LossT, T, A>;
  else
    return &solve_kernel<PolicyT, LossT, T, A>;
}

}  // namespace softreg
