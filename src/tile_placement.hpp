// TilePlacement: the CPU's placement of an instance with more than one softmax. A tile is a few
// rows of one block: its logits, activations and dL/dz stay in cache between A1 X A2^T and P A2,
// and B is read once. Tiles are independent, so that several threads may share an instance; partial
// results are added in the order of the tiles, and no bit depends on how many threads there are.
#pragma once
#include <cstdint>

#include "products.hpp"
#include "softreg/model/coordinates.hpp"
#include "softreg/model/evaluator.hpp"

namespace softreg {

inline constexpr int tile_lanes = 16;

// How the threads that share an instance are started: run(self, count, call, context) calls
// call(context, item, slot) for every item below count, from at most `slots` threads.
struct Team {
  int slots = 1;
  const void* self = nullptr;
  void (*run)(const void* self, std::int64_t count,
              void (*call)(const void* context, std::int64_t item, int slot),
              const void* context) = nullptr;

  template <class F>
  void each(std::int64_t count, F f) const {
    if (slots == 1) {
      for (std::int64_t i = 0; i < count; ++i) f(i, 0);
      return;
    }
    run(
        self, count,
        [](const void* context, std::int64_t item, int slot) {
          (*static_cast<const F*>(context))(item, slot);
        },
        &f);
  }
};

// Whether an instance goes in tiles; the others are held whole by the lanes.
inline bool takes_tiles(const Layout& l, std::int64_t i) {
  return l.matrix || l.segments_of(i) > 1;
}

constexpr int padded_columns(std::int64_t m) {
  return static_cast<int>((m + tile_lanes - 1) / tile_lanes * tile_lanes);
}

// Rows of a tile: the logits and activations of 64 rows, or of as many as fill half a megabyte.
constexpr int tile_rows(std::int64_t m, int value_bytes) {
  const std::int64_t most =
      (std::int64_t{1} << 18) / (std::int64_t{padded_columns(m)} * value_bytes);
  return static_cast<int>(most < 4 ? 4 : most > 64 ? 64 : most);
}

// What the tiles of one instance take; of several instances, the most of each.
struct TileExtent {
  Extent instance;  // rows: padded
  std::int64_t tiles = 0;
  std::int64_t transposed = 0;   // numbers of all A2^T, padded
  std::int64_t copied = 0;       // numbers of those A2 that have no rows to fill the lanes
  std::int64_t attended = 0;     // numbers of P A2
  std::int64_t tile_logits = 0;  // of the largest tile, padded
  std::int64_t tile_projected = 0;
  std::int64_t columns = 0;  // of the widest block, padded

  void cover(const TileExtent& e) {
    instance.cover(e.instance);
    for (const auto member :
         {&TileExtent::tiles, &TileExtent::transposed, &TileExtent::copied, &TileExtent::attended,
          &TileExtent::tile_logits, &TileExtent::tile_projected, &TileExtent::columns})
      this->*member = this->*member < e.*member ? e.*member : this->*member;
  }
};

inline TileExtent tile_extent(const Layout& l, std::int64_t i, int value_bytes) {
  TileExtent e;
  e.instance = extent_of(l, i);
  e.instance.rows = 0;
  for (std::int64_t k = l.first_block(i); k < l.first_block(i + 1); ++k) {
    const std::int64_t n = l.rows1(k), columns = padded_columns(l.rows2(k));
    const std::int64_t most = tile_rows(l.rows2(k), value_bytes), rows = most < n ? most : n;
    e.instance.rows += n * columns;
    e.tiles += (n + most - 1) / most;
    e.transposed += columns * l.d2;
    if (columns != l.rows2(k)) e.copied += columns * l.d2;
    e.attended += n * l.d2;
    e.tile_logits = e.tile_logits < rows * columns ? rows * columns : e.tile_logits;
    e.tile_projected = e.tile_projected < rows * l.d2 ? rows * l.d2 : e.tile_projected;
    e.columns = e.columns < columns ? columns : e.columns;
  }
  return e;
}

// Rows row ... row + rows - 1 of block `block`.
template <class T>
struct TileRows {
  std::int64_t block;
  const T* a2;                        // (padded columns, d2), zeros below A2
  int row, rows, columns;             // columns: of the block, not padded
  int segment;                        // index of the first row
  std::int64_t first;                 // of its logits within the instance
  std::int64_t padded;                // the same in padded rows
  std::int64_t transposed, attended;  // where the block's A2^T and the tile's P A2 begin
};

template <class T>
struct TileWorkspace {
  static constexpr int totals = 4;
  T *x, *point, *grad, *memory, *shift, *partial, *transposed, *copied, *attended;
  TileRows<T>* tiles;
  T* slots;  // slot_size numbers each
  std::int64_t slot_size;

