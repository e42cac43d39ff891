// Operators: how parameters become logits, and how dL/dz becomes the gradient. They know no loss.
#pragma once
#include "softreg/model/batch.hpp"
#include "softreg/model/group.hpp"
#include "softreg/model/matrix.hpp"

namespace softreg {

// The logits of one softmax: rows first ... first + rows - 1 of the instance. index: within the
// instance; block: within the batch.
struct Segment {
  int index, first, rows;
  std::int64_t block;
};

// The logit weight of row i: from an array that begins with row `first`, or the same for all.
template <class T>
struct LogitWeights {
  const T* each;
  T constant;
  std::int64_t first = 0;
  SR_HD T operator()(int i) const { return each ? each[i - first] : constant; }
};

// Rows row ... row + rows - 1 of a block's Z, passed at a time. segment, first: of the first of
// them, and of its logits, within the instance.
struct RowTile {
  std::int64_t block = 0;
  int row = 0, rows = 0, columns = 0, segment = 0, first = 0;
};

// An operator is passed tile by tile: apply makes its logits, attend takes what took their place,
// dL/dz or f. After the last tile gather completes the gradient, and attended gives A^T f of each
// segment.

// z = A x. M: Matrix or ColumnMatrix. One tile holds everything.
template <class M, class T>
struct Dense {
  M a;                             // (n, d)
  const Layout* layout = nullptr;  // of several segments; null: all rows are one
  std::int64_t instance = 0;

  // Instance i of a vector problem as it lies; there is no P A2 to keep.
  static SR_HD Dense of(const Batch<T>& batch, std::int64_t i, T*) {
    return {batch.a_of(i), &batch, i};
  }

  SR_HD int rows() const { return a.rows; }
  SR_HD int parameters() const { return a.cols; }
  SR_HD int segments() const { return layout ? layout->segments_of(instance) : 1; }
  template <class F>
  SR_HD void each_tile(F f) const {
    f(RowTile{});
  }
  SR_HD std::int64_t longest() const {  // of several
    return extent_of(*layout, instance).longest;
  }
  // Of `parts` that take turns, those of one.
  template <class F>
  SR_HD void each_segment(const RowTile&, F f, int part = 0, int parts = 1) const {
    if (!layout) return f(Segment{0, 0, a.rows, instance});
    const std::int64_t first = layout->first_block(instance), row = layout->first_row(instance);
    for (std::int64_t k = first + part; k < layout->first_block(instance + 1); k += parts)
      f(Segment{static_cast<int>(k - first), static_cast<int>(layout->first_z(k) - row),
                layout->rows2(k), k});
  }

  template <class G>
  SR_HD void apply(G g, const RowTile&, const T* x, T* z) const {  // x (d) -> z (n)
    g.template fold<T>(
        a.rows, a.cols, [m = a, x](int i, int j, T sum) { return fma_(m(i, j), x[j], sum); },
        [z](int i, T sum) { z[i] = sum; });
  }
  template <class G>
  SR_HD void attend(G g, const RowTile&, const T* y, T* grad) const {  // y (n) -> grad (d)
    transpose_rows(g, {0, 0, a.rows, 0}, y, grad);
  }
  template <class G>
  SR_HD void gather(G, T*) const {}
  // f (n) -> to (segments, d): A^T f of each segment.
  template <class G>
  SR_HD void attended(G g, const T* f, T* to) const {
    each_segment({}, [=, *this](const Segment& s) {
      transpose_rows(g, s, f, to + s.index * static_cast<std::int64_t>(a.cols));
    });
  }

 private:
  template <class G>
  SR_HD void transpose_rows(G g, const Segment& seg, const T* y, T* out) const {
    for (int j = 0; j < a.cols; ++j) {
      const auto add = [m = a, y, j, first = seg.first](int i, T sum) {
        return fma_(m(first + i, j), y[first + i], sum);
      };
      const T s = g.template sum_down<T>(seg.rows, j, add);
      g.once([=] { out[j] = s; });
    }
  }
};

// As a vector problem lies.
template <class T>
using DenseMatrix = Dense<Matrix<const T>, T>;

// Z = A1 X A2^T, block after block: A1 (x) A2 on vec X (row-major; the tensor trick of
// Gao-Song-Xie, arXiv 2307.02419), which is never formed. Each row of Z is a segment, and only a
// tile of rows is ever there: what the gradient needs of it is P A2, as tall as A1 X.
template <class T>
struct Kronecker {
  const Batch<T>& batch;
  std::int64_t instance;
  T* kept;            // (segments, d2): A1 X of the tile, then P A2 in its place
  std::int64_t most;  // logits of a tile

