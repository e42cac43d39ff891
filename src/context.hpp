// The contexts of a sequence, each in arrays of its own, and the norms that bound what they do.
#pragma once
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "instance_view.hpp"
#include "matrix_norm.hpp"
#include "softreg/model/length.hpp"
#include "softreg/model/shifts.hpp"
#include "softreg/result.hpp"

namespace softreg {

inline double length(const std::vector<double>& v) {
  const auto squares = [&v](double scale) {
    double sum = 0;
    for (const double e : v) sum += (scale * e) * (scale * e);
    return sum;
  };
  return length_of<double>(squares);
}
inline std::vector<double> difference(const std::vector<double>& v, const std::vector<double>& w) {
  std::vector<double> d;
  for (std::size_t i = 0; i < v.size(); ++i) d.push_back(v[i] - w[i]);
  return d;
}

// Where a context lies in arrays of its own; the same for all.
class Alone {
 public:
  explicit Alone(const Layout& of) : layout_(of) {
    layout_.count = 1;
    if (!of.begin2 || of.count == 0) return;
    const std::int64_t blocks = of.first_block(1);
    blocks_ = {0, blocks};
    for (std::int64_t k = 0; k <= blocks; ++k) {
      begin1_.push_back(of.first1(k));
      begin2_.push_back(of.first2(k));
      begin_z_.push_back(of.first_z(k));
    }
    layout_.blocks = blocks_.data();
    layout_.begin1 = begin1_.data();
    layout_.begin2 = begin2_.data();
    layout_.begin_z = begin_z_.data();
  }
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;
  const Layout& layout() const { return layout_; }

 private:
  Layout layout_;
  std::vector<std::int64_t> blocks_, begin1_, begin2_, begin_z_;
};

// Its data and parameters, in float64, where rounding hides less.
struct Context {
  std::vector<double> a1, a2, x;

  Batch<double> batch(const Layout& alone) const {
    Batch<double> b;
    static_cast<Layout&>(b) = alone;
    b.a1 = a1.data();
    b.a2 = a2.data();
    b.start = x.data();
    return b;
  }
};

// Certified norms of a block, or 1 and |A| of all rows of a vector problem.
struct Norms {
  double a1, a2;
};
inline std::vector<Norms> norms_of(const Batch<double>& b) {
  if (!b.matrix) return {{1, operator_norm_bound(b.a_of(0))}};
  std::vector<Norms> norms;
  for (std::int64_t k = 0; k < b.first_block(1); ++k)
    norms.push_back({operator_norm_bound(b.a1_of(k)), operator_norm_bound(b.a2_of(k))});
  return norms;
}
// Of all blocks together: |A|^2 is at most the sum of their squares. Rounding: a unit a product,
// one a sum, one for the root, and as much again.
inline double whole_norm(const std::vector<Norms>& norms) {
  if (norms.size() == 1) return norms[0].a1 * norms[0].a2 * (1 + 4 * rounding_unit<double>());
  double squares = 0;
  for (const Norms& n : norms) squares += n.a1 * n.a2 * n.a1 * n.a2;
  return std::sqrt(squares) * (1 + double(norms.size() + 8) * rounding_unit<double>());
}

// Those that ran, in order, at the x where their descent ended.
template <class T>
class Contexts {
 public:
  // Both must outlive *this.
  Contexts(const Batch<T>& batch, const Result<T>& result)
      : batch_(batch), view_(batch), result_(result), alone_(batch) {
    for (std::int64_t i = 0; i < batch.count; ++i)
      if (has_begun(result.status[static_cast<std::size_t>(i)])) ran_.push_back(i);
  }

  std::int64_t count() const { return std::int64_t(ran_.size()); }
  std::int64_t instance(std::int64_t k) const { return ran_[static_cast<std::size_t>(k)]; }
  const Layout& alone() const { return alone_.layout(); }
  std::span<const T> b(std::int64_t k) const { return view_.b(instance(k)); }
  std::span<const T> w(std::int64_t k) const { return view_.w(instance(k)); }

  Context operator()(std::int64_t k) const {
    const std::int64_t i = instance(k), d = batch_.parameters();
    const auto wide = [](std::span<const T> v) { return std::vector<double>(v.begin(), v.end()); };
    return {wide(view_.a1(i)), wide(view_.a2(i)),
            wide(std::span(result_.x).subspan(static_cast<std::size_t>(i * d),
                                              static_cast<std::size_t>(d)))};
  }
  ShiftScale<double> scale(double norm) const {
    const Extent e = extent_of(alone(), 0);
    return {int(e.rows), int(e.segments), int(e.longest), int(e.parameters), 1, norm};
  }
  // How many roundings a bound and what is held against it pass beside those of f: lengths of
  // parameters, differences of A (a unit of |.|_F each) and the products.
  int roundings() const {
    const ShiftScale<double> c = scale(0);
    return sum_depth(c) + c.segments + c.parameters + 8;
  }

 private:
  const Batch<T>& batch_;
  InstanceView<T> view_;
  const Result<T>& result_;
  const Alone alone_;
  std::vector<std::int64_t> ran_;
};

}  // namespace softreg
