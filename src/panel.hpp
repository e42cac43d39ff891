// Panel: z = A x and A^T y of one softmax on whole registers, with the bits of Dense on a LaneGroup
// of cpu_lanes. A is stored by columns, filled up with zeros to a multiple of as many rows.
#pragma once
#include <algorithm>
#include <cstddef>

#include "cpu_lanes.hpp"
#include "pack.hpp"
#include "softreg/model/operators.hpp"

namespace softreg {

template <class T>
struct Panel {
  static constexpr int width = pack_width<T>;
  using P = Pack<T, width>;
  static constexpr int classes = cpu_lanes / width;  // registers that hold the lanes
  static constexpr int columns_at_once = 8;
  using G = LaneGroup<cpu_lanes, true>;

  ColumnMatrix<const T> a;

  int rows() const { return a.rows; }
  int parameters() const { return a.cols; }
  static int segments() { return 1; }
  template <class F>
  void each_tile(F f) const {
    f(RowTile{});
  }
  template <class F>
  void each_segment(const RowTile&, F f, int, int) const {
    f(Segment{0, 0, a.rows, 0});
  }

  // x (d) -> z (n, filled up)
  SR_APART void apply(G, const RowTile&, const T* x, T* z) const {
    logits_from<registers / 2>(0, x, z);
  }
  // y (n, filled up; what fills it up is overwritten) -> grad (d)
  SR_APART void attend(G, const RowTile&, T* y, T* grad) const {
    // A's zeros times -0 add nothing, not even to the sign of a zero.
    for (int i = a.rows; i < on_lanes(a.rows); ++i) y[i] = -T(0);
    // The last column, which apply() has just read, first: of an A a little larger than a cache
    // much is still there, and the first columns are when apply() begins anew.
    for (int j = (a.cols - 1) / columns_at_once * columns_at_once; j >= 0; j -= columns_at_once)
      if (a.cols - j <= columns_at_once / 2)
        columns<columns_at_once / 2>(j, y, grad);
      else
        columns<columns_at_once>(j, y, grad);
  }
  void gather(G, T*) const {}
  // f (n, filled up) -> to (d): A^T f
  void attended(G g, T* f, T* to) const { attend(g, {}, f, to); }

 private:
  // Rows i, i + 1, ...: by as many accumulators as there are rows for, at first `Registers`; fewer
  // than 8 would wait for one another.
  template <int Registers>
  SR_PACK void logits_from(int i, const T* x, T* z) const {
    const int padded = static_cast<int>(on_lanes(a.rows));
    for (; padded - i >= Registers * width; i += Registers * width) logits<Registers>(i, x, z);
    if constexpr (Registers > classes) logits_from<Registers / 2>(i, x, z);
  }
  template <int Registers>
  SR_PACK void logits(int i, const T* x, T* z) const {
    P s[Registers];
    for (int r = 0; r < Registers; ++r) s[r] = P(T(0));
    const T* column = &a(i, 0);
    for (int j = 0; j < a.cols; ++j, column += a.col_stride) {
      const P at = x[j];
      for (int r = 0; r < Registers; ++r) s[r] = fma_(P::load(column + r * width), at, s[r]);
    }
    for (int r = 0; r < Registers; ++r) s[r].store(z + i + r * width);
  }

  // Columns j, j + 1, ...: beyond the last one it is the last again, and not written.
  template <int Columns>
  SR_PACK void columns(int j, const T* y, T* grad) const {
    // As many of the lanes at once as there are registers for.
    constexpr int together = std::min(classes, registers / 2 / columns_at_once);
    const T* column[Columns];
    for (int k = 0; k < Columns; ++k) column[k] = &a(0, std::min(j + k, a.cols - 1));
    P lanes[classes][Columns];
    const int padded = static_cast<int>(on_lanes(a.rows));
    for (int c = 0; c < classes; c += together) {
      P s[together][Columns];
      for (int t = 0; t < together; ++t)
        for (int k = 0; k < Columns; ++k) s[t][k] = P(T(0));
      for (int i = c * width; i < padded; i += cpu_lanes)
        for (int t = 0; t < together; ++t) {
          const P with = P::load(y + i + t * width);
          for (int k = 0; k < Columns; ++k)
            s[t][k] = fma_(P::load(column[k] + i + t * width), with, s[t][k]);
        }
      for (int t = 0; t < together; ++t)
        for (int k = 0; k < Columns; ++k) lanes[c + t][k] = s[t][k];
    }
    for (int o = classes / 2; o > 0; o /= 2)
      for (int c = 0; c < o; ++c)
        for (int k = 0; k < Columns; ++k) lanes[c][k] = lanes[c][k] + lanes[c + o][k];
    T sums[std::max(Columns, width)];
    add_up<Columns, width>(lanes[0], sums);
    if (a.cols - j >= Columns)
      std::copy_n(sums, Columns, grad + j);
    else
      std::copy_n(sums, a.cols - j, grad + j);
  }

  // The tree inside a register, of all columns together. Each column has `Lanes` neighbouring
  // lanes; the upper half of them is added to the lower one and two registers become one, until
  // there is one lane per column.
  template <int Registers, int Lanes>
  SR_PACK static void add_up(P* s, T* sums) {
    if constexpr (Lanes == 1) {
      for (int r = 0; r < Registers; ++r) s[r].store(sums + r * width);
    } else {
      constexpr int left = std::max(1, Registers / 2);
      constexpr std::make_integer_sequence<int, width> all{};
      for (std::ptrdiff_t r = 0; r < left; ++r) {
        const P first = s[2 * r], second = s[Registers > 1 ? 2 * r + 1 : 0];
        s[r] = halves<Lanes, 0>(first, second, all) + halves<Lanes, Lanes / 2>(first, second, all);
      }
      add_up<left, Lanes / 2>(s, sums);
    }
  }
  // Of every column of both registers the half of its lanes that begins at From.
  template <int Lanes, int From, int... I>
  SR_PACK static P halves(P first, P second, std::integer_sequence<int, I...>) {
    return P(__builtin_shufflevector(first.v, second.v,
                                     (I / (Lanes / 2) * Lanes + I % (Lanes / 2) + From)...));
  }
};

}  // namespace softreg
