// The bound on |A| is never below the true value, sharp where the Gram matrix is used, free of
// overflow, and the same bits wherever the numbers lie.
#include "matrix_norm.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "sanitized.hpp"

namespace softreg {
namespace {

using Rng = std::mt19937_64;

template <class T>
struct Dense2 {
  int rows, cols;
  std::vector<T> data;
  Matrix<const T> view() const { return {data.data(), rows, cols, cols, 1}; }
};

// Families: gaussian, near rank one, graded columns over 12 decades, one spike, equal singular
// values, mostly zeros.
template <class T>
Dense2<T> random_matrix(int rows, int cols, int family, double scale, Rng& rng) {
  std::normal_distribution<double> normal;
  std::vector<double> u(static_cast<std::size_t>(rows)), v(static_cast<std::size_t>(cols));
  for (double& e : u) e = normal(rng);
  for (double& e : v) e = normal(rng);
  Dense2<T> m{rows, cols, {}};
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < cols; ++j) {
      double e = normal(rng);
      const std::size_t si = static_cast<std::size_t>(i), sj = static_cast<std::size_t>(j);
      if (family == 1) e = u[si] * v[sj] + 1e-8 * e;
      if (family == 2) e *= std::pow(10.0, -12.0 * j / cols);
      if (family == 3) e = i == rows / 2 && j == 0 ? 1000 : 1e-3 * e;
      if (family == 4) e = i == j ? 1 : 0;
      if (family == 5) e = rng() % 8 == 0 ? e : 0;
      m.data.push_back(static_cast<T>(scale * e));
    }
  return m;
}

// Largest and least of the singular values, min(rows, cols) of them. One-sided Jacobi in long
// double: the columns are rotated until their products are below 1e-17 of |A|_F^2, which leaves the
// largest right to that much per column.
struct Extremes {
  long double most, least;
};
template <class T>
Extremes true_extremes(const Dense2<T>& m) {
  const Matrix<const T> a = m.view();
  const int n = std::max(a.rows, a.cols), k = std::min(a.rows, a.cols);
  std::vector<std::vector<long double>> column(static_cast<std::size_t>(k));
  for (std::size_t j = 0; j < column.size(); ++j)
    for (int i = 0; i < n; ++i)
      column[j].push_back(a.rows >= a.cols ? a(i, static_cast<int>(j)) : a(static_cast<int>(j), i));
  const auto dot = [](const auto& p, const auto& q) {
    return std::inner_product(p.begin(), p.end(), q.begin(), 0.0L);
  };
  long double squares = 0;
  for (const auto& c : column) squares += dot(c, c);
  for (bool rotated = true; rotated;) {
    rotated = false;
    for (std::size_t p = 0; p < column.size(); ++p)
      for (std::size_t q = p + 1; q < column.size(); ++q) {
        const long double pp = dot(column[p], column[p]), qq = dot(column[q], column[q]);
        const long double pq = dot(column[p], column[q]);
        if (std::abs(pq) <= 1e-17L * squares) continue;
        rotated = true;
        const long double zeta = (qq - pp) / (2 * pq);
        const long double t = (zeta < 0 ? -1 : 1) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        const long double c = 1 / std::sqrt(1 + t * t), s = c * t;
        for (std::size_t i = 0; i < column[p].size(); ++i) {
          const long double x = column[p][i], y = column[q][i];
          column[p][i] = c * x - s * y;
          column[q][i] = s * x + c * y;
        }
      }
  }
  Extremes found{0, HUGE_VALL};
  for (const auto& c : column) {
    found.most = std::max(found.most, std::sqrt(dot(c, c)));
    found.least = std::min(found.least, std::sqrt(dot(c, c)));
  }
  return found;
}
template <class T>
long double true_norm(const Dense2<T>& m) {
  return true_extremes(m).most;
}

template <class T>
void compare_with_svd(int cases, int max_rows, int max_cols, std::initializer_list<double> scales) {
  Rng rng(20240607);
  double worst = 0;
  int below = 0, above = 0, done = 0;
  for (int c = 0; c < cases; ++c)
    for (double scale : scales) {
      const int rows = 1 + static_cast<int>(rng() % static_cast<unsigned>(max_rows));
      const int cols = 1 + static_cast<int>(rng() % static_cast<unsigned>(max_cols));
      const Dense2<T> m = random_matrix<T>(rows, cols, c % 6, scale, rng);
      const long double truth = true_norm(m);
      const long double bound = operator_norm_bound(m.view());
      ++done;
      if (bound < truth) ++below;
      // Where the result is subnormal its spacing is what limits sharpness.
      constexpr long double spacing = std::numeric_limits<double>::denorm_min();
      if (truth > 0 && bound > truth * (1 + 1e-10L) + 2 * spacing) ++above;
      if (truth > std::numeric_limits<double>::min())
        worst = std::max(worst, static_cast<double>(bound / truth - 1));
      if (truth == 0 && bound != 0) ++above;
    }
  EXPECT_EQ(below, 0);
  EXPECT_EQ(above, 0);
  std::printf("[count] norm bounds against the long-double SVD (%zu bytes): %d, most above %.2e\n",
              sizeof(T), done, worst);
}

// The least one: never above the SVD, and sharp where the matrix is well conditioned.
TEST(MatrixNorm, LeastSingularValueIsNeverAboveTheSvd) {
  Rng rng(5);
  int done = 0, sharp = 0;
  for (int c = 0; c < 3000; ++c) {
    const double scales[] = {1, 1e150, 1e-150, 1e-310};
    const int cols = 1 + static_cast<int>(rng() % 10),
              rows = cols + static_cast<int>(rng() % 10) - (c % 11 == 0 ? cols - 1 : 0);
    const Dense2<double> m = random_matrix<double>(rows, cols, c % 6, scales[c % 4], rng);
    const double bound = least_singular_bound(m.view());
    if (rows < cols) {
      EXPECT_EQ(bound, 0);
      continue;
    }
    const Extremes truth = true_extremes(m);
    // Small ones are right to 1e-17 |A|_F^2 in their squares.
    const long double doubt = 100 * 1e-17L * truth.most * truth.most;
    ASSERT_LE(bound * 1.0L * bound, truth.least * truth.least + doubt) << rows << " x " << cols;
    ++done;
    if (truth.least < 1e-3L * truth.most || truth.most < 1e-300L) continue;
    ++sharp;
    ASSERT_GE(bound, double(truth.least) * (1 - 1e-6)) << rows << " x " << cols;
  }
  EXPECT_GT(sharp, 500);
  std::printf("[count] least singular values against the long-double SVD: %d, %d of them sharp\n",
              done, sharp);
  const Dense2<double> bad{2, 1, {1, std::numeric_limits<double>::quiet_NaN()}}, none{2, 1, {0, 0}};
  EXPECT_EQ(least_singular_bound(bad.view()), 0);
  EXPECT_EQ(least_singular_bound(none.view()), 0);
}

TEST(MatrixNorm, NeverBelowTheSvdAndSharp) {
  compare_with_svd<double>(2000, 12, 12, {1.0, 1e200, 1e-200, 3e-308, 1e-315, 1e100});
  compare_with_svd<float>(500, 12, 12, {1.0, 1e30, 1e-30, 1e-42});
  compare_with_svd<double>(12, 300, 60, {1.0, 1e-170});
  compare_with_svd<double>(6, 60, 1500, {1.0, 1e150});
}

TEST(MatrixNorm, KnownValues) {
  const Dense2<double> one{1, 1, {-3}};
  EXPECT_GE(operator_norm_bound(one.view()), 3.0);
  EXPECT_LE(operator_norm_bound(one.view()), 3.0 * (1 + 1e-13));
  const Dense2<double> zeros{4, 3, std::vector<double>(12, 0.0)};
  EXPECT_EQ(operator_norm_bound(zeros.view()), 0);
  EXPECT_EQ(operator_norm_bound(Matrix<const double>{nullptr, 0, 5, 5, 1}), 0);
  const Dense2<double> ones{200, 50, std::vector<double>(10000, 1.0)};
  EXPECT_GE(operator_norm_bound(ones.view()), 100.0);
  EXPECT_LE(operator_norm_bound(ones.view()), 100.0 * (1 + 1e-11));
}

TEST(MatrixNorm, NotFiniteIsNan) {
  for (double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL})
    for (std::size_t at = 0; at < 12; ++at) {
      Dense2<double> m{4, 3, std::vector<double>(12, 1.0)};
      m.data[at] = bad;
      EXPECT_TRUE(std::isnan(operator_norm_bound(m.view())));
    }
}

