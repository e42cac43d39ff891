// TilePlacement: the CPU's placement of an instance with more than one softmax. A tile is a few
// rows of one block: its logits, activations and dL/dz stay in cache between A1 X A2^T and P A2,
// and B is read once. Tiles are independent, so that several threads may share an instance; partial
// results are added in the order of the tiles, and no bit depends on how many threads there are.
#pragma once
#include <cstdint>

#include "products.hpp"
#include "softreg/model/coordinates.hpp"
#include "softreg/model/evaluator.hpp"
#include "team.hpp"
#include "tile_extent.hpp"

namespace softreg {

// The instance, as its tiles see it.
template <class T>
struct TileSource {
  const Batch<T>& batch;
  std::int64_t instance;
  TileExtent sizes;
  TileWorkspace<T> w;
};

// One tile in the hands of one thread.
template <class T>
struct Tile {
  static constexpr int lanes = tile_lanes;
  SR_HD static constexpr int lane_count() { return lanes; }
  static constexpr bool describes = true;
  static constexpr bool one_pass = false;
  static constexpr LaneGroup<tile_lanes, true> g{};
  const TileSource<T>& p;
  const TileRows<T>& at;
  T *z, *u, *projected, *padded_target, *padded_weights;
  int row = 0;  // that is being passed
  const T *target = nullptr, *weights_ = nullptr;

  Tile(const TileSource<T>& of, std::int64_t tile, int slot)
      : p(of), at(of.w.tiles[tile]), z(of.w.slots + slot * of.w.slot_size) {
    u = z + p.sizes.tile_logits;
    projected = u + p.sizes.tile_logits;
    padded_target = projected + p.sizes.tile_projected;
    padded_weights = padded_target + p.sizes.columns;
  }

  int columns() const { return padded_columns(at.columns); }
  T* row_of(T* array) const { return array + static_cast<std::int64_t>(row) * columns(); }

  SR_APART void logits() const {
    const int d1 = p.batch.d1, d2 = p.batch.d2;
    const T* q = p.w.point;  // a vector problem has A1 = 1
    if (p.batch.matrix) {
      const T* const a1 = p.batch.a1_of(at.block).data + static_cast<std::int64_t>(at.row) * d1;
      multiply({at.rows, d2, d1, d1, d2, d2, false, false}, a1, p.w.point, projected);
      q = projected;
    }
    each_panel(columns(), d2, [&](int first, int width) {
      multiply({at.rows, width, d2, d2, width, columns(), false, false}, q,
               p.w.transposed + at.transposed + static_cast<std::int64_t>(first) * d2, z + first);
    });
  }
  SR_APART void attend() const {  // P A2, with zeros for what fills the lanes
    const int d2 = p.batch.d2;
    for (int i = 0; i < at.rows; ++i)
      for (int j = at.columns; j < columns(); ++j)
        z[static_cast<std::int64_t>(i) * columns() + j] = T(0);
    each_panel(columns(), d2, [&](int first, int width) {
      multiply({at.rows, d2, width, columns(), d2, d2, false, first > 0}, z + first,
               at.a2 + static_cast<std::int64_t>(first) * d2, p.w.attended + at.attended);
    });
  }

  template <class F>
  void each_segment(F f) {
    for (row = 0; row < at.rows; ++row) {
      const std::int64_t first = at.first + static_cast<std::int64_t>(row) * at.columns;
      target = padded(p.batch.target_of(p.instance) + first, padded_target);
      if (p.batch.weights)
        weights_ = padded(p.batch.weights_of(p.instance) + first, padded_weights);
      f(Segment{at.segment + row,
                static_cast<int>(at.padded + static_cast<std::int64_t>(row) * columns()),
                at.columns, at.block});
    }
  }

  bool weighted() const { return p.batch.weighted(); }
  LogitWeights<T> weights(const Segment& s) const { return {weights_, p.batch.weight, s.first}; }
  T shift(const Segment& s) const { return p.w.shift[s.index]; }
  void set_shift(const Segment& s, T value) const { p.w.shift[s.index] = value; }

  template <class S, class F>
  S sum_rows(const Segment& s, F f) const {
    T *const zs = row_of(z), *const us = row_of(u);
    return g.template sum<S>(s.rows, [=, b = target, first = s.first](int r, const S& sum) {
      return f(first + r, zs[r], us[r], b[r], sum);
    });
  }
  T max_rows(const Segment& s) const {
    const T* const zs = row_of(z);
    return g.template max<T>(s.rows, [zs](int r) { return zs[r]; });
  }
  template <class F>
  void rows(const Segment& s, F f) const {
    T *const zs = row_of(z), *const us = row_of(u);
    g.for_each(s.rows,
               [=, b = target, first = s.first](int r) { f(first + r, zs[r], us[r], b[r]); });
  }
  void store(const Segment& s, T* to) const {
    const T* const zs = row_of(z);
    T* const out = to + at.first + static_cast<std::int64_t>(row) * at.columns;
    for (int r = 0; r < s.rows; ++r) out[r] = zs[r];
  }
  template <class F>
  void once(F f) const {
    f();
  }

