// RegisterPlacement: A, b and the parameters of one instance stay with its lanes for the whole
// trajectory, shared among them by a LaneGrid: in registers, but for the last of the rows that each
// lane holds, which the fullest class keeps in shared memory. Gives the bits of a MemoryPlacement
// on the same grid. Every index is a compile-time constant after unrolling; otherwise nvcc moves
// the arrays to memory.
#pragma once
#include "policy.hpp"
#include "simt_grid.hpp"
#include "softreg/model/operators.hpp"

namespace softreg {

// Shared memory of one group, of a larger one in each block: the exchange between warps, then rows
// of A.
template <class T>
SR_HD constexpr std::int64_t grid_shared_bytes(const KernelPolicy& p) {
  const std::int64_t rows = std::int64_t{p.shared_rows} * p.grid.held_columns();
  return 2 * exchange_bytes<T>(p.grid, p.cluster()) +
         rows * (p.lanes() / p.cluster()) * std::int64_t{sizeof(T)};
}

// RowByRow: what is done to one row is long, and done to several at once would take more registers
// than there are. InBits: holds_bits of the loss and its numbers (segment_pass.hpp); A is held over
// ln 2.
template <class PolicyT, class T, bool RowByRow, bool InBits = false>
struct RegisterPlacement {
  static constexpr KernelPolicy P = PolicyT::policy;
  using Grid =
      SimtGrid<T, P.grid.lanes, P.grid.columns, P.grid.rows, P.grid.parameters, P.cluster()>;
  static constexpr int lanes = P.grid.lanes, shared_rows = P.shared_rows;
  static constexpr int own_rows = Grid::own_rows, held_rows = Grid::held_rows;
  static constexpr int own_columns = Grid::own_columns, held_columns = Grid::held_columns;
  static constexpr bool describes = !InBits;
  static constexpr bool plain = P.plain;
  static constexpr bool keeps_step_size = plain && shared_rows == 0;  // registers are left
  Grid g;
  const Batch<T>& batch;  // in constant memory: what is rarely used costs no register
  std::int64_t instance = 0;
  int n = 0;
  T a[held_rows - shared_rows][held_columns], b[own_rows], z[own_rows], u[own_rows];
  T x[own_columns], point[own_columns], grad[own_columns], lagged_shift;

  // shared: of the group in this block, grid_shared_bytes<T>(P)
  SR_DEVICE RegisterPlacement(const Batch<T>& of, void* shared)
      : g(shared),
        batch(of),
        slab_(reinterpret_cast<Line*>(static_cast<unsigned char*>(shared) +
                                      2 * exchange_bytes<T>(P.grid, P.cluster()))) {}

  SR_DEVICE int row(int r) const { return g.rank() + r * lanes; }
  // Whether the r-th own row is one of the instance. Asked anew wherever it matters: kept from step
  // to step, the answers cost more instructions to unpack.
  SR_DEVICE bool has(int r) const {
    return (r + 1) * lanes <= P.least_rows || row(r) < simt::opaque(n);
  }
  SR_DEVICE bool has_column(int p) const {
    return P.least_parameters == P.grid.parameters || column(p) < parameters();
  }
  SR_DEVICE int column(int p) const { return Grid::grid().column(g.rank(), p); }

  // Padding adds nothing, not even to the sign of a zero: columns are -0 (times x = +0 is -0), rows
  // have a = +0 and are multiplied by -0 in transpose().
  SR_DEVICE void load() {
    const Matrix<const T> from = batch.a_of(instance);
    const T* const target = batch.target_of(instance);
    const T* const start = batch.start_of(instance);
    const int d = parameters();
    n = from.rows;
    if (keeps_step_size) step_ = batch.step_size[instance];
    SR_UNROLL
    for (int r = 0; r < own_rows; ++r) b[r] = row(r) < n ? target[row(r)] : T(0);
    SR_UNROLL
    for (int r = 0; r < held_rows; ++r) {
      // Those in shared memory first, while registers are free, or last: where nvcc does not spill.
      const int k = P.cluster() > 1 ? (r + held_rows - shared_rows) % held_rows : r;
      const int i = Grid::grid().row(g.rank(), k);
      T held[held_columns];
      SR_UNROLL
      for (int p = 0; p < held_columns; ++p) {
        const int j = column(p);
        held[p] = i >= n ? T(0) : j < d ? from(i, j) * unit : -T(0);
      }
      put_row(k, held);
    }
    SR_UNROLL
    for (int p = 0; p < own_columns; ++p) {
      x[p] = start && column(p) < d ? start[column(p)] : T(0);
      point[p] = x[p];
      grad[p] = T(0);
    }
  }

  SR_DEVICE int row_count() const { return n; }
  SR_DEVICE static constexpr int lane_count() { return lanes; }
  SR_DEVICE Extent extent(const Layout&, std::int64_t) const { return {n, 1, parameters(), 0, n}; }
  SR_DEVICE int parameters() const { return batch.parameters(); }
  SR_DEVICE T step_size(const Batch<T>& of, std::int64_t i) const {
    return keeps_step_size ? step_ : of.step_size[i];
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
  // Padding may be asked for its weight.
  struct Weights {
    LogitWeights<T> of;
    int n;
    SR_DEVICE T operator()(int i) const { return i < n ? of(i) : T(0); }
  };
  SR_DEVICE Weights weights(const Segment&) const {
    return {{batch.weights_of(instance), batch.weight}, n};
  }
  SR_DEVICE void set_factor(T value) { factor_ = value * (T(1) / unit); }
  SR_DEVICE T origin(const Segment&) const { return InBits ? lagged_shift : T(0); }
  SR_DEVICE T shift(const Segment&) const { return InBits ? T(0) : lagged_shift; }
  SR_DEVICE void set_shift(const Segment&, T value) {
    lagged_shift = InBits ? lagged_shift + value : value;
  }
  SR_DEVICE void set_shifts(T value) { lagged_shift = InBits ? T(0) : value; }
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
    for (int r = 0; r < own_rows; ++r)
      if (has(r)) mine = f(row(r), z[r], u[r], b[r], mine);
    return g.total(mine);
  }
  SR_DEVICE T max_rows(const Segment&) const {
    T most = simt::opaque(-infinity<T>());  // for the guard alone
    SR_UNROLL
    for (int r = 0; r < own_rows; ++r)
      if (has(r)) most = max_(most, z[r]);
    return g.largest(most);
  }
  // Padding too: what it becomes counts nowhere.
  template <class F>
  SR_DEVICE void rows(const Segment&, F f) {
    SR_UNROLL
    for (int r = 0; r < own_rows; ++r)
      if (!RowByRow || (has(r) && simt::opaque(1) != 0)) f(row(r), z[r], u[r], b[r]);
  }