TEST(MatrixNorm, EndsOfTheRange) {
  const double top = std::numeric_limits<double>::max();
  const Dense2<double> largest{1, 1, {top / 2}}, over{2, 2, {top, top, top, top}};
  EXPECT_GE(operator_norm_bound(largest.view()), top / 2);
  EXPECT_LE(operator_norm_bound(largest.view()), top / 2 * (1 + 1e-13));
  EXPECT_EQ(operator_norm_bound(over.view()), HUGE_VAL);  // 2 top
  const double bottom = std::numeric_limits<double>::denorm_min();
  const Dense2<double> least{1, 1, {bottom}}, square{2, 2, {bottom, bottom, bottom, bottom}};
  EXPECT_GE(operator_norm_bound(least.view()), bottom);
  EXPECT_GE(operator_norm_bound(square.view()), 2 * bottom);
  EXPECT_LE(operator_norm_bound(square.view()), 3 * bottom);
}

TEST(MatrixNorm, SumBoundBeyondTheGramLimit) {
  Rng rng(5);
  // u v^T with small integers: |u v^T|_2 = |u| |v| = |u v^T|_F, nothing is rounded.
  std::vector<double> u(257), v(300);
  for (double& e : u) e = static_cast<double>(rng() % 9) - 4;
  for (double& e : v) e = static_cast<double>(rng() % 9) - 4;
  Dense2<double> m{257, 300, {}};
  for (double p : u)
    for (double q : v) m.data.push_back(p * q * 0x1p600);
  const auto squares = [](const std::vector<double>& e) {
    return std::inner_product(e.begin(), e.end(), e.begin(), 0.0L);
  };
  const long double truth = std::sqrt(squares(u) * squares(v)) * 0x1p600L;
  EXPECT_GE(operator_norm_bound(m.view()), truth);
  EXPECT_LE(operator_norm_bound(m.view()), truth * (1 + 1e-12L));
  const Dense2<double> identity = random_matrix<double>(300, 300, 4, 1.0, rng);
  EXPECT_GE(operator_norm_bound(identity.view()), 1);
  EXPECT_LE(operator_norm_bound(identity.view()), 1 + 1e-12);  // by rows and columns; |I|_F is 17
}

