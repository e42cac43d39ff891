// The bodies of LaneSolver, for the sources that instantiate it: one instance on the lanes of a CPU
// group or in tiles, or several side by side.
#pragma once
#include "lane_parts.hpp"
#if defined(__FMA__)
#include "pack_solver.hpp"
#include "panel_evaluator.hpp"
#endif

namespace softreg {

SR_LANE_PARTS(extern)
SR_PACK_PARTS(extern)

// An array of the instance, filled up with zeros; A column by column.
template <class T>
const T* fill_up(const T* from, int n, int padded, T* to) {
  for (int i = 0; i < padded; ++i) to[i] = i < n ? from[i] : T(0);
  return to;
}
template <class T>
ColumnMatrix<const T> fill_up(const Matrix<const T>& from, int padded, T* to) {
  for (int i = 0; i < from.rows; ++i)
    for (int j = 0; j < from.cols; ++j) to[i + j * static_cast<std::int64_t>(padded)] = from(i, j);
  for (int j = 0; j < from.cols; ++j)
    for (int i = from.rows; i < padded; ++i) to[i + j * static_cast<std::int64_t>(padded)] = T(0);
  return {to, from.rows, from.cols, padded};
}

template <class LossT, class T>
void solve_tiles(const Batch<T>& batch, std::int64_t i, T* workspace, const Team& team) {
  using Placement = TilePlacement<T>;
  const TileExtent e = tile_extent(batch, i, sizeof(T));
  const auto arrays = TileWorkspace<T>::carve(workspace, e);
  T* const before = arrays.slots + team.slots * arrays.slot_size;
  Evaluator<Placement, LossT, T, true> evaluator{
      {{batch, i, e, arrays, team}, batch, i, ShiftWorkspace<T>::of(before, e.instance)}};
  evaluator.p.load();
  trajectory(evaluator, batch.stop);
}

// Of one instance on the lanes.
#if defined(__FMA__)
template <class LossT, class T>
using LaneEvaluator = PanelEvaluator<LossT, T>;
#else
template <class LossT, class T>
struct LaneEvaluator : Evaluator<MemoryPlacement<Lanes, LaneOperator<T>, T>, LossT, T, true> {};
#endif

template <class LossT, class T>
void solve_lanes(const Batch<T>& batch, std::int64_t i, T* workspace) {
  using Op = LaneOperator<T>;
  using Placement = MemoryPlacement<Lanes, Op, T>;
  const int n = batch.rows_of(i), padded = Placement::padded_rows(n);
  Extent e = extent_of(batch, i);
  e.rows = padded;
  const auto own = LanesWorkspace<T>::carve(workspace, e);
  const T* const w = batch.weights_of(i);
  T* const before = own.solve + MemoryWorkspace<T>::size(e);
  const Placement placement{{},
                            Op{fill_up(batch.a_of(i), padded, own.a)},
                            fill_up(batch.target_of(i), n, padded, own.target),
                            w ? fill_up(w, n, padded, own.weights) : nullptr,
                            batch.weight,
                            batch.start_of(i),
                            batch.x_of(i),
                            MemoryWorkspace<T>::carve(own.solve, e)};
  LaneEvaluator<LossT, T> evaluator{{{placement, batch, i, ShiftWorkspace<T>::of(before, e)}}};
  evaluator.p.load();
  trajectory(evaluator, batch.stop);
}

template <class LossT, class T>
void solve_on_lanes_or_tiles(const Batch<T>& batch, std::int64_t i, T* workspace,
                             const Team& team) {
  if (takes_tiles(batch, i))
    solve_tiles<LossT>(batch, i, workspace, team);
  else
    solve_lanes<LossT>(batch, i, workspace);
}
template <class LossT>
void LaneSolver<LossT>::solve(const Batch<float>& batch, std::int64_t i, float* workspace,
                              const Team& team) {
  solve_on_lanes_or_tiles<LossT>(batch, i, workspace, team);
}
template <class LossT>
void LaneSolver<LossT>::solve(const Batch<double>& batch, std::int64_t i, double* workspace,
                              const Team& team) {
  solve_on_lanes_or_tiles<LossT>(batch, i, workspace, team);
}

#if defined(__FMA__)
template <class LossT, int Lanes, class T>
void solve_packs(const Batch<T>& batch, const PackQueue& queue, T* workspace) {
  if (LossT::normalized && batch.bounds)
    solve_packs<LossT, Lanes, LossT::normalized>(batch, queue, workspace);
  else
    solve_packs<LossT, Lanes, false>(batch, queue, workspace);
}
template <class LossT, class T>
void solve_packs_on(const Batch<T>& batch, const PackQueue& queue, T* workspace) {
  if (queue.lanes == 1)
    solve_packs<LossT, 1>(batch, queue, workspace);
  else if constexpr (shared_pack_lanes < pack_width<T>)
    solve_packs<LossT, shared_pack_lanes>(batch, queue, workspace);
}
template <class LossT>
void LaneSolver<LossT>::solve_side_by_side(const Batch<float>& batch, const PackQueue& queue,
                                           float* workspace) {
  solve_packs_on<LossT>(batch, queue, workspace);
}
template <class LossT>
void LaneSolver<LossT>::solve_side_by_side(const Batch<double>& batch, const PackQueue& queue,
                                           double* workspace) {
  solve_packs_on<LossT>(batch, queue, workspace);
}
#endif

}  // namespace softreg
