// Entries of a Gram matrix, from which norms of A are bounded (src/matrix_norm.cpp): the order in
// which one is summed, wherever it is.
#pragma once
#include <cstdint>

#include "softreg/model/matrix.hpp"

namespace softreg {

// Long rows are summed in panels of so many, four at a time: the sums of a Gram matrix then pass
// few roundings.
inline constexpr int gram_panel_rows = 256;

// The longer side as rows.
template <class T>
SR_HD Matrix<const T> tall(const Matrix<const T>& a) {
  return a.rows >= a.cols ? a : Matrix<const T>{a.data, a.cols, a.rows, a.col_stride, a.row_stride};
}

// Entry (j, l) of A^T A, with the entries of A times `factor`.
template <class T>
SR_HD double gram_entry(const Matrix<const T>& a, double factor, int j, int l) {
  const auto product = [&](int i) {
    return factor * static_cast<double>(a(i, j)) * (factor * static_cast<double>(a(i, l)));
  };
  double sum = 0;
  for (int first = 0; first < a.rows; first += gram_panel_rows) {
    const int last = a.rows - first < gram_panel_rows ? a.rows : first + gram_panel_rows;
    double part = 0;
    for (int i = first; i < last; i += 4) {
      double four = product(i);
      for (int k = i + 1; k < i + 4; ++k) four += k < last ? product(k) : 0;
      part += four;
    }
    sum += part;
  }
  return sum;
}

// Of entry (j, l >= j) among the entries of a triangle, j after j.
SR_HD constexpr std::int64_t triangle_place(int size, int j, int l) {
  return std::int64_t{j} * size - std::int64_t{j} * (j + 1) / 2 + l;
}
SR_HD constexpr std::int64_t triangle_size(int size) { return std::int64_t{size} * (size + 1) / 2; }

}  // namespace softreg
