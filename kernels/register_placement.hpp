// RegisterPlacement: A, b and the parameters of one instance stay with its lanes for the whole
// trajectory, shared among them by a LaneGrid: in registers, but for the last of the rows that each
// lane holds, which the fullest class keeps in shared memory. Gives the bits of a MemoryPlacement
// on the same grid. Every index is a compile-time constant after unrolling; otherwise nvcc moves
// the arrays to memory.
#pragma once
#include "grid_coordinates.hpp"

namespace softreg {

// Shared memory of one group, of a larger one in each block: the exchange between warps, then rows
// of A.
template <class T>
SR_HD constexpr std::int64_t grid_shared_bytes(const KernelPolicy& p) {
  const std::int64_t rows = std::int64_t{p.shared_rows} * p.grid.held_columns();
  return 2 * exchange_bytes<T>(p.grid, p.cluster()) +
         rows * (p.lanes() / p.cluster()) * std::int64_t{sizeof(T)};
}

template <class PolicyT, class T>
using RegisterGrid =
    SimtGrid<T, PolicyT::policy.grid.lanes, PolicyT::policy.grid.columns, PolicyT::policy.grid.rows,
             PolicyT::policy.grid.parameters, PolicyT::policy.cluster()>;

// RowByRow: what is done to one row is long, and done to several at once would take more registers
// than there are. InBits: holds_bits of the loss and its numbers (held_logits.hpp); A is held over
// ln 2.
template <class PolicyT, class T, bool RowByRow, bool InBits = false>
struct RegisterPlacement : GridCoordinates<PolicyT, T, RegisterGrid<PolicyT, T>> {
  using Grid = RegisterGrid<PolicyT, T>;
  using Base = GridCoordinates<PolicyT, T, Grid>;
  using Base::batch;
  using Base::g;
  using Base::grad;
  using Base::instance;
  using Base::lagged_shift;
  using Base::lanes;
  using Base::n;
  using Base::own_columns;
  using Base::P;
  using Base::parameters;
  using Base::point;
  using Base::row;
  static constexpr int shared_rows = P.shared_rows, held_columns = Grid::held_columns;
  static constexpr int own_rows = Grid::own_rows, held_rows = Grid::held_rows;
  static constexpr bool describes = !InBits, one_pass = false;
  T a[held_rows - shared_rows][held_columns], b[own_rows], z[own_rows], u[own_rows];

  // shared: of the group in this block, grid_shared_bytes<T>(P)
  SR_DEVICE RegisterPlacement(const Batch<T>& of, void* shared)
      : Base(of, shared),
        slab_(reinterpret_cast<Line*>(static_cast<unsigned char*>(shared) +
                                      2 * exchange_bytes<T>(P.grid, P.cluster()))) {}

  // Whether the r-th own row is one of the instance. Asked anew wherever it matters: kept from step
  // to step, the answers cost more instructions to unpack.
  SR_DEVICE bool has(int r) const {
    return (r + 1) * lanes <= P.least_rows || row(r) < simt::opaque(n);
  }

  // Padding adds nothing, not even to the sign of a zero: columns are -0 (times x = +0 is -0), rows
  // have a = +0 and are multiplied by -0 in transpose(). x stays +0 there through every update: its
  // gradient is +0 or -0 as long as dL/dz is finite. Where it is not, no coordinate of the instance
  // has a finite gradient, and it ends as it would without padding.
  SR_DEVICE void load() {
    const Matrix<const T> from = batch.a_of(instance);
    const T* const target = batch.target_of(instance);
    const T* const start = batch.start_of(instance);
    n = from.rows;
    SR_UNROLL
    for (int r = 0; r < own_rows; ++r) {
      const int i = Base::rank_again() + r * lanes;
      b[r] = i < n ? target[i] : T(0);
    }
    const auto load_row = [&](int k, T(&held)[held_columns]) {
      const int rank = Base::rank_again(), i = Grid::grid().row(rank, k);
      SR_UNROLL
      for (T& value : held) value = T(0);
      if (i >= n) return;
      const T* at = nullptr;
      SR_UNROLL
      for (int p = 0; p < held_columns; ++p) {
        const int j = Grid::grid().column(rank, p);
        at = p % own_columns == 0 ? &from(i, j) : at + from.col_stride;  // they lie side by side
        held[p] = Base::has_column(j) ? *at * unit : -T(0);
      }
    };
    // Those in shared memory while registers are free.
    SR_ROLLED
    for (int k = held_rows - shared_rows; k < held_rows; ++k) {
      T held[held_columns];
      load_row(k, held);
      SR_UNROLL
      for (int p = 0; p < held_columns; ++p) line(k, p / Line::size).v[p % Line::size] = held[p];
    }
    SR_UNROLL
    for (int k = 0; k < held_rows - shared_rows; ++k) load_row(k, a[k]);
    this->load_start(start, T(0));
  }

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

  // One tile holds everything.
  template <class S, class F>
  SR_DEVICE S tiles(F f) {
    logits();
    S total{};
    f(*this, total);
    transpose();
    return total;
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

 private:
  static constexpr T unit = InBits ? T(math_detail::Format<T>::log2_e) : T(1);
  // A row in shared memory: lines of 16 bytes, those of a warp side by side.
  struct alignas(16) Line {
    static constexpr int size = 16 / static_cast<int>(sizeof(T));
    T v[size];
  };
  Line* slab_;
  T factor_;  // of A^T, where logits are held in bits
  static_assert(shared_rows == 0 || held_columns % Line::size == 0);

  SR_DEVICE Line& line(int k, int l) const {
    return slab_[((k - (held_rows - shared_rows)) * (held_columns / Line::size) + l) *
                     Grid::threads +
                 g.rank_in_block()];
  }
  // f(p, the number in held column p) for columns first to last - 1 of the k-th held row
  template <class F>
  SR_DEVICE void each_of_row(int k, int first, int last, F f) const {
    if (k < held_rows - shared_rows) {
      SR_UNROLL
      for (int p = first; p < last; ++p) f(p, a[k][p]);
    } else {
      SR_UNROLL
      for (int l = first / Line::size; l * Line::size < last; ++l) {
        const Line now = line(k, l);
        SR_UNROLL
        for (int p = l * Line::size; p < (l + 1) * Line::size; ++p)
          if (p >= first && p < last) f(p, now.v[p % Line::size]);
      }
    }
  }

  SR_DEVICE void logits() {
    T at[held_columns];
    g.gather_columns(point, at);
    SR_UNROLL
    for (int r = 0; r < own_rows; ++r)
      z[r] = g.along_row(InBits ? -lagged_shift : T(0), [&](int k, T s) {
        each_of_row(r * Grid::columns + k, 0, held_columns,
                    [&](int p, T value) { s = fma_(value, at[p], s); });
        return s;
      });
  }
  SR_DEVICE void transpose() {
    T y[own_rows][Grid::columns], sum[held_columns];
    g.down_columns(sum, [&](int first, int last, T(&s)[held_columns]) {
      SR_UNROLL
      for (int r = 0; r < own_rows; ++r) {
        if (last == held_columns) g.gather_rows(has(r) ? z[r] : -T(0), y[r]);  // the first time
        SR_UNROLL
        for (int k = 0; k < Grid::columns; ++k)
          each_of_row(r * Grid::columns + k, first, last,
                      [&](int p, T value) { s[p] = fma_(value, y[r][k], s[p]); });
      }
    });
    SR_UNROLL
    for (int p = 0; p < own_columns; ++p) grad[p] = InBits ? sum[p] * factor_ : sum[p];
  }
};

}  // namespace softreg
