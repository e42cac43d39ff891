// PackPlacement: several instances of one shape side by side in registers, each on `Lanes`
// neighbouring lanes of them. A register then holds `Lanes` rows of every instance, or one
// parameter of every instance (Lanes times). Sums have the tree of cpu_lanes (model/group.hpp), so
// every instance gets the bits of LaneGroup<cpu_lanes>, whatever lies beside it.
#pragma once
#include <bit>
#include <cstdint>

#include "cpu_lanes.hpp"
#include "pack.hpp"
#include "softreg/model/operators.hpp"

namespace softreg {

// The arrays behind a pack, in registers; A column by column (none, where all share it), each
// filled up to whole blocks.
template <class P>
struct PackArrays {
  P *a, *target, *weights, *z, *u, *x, *point, *grad;
  int row_registers, parameters;

  static PackArrays carve(P* p, int row_registers, int parameters, std::int64_t held) {
    const std::int64_t rows = whole_blocks(row_registers);
    PackArrays w;
    w.row_registers = row_registers;
    w.parameters = parameters;
    w.a = p;
    w.target = w.a + rows * held;
    w.weights = w.target + rows;
    w.z = w.weights + rows;
    w.u = w.z + rows;
    w.x = w.u + rows;
    w.point = w.x + parameters;
    w.grad = w.point + parameters;
    return w;
  }
  SR_PACK P* column(int j) const {
    return a + static_cast<unsigned>(j) * static_cast<unsigned>(whole_blocks(row_registers));
  }
};

// Unrolled: the tree of a sum is, which is half as fast again and takes long to compile.
template <class T, int Lanes, bool Unrolled>
struct PackPlacement {
  using P = Pack<T, pack_width<T>>;
  static constexpr int lanes = cpu_lanes;  // whose bits
  SR_HD static constexpr int lane_count() { return lanes; }
  static constexpr int places = P::width / Lanes;    // instances
  static constexpr int classes = cpu_lanes / Lanes;  // registers that hold the lanes of each
  static constexpr bool describes = false;
  static constexpr bool one_pass = false;

  const Batch<T>& batch;
  int n, held;  // columns of A that each place holds: none where all share it
  PackArrays<P> w;
  P lagged_shift, step_sizes, norms;
  Truth<P> owned;  // rows of the last row register
  // Of all places; those of batch get theirs in keep_traces().
  mutable ShiftSummary<P> watched{};
  mutable BoundSummary<P> watched_bounds{};

  PackPlacement(const Batch<T>& of, int rows, P* memory)
      : batch(of),
        n(rows),
        held(static_cast<int>(held_columns(of.parameters(), Lanes, of.a2_shared))),
        w(PackArrays<P>::carve(memory, static_cast<int>(pack_rows(rows, Lanes)), of.parameters(),
                               held)) {
    for (std::int64_t k = 0; k < pack_size(w.row_registers, w.parameters, held); ++k)
      memory[k] = P(T(0));
    lagged_shift = infinity<P>();
    step_sizes = P(T(1));
    norms = P(T(0));
    for (int k = 0; k < P::width; ++k)
      owned.v[k] = (w.row_registers - 1) * Lanes + k % Lanes < n ? -1 : 0;
  }

  // Instance i begins at a place.
  SR_APART void load(int place, std::int64_t i) {
    const Matrix<const T> a = batch.a_of(i);
    const T *const b = batch.target_of(i), *const each = batch.weights_of(i);
    for (int r = 0; r < n; ++r) {
      const int row = r / Lanes, lane = place * Lanes + r % Lanes;
      for (int j = 0; j < held; ++j) w.column(j)[row].set(lane, a(r, j));
      w.target[row].set(lane, b[r]);
      if (each) w.weights[row].set(lane, each[r]);
    }
    const T* const start = batch.start_of(i);
    for (int l = place * Lanes; l < (place + 1) * Lanes; ++l) {
      for (int j = 0; j < w.parameters; ++j) {
        w.x[j].set(l, start ? start[j] : T(0));
        w.point[j].set(l, start ? start[j] : T(0));
      }
      step_sizes.set(l, batch.step_size[i]);
      lagged_shift.set(l, infinity<T>());
      if (batch.shifts) norms.set(l, batch.operator_norm[i]);
    }
    ShiftSummary<T> no_shifts{};
    each_member(watched, no_shifts, [place](P& of, auto none) { put(of, place, T(none)); });
    BoundSummary<T> no_bounds{};
    if (batch.bounds)
      each_member(watched_bounds, no_bounds,
                  [place](P& of, auto none) { put(of, place, T(none)); });
  }
  // A place that nothing follows on: numbers that trouble nobody, and stay.
  SR_APART void clear(int place) {
    for (int l = place * Lanes; l < (place + 1) * Lanes; ++l) {
      for (int row = 0; row < w.row_registers; ++row) {
        for (int j = 0; j < held; ++j) w.column(j)[row].set(l, T(0));
        w.target[row].set(l, T(0));
        w.weights[row].set(l, T(0));
      }
      for (int j = 0; j < w.parameters; ++j) {
        w.x[j].set(l, T(0));
        w.point[j].set(l, T(0));
      }
      step_sizes.set(l, T(0));
      lagged_shift.set(l, infinity<T>());
    }
  }
  SR_APART void keep_traces(int place, std::int64_t i) const {
    const auto take = [place](const P& of, auto& to) {
      to = static_cast<std::remove_reference_t<decltype(to)>>(of[place * Lanes]);
    };
    if (batch.shifts) each_member(watched, batch.shifts[i], take);
    if (batch.bounds) each_member(watched_bounds, batch.bounds[i], take);
  }
  SR_APART void keep(int place, T* result) const {
    for (int j = 0; j < w.parameters; ++j) result[j] = w.point[j][place * Lanes];
  }

