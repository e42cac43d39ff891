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

// z = A x. M: Matrix or ColumnMatrix.
template <class M, class T>
struct Dense {
  M a;                             // (n, d)
  const Layout* layout = nullptr;  // of several segments; null: all rows are one
  std::int64_t instance = 0;

  // Instance i of a vector problem as it lies; nothing is projected.
  static SR_HD Dense of(const Batch<T>& batch, std::int64_t i, T*) {
    return {batch.a_of(i), &batch, i};
  }

  SR_HD int rows() const { return a.rows; }
  SR_HD int parameters() const { return a.cols; }
  SR_HD int columns() const { return a.cols; }  // of A2
  template <class F>
  SR_HD void each_segment(F f) const {
    if (!layout) return f(Segment{0, 0, a.rows, instance});
    const std::int64_t first = layout->first_block(instance), row = layout->first_row(instance);
    for (std::int64_t k = first; k < layout->first_block(instance + 1); ++k)
      f(Segment{static_cast<int>(k - first), static_cast<int>(layout->first_z(k) - row),
                layout->rows2(k), k});
  }

  template <class G>
  SR_HD void apply(G g, const T* x, T* z) const {  // x (d) -> z (n)
    g.template fold<T>(
        a.rows, a.cols, [m = a, x](int i, int j, T sum) { return fma_(m(i, j), x[j], sum); },
        [z](int i, T sum) { z[i] = sum; });
  }
  template <class G>
  SR_HD void apply_transpose(G g, const T* y, T* grad) const {  // y (n) -> grad (d)
    transpose_rows(g, {0, 0, a.rows, 0}, y, grad);
  }
  // f (n) -> out (d): A^T f of one segment.
  template <class G>
  SR_HD void attend(G g, const Segment& s, const T* f, T* out) const {
    transpose_rows(g, s, f, out);
  }

 private:
  template <class G>
  SR_HD void transpose_rows(G g, const Segment& seg, const T* y, T* out) const {
    for (int j = 0; j < a.cols; ++j) {
      const T s = g.template sum<T>(seg.rows, [m = a, y, j, first = seg.first](int i, T sum) {
        return fma_(m(first + i, j), y[first + i], sum);
      });
      g.once([=] { out[j] = s; });
    }
  }
};

// Z = A1 X A2^T, block after block: A1 (x) A2 on vec X (row-major; the tensor trick of
// Gao-Song-Xie, arXiv 2307.02419), which is never formed. Each row of Z is a segment.
template <class T>
struct Kronecker {
  const Batch<T>& batch;
  std::int64_t instance;
  T* projected;  // A1 X, or P A2, of one block: (n, d2)

  static SR_HD Kronecker of(const Batch<T>& batch, std::int64_t i, T* projected) {
    return {batch, i, projected};
  }

  SR_HD int rows() const { return batch.rows_of(instance); }
  SR_HD int parameters() const { return batch.parameters(); }
  SR_HD int columns() const { return batch.d2; }
  template <class F>
  SR_HD void each_segment(F f) const {
    int s = 0;
    each_block([&](std::int64_t k) {
      const int n = batch.rows1(k), m = batch.rows2(k), first = first_of(k);
      for (int i = 0; i < n; ++i, ++s) f(Segment{s, first + i * m, m, k});
    });
  }

  template <class G>
  SR_HD void apply(G g, const T* x, T* z) const {  // x (d1, d2) -> z (rows)
    each_block([=, this](std::int64_t k) {
      const Matrix<const T> a1 = batch.a1_of(k), a2 = batch.a2_of(k);
      const int m = a2.rows, d2 = a2.cols;
      T *const q = projected, *const to = z + first_of(k);
      g.template fold<T>(
          a1.rows * d2, a1.cols,
          [=](int e, int j, T sum) {
            return fma_(a1(e / d2, j), x[std::int64_t(j) * d2 + e % d2], sum);
          },
          [=](int e, T sum) { q[e] = sum; });
      g.template fold<T>(
          a1.rows * m, d2,
          [=](int e, int j, T sum) {
            return fma_(q[std::int64_t(e / m) * d2 + j], a2(e % m, j), sum);
          },
          [=](int e, T sum) { to[e] = sum; });
    });
  }
  template <class G>
  SR_HD void apply_transpose(G g, const T* y, T* grad) const {  // y (rows) -> grad (d1, d2)
    const std::int64_t first = batch.first_block(instance);
    each_block([=, this](std::int64_t k) {
      const Matrix<const T> a1 = batch.a1_of(k), a2 = batch.a2_of(k);
      const int n = a1.rows, m = a2.rows, d2 = a2.cols;
      const bool begins = k == first;
      T* const t = projected;
      const T* const from = y + first_of(k);
      g.template fold<T>(
          n * d2, m,
          [=](int e, int j, T sum) {
            return fma_(from[std::int64_t(e / d2) * m + j], a2(j, e % d2), sum);
          },
          [=](int e, T sum) { t[e] = sum; });
      g.template fold<T>(
          a1.cols * d2, n,
          [=](int e, int i, T sum) {
            return fma_(a1(i, e / d2), t[std::int64_t(i) * d2 + e % d2], sum);
          },
          [=](int e, T sum) { grad[e] = begins ? sum : grad[e] + sum; });
    });
  }
  // f (rows) -> out (d2): a row of f A2.
  template <class G>
  SR_HD void attend(G g, const Segment& s, const T* f, T* out) const {
    const Matrix<const T> a2 = batch.a2_of(s.block);
    g.template fold<T>(
        a2.cols, a2.rows,
        [=, first = s.first](int j, int i, T sum) { return fma_(f[first + i], a2(i, j), sum); },
        [=](int j, T sum) { out[j] = sum; });
  }

 private:
  // Where the logits of block k begin within the instance.
  SR_HD int first_of(std::int64_t k) const {
    return static_cast<int>(batch.first_z(k) - batch.first_row(instance));
  }
  template <class F>
  SR_HD void each_block(F f) const {
    for (std::int64_t k = batch.first_block(instance); k < batch.first_block(instance + 1); ++k)
      f(k);
  }
};

}  // namespace softreg