 private:
  // The row itself where it fills the lanes, else a copy that does.
  const T* padded(const T* from, T* copy) const {
    if (at.columns == columns()) return from;
    for (int r = 0; r < columns(); ++r) copy[r] = r < at.columns ? from[r] : T(0);
    return copy;
  }
};

template <class T>
struct TilePlacement : Coordinates<LaneGroup<tile_lanes, true>, T>, TileSource<T> {
  using Base = Coordinates<LaneGroup<tile_lanes, true>, T>;
  using TileSource<T>::batch;
  using TileSource<T>::instance;
  using TileSource<T>::w;
  static constexpr int lanes = tile_lanes;
  SR_HD static constexpr int lane_count() { return lanes; }
  Team team;

  TilePlacement(const Batch<T>& of, std::int64_t i, const TileExtent& e,
                const TileWorkspace<T>& arrays, const Team& threads)
      : Base{{}, of.parameters(), of.start_of(i), of.x_of(i), arrays.x, arrays.point, arrays.grad},
        TileSource<T>{of, i, e, arrays},
        team(threads) {}

  // Lists the tiles, transposes A2 (Z = (A1 X) A2^T wants its columns) and fills it up: a product's
  // depth is a multiple of the lanes, so that the shapes of products, for each of which a kernel is
  // generated, stay few in ragged batches too.
  SR_APART void load() {
    Base::load();
    std::int64_t tile = 0, padded = 0, transposed = 0, attended = 0;
    int segment = 0;
    T* copied = w.copied;
    for (std::int64_t k = batch.first_block(instance); k < batch.first_block(instance + 1); ++k) {
      const int n = batch.rows1(k), m = batch.rows2(k), columns = padded_columns(m);
      const int most = tile_rows(m, sizeof(T));
      const std::int64_t first = batch.first_z(k) - batch.first_row(instance);
      const Matrix<const T> own = batch.a2_of(k);
      const T* a2 = own.data;
      if (m != columns) {
        for (std::int64_t e = 0, end = std::int64_t{columns} * batch.d2; e < end; ++e)
          copied[e] = e < std::int64_t{m} * batch.d2 ? own.data[e] : T(0);
        a2 = copied;
        copied += std::int64_t{columns} * batch.d2;
      }
      for (int row = 0; row < n; row += most, ++tile)
        w.tiles[tile] = {k,
                         a2,
                         row,
                         n - row < most ? n - row : most,
                         m,
                         segment + row,
                         first + static_cast<std::int64_t>(row) * m,
                         padded + static_cast<std::int64_t>(row) * columns,
                         transposed,
                         attended + static_cast<std::int64_t>(row) * batch.d2};
      transpose(own, columns, w.transposed + transposed);
      segment += n;
      padded += static_cast<std::int64_t>(n) * columns;
      transposed += static_cast<std::int64_t>(columns) * batch.d2;
      attended += static_cast<std::int64_t>(n) * batch.d2;
    }
  }

  int row_count() const { return static_cast<int>(batch.all_rows_of(instance)); }
  void set_shifts(T value) const {
    for (std::int64_t s = 0; s < this->sizes.instance.segments; ++s) w.shift[s] = value;
  }

  template <class S, class F>
  S tiles(F f) {
    static_assert(sizeof(S) == TileWorkspace<T>::totals * sizeof(T));
    S* const partial = reinterpret_cast<S*>(w.partial);
    team.each(this->sizes.tiles, [&](std::int64_t t, int slot) {
      Tile<T> tile(*this, t, slot);
      tile.logits();
      f(tile, partial[t] = S{});
      tile.attend();
    });
    S total{};
    for (std::int64_t t = 0; t < this->sizes.tiles; ++t) total = total + partial[t];
    gather();
    return total;
  }
  void attended(T* to) const {
    for (std::int64_t j = 0; j < this->sizes.attended; ++j) to[j] = w.attended[j];
  }

 private:
  static void transpose(const Matrix<const T>& a2, int columns, T* to) {
    each_panel(columns, a2.cols, [&](int first, int width) {
      for (int j = 0; j < a2.cols; ++j)
        for (int i = first; i < first + width; ++i) *to++ = i < a2.rows ? a2(i, j) : T(0);
    });
  }

  // grad X = sum over blocks of A1^T (P A2): strips of its rows, in parts of the blocks that stay
  // in cache.
  SR_APART void gather() const {
    constexpr int strip = 32, part = 256;
    const int d1 = batch.d1, d2 = batch.d2;
    team.each((d1 + strip - 1) / strip, [&](std::int64_t s, int) {
      const int first = static_cast<int>(s) * strip, rows = d1 - first < strip ? d1 - first : strip;
      T* const to = w.grad + static_cast<std::int64_t>(first) * d2;
      const T* from = w.attended;
      bool add = false;
      for (std::int64_t k = batch.first_block(instance); k < batch.first_block(instance + 1); ++k) {
        const int n = batch.rows1(k);
        for (int row = 0; row < n; row += part, add = true) {
          const int depth = n - row < part ? n - row : part;
          const T* const a1 =
              batch.matrix ? batch.a1_of(k).data + static_cast<std::int64_t>(row) * d1 + first
                           : &one;
          multiply({rows, d2, depth, batch.matrix ? d1 : 1, d2, d2, true, add}, a1, from, to);
          from += static_cast<std::int64_t>(depth) * d2;
        }
      }
    });
  }
  static constexpr T one = T(1);
};

}  // namespace softreg