  SR_PACK bool holds_a() const { return held > 0; }
  int parameters() const { return w.parameters; }
  int row_count() const { return n; }
  Extent extent(const Layout&, std::int64_t) const { return {n, 1, w.parameters, 0, n}; }
  SR_PACK P step_size(const Batch<T>&, std::int64_t) const { return step_sizes; }
  SR_PACK P operator_norm(const Batch<T>&, std::int64_t) const { return norms; }
  SR_PACK ShiftSummary<P>& shifts(const Batch<T>&, std::int64_t) const { return watched; }
  SR_PACK BoundSummary<P>& bounds(const Batch<T>&, std::int64_t) const { return watched_bounds; }
  SR_PACK bool weighted() const { return batch.weighted(); }
  SR_PACK LogitWeights<P> weights(const Segment&) const {
    return {batch.weights ? w.weights : nullptr, P(batch.weight)};
  }
  SR_PACK P shift(const Segment&) const { return lagged_shift; }
  SR_PACK void set_shift(const Segment&, P value) { lagged_shift = value; }
  SR_PACK void set_shifts(P value) { lagged_shift = value; }
  bool stops(const int* cancelled) const { return LaneGroup<1>::stops(cancelled); }

  template <class S, class F>
  SR_PACK S tiles(F f) {
    if (holds_a())
      logits();
    else
      logits_of_shared();
    S total{};
    f(*this, total);
    if (holds_a())
      transpose();
    else
      transpose_shared();
    return total;
  }
  template <class F>
  SR_PACK void each_segment(F f) const {
    f(Segment{0, 0, n, 0});
  }

  // Rows go register by register: f's i is the number of a register.
  template <class S, class F>
  SR_PACK S sum_rows(const Segment&, F f) const {
    return add_up<S>([&](int row, const S& s) {
      const S next = f(row, w.z[row], w.u[row], w.target[row], s);
      return n % Lanes == 0 || row + 1 < w.row_registers ? next : select(owned, next, s);
    });
  }
  SR_PACK P max_rows(const Segment&) const {
    P most = -infinity<P>();
    for (int row = 0; row < w.row_registers; ++row)
      most = max_(most,
                  row + 1 < w.row_registers ? w.z[row] : select(owned, w.z[row], -infinity<P>()));
    return fold_lanes<Lanes>(most, [](P a, P b) { return max_(a, b); });
  }
  template <class F>
  SR_PACK void rows(const Segment&, F f) const {
    for (int row = 0; row < w.row_registers; ++row) f(row, w.z[row], w.u[row], w.target[row]);
  }

  template <class S, class F>
  SR_PACK S serial(F f) const {
    S s{};
    for (int j = 0; j < w.parameters; ++j) s = f(j, w.point[j], w.grad[j], s);
    return s;
  }
  // Of every place whether f said of any coordinate that it moved; looks only if asked.
  template <class F>
  SR_PACK Truth<P> update(F f, bool ask = false) const {
    Truth<P> moved = P(T(0)) == P(ask ? T(1) : T(0));
    for (int j = 0; j < w.parameters; ++j) {
      const auto here = f(w.x[j], w.point[j], w.grad[j]);
      if constexpr (std::is_same_v<decltype(f(w.x[j], w.point[j], w.grad[j])), Truth<P>>)
        moved = moved || here;
    }
    return moved;
  }
  // f(j, point), f(j, gradient), f(k) for k < count, f()
  template <class F>
  SR_PACK void visit(F f) const {
    for (int j = 0; j < w.parameters; ++j) f(j, w.point[j]);
  }
  template <class F>
  SR_PACK void visit_gradient(F f) const {
    for (int j = 0; j < w.parameters; ++j) f(j, w.grad[j]);
  }
  template <class F>
  SR_PACK void each(int count, F f) const {
    for (int k = 0; k < count; ++k) f(k);
  }
  template <class F>
  SR_PACK void once(F f) const {
    f();
  }
  template <class F>
  SR_PACK void add_to_gradient(F f) const {
    for (int j = 0; j < w.parameters; ++j) w.grad[j] = w.grad[j] + f(w.point[j]);
  }

