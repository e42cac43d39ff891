// See matrix_norm.hpp. Everything runs on numbers scaled by a power of two, in double, in an order
// of operations that depends on nothing but the shape.
#include "matrix_norm.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>

#include "gram.hpp"

namespace softreg {
namespace {

constexpr double unit = std::numeric_limits<double>::epsilon() / 2;

template <class T>
double largest_entry(const Matrix<const T>& a) {
  T most = T(0), lost = T(0);  // lost: 0 or NaN
  for (int i = 0; i < a.rows; ++i)
    for (int j = 0; j < a.cols; ++j) {
      const T v = std::abs(a(i, j));
      most = std::max(most, v);
      lost += v - v;
    }
  return static_cast<double>(most + lost);
}

// The entries times a power of two, seen with the longer side as rows.
template <class T>
struct Scaled {
  Matrix<const T> a;
  double factor;
  double operator()(int i, int j) const { return factor * static_cast<double>(a(i, j)); }
};

constexpr int panel_rows = gram_panel_rows;

// How many roundings one product of a Gram matrix passes: its own, at most three within a group of
// four, the groups of a panel, and the panels.
double gram_depth(int rows) { return 4 + panel_rows / 4.0 + std::ceil(double(rows) / panel_rows); }

// A^T A, of which only the lower triangle is set: the sums of gram_entry, a column of them at once.
template <class T>
Eigen::MatrixXd gram(const Scaled<T>& s) {
  const int n = s.a.rows, k = s.a.cols;
  Eigen::MatrixXd sum = Eigen::MatrixXd::Zero(k, k), part(k, k);
  Eigen::MatrixXd rows(k, std::min(n + 3, panel_rows));  // of A, as columns
  for (int first = 0; first < n; first += panel_rows) {
    const int count = std::min(n - first, panel_rows), padded = (count + 3) / 4 * 4;
    for (int i = 0; i < padded; ++i)
      for (int j = 0; j < k; ++j) rows(j, i) = i < count ? s(first + i, j) : 0;
    part.setZero();
    for (int i = 0; i < padded; i += 4)
      for (int j = 0; j < k; ++j) {
        const int below = k - j;
        part.col(j).tail(below) += rows(j, i) * rows.col(i).tail(below) +
                                   rows(j, i + 1) * rows.col(i + 1).tail(below) +
                                   rows(j, i + 2) * rows.col(i + 2).tail(below) +
                                   rows(j, i + 3) * rows.col(i + 3).tail(below);
      }
    sum += part;
  }
  return sum;
}

// The largest eigenvalue of a symmetric tridiagonal matrix, but for rounding: Laguerre's iteration
// on its characteristic polynomial p, whose roots are real, falls from above all of them to the
// largest one (slowly to one of several equal ones; 64 turns leave a bound a little loose). With
// q_i = t - d_i - e_i^2 / q_(i-1), p = q_1 ... q_k; G = p'/p, H = -G'.
double largest_root(const Eigen::VectorXd& diagonal, const Eigen::VectorXd& beside) {
  const Eigen::Index k = diagonal.size();
  const auto e = [&](Eigen::Index i) { return i < 0 || i + 1 >= k ? 0 : std::abs(beside[i]); };
  double t = 0;  // Gershgorin
  for (Eigen::Index i = 0; i < k; ++i) t = std::max(t, diagonal[i] + e(i - 1) + e(i));
  for (int turn = 0; turn < 64; ++turn) {
    double G = 0, H = 0, q = 1, q1 = 0, q2 = 0;  // q and its derivatives
    for (Eigen::Index i = 0; i < k; ++i) {
      const double part = e(i - 1) * e(i - 1) / q, first = q1 / q, second = q2 / q;
      q = t - diagonal[i] - part;
      if (!(q > 0)) return t;  // at the root, by rounding
      q1 = 1 + part * first;
      q2 = part * (second - 2 * first * first);
      G += q1 / q;
      H += (q1 / q) * (q1 / q) - q2 / q;
    }
    const double n = double(k), root = std::sqrt(std::max(0.0, (n - 1) * (n * H - G * G)));
    const double fall = n / (G + root);
    t -= fall;
    if (!(fall > 4 * unit * t)) break;
  }
  return t;
}

// An upper bound on the largest eigenvalue of the symmetric g (lower triangle), trace > 0.
//
// Laguerre's iteration only proposes t, a little above its answer; a Cholesky factorisation proves
// it. If the factorisation of H = t I - g (k x k) runs to its end, then H + E = R^T R is positive
// semidefinite with |E|_2 <= c tr H, c = gamma_{k+1} / (1 - gamma_{k+1}) (Demmel; Rump,
// "Verification of positive definiteness", BIT 46, 2006), in whatever order it sums. With tr H <= k
// t, and one unit for the rounding of the diagonal of H, the largest eigenvalue of g is at most
//   t (1 + k (k + 1) u + u + second order) <= t (1 + k (k + 3) u).
// No constant of the iteration's backward error is needed.
double largest_eigenvalue_bound(const Eigen::MatrixXd& g) {
  const auto k = g.rows();
  const double slack = double(k) * double(k + 3) * unit;
  double proposed = g(0, 0);
  if (k > 1) {
    const Eigen::Tridiagonalization<Eigen::MatrixXd> simple(g);
    proposed = largest_root(simple.diagonal(), simple.subDiagonal());
  }
  Eigen::MatrixXd h(k, k);
  for (double lift = slack;; lift *= 2) {
    const double t = proposed * (1 + lift);
    h = -g;
    h.diagonal().array() += t;
    if (h.llt().info() == Eigen::Success) return t * (1 + slack);
  }
}

// sqrt of the largest eigenvalue of G = A^T A, from its computed value g:
//   |G - g|_2 <= gamma_h || |A|^T |A| ||_2 <= gamma_h |A|_F^2 <= gamma_h (1 + 2 gamma_h) tr g,
// h = gram_depth. Sum, square root and this product are at most eight roundings of the result, and
// what underflows (below 2^-1074 where the largest entry is above 2^-74) is far below one of them.
double gram_bound(const Eigen::MatrixXd& g, int rows) {
  const double rounding = (gram_depth(rows) + 1) * unit;
  return std::sqrt(largest_eigenvalue_bound(g) + rounding * g.trace()) * (1 + 8 * unit);
}

// The least eigenvalue of G, with t above all of them, is t less the largest of t I - G, whose
// diagonal is rounded by a unit of t. The difference below and its root are eight units at most.
template <class T>
double least_gram_bound(const Scaled<T>& s) {
  const Eigen::MatrixXd g = gram(s);
  const double t = largest_eigenvalue_bound(g), rounding = (gram_depth(s.a.rows) + 1) * unit;
  Eigen::MatrixXd rest = -g;
  rest.diagonal().array() += t;
  const double least = t - largest_eigenvalue_bound(rest) - rounding * g.trace() - 8 * unit * t;
  return least > 0 ? std::sqrt(least) * (1 - 8 * unit) : 0;
}

// min(|A|_F, sqrt(|A|_1 |A|_inf)); each sum of rows + cols positive terms errs by as many units.
template <class T>
double sum_bound(const Scaled<T>& s) {
  Eigen::ArrayXd columns = Eigen::ArrayXd::Zero(s.a.cols);
  double squares = 0, largest_row = 0;
  for (int i = 0; i < s.a.rows; ++i) {
    double row = 0, row_squares = 0;
    for (int j = 0; j < s.a.cols; ++j) {
      const double v = std::abs(s(i, j));
      row += v;
      row_squares += v * v;
      columns[j] += v;
    }
    largest_row = std::max(largest_row, row);
    squares += row_squares;
  }
  const double terms = double(s.a.rows) + double(s.a.cols) + 8;
  return std::sqrt(std::min(squares, largest_row * columns.maxCoeff())) * (1 + terms * unit);
}

// A bound on what was divided by 2^exponent becomes one on what was not.
double scaled_back(double bound, int exponent) {
  bound = std::ldexp(bound, exponent);
  if (bound >= std::numeric_limits<double>::min()) return bound;
  return std::nextafter(bound, 1.0);  // ldexp may have rounded a subnormal result down
}

}  // namespace

// The clamp keeps the power itself finite; entries then lie below 2^24 and the largest above 2^-74,
// so that squares neither overflow nor vanish.
int exponent_of(double largest) { return std::clamp(std::ilogb(largest), -1000, 1000); }

template <class T>
double operator_norm_bound(const Matrix<const T>& a) {
  const double largest = largest_entry(a);
  if (largest == 0 || !std::isfinite(largest)) return largest - largest;
  const int exponent = exponent_of(largest);
  const Scaled<T> s{tall(a), std::ldexp(1.0, -exponent)};
  return scaled_back(s.a.cols <= gram_limit ? gram_bound(gram(s), s.a.rows) : sum_bound(s),
                     exponent);
}

double operator_norm_bound(int rows, int cols, double largest, const double* triangle) {
  const int size = std::min(rows, cols);
  Eigen::MatrixXd g = Eigen::MatrixXd::Zero(size, size);
  for (int j = 0; j < size; ++j)
    for (int l = j; l < size; ++l) g(l, j) = triangle[triangle_place(size, j, l)];
  return scaled_back(gram_bound(g, std::max(rows, cols)), exponent_of(largest));
}

template <class T>
double least_singular_bound(const Matrix<const T>& a) {
  const double largest = largest_entry(a);
  if (a.rows < a.cols || a.cols > gram_limit || !(largest > 0) || !std::isfinite(largest)) return 0;
  const int exponent = exponent_of(largest);
  const double bound =
      std::ldexp(least_gram_bound(Scaled<T>{a, std::ldexp(1.0, -exponent)}), exponent);
  return bound >= std::numeric_limits<double>::min() ? bound : 0;
}

template double least_singular_bound(const Matrix<const float>&);
template double least_singular_bound(const Matrix<const double>&);
template double operator_norm_bound(const Matrix<const float>&);
template double operator_norm_bound(const Matrix<const double>&);

}  // namespace softreg
