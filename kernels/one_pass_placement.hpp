// OnePassPlacement: an instance of any number of rows, whose A is read once for each step. Tiles of
// a row per lane of a LaneGrid pass by: while the lanes work on one, those that come next are on
// their way to shared memory. A lane copies there what it will read itself, so that nothing waits
// for another lane. What the gradient is made of is summed before the loss's own sums are known
// (Formula's basis). Where these say that the shift was wrong, or something else has to be known of
// all rows first (logit weights, evaluate()), A is read once more. Gives the bits of a
// MemoryPlacement on the same grid with sums of the same basis.
#pragma once
#include "grid_coordinates.hpp"
#include "softreg/model/loss.hpp"

namespace softreg {

// Tiles that are in shared memory or on their way, and the bytes that they take of a block's.
SR_HD constexpr std::int64_t tile_bytes(const KernelPolicy& p) {
  return std::int64_t{p.threads()} * p.grid.parameters * p.value_bytes;
}
SR_HD constexpr int tiles_under_way(const KernelPolicy& p) {
  return static_cast<int>(std::int64_t{128} * 1024 / tile_bytes(p));
}
template <class T>
SR_HD constexpr std::int64_t one_pass_shared_bytes(const KernelPolicy& p) {
  return 2 * exchange_bytes<T>(p.grid, p.cluster()) + tiles_under_way(p) * tile_bytes(p);
}
// Numbers in memory: z and u of every row.
SR_HD constexpr std::int64_t one_pass_values(const Extent& e) { return 2 * e.rows; }

// Of one tile.
template <class PolicyT, class T>
using TileGrid = SimtGrid<T, PolicyT::policy.grid.lanes, PolicyT::policy.grid.columns,
                          PolicyT::policy.grid.lanes, PolicyT::policy.grid.parameters,
                          PolicyT::policy.cluster()>;

template <class PolicyT, class LossT, class T>
struct OnePassPlacement : GridCoordinates<PolicyT, T, TileGrid<PolicyT, T>> {
  using Grid = TileGrid<PolicyT, T>;
  using Base = GridCoordinates<PolicyT, T, Grid>;
  using Base::batch;
  using Base::g;
  using Base::grad;
  using Base::instance;
  using Base::lagged_shift;
  using Base::lanes;
  using Base::n;
  using Base::P;
  using Base::parameters;
  using Base::point;
  using Base::row;
  using F = Formula<LossT>;
  static constexpr auto zero_terms() {
    if constexpr (LossT::normalized)
      return typename F::template Terms<T>{};
    else
      return Sums<T, 1>{};  // which stay zero
  }
  using Terms = decltype(zero_terms());
  using Basis = decltype(F::basis(T(0), T(0), T(0)));
  static constexpr int columns = Grid::columns, stages = tiles_under_way(P);
  static constexpr int held_rows = Grid::held_rows, held_columns = Grid::held_columns;
  static constexpr bool one_pass = true;
  static_assert(Grid::own_rows == 1 && held_rows == columns && stages > 0);

  // shared: one_pass_shared_bytes<T>(P); rows: one_pass_values of the group
  SR_DEVICE OnePassPlacement(const Batch<T>& of, void* shared, T* rows)
      : Base(of, shared),
        ring_(reinterpret_cast<Line*>(static_cast<unsigned char*>(shared) +
                                      2 * exchange_bytes<T>(P.grid, P.cluster()))),
        z_(rows) {}

  SR_DEVICE bool has(int r) const { return row(r) < n; }

  // A lies by rows. Padding adds nothing, not even to the sign of a zero: it is +0 in A, times -0
  // in either product.
  SR_DEVICE void load() {
    const Matrix<const T> from = batch.a_of(instance);
    simt::wait_copies<0>();
    a_ = from.data;
    n = from.rows;
    u_ = z_ + n;
    target_ = batch.target_of(instance);
    tiles_ = (n + lanes - 1) / lanes;
    ahead_ = 0;
    for (stage_ = 0; stage_ < stages; ++stage_) begin_next_copies();
    stage_ = 0;
    this->load_start(batch.start_of(instance), -T(0));
  }
  // Before the lanes return: no copy may be on its way.
  SR_DEVICE void finish() const { simt::wait_copies<0>(); }

  SR_DEVICE LogitWeights<T> weights(const Segment&) const {
    return {batch.weights_of(instance), batch.weight};
  }

  template <class S, class G>
  SR_DEVICE S tiles(G f) {
    pass();
    combined_ = false;
    S total{};
    f(*this, total);
    if (!combined_) transpose();
    return total;
  }
  SR_DEVICE Terms terms() const { return g.total(terms_); }
  SR_DEVICE void combine(const typename F::template Head<T>& h) {
    T sum[held_columns];
    SR_UNROLL
    for (int p = 0; p < held_columns; ++p) sum[p] = F::combine(basis_[p], h);
    put_gradient(sum);
    combined_ = true;
  }

  template <class S, class G>
  SR_DEVICE S sum_rows(const Segment&, G f) {
    S mine{};
    each_own_row([&](int i) { mine = f(i, z_[i], u_[i], target_[i], mine); });
    return g.total(mine);
  }
  SR_DEVICE T max_rows(const Segment&) const {
    T most = -infinity<T>();
    each_own_row([&](int i) { most = max_(most, z_[i]); });
    return g.largest(most);
  }
  template <class G>
  SR_DEVICE void rows(const Segment&, G f) {
    each_own_row([&](int i) { f(i, z_[i], u_[i], target_[i]); });
  }
  SR_DEVICE void store(const Segment&, T* to) const {
    each_own_row([&](int i) { to[i] = z_[i]; });
  }