  static constexpr std::int64_t tile_numbers =
      static_cast<std::int64_t>((sizeof(TileRows<T>) + sizeof(T) - 1) / sizeof(T));

  static std::int64_t slot(const TileExtent& e) {
    return 2 * e.tile_logits + e.tile_projected + 2 * e.columns;
  }
  static std::int64_t size(const TileExtent& e, std::int64_t memory, std::int64_t slots) {
    return tile_numbers * e.tiles + (3 + memory) * e.instance.parameters + e.instance.segments +
           totals * e.tiles + e.transposed + e.copied + e.attended + slots * slot(e);
  }
  static TileWorkspace carve(T* next, const TileExtent& e, std::int64_t memory) {
    const auto take = [&next](std::int64_t values) {
      T* const from = next;
      next += values;
      return from;
    };
    TileWorkspace w;
    w.tiles = reinterpret_cast<TileRows<T>*>(take(tile_numbers * e.tiles));
    w.x = take(e.instance.parameters);
    w.point = take(e.instance.parameters);
    w.grad = take(e.instance.parameters);
    w.memory = take(memory * e.instance.parameters);
    w.shift = take(e.instance.segments);
    w.partial = take(totals * e.tiles);
    w.transposed = take(e.transposed);
    w.copied = take(e.copied);
    w.attended = take(e.attended);
    w.slots = next;
    w.slot_size = slot(e);
    return w;
  }
};

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

  void logits() const {
    const int d1 = p.batch.d1, d2 = p.batch.d2;
    const T* q = p.w.point;  // a vector problem has A1 = 1
    if (p.batch.matrix) {
      const T* const a1 = p.batch.a1_of(at.block).data + static_cast<std::int64_t>(at.row) * d1;
      multiply({at.rows, d2, d1, d1, d2, d2, false, false}, a1, p.w.point, projected);
      q = projected;
    }
    multiply({at.rows, columns(), d2, d2, columns(), columns(), false, false}, q,
             p.w.transposed + at.transposed, z);
  }
  void attend() const {  // P A2, with zeros for what fills the lanes
    const int d2 = p.batch.d2;
    for (int i = 0; i < at.rows; ++i)
      for (int j = at.columns; j < columns(); ++j)
        z[static_cast<std::int64_t>(i) * columns() + j] = T(0);
    multiply({at.rows, d2, columns(), columns(), d2, d2, false, false}, z, at.a2,
             p.w.attended + at.attended);
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

template <int Memory, class T>
struct TilePlacement : Coordinates<LaneGroup<tile_lanes, true>, Memory, T>, TileSource<T> {
  using Base = Coordinates<LaneGroup<tile_lanes, true>, Memory, T>;
  using TileSource<T>::batch;
  using TileSource<T>::instance;
  using TileSource<T>::w;
  static constexpr int lanes = tile_lanes;
  Team team;

  TilePlacement(const Batch<T>& of, std::int64_t i, const TileExtent& e,
                const TileWorkspace<T>& arrays, const Team& threads)
      : Base{{},       of.parameters(), of.start_of(i), of.x_of(i),
             arrays.x, arrays.point,    arrays.grad,    arrays.memory},
        TileSource<T>{of, i, e, arrays},
        team(threads) {}

  // Lists the tiles, transposes A2 (Z = (A1 X) A2^T wants its columns) and fills it up: a product's
  // depth is a multiple of the lanes, so that the shapes of products, for each of which a kernel is
  // generated, stay few in ragged batches too.
  void load() {
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

  template <class S, class Point, class F>
  S tiles(Point at, F f) {
    static_assert(sizeof(S) == TileWorkspace<T>::totals * sizeof(T));
    this->place(at);
    S* const partial = reinterpret_cast<S*>(w.partial);
    team.each(this->sizes.tiles, [&](std::int64_t t, int slot) {
      Tile<T> tile(*this, t, slot);
      tile.logits();
      partial[t] = f(tile);
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
    for (int j = 0; j < a2.cols; ++j)
      for (int i = 0; i < columns; ++i)
        to[static_cast<std::int64_t>(j) * columns + i] = i < a2.rows ? a2(i, j) : T(0);
  }

  // grad X = sum over blocks of A1^T (P A2): strips of its rows, in parts of the blocks that stay
  // in cache.
  void gather() const {
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
