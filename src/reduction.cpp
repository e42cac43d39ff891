#include "reduction.hpp"

#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <vector>

#include "aligned.hpp"
#include "cpu_lanes.hpp"

namespace softreg {
namespace {

// So short a step does not repay the decomposition soon.
constexpr int few_parameters = 32;

bool shortens(std::int64_t rows, std::int64_t columns) { return 4 * rows <= 3 * columns; }

// A (rows, columns) as R^T (rows, rows) and the reflections that make Q. Squares are formed on the
// way: each row is first brought near 1 by a power of two, and R gets it back.
template <class T>
class Side {
  using Columns = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

 public:
  void take(const Matrix<const T>& a) {
    from_ = a;
    shorter_ = shortens(a.rows, a.cols);
    rows_.clear();
    if (!shorter_) return;
    // (rows, columns) row by row is (columns, rows) column by column: A^T.
    Columns scaled = Eigen::Map<const Columns>(a.data, a.cols, a.rows);
    std::vector<int> exponents(static_cast<std::size_t>(a.rows), 0);
    for (int i = 0; i < a.rows; ++i) {
      const T largest = scaled.col(i).cwiseAbs().maxCoeff();
      int& e = exponents[static_cast<std::size_t>(i)];
      if (largest > T(0)) std::frexp(largest, &e);
      shift(scaled.col(i), -e);
    }
    qr_.compute(scaled);
    Columns r =
        qr_.matrixQR().topRows(a.rows).template triangularView<Eigen::Upper>().toDenseMatrix();
    for (int i = 0; i < a.rows; ++i) shift(r.col(i), exponents[static_cast<std::size_t>(i)]);
    rows_.assign(r.data(), r.data() + r.size());
  }
  bool is_of(const Matrix<const T>& a) const { return a == from_; }
  const T* data() const { return shorter_ ? rows_.data() : from_.data; }
  bool finite() const {
    return std::all_of(rows_.begin(), rows_.end(), [](T v) { return std::isfinite(v); });
  }

  // m becomes Q^T m, or Q m.
  void into(Columns& m) const {
    if (shorter_) m.applyOnTheLeft(qr_.householderQ().adjoint());
  }
  void out_of(Columns& m) const {
    if (shorter_) m.applyOnTheLeft(qr_.householderQ());
  }

 private:
  template <class Column>
  static void shift(Column column, int exponent) {
    for (Eigen::Index k = 0; k < column.size(); ++k) column(k) = std::ldexp(column(k), exponent);
  }

  Matrix<const T> from_{nullptr, 0, 0, 0, 0};
  bool shorter_ = false;
  Eigen::HouseholderQR<Columns> qr_;
  AlignedVector<T> rows_;
};
template <class T>
using SharedSide = std::shared_ptr<Side<T>>;

// Instances that share A are met one after the other: it is decomposed once.
template <class T>
void decompose(const Matrix<const T>& a, SharedSide<T>& side) {
  if (side->is_of(a)) return;
  if (side.use_count() > 1) side = std::make_shared<Side<T>>();
  side->take(a);
}

}  // namespace

Layout reduced_layout(const Layout& l, std::int64_t i) {
  const std::int64_t k = l.first_block(i);
  Layout one;
  one.count = 1;
  one.matrix = l.matrix;
  one.n = l.rows1(k);
  one.m = l.rows2(k);
  one.d1 = shortens(one.n, l.d1) ? static_cast<int>(one.n) : l.d1;
  one.d2 = shortens(one.m, l.d2) ? static_cast<int>(one.m) : l.d2;
  return one;
}

bool reduces(const BatchShape& s, std::int64_t i) {
  const Layout& l = s.layout;
  const std::int64_t k = l.first_block(i);
  return l.first_block(i + 1) - k == 1 && !s.describes && !s.anchored() &&
         (l.matrix || l.d2 > few_parameters) &&
         (shortens(l.rows1(k), l.d1) || shortens(l.rows2(k), l.d2));
}

std::int64_t reduction_values(const Layout& l, std::int64_t i) {
  const Layout r = reduced_layout(l, i);
  const std::int64_t parameters = std::int64_t{r.d1} * r.d2;
  // Both decompositions, each beside the copy that it is made from, and what is left of A1 and A2,
  // twice; Y and Y0, X on its way in and out.
  return 2 * r.n * (l.d1 + r.n) + 2 * r.m * (l.d2 + r.m) + 2 * parameters +
         2 * std::int64_t{l.d1} * l.d2;
}

template <class T>
struct Reduction<T>::State {
  using Columns = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