 private:
  // What a lane holds of a row.
  struct alignas(16) Line {
    T v[held_columns];
  };
  static_assert(sizeof(Line) == 16);

  template <class G>
  SR_DEVICE void each_own_row(G f) const {
    for (int i = g.rank(); i < n; i += lanes) f(i);
  }

  SR_DEVICE Line& line(int stage, int k) const {
    return ring_[(stage * held_rows + k) * Grid::threads + g.rank_in_block()];
  }
  // The next tile begins to come into the stage in use. The lanes of a row copy side by side what
  // they will hold of it, each into the place of its own that LaneGrid::row says.
  SR_DEVICE void begin_next_copies() {
    const int d = parameters(), place = g.rank() % columns;
    const int first = ahead_ * lanes + g.rank() - place, column = place * held_columns;
    const bool whole = d % held_columns == 0;
    const T* from = a_ + std::int64_t{first} * d + column;
    for (int q = 0; q < columns; ++q, from += d) {
      Line& to = line(stage_, q ^ place);
      const bool has_row = first + q < n;
      if (whole) {
        const bool wanted = has_row && column < d;
        simt::copy_async<16>(&to, wanted ? from : a_, wanted);
      } else {
        SR_UNROLL
        for (int p = 0; p < held_columns; ++p) {
          const bool wanted = has_row && column + p < d;
          simt::copy_async<int(sizeof(T))>(&to.v[p], wanted ? from + p : a_, wanted);
        }
      }
    }
    simt::commit_copies();
    ahead_ = ahead_ + 1 == tiles_ ? 0 : ahead_ + 1;
  }

  // f(r, what the lane holds of the rows of tile r), in which it owns row r. The tiles come round
  // and round: after the last of a step the first are on their way again.
  template <class G>
  SR_DEVICE void each_tile(G f) {
    const int share = Grid::grid().share(g.rank());
    for (int r = 0; r < tiles_; ++r) {
      T a[held_rows][held_columns];
      simt::wait_copies<stages - 1>();
      SR_UNROLL
      for (int k = 0; k < held_rows; ++k) {
        const Line& held = line(stage_, k);
        SR_UNROLL
        for (int p = 0; p < held_columns; ++p) a[k][p] = held.v[place_in_line(p, share)];
      }
      begin_next_copies();
      stage_ = stage_ + 1 == stages ? 0 : stage_ + 1;
      f(r, a);
    }
  }
  // LaneGrid::column numbers the columns of a lane by its share of the work on them.
  SR_DEVICE static int place_in_line(int p, int share) {
    constexpr int own = Grid::own_columns;
    return own == held_columns ? p : (p / own ^ share) * own + p % own;
  }

  // Every tile: its logits, what the loss sums of them, and A^T of the basis.
  SR_DEVICE void pass() {
    const T shift = LossT::normalized ? lagged_shift : T(0);
    const bool keeps_u = batch.shifts || batch.output || this->weighted();  // someone reads it
    T at[held_columns];
    g.gather_columns(point, at);
    terms_ = {};
    SR_UNROLL
    for (int p = 0; p < held_columns; ++p) basis_[p] = {};
    T next_b = has(0) ? target_[row(0)] : T(0);
    each_tile([&](int r, const T(&a)[held_rows][held_columns]) {
      const T b = next_b;
      next_b = has(r + 1) ? target_[row(r + 1)] : T(0);  // long before it is needed
      const T z = g.along_row(T(0), [&](int k, T s) {
        SR_UNROLL
        for (int p = 0; p < held_columns; ++p) s = fma_(a[k][p], at[p], s);
        return s;
      });
      Basis own;
      SR_UNROLL
      for (T& t : own.v) t = -T(0);
      if (has(r)) {
        const T v = z - shift, u = activation<LossT>(v);
        if constexpr (LossT::normalized) terms_ = F::terms(u, b, terms_);
        own = F::basis(v, u, b);
        z_[row(r)] = z;
        if (keeps_u) u_[row(r)] = u;
      }
      SR_UNROLL
      for (int t = 0; t < basis_size; ++t) {
        add_rows(a, own.v[t], [&](int p) -> T& { return basis_[p].v[t]; });
      }
    });
  }
  // A^T of what took the place of z.
  SR_DEVICE void transpose() {
    T sum[held_columns];
    SR_UNROLL
    for (T& s : sum) s = T(0);
    each_tile([&](int r, const T(&a)[held_rows][held_columns]) {
      add_rows(a, has(r) ? z_[row(r)] : -T(0), [&](int p) -> T& { return sum[p]; });
    });
    put_gradient(sum);
  }
  template <class Sum>
  SR_DEVICE void add_rows(const T (&a)[held_rows][held_columns], T own, Sum sum) const {
    SR_UNROLL
    for (int k = 0; k < held_rows; ++k) {
      const T y = g.of_row(own, k);
      SR_UNROLL
      for (int p = 0; p < held_columns; ++p) sum(p) = fma_(a[k][p], y, sum(p));
    }
  }
  SR_DEVICE void put_gradient(T (&sum)[held_columns]) {
    g.scatter_columns(sum);
    SR_UNROLL
    for (int p = 0; p < Grid::own_columns; ++p) grad[p] = sum[p];
  }

  static constexpr int basis_size = int(sizeof(Basis) / sizeof(T));
  Line* ring_;
  T *z_, *u_ = nullptr;
  const T *a_ = nullptr, *target_ = nullptr;
  int tiles_ = 0, stage_ = 0, ahead_ = 0;  // ahead_: the tile whose copies begin next
  bool combined_ = false;
  Terms terms_;
  Basis basis_[held_columns];
};

}  // namespace softreg
