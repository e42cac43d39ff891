// What an instance takes on the CPU's tiles: which instances go there, how many rows a tile has,
// and the arrays behind a TilePlacement.
#pragma once
#include <cstdint>

#include "softreg/model/bound_pass.hpp"
#include "softreg/model/layout.hpp"

namespace softreg {

inline constexpr int tile_lanes = 16;

// Whether an instance goes in tiles; the others are held whole by the lanes.
inline bool takes_tiles(const Layout& l, std::int64_t i) {
  return l.matrix || l.segments_of(i) > 1;
}

constexpr int padded_columns(std::int64_t m) {
  return static_cast<int>((m + tile_lanes - 1) / tile_lanes * tile_lanes);
}

// Columns of a tile that are multiplied at a time: the part of A2 that they meet, about 4096
// numbers, stays in the first cache, where columns of long rows would push each other out.
constexpr int panel_columns(int d2) {
  const int most = 4096 / d2 / tile_lanes * tile_lanes;
  return most < 64 ? 64 : most > 256 ? 256 : most;
}

// f(first column, columns) of each panel.
template <class F>
void each_panel(int columns, int d2, F f) {
  const int most = panel_columns(d2);
  for (int first = 0; first < columns; first += most)
    f(first, columns - first < most ? columns - first : most);
}

// Rows of a tile: the logits and activations of 64 rows, or of as many as fill half a megabyte.
constexpr int tile_rows(std::int64_t m, int value_bytes) {
  const std::int64_t most =
      (std::int64_t{1} << 18) / (std::int64_t{padded_columns(m)} * value_bytes);
  return static_cast<int>(most < 4 ? 4 : most > 64 ? 64 : most);
}

// What the tiles of one instance take.
struct TileExtent {
  Extent instance;  // rows: padded
  std::int64_t tiles = 0;
  std::int64_t transposed = 0;   // numbers of all A2^T, padded, panel after panel
  std::int64_t copied = 0;       // numbers of those A2 that have no rows to fill the lanes
  std::int64_t attended = 0;     // numbers of P A2
  std::int64_t tile_logits = 0;  // of the largest tile, padded
  std::int64_t tile_projected = 0;
  std::int64_t columns = 0;  // of the widest block, padded
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
  static constexpr int totals = all_totals;
  T *x, *point, *grad, *shift, *partial, *transposed, *copied, *attended;
  TileRows<T>* tiles;
  T* slots;  // slot_size numbers each
  std::int64_t slot_size;

  static constexpr std::int64_t tile_numbers =
      static_cast<std::int64_t>((sizeof(TileRows<T>) + sizeof(T) - 1) / sizeof(T));

  static std::int64_t slot(const TileExtent& e) {
    return 2 * e.tile_logits + e.tile_projected + 2 * e.columns;
  }
  static std::int64_t size(const TileExtent& e, std::int64_t slots) {
    return tile_numbers * e.tiles + 3 * e.instance.parameters + e.instance.segments +
           totals * e.tiles + e.transposed + e.copied + e.attended + slots * slot(e);
  }
  static TileWorkspace carve(T* next, const TileExtent& e) {
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

}  // namespace softreg