  SharedSide<T> first = std::make_shared<Side<T>>(), second = std::make_shared<Side<T>>();
  AlignedVector<T> start, y;
  Batch<T> reduced;
  const T* x0 = nullptr;
  T* x = nullptr;
  int d1 = 0, d2 = 0;
  bool tied = false;  // A2 is A1

  const Side<T>& of_a1() const { return *first; }
  const Side<T>& of_a2() const { return tied ? *first : *second; }
};

template <class T>
Reduction<T>::Reduction() : state_(std::make_unique<State>()) {}
template <class T>
Reduction<T>::~Reduction() = default;
template <class T>
Reduction<T>::Reduction(const Reduction& r) : state_(std::make_unique<State>(*r.state_)) {}
template <class T>
Reduction<T>::Reduction(Reduction&&) noexcept = default;

template <class T>
const Batch<T>* Reduction<T>::take(const Batch<T>& batch, std::int64_t i) {
  State& s = *state_;
  const std::int64_t k = batch.first_block(i);
  if (batch.matrix) decompose(batch.a1_of(k), s.first);
  s.tied = batch.matrix && batch.a1_of(k) == batch.a2_of(k);
  if (!s.tied) decompose(batch.a2_of(k), s.second);
  if (!s.of_a1().finite() || !s.of_a2().finite()) return nullptr;
  s.x0 = batch.start_of(i);
  s.x = batch.x_of(i);
  s.d1 = batch.d1;
  s.d2 = batch.d2;
  Batch<T>& r = s.reduced = batch;
  r.narrow(i);
  static_cast<Layout&>(r) = reduced_layout(batch, i);
  s.y.resize(static_cast<std::size_t>(r.parameters()));
  s.start.clear();
  if (s.x0 != nullptr) {
    // X row by row is X^T column by column: Y^T = Q2^T X^T Q1.
    using Columns = typename State::Columns;
    Columns m = Eigen::Map<const Columns>(s.x0, s.d2, s.d1);
    s.of_a2().into(m);
    Columns t = m.topRows(r.d2).transpose();
    s.of_a1().into(t);
    const Columns y = t.topRows(r.d1).transpose();
    s.start.assign(y.data(), y.data() + y.size());
    // X0 is fixed + Q1 Y0 Q2^T: of 16 times the length of Y0 four bits of a step are lost.
    const auto length = [](const Columns& c) { return c.template cast<double>().stableNorm(); };
    if (!(length(Eigen::Map<const Columns>(s.x0, s.d2, s.d1)) <= 16 * length(y))) return nullptr;
  }
  r.a1 = s.of_a1().data();
  r.a2 = s.of_a2().data();
  r.start = s.x0 != nullptr ? s.start.data() : nullptr;
  r.x = s.y.data();
  return &r;
}

template <class T>
bool Reduction<T>::lift() const {
  return lift(state_->y.data());
}

template <class T>
bool Reduction<T>::lift(const T* y) const {
  const State& s = *state_;
  using Columns = typename State::Columns;
  const int d1 = s.reduced.d1, d2 = s.reduced.d2;
  Columns moved = Eigen::Map<const Columns>(y, d2, d1);  // Y^T, then Y - Y0
  if (s.x0 != nullptr) moved -= Eigen::Map<const Columns>(s.start.data(), d2, d1);
  Columns t = Columns::Zero(s.d1, d2);
  t.topRows(d1) = moved.transpose();
  s.of_a1().out_of(t);
  Columns m = Columns::Zero(s.d2, s.d1);
  m.topRows(d2) = t.transpose();
  s.of_a2().out_of(m);
  if (s.x0 != nullptr) m += Eigen::Map<const Columns>(s.x0, s.d2, s.d1);
  Eigen::Map<Columns>(s.x, s.d2, s.d1) = m;
  return m.allFinite();
}

template class Reduction<float>;
template class Reduction<double>;

}  // namespace softreg
