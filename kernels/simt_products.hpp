// SimtProducts: the two products of a step for `Places` instances at once, whose A is one: it lies
// in memory, and each product reads each of its numbers once for all of them. Sums are those of
// SimtGroup, bit for bit, whatever is beside.
#pragma once
#include "simt_group.hpp"
#include "softreg/model/matrix.hpp"

namespace softreg {

// How the products are cut: a lane has `sums` sums in registers at once, or fewer.
struct ProductCut {
  int places;
  static constexpr int sums = 64;
  static constexpr int points = 128;  // of each place, in shared memory at once
  SR_HD constexpr int rows() const { return places > 1 ? sums / places : 4; }
  SR_HD constexpr int columns() const { return places > 4 ? sums / places : 16; }
  // Numbers of shared memory: points, and twice the parts that the warps have of some columns.
  SR_HD constexpr int values(int warps) const {
    return points * places + 2 * columns() * places * warps;
  }
};

template <class T>
SR_DEVICE ColumnMatrix<const T> by_columns(const Matrix<const T>& a) {
  return {a.data, a.rows, a.cols, a.col_stride};
}

// A vector for each place.
template <class T>
struct PlaceVectors {
  T* first;
  std::int64_t stride;
  SR_DEVICE T* operator[](int k) const { return first + k * stride; }
};

template <class T, int Lanes, int Places>
class SimtProducts : public SimtGroup<Lanes> {
  using Base = SimtGroup<Lanes>;
  using Base::width;
  static constexpr int warps = Lanes / width;
  static constexpr ProductCut cut{Places};
  static constexpr int points = cut.points, columns = cut.columns(), sums = columns * Places;
  static constexpr int on_their_way = 64 / int(sizeof(T));  // numbers of A, for each lane
  static_assert(warps > 1 && sums <= ProductCut::sums);

 public:
  using Base::rank;
  using Base::sync;
  // Shared memory, aligned to 16 bytes.
  SR_HD static constexpr int bytes() {
    return scratch_bytes_of(Lanes) + cut.values(warps) * static_cast<int>(sizeof(T));
  }
  SR_DEVICE explicit SimtProducts(void* shared)
      : Base{shared},
        points_(
            reinterpret_cast<T*>(static_cast<unsigned char*>(shared) + scratch_bytes_of(Lanes))) {}

  // z = A x, (n) from (d), as LaneGroup::fold makes it.
  SR_DEVICE void apply(const ColumnMatrix<const T>& a, const PlaceVectors<T>& x,
                       const PlaceVectors<T>& z) const {
    int first = 0;
    for (; a.rows - first >= cut.rows() * Lanes; first += cut.rows() * Lanes)
      logits<cut.rows()>(a, first, x, z);
    for (; first < a.rows; first += Lanes) logits<1>(a, first, x, z);
    sync();
  }

  // grad = A^T y, (d) from (n), as SimtGroup::sum makes each column.
  SR_DEVICE void attend(const ColumnMatrix<const T>& a, const PlaceVectors<T>& y,
                        const PlaceVectors<T>& grad) const {
    T* parts = points_ + points * Places;
    T* other = parts + sums * warps;
    for (int first = 0; first < a.cols; first += columns) {
      const int most = a.cols - 1 - first;  // beyond the last column it is the last again
      T s[sums];
      SR_UNROLL
      for (T& of : s) of = T(0);
      const T* from[columns];
      SR_UNROLL
      for (int c = 0; c < columns; ++c) from[c] = &a(0, first + (c < most ? c : most));
      int i = rank();
      if constexpr (sizeof(T) == 4)  // for two of float64 there are no registers
        for (; a.rows - i > Lanes; i += 2 * Lanes) add_rows<2>(from, y, i, s);
      for (; i < a.rows; i += Lanes) add_rows<1>(from, y, i, s);
      // Each lane is left with those of its part of the sums; where there are fewer sums than
      // lanes, neighbours have the same.
      this->template halve<sums, width / 2>(s);
      constexpr int left = sums > width ? sums / width : 1, alike = sums < width ? width / sums : 1;
      const int lane = rank() % width;
      if (lane % alike == 0) {
        SR_UNROLL
        for (int k = 0; k < left; ++k)
          parts[(lane / alike * left + k) * warps + rank() / width] = s[k];
      }
      sync();
      for (int k = rank(); k < sums && k / Places <= most; k += Lanes)
        grad[k % Places][first + k / Places] = Base::over_warps(parts + k * warps);
      T* const read = parts;  // perhaps still; the other has been, by all who passed the barrier
      parts = other;
      other = read;
    }
    sync();
  }

