// The dense operator on every group, both layouts, padded or not: A x has the bits of the plain
// sum, A^T y is right within the rounding of a sum, and the two are adjoint.
#include "softreg/model/operators.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "instances.hpp"

namespace softreg {
namespace {

using instances::Instance;
using instances::Shape;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

template <class T_, class G_>
struct On {
  using T = T_;
  using G = G_;
};
template <class P>
class DenseOn : public testing::Test {};
using Placements = testing::Types<On<float, LaneGroup<1>>, On<float, LaneGroup<8>>,
                                  On<float, LaneGroup<8, true>>, On<float, LaneGroup<32>>,
                                  On<float, LaneGroup<32, true>>, On<double, LaneGroup<1>>,
                                  On<double, LaneGroup<8>>, On<double, LaneGroup<8, true>>,
                                  On<double, LaneGroup<32>>, On<double, LaneGroup<32, true>>>;
TYPED_TEST_SUITE(DenseOn, Placements, );

// The numbers of an instance in one layout, rows padded with NaN as the group asks.
template <class G, class T>
struct Laid {
  explicit Laid(const Instance<T>& p, bool column_major)
      : rows(G::padded ? (p.n + G::lanes - 1) / G::lanes * G::lanes : p.n),
        data(at(rows * p.d), std::numeric_limits<T>::quiet_NaN()) {
    for (int i = 0; i < p.n; ++i)
      for (int j = 0; j < p.d; ++j)
        data[at(column_major ? i + j * rows : i * p.d + j)] = p.a[at(i * p.d + j)];
  }
  int rows;
  std::vector<T> data;
};

template <class T>
struct Products {
  std::vector<T> ax, aty;
};
template <class G, class T, class M>
Products<T> products(const M& a, int rows, const std::vector<T>& x, std::vector<T> y) {
  const Dense<M, T> op{a};
  EXPECT_EQ(op.rows(), a.rows);
  EXPECT_EQ(op.parameters(), a.cols);
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Products<T> out{std::vector<T>(at(rows), nan), std::vector<T>(at(a.cols), nan)};
  y.resize(at(rows), nan);
  op.each_tile([&](const RowTile& tile) {
    op.apply(G(), tile, x.data(), out.ax.data());
    op.attend(G(), tile, y.data(), out.aty.data());
  });
  op.gather(G(), out.aty.data());
  return out;
}

template <class T>
void compare(const Instance<T>& p, const std::vector<T>& y, const Products<T>& got) {
  const long double unit = std::numeric_limits<T>::epsilon() / 2;
  long double left = 0, right = 0, scale = 0;  // <A x, y>, <x, A^T y>
  for (int i = 0; i < p.n; ++i) {
    T sum = T(0);
    for (int j = 0; j < p.d; ++j) {
      sum = fma_(p.a[at(i * p.d + j)], p.x0[at(j)], sum);
      scale += std::abs(static_cast<long double>(p.a[at(i * p.d + j)]) * p.x0[at(j)] * y[at(i)]);
    }
    EXPECT_EQ(got.ax[at(i)], sum) << "row " << i;
    left += static_cast<long double>(got.ax[at(i)]) * y[at(i)];
  }
  for (int j = 0; j < p.d; ++j) {
    long double sum = 0, size = 0;
    for (int i = 0; i < p.n; ++i) {
      const long double term = static_cast<long double>(p.a[at(i * p.d + j)]) * y[at(i)];
      sum += term;
      size += std::abs(term);
    }
    EXPECT_LE(std::abs(got.aty[at(j)] - sum), (p.n + 1) * unit * size) << "column " << j;
    right += static_cast<long double>(got.aty[at(j)]) * p.x0[at(j)];
  }
  EXPECT_LE(std::abs(left - right), (p.n + p.d + 2) * unit * scale);
}

TYPED_TEST(DenseOn, EqualsTheNaiveProductInBothLayouts) {
  using T = typename TypeParam::T;
  using G = typename TypeParam::G;
  for (const Shape shape : instances::every_shape)
    for (const instances::Case kind : instances::every_case) {
      const Instance<T> p = instances::make<T>(kind, shape, 1);
      std::vector<T> y = p.w;
      for (std::size_t i = 0; i < y.size(); i += 2) y[i] = -y[i];
      const Laid<G, T> by_rows(p, false), by_columns(p, true);
      const Products<T> row_major = products<G, T>(
          Matrix<const T>{by_rows.data.data(), p.n, p.d, p.d, 1}, by_rows.rows, p.x0, y);
      const Products<T> column_major =
          products<G, T>(ColumnMatrix<const T>{by_columns.data.data(), p.n, p.d, by_columns.rows},
                         by_columns.rows, p.x0, y);
      const Products<T> strided =
          products<G, T>(Matrix<const T>{by_columns.data.data(), p.n, p.d, 1, by_columns.rows},
                         by_columns.rows, p.x0, y);
      compare(p, y, row_major);
      for (const Products<T>& other : {column_major, strided}) {
        compare(p, y, other);
        EXPECT_EQ(other.aty, row_major.aty) << "the layout may not change a bit";
      }
    }
}

}  // namespace
}  // namespace softreg