  SR_DEVICE void store(const Segment&, T* to) const {
    SR_UNROLL
    for (int r = 0; r < own_rows; ++r)
      if (has(r)) to[row(r)] = z[r];
  }
  // After a pass that left f in place of dL/dz, the gradient is A^T f.
  SR_DEVICE void attended(T* to) const {
    visit_gradient([to](int j, T value) { to[j] = value; });
  }

  template <class S, class F>
  SR_DEVICE S serial(F f) const {
    S s{};
    each_column([&](int p) { s = f(column(p), point[p], grad[p], s); });
    return g.total_of_columns(s);
  }
  // Returns whether f said of any coordinate that it moved; says yes unless asked.
  template <class F>
  SR_DEVICE bool update(F f, bool ask = false) {
    int moved = 0;
    if (ask) {
      each_column([&](int p) { moved |= f(x[p], point[p], grad[p]) ? 1 : 0; });
      return g.total_of_columns(moved) > 0;
    }
    each_column([&](int p) { f(x[p], point[p], grad[p]); });
    return true;
  }
  template <class F>
  SR_DEVICE void add_to_gradient(F f) {
    each_column([&](int p) { grad[p] = grad[p] + f(point[p]); });
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
  static constexpr T unit = InBits ? T(math_detail::Format<T>::log2_e) : T(1);
  // A row in shared memory: lines of 16 bytes, those of a warp side by side.
  struct alignas(16) Line {
    static constexpr int size = 16 / static_cast<int>(sizeof(T));
    T v[size];
  };
  Line* slab_;
  T factor_;  // of A^T, where logits are held in bits
  T step_;    // size, where it is kept
  static_assert(shared_rows == 0 || held_columns % Line::size == 0);

  SR_DEVICE Line& line(int k, int l) const {
    return slab_[((k - (held_rows - shared_rows)) * (held_columns / Line::size) + l) *
                     Grid::threads +
                 g.rank_in_block()];
  }
  SR_DEVICE void put_row(int k, const T (&held)[held_columns]) {
    SR_UNROLL
    for (int p = 0; p < held_columns; ++p) {
      if (k < held_rows - shared_rows)
        a[k % (held_rows - shared_rows)][p] = held[p];
      else
        line(k, p / Line::size).v[p % Line::size] = held[p];
    }
  }
  // f(p, the number in held column p) for the k-th held row
  template <class F>
  SR_DEVICE void each_of_row(int k, F f) const {
    if (k < held_rows - shared_rows) {
      SR_UNROLL
      for (int p = 0; p < held_columns; ++p) f(p, a[k % (held_rows - shared_rows)][p]);
    } else {
      SR_UNROLL
      for (int l = 0; l < held_columns / Line::size; ++l) {
        const Line now = line(k, l);
        SR_UNROLL
        for (int p = 0; p < Line::size; ++p) f(l * Line::size + p, now.v[p]);
      }
    }
  }
  template <class F>
  SR_DEVICE void each_column(F f) const {
    SR_UNROLL
    for (int p = 0; p < own_columns; ++p)
      if (has_column(p)) f(p);
  }
  template <class F>
  SR_DEVICE void visit_each(const T (&of)[own_columns], F f) const {
    if (!Grid::grid().is_first_replica(g.rank())) return;
    each_column([&](int p) { f(column(p), of[p]); });
  }

  SR_DEVICE void logits() {
    T at[held_columns];
    g.gather_columns(point, at);
    SR_UNROLL
    for (int r = 0; r < own_rows; ++r) {
      T partial[Grid::columns];
      SR_UNROLL
      for (int k = 0; k < Grid::columns; ++k) {
        T s = InBits && k == 0 ? -lagged_shift : T(0);  // of the row that is the lane's own
        each_of_row(r * Grid::columns + k, [&](int p, T value) { s = fma_(value, at[p], s); });
        partial[k] = s;
      }
      z[r] = g.scatter_rows(partial);
    }
  }
  SR_DEVICE void transpose() {
    T sum[held_columns];
    SR_UNROLL
    for (int p = 0; p < held_columns; ++p) sum[p] = T(0);
    SR_UNROLL
    for (int r = 0; r < own_rows; ++r) {
      T y[Grid::columns];
      g.gather_rows(has(r) ? z[r] : -T(0), y);
      SR_UNROLL
      for (int k = 0; k < Grid::columns; ++k)
        each_of_row(r * Grid::columns + k,
                    [&](int p, T value) { sum[p] = fma_(value, y[k], sum[p]); });
    }
    g.scatter_columns(sum);
    SR_UNROLL
    for (int p = 0; p < own_columns; ++p) grad[p] = InBits ? sum[p] * factor_ : sum[p];
  }
};

}  // namespace softreg
