// RegisterPlacement: A, b and the parameters of one instance stay in the registers of its lanes for
// the whole trajectory. Lane l holds rows l, l + lanes, ...; every lane holds all parameters, so
// that work on coordinates needs no communication. Gives the bits of
// MemoryPlacement<LaneGroup<lanes>>. Every index is a compile-time constant after unrolling;
// otherwise nvcc moves the arrays to memory.
#pragma once
#include "simt_group.hpp"
#include "softreg/model/operators.hpp"

namespace softreg {

template <int Lanes, int Rows, int D, class T>
struct RegisterPlacement {
  static constexpr int lanes = Lanes;
  static constexpr bool describes = true;
  SimtGroup<Lanes> g;
  const Batch<T>& batch;  // in constant memory: what is rarely used costs no register
  std::int64_t instance;
  int n = 0;
  T a[Rows][D], b[Rows], z[Rows], u[Rows];
  T x[D], point[D], grad[D], lagged_shift;

  SR_DEVICE RegisterPlacement(SimtGroup<Lanes> group, const Batch<T>& of, std::int64_t i)
      : g(group), batch(of), instance(i) {}

  SR_DEVICE int row(int r) const { return g.rank() + r * Lanes; }

  // Padding adds nothing, not even to the sign of a zero: columns are -0 (times x = +0 is -0), rows
  // have a = +0 and are multiplied by -0 in transpose().
  SR_DEVICE void load() {
    const Matrix<const T> from = batch.a_of(instance);
    const T* const target = batch.target_of(instance);
    const T* const start = batch.start_of(instance);
    const int d = parameters();
    n = from.rows;
    SR_UNROLL
    for (int r = 0; r < Rows; ++r) {
      const bool owned = row(r) < n;
      b[r] = owned ? target[row(r)] : T(0);
      SR_UNROLL
      for (int j = 0; j < D; ++j) {
        if (j < d)
          a[r][j] = owned ? from(row(r), j) : T(0);
        else
          a[r][j] = owned ? -T(0) : T(0);
      }
    }
    SR_UNROLL
    for (int j = 0; j < D; ++j) {
      x[j] = start && j < d ? start[j] : T(0);
      point[j] = x[j];
      grad[j] = T(0);
    }
  }

  SR_DEVICE int row_count() const { return n; }
  SR_DEVICE Extent extent(const Layout&, std::int64_t) const { return {n, 1, D, 0, n}; }
  SR_DEVICE int parameters() const { return batch.parameters(); }
  SR_DEVICE static T step_size(const Batch<T>& batch, std::int64_t instance) {
    return batch.step_size[instance];
  }
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
  SR_DEVICE LogitWeights<T> weights(const Segment&) const {
    return {batch.weights_of(instance), batch.weight};
  }
  SR_DEVICE T shift(const Segment&) const { return lagged_shift; }
  SR_DEVICE void set_shift(const Segment&, T value) { lagged_shift = value; }
  SR_DEVICE void set_shifts(T value) { lagged_shift = value; }
  SR_DEVICE bool stops(const int* cancelled) const { return g.stops(cancelled); }

  // One tile holds everything, and its rows are one segment.
  template <class S, class F>
  SR_DEVICE S tiles(F f) {
    logits();
    S total{};
    f(*this, total);
    transpose();
    return total;
  }
  template <class F>
  SR_DEVICE void each_segment(F f) const {
    f(Segment{0, 0, n, instance});
  }

  template <class S, class F>
  SR_DEVICE S sum_rows(const Segment&, F f) {
    S mine{};
    SR_UNROLL
    for (int r = 0; r < Rows; ++r)
      if (row(r) < n) mine = f(row(r), z[r], u[r], b[r], mine);
    return g.total(mine);
  }
  SR_DEVICE T max_rows(const Segment&) const {
    T most = -infinity<T>();
    SR_UNROLL
    for (int r = 0; r < Rows; ++r)
      if (row(r) < n) most = max_(most, z[r]);
    return g.largest(most);
  }
  template <class F>
  SR_DEVICE void rows(const Segment&, F f) {
    SR_UNROLL
    for (int r = 0; r < Rows; ++r)
      if (row(r) < n) f(row(r), z[r], u[r], b[r]);
  }

  SR_DEVICE void store(const Segment&, T* to) const {
    SR_UNROLL
    for (int r = 0; r < Rows; ++r)
      if (row(r) < n) to[row(r)] = z[r];
  }
  // After a pass that left f in place of dL/dz, the gradient is A^T f.
  SR_DEVICE void attended(T* to) const {
    visit_gradient([to](int j, T value) { to[j] = value; });
  }

  template <class S, class F>
  SR_DEVICE S serial(F f) const {
    S s{};
    SR_UNROLL
    for (int j = 0; j < D; ++j)
      if (j < parameters()) s = f(j, point[j], grad[j], s);
    return s;
  }
  // Returns whether f said of any coordinate that it moved; says yes unless asked. Every lane has
  // them all: nobody asks around.
  template <class F>
  SR_DEVICE bool update(F f, bool ask = false) {
    bool moved = !ask;
    SR_UNROLL
    for (int j = 0; j < D; ++j)
      if (j < parameters()) moved = f(x[j], point[j], grad[j]) || moved;
    return moved;
  }
  template <class F>
  SR_DEVICE void add_to_gradient(F f) {
    SR_UNROLL
    for (int j = 0; j < D; ++j)
      if (j < parameters()) grad[j] = grad[j] + f(point[j]);
  }

  // Memory outside the lanes: each coordinate is handled by one lane, after all have read what it
  // replaces, and all see it afterwards.
  template <class F>
  SR_DEVICE void visit(F f) const {
    g.sync();
    SR_UNROLL
    for (int j = 0; j < D; ++j)
      if (j < parameters() && g.rank() == j % Lanes) f(j, point[j]);
    g.sync();
  }
  template <class F>
  SR_DEVICE void visit_gradient(F f) const {
    SR_UNROLL
    for (int j = 0; j < D; ++j)
      if (j < parameters() && g.rank() == j % Lanes) f(j, grad[j]);
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
  SR_DEVICE void logits() {
    SR_UNROLL
    for (int r = 0; r < Rows; ++r) z[r] = T(0);
    SR_UNROLL
    for (int j = 0; j < D; ++j) {
      const T at = point[j];
      SR_UNROLL
      for (int r = 0; r < Rows; ++r) z[r] = fma_(a[r][j], at, z[r]);
    }
  }
  SR_DEVICE void transpose() {
    SR_UNROLL
    for (int r = 0; r < Rows; ++r) z[r] = row(r) < n ? z[r] : -T(0);
    SR_UNROLL
    for (int j = 0; j < D; ++j) {
      T mine = T(0);
      SR_UNROLL
      for (int r = 0; r < Rows; ++r) mine = fma_(a[r][j], z[r], mine);
      grad[j] = g.total(mine);
    }
  }
};

}  // namespace softreg
