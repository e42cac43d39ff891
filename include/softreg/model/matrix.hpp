// Views of numbers that somebody else owns. A solver sees one item of a batch, never the batch.
#pragma once
#include <cstdint>

#include "softreg/model/math.hpp"

namespace softreg {

// Any strides: row-major, column-major, or a piece of something larger.
template <class T>
struct Matrix {
  T* data;
  int rows, cols;
  std::int64_t row_stride, col_stride;
  SR_HD T& operator()(int i, int j) const { return data[i * row_stride + j * col_stride]; }
  bool operator==(const Matrix&) const = default;  // the same numbers in the same shape
};

// Column after column, rows contiguous: what lane loops over rows vectorise on.
template <class T>
struct ColumnMatrix {
  T* data;
  int rows, cols;
  std::int64_t col_stride;
  SR_HD T& operator()(int i, int j) const { return data[i + j * col_stride]; }
};

// A factor of a product: item i (a row of the left one, a column of the right one) has its terms
// `Step` apart, or `step`, where that is 0.
template <class T, int Step = 0>
struct Factor {
  const T* data;
  std::int64_t item_stride;
  std::int64_t step = Step;
  SR_HD std::int64_t term_stride() const { return Step > 0 ? Step : step; }
  SR_HD const T* item(int i) const { return data + i * item_stride; }
};

}  // namespace softreg
