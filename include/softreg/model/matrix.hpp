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

}  // namespace softreg