  static SR_HD Kronecker of(const Batch<T>& batch, std::int64_t i, T* kept) {
    return {batch, i, kept, extent_of(batch, i).held()};
  }

  SR_HD int rows() const { return batch.rows_of(instance); }
  SR_HD int parameters() const { return batch.parameters(); }
  SR_HD int segments() const { return batch.segments_of(instance); }
  template <class F>
  SR_HD void each_tile(F f) const {
    std::int64_t segment = 0;
    each_block([&](std::int64_t k) {
      const std::int64_t n = batch.rows1(k), m = batch.rows2(k), at_once = most / m;
      const std::int64_t first = batch.first_z(k) - batch.first_row(instance);
      for (std::int64_t row = 0; row < n; row += at_once) {
        const std::int64_t rows = n - row < at_once ? n - row : at_once;
        f(RowTile{k, int(row), int(rows), int(m), int(segment + row), int(first + row * m)});
      }
      segment += n;
    });
  }
  SR_HD std::int64_t longest() const { return extent_of(batch, instance).longest; }
  // Segment k of the instance is of part k modulo their number, whatever the tiles.
  template <class F>
  SR_HD void each_segment(const RowTile& tile, F f, int part = 0, int parts = 1) const {
    for (int i = (part + parts - tile.segment % parts) % parts; i < tile.rows; i += parts)
      f(Segment{tile.segment + i, tile.first + i * tile.columns, tile.columns, tile.block});
  }

  template <class G>
  SR_HD void apply(G g, const RowTile& tile, const T* x, T* z) const {
    const Matrix<const T> a1 = batch.a1_of(tile.block), a2 = batch.a2_of(tile.block);
    const int m = a2.rows, d2 = a2.cols, row = tile.row;
    T* const q = kept_of(tile);
    const Factor<T, 1> of_a1{&a1(row, 0), a1.row_stride}, of_q{q, d2},
        of_a2{a2.data, a2.row_stride};
    g.multiply(tile.rows, d2, a1.cols, of_a1, Factor<T>{x, 1, d2},
               [=](int i, int c, T sum) { q[std::int64_t(i) * d2 + c] = sum; });
    g.multiply(tile.rows, m, d2, of_q, of_a2,
               [=](int i, int c, T sum) { z[std::int64_t(i) * m + c] = sum; });
  }
  // y: of the tile
  template <class G>
  SR_HD void attend(G g, const RowTile& tile, const T* y, T*) const {
    const Matrix<const T> a2 = batch.a2_of(tile.block);
    const int m = a2.rows, d2 = a2.cols;
    T* const t = kept_of(tile);
    g.multiply(tile.rows, d2, m, Factor<T, 1>{y, m}, Factor<T>{a2.data, 1, a2.row_stride},
               [=](int i, int c, T sum) { t[std::int64_t(i) * d2 + c] = sum; });
  }
  // grad (d1, d2): the sum over blocks of A1^T (P A2)
  template <class G>
  SR_HD void gather(G g, T* grad) const {
    const std::int64_t first = batch.first_block(instance);
    const T* from = kept;
    each_block([&](std::int64_t k) {
      const Matrix<const T> a1 = batch.a1_of(k);
      const int n = a1.rows, d2 = batch.d2;
      const bool begins = k == first;
      g.multiply(a1.cols, d2, n, Factor<T>{a1.data, 1, a1.row_stride}, Factor<T>{from, 1, d2},
                 [=](int p, int q, T sum) {
                   T& to = grad[std::int64_t(p) * d2 + q];
                   to = begins ? sum : to + sum;
                 });
      from += std::int64_t(n) * d2;
    });
  }
  // Where P was f: f A2 of every segment.
  template <class G>
  SR_HD void attended(G g, const T*, T* to) const {
    g.exact().for_each(segments() * batch.d2, [to, from = kept](int j) { to[j] = from[j]; });
  }

 private:
  SR_HD T* kept_of(const RowTile& tile) const {
    return kept + std::int64_t(tile.segment) * batch.d2;
  }
  template <class F>
  SR_HD void each_block(F f) const {
    for (std::int64_t k = batch.first_block(instance); k < batch.first_block(instance + 1); ++k)
      f(k);
  }
};

// Op, whose segments are never taken apart.
template <class Op>
struct Together : Op {
  static constexpr bool segments_together = true;
  template <class T>
  static SR_HD Together of(const Batch<T>& batch, std::int64_t i, T* kept) {
    return {Op::of(batch, i, kept)};
  }
};
// For traces of bounds, whose kernels have no registers for two ways.
template <class T>
using DenseTogether = Together<DenseMatrix<T>>;
template <class T>
using KroneckerTogether = Together<Kronecker<T>>;

}  // namespace softreg