 private:
  SR_PACK static void put(P& to, int place, T value) {
    for (int l = place * Lanes; l < (place + 1) * Lanes; ++l) to.set(l, value);
  }
  SR_APART void logits() const {
    const std::int64_t stride = w.column(1) - w.column(0);
    for (int row = 0; row < w.row_registers; row += pack_block)
      logits(row, [a = w.a + row, stride](int k, int j) { return a[k + j * stride]; });
  }
  SR_APART void logits_of_shared() const {
    const Matrix<const T> all = batch.a_of(0);
    for (int row = 0; row < w.row_registers; row += pack_block) {
      const T* a[pack_block];
      for (int k = 0; k < pack_block; ++k) a[k] = &all(row + k < n ? row + k : n - 1, 0);
      logits(row, [&a, stride = all.col_stride](int k, int j) { return P(a[k][j * stride]); });
    }
  }
  // a(k, j): row register row + k of column j.
  template <class F>
  SR_PACK void logits(int row, F a) const {
    constexpr int block = pack_block;  // accumulators, to hide the latency of an fma
    P s[block];
    for (int k = 0; k < block; ++k) s[k] = P(T(0));
    for (int j = 0; j < w.parameters; ++j) {
      const P at = w.point[j];
      for (int k = 0; k < block; ++k) s[k] = fma_(a(k, j), at, s[k]);
    }
    for (int k = 0; k < block; ++k) w.z[row + k] = s[k];
  }

  SR_APART void transpose() const {
    // Zeros of A times -0 add nothing, not even to the sign of a zero.
    P& last = w.z[w.row_registers - 1];
    last = select(owned, last, P(-T(0)));
    transpose([this](int column) { return w.column(column); });
  }
  SR_APART void transpose_shared() const {
    transpose([all = batch.a_of(0)](int column) {
      return SharedColumn{&all(0, column), all.row_stride};
    });
  }
  struct SharedColumn {
    const T* from;
    std::int64_t stride;
    SR_PACK P operator[](int row) const { return P(from[row * stride]); }
  };
  // column(j)[row]: row register `row` of column j.
  template <class F>
  SR_PACK void transpose(F column) const {
    constexpr int columns = 4;
    for (int j = 0; j < w.parameters; j += columns) {
      decltype(column(0)) a[columns];
      P* to[columns];
      for (int k = 0; k < columns; ++k) {  // beyond the last column it is the last again
        const int at = j + k < w.parameters ? j + k : w.parameters - 1;
        a[k] = column(at);
        to[k] = w.grad + at;
      }
      using S = Sums<P, columns>;
      const S total = add_up<S>([&a, z = w.z](int row, S s) {
        const P y = z[row];
        for (int k = 0; k < columns; ++k) s.v[k] = fma_(a[k][row], y, s[k]);
        return s;
      });
      for (int k = 0; k < columns; ++k) *to[k] = total[k];
    }
  }

  // f(row, s) -> s over the row registers of each of the cpu_lanes, then their tree.
  template <class S, class F>
  SR_PACK S add_up(F f) const {
    S s;
    if constexpr (Unrolled)
      s = node<S, 1>(0, f);
    else
      s = tree<S>(f);
    s = fold_lanes<Lanes>(s, [](const S& a, const S& b) { return a + b; });
    // Lanes without a row add their zero, which makes of -0 a 0.
    return n < cpu_lanes ? s + S{} : s;
  }
  // The lanes that are c modulo Step registers.
  template <class S, int Step, class F>
  SR_PACK S node(int c, const F& f) const {
    if constexpr (Step == classes) {
      S s{};
      for (int row = c; row < w.row_registers; row += classes) s = f(row, s);
      return s;
    } else {
      const S s = node<S, 2 * Step>(c, f);
      return c + Step < w.row_registers ? s + node<S, 2 * Step>(c + Step, f) : s;
    }
  }
  // node<S, 1>(0, f) as a loop over its leaves, in bit-reversed order. Those without a row add a
  // zero, where node leaves them out and add_up adds one for all.
  template <class S, class F>
  SR_PACK S tree(const F& f) const {
    int leaves = 1;
    while (leaves < classes && leaves < w.row_registers) leaves *= 2;
    S left[std::bit_width(unsigned{classes})];  // that wait for what is right of them
    int waiting = 0;
    for (int leaf = 0, c = 0; leaf < leaves; ++leaf) {
      S s{};
      for (int row = c; row < w.row_registers; row += classes) s = f(row, s);
      for (int bits = leaf; bits % 2 == 1; bits /= 2) s = left[--waiting] + s;
      left[waiting++] = s;
      int bit = leaves / 2;  // c + 1, counted from the other end
      for (; (c & bit) != 0; bit /= 2) c ^= bit;
      c |= bit;
    }
    return left[0];
  }
};

}  // namespace softreg
