// GridCoordinates: the parameters of one instance in registers, shared among its lanes by a
// LaneGrid, and the loops over them, wherever the lanes have its rows.
#pragma once
#include "policy.hpp"
#include "simt_grid.hpp"
#include "softreg/model/operators.hpp"

namespace softreg {

// Grid: a SimtGrid of the policy's lanes.
template <class PolicyT, class T, class Grid>
struct GridCoordinates {
  static constexpr KernelPolicy P = PolicyT::policy;
  static constexpr int lanes = P.grid.lanes;
  static constexpr int own_columns = Grid::own_columns;
  static constexpr bool describes = true;
  Grid g;
  const Batch<T>& batch;  // in constant memory: what is rarely used costs no register
  std::int64_t instance = 0;
  int n = 0;
  T x[own_columns], point[own_columns], grad[own_columns], lagged_shift;

  SR_DEVICE GridCoordinates(const Batch<T>& of, void* shared) : g(shared), batch(of) {}

  SR_DEVICE int row(int r) const { return g.rank() + r * lanes; }
  // The lane's number, for what is seldom done: columns and offsets in memory that are made of it
  // are not kept in registers meanwhile.
  SR_DEVICE int rank_again() const { return simt::opaque(g.rank()); }

  // start: of the instance, or null; padding: where it has no column.
  SR_DEVICE void load_start(const T* start, T padding) {
    const int rank = rank_again();
    step_size_ = batch.step_size[instance];
    SR_UNROLL
    for (int p = 0; p < own_columns; ++p) {
      const int j = Grid::grid().column(rank, p);
      x[p] = has_column(j) ? T(0) : padding;
      if (start && has_column(j)) x[p] = start[j];
      point[p] = x[p];
      grad[p] = T(0);
    }
  }

  // Whether the instance has column j.
  SR_DEVICE bool has_column(int j) const {
    return P.least_parameters == P.grid.parameters || j < parameters();
  }
  SR_DEVICE int row_count() const { return n; }
  SR_DEVICE static constexpr int lane_count() { return lanes; }
  SR_DEVICE Extent extent(const Layout&, std::int64_t) const { return {n, 1, parameters(), 0, n}; }
  SR_DEVICE int parameters() const { return batch.parameters(); }
  SR_DEVICE T step_size(const Batch<T>&, std::int64_t) const { return step_size_; }
  SR_DEVICE static T operator_norm(const Batch<T>& batch, std::int64_t instance) {
    return batch.operator_norm[instance];
  }
  SR_DEVICE static ShiftSummary<T>& shifts(const Batch<T>& batch, std::int64_t instance) {
    return batch.shifts[instance];
  }
  SR_DEVICE static BoundSummary<T>& bounds(const Batch<T>& batch, std::int64_t instance) {
    return batch.bounds[instance];
  }
  SR_DEVICE bool weighted() const { return batch.weighted(); }
  SR_DEVICE T shift(const Segment&) const { return lagged_shift; }
  SR_DEVICE void set_shift(const Segment&, T value) { lagged_shift = value; }
  SR_DEVICE void set_shifts(T value) { lagged_shift = value; }
  SR_DEVICE bool stops(const int* cancelled) const { return g.stops(cancelled); }

  // The rows are one segment.
  template <class F>
  SR_DEVICE void each_segment(F f) const {
    f(Segment{0, 0, n, instance});
  }
  // After a pass that left f in place of dL/dz, the gradient is A^T f.
  SR_DEVICE void attended(T* to) const {
    visit_gradient([to](int j, T value) { to[j] = value; });
  }

  template <class S, class F>
  SR_DEVICE S serial(F f) const {
    S s{};
    each_column([&](int p, int j) { s = f(j, point[p], grad[p], s); });
    return g.total_of_columns(s);
  }
  // Returns whether f said of any coordinate that it moved; says yes unless asked.
  template <class F>
  SR_DEVICE bool update(F f, bool ask = false) {
    int moved = 0;
    if (ask) {
      each_to_update([&](int p) { moved |= f(x[p], point[p], grad[p]) ? 1 : 0; });
      return g.total_of_columns(moved) > 0;
    }
    each_to_update([&](int p) { f(x[p], point[p], grad[p]); });
    return true;
  }
  template <class F>
  SR_DEVICE void add_to_gradient(F f) {
    each_to_update([&](int p) { grad[p] = grad[p] + f(point[p]); });
  }

  // Memory outside the lanes: each coordinate is handled by one lane, after all have read what it
  // replaces, and all see it afterwards.
  template <class F>
  SR_DEVICE void visit(F f) const {
    g.sync();
    visit_each(point, f);
    g.sync();
  }
  template <class F>
  SR_DEVICE void visit_gradient(F f) const {
    g.sync();
    visit_each(grad, f);
    g.sync();
  }
  SR_DEVICE void keep() const {
    T* const result = batch.x_of(instance);
    visit([=](int j, T at) { result[j] = at; });
  }
  template <class F>
  SR_DEVICE void once(F f) const {
    g.once(f);
  }

 private:
  T step_size_;
  // f(p, j) for the p-th own column, j of the instance
  template <class F>
  SR_DEVICE void each_column(F f) const {
    const int rank = rank_again();
    SR_UNROLL
    for (int p = 0; p < own_columns; ++p) {
      const int j = Grid::grid().column(rank, p);
      if (has_column(j)) f(p, j);
    }
  }
  // Where padding stays what it is whatever is done to it, nobody asks for it in every step.
  template <class F>
  SR_DEVICE void each_to_update(F f) const {
    if constexpr (P.placement == Placement::registers) {
      SR_UNROLL
      for (int p = 0; p < own_columns; ++p) f(p);
    } else {
      each_column([&](int p, int) { f(p); });
    }
  }
  template <class F>
  SR_DEVICE void visit_each(const T (&of)[own_columns], F f) const {
    if (!Grid::grid().is_first_replica(g.rank())) return;
    each_column([&](int p, int j) { f(j, of[p]); });
  }
};

}  // namespace softreg