TEST(MatrixNorm, SameBitsWhereverItLies) {
  Rng rng(7);
  std::int64_t compared = 0;
  for (int c = 0; c < 300; ++c) {
    const int rows = 1 + static_cast<int>(rng() % 70), cols = 1 + static_cast<int>(rng() % 20);
    const Dense2<float> m = random_matrix<float>(rows, cols, c % 6, 1.0, rng);
    const double expected = operator_norm_bound(m.view());
    for (std::size_t offset = 1; offset < 5; ++offset) {
      std::vector<float> moved(offset + m.data.size());
      std::copy(m.data.begin(), m.data.end(), moved.begin() + static_cast<std::ptrdiff_t>(offset));
      EXPECT_EQ(
          operator_norm_bound(Matrix<const float>{moved.data() + offset, rows, cols, cols, 1}),
          expected);
      ++compared;
    }
    std::vector<float> columns(m.data.size());
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < cols; ++j)
        columns[static_cast<std::size_t>(i + j * rows)] = m.view()(i, j);
    EXPECT_EQ(operator_norm_bound(Matrix<const float>{columns.data(), rows, cols, 1, rows}),
              expected);
    // A^T has the same longer side, hence the same bits.
    if (rows != cols) {
      EXPECT_EQ(operator_norm_bound(Matrix<const float>{m.data.data(), cols, rows, 1, cols}),
                expected);
    }
    compared += 2;
  }
  std::printf("[count] norm bounds compared bitwise: %lld\n", static_cast<long long>(compared));
}

TEST(MatrixNorm, TenThousandInASecond) {
  Rng rng(11);
  const Dense2<float> m = random_matrix<float>(64, 16, 0, 1.0, rng);
  double sum = 0;
  const std::clock_t start = std::clock();  // processor time: the machine may be shared
  const int count = sanitized ? 1000 : 10000;
  for (int c = 0; c < count; ++c) sum += operator_norm_bound(m.view());
  const double seconds = double(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_GT(sum, 0);
  std::printf("[time] %d norm bounds of (64, 16): %.3f s\n", count, seconds);
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
  EXPECT_LT(seconds, 1);
#endif
}

}  // namespace
}  // namespace softreg