 private:
  // Of `Rows` rows of each lane.
  template <int Rows>
  SR_DEVICE void logits(const ColumnMatrix<const T>& a, int first, const PlaceVectors<T>& x,
                        const PlaceVectors<T>& z) const {
    const int i = first + rank();
    T s[Rows][Places];
    SR_UNROLL
    for (int r = 0; r < Rows; ++r) {
      SR_UNROLL
      for (int k = 0; k < Places; ++k) s[r][k] = T(0);
    }
    for (int column = 0; column < a.cols; column += points) {
      const int held = a.cols - column < points ? a.cols - column : points;
      sync();  // nobody reads the points before
      for (int e = rank(); e < points * Places; e += Lanes) {
        const int k = e / points, j = e % points;
        if (j < held) points_[j * Places + k] = x[k][column + j];
      }
      sync();
      if (Rows == 1 && i >= a.rows) continue;
      constexpr int together = on_their_way / Rows;
      int j = 0;
      for (; j + together <= held; j += together) add_columns<Rows, together>(a, i, column, j, s);
      for (; j < held; ++j) add_columns<Rows, 1>(a, i, column, j, s);
    }
    if (Rows > 1 || i < a.rows) {
      SR_UNROLL
      for (int r = 0; r < Rows; ++r) {
        SR_UNROLL
        for (int k = 0; k < Places; ++k) z[k][i + r * Lanes] = s[r][k];
      }
    }
  }

  // Columns j, ..., j + Count - 1 of those whose points are held. All are on their way before the
  // first is needed.
  template <int Rows, int Count>
  SR_DEVICE void add_columns(const ColumnMatrix<const T>& a, int i, int column, int j,
                             T (&s)[Rows][Places]) const {
    T value[Count][Rows];
    const T* from = &a(i, column + j);
    SR_UNROLL
    for (int c = 0; c < Count; ++c, from += a.col_stride) {
      SR_UNROLL
      for (int r = 0; r < Rows; ++r) value[c][r] = from[std::int64_t{r} * Lanes];
    }
    SR_UNROLL
    for (int c = 0; c < Count; ++c) {
      SR_UNROLL
      for (int r = 0; r < Rows; ++r) {
        SR_UNROLL
        for (int k = 0; k < Places; ++k)
          s[r][k] = fma_(value[c][r], points_[(j + c) * Places + k], s[r][k]);
      }
    }
  }
  // Rows i, i + Lanes, ... of some columns.
  template <int Rows>
  SR_DEVICE void add_rows(const T* const (&from)[columns], const PlaceVectors<T>& y, int i,
                          T (&s)[sums]) const {
    T value[Rows][columns], at[Rows][Places];
    SR_UNROLL
    for (int r = 0; r < Rows; ++r) {
      SR_UNROLL
      for (int c = 0; c < columns; ++c) value[r][c] = from[c][i + r * Lanes];
      SR_UNROLL
      for (int k = 0; k < Places; ++k) at[r][k] = y[k][i + r * Lanes];
    }
    SR_UNROLL
    for (int r = 0; r < Rows; ++r) {
      SR_UNROLL
      for (int c = 0; c < columns; ++c) {
        SR_UNROLL
        for (int k = 0; k < Places; ++k)
          s[c * Places + k] = fma_(value[r][c], at[r][k], s[c * Places + k]);
      }
    }
  }

  T* points_;  // (points, Places), then the parts
};

}  // namespace softreg
