// The quantities of the theorems and their bounds: what is measured against formulas restated from
// the papers in long double, no violation on the families of gen nor under changed data, the
// in-context theorem's identities, and an attack that attains what is attainable and nothing more.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "generate.hpp"
#include "matrix_norm.hpp"
#include "shift_probe.hpp"
#include "softreg/bounds.hpp"
#include "softreg/error.hpp"
#include "softreg/model/catalog.hpp"

namespace softreg {
namespace {

using Rng = std::mt19937_64;
using Vector = std::vector<double>;
using Long = std::vector<long double>;

std::size_t at(std::int64_t n) { return static_cast<std::size_t>(n); }

// z = A x with b, one softmax; what moves is x, or A, or both.
struct Point {
  int n, d;
  Vector a, x;
};

template <class LossT>
class Pair {
 public:
  Pair(const Point& from, const Point& to, const Vector& b) {
    const Matrix<const double> one{from.a.data(), from.n, from.d, from.d, 1};
    const Matrix<const double> two{to.a.data(), to.n, to.d, to.d, 1};
    norm_ = std::max(operator_norm_bound(one), operator_norm_bound(two));
    probe_.compare(batch(from, b), batch(to, b), 0);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  const BoundSummary<double>& bounds() const { return bounds_; }
  const ShiftSummary<double>& shifts() const { return shifts_; }
  double norm() const { return norm_; }
  int violations() const {
    int v = shifts().sharp.violations + shifts().paper.violations + shifts().paper_at_4.violations;
    for (int k = 0; k < bound_count; ++k) v += bounds().seen(k).violations;
    return v;
  }

 private:
  Batch<double> batch(const Point& p, const Vector& b) {
    Batch<double> batch;
    batch.shifts = &shifts_;
    batch.bounds = &bounds_;
    batch.count = 1;
    batch.d2 = p.d;
    batch.m = p.n;
    batch.a2 = p.a.data();
    batch.target = b.data();
    batch.start = p.x.data();
    batch.operator_norm = &norm_;
    return batch;
  }
  double norm_ = 0;
  ShiftSummary<double> shifts_{};
  BoundSummary<double> bounds_{};
  ShiftProbe<double> probe_{static_cast<int>(AnyLoss(LossT{}).index())};
};

// The papers' quantities at one point, plainly.
struct Naive {
  Long z, u, f, c, h, g, e;
  long double mass = 0, q = 0, top;
  Naive(const Point& p, const Vector& b) {
    for (int i = 0; i < p.n; ++i) {
      long double s = 0;
      for (int j = 0; j < p.d; ++j)
        s += static_cast<long double>(p.a[at(i * p.d + j)]) * static_cast<long double>(p.x[at(j)]);
      z.push_back(s);
      u.push_back(std::exp(s));
      mass += u.back();
    }
    top = *std::max_element(z.begin(), z.end());
    for (std::size_t i = 0; i < z.size(); ++i) {
      const long double target = static_cast<long double>(b[i]);
      f.push_back(u[i] / mass);
      c.push_back(f[i] - target);
      h.push_back(f[i] * c[i]);
      q += f[i] * c[i];
      e.push_back(u[i] - mass * target);
    }
    for (std::size_t i = 0; i < z.size(); ++i) g.push_back(h[i] - q * f[i]);
  }
};

long double length(const Long& v) {
  long double s = 0;
  for (const long double e : v) s += e * e;
  return std::sqrt(s);
}
long double distance(const Long& v, const Long& w) {
  Long d;
  for (std::size_t i = 0; i < v.size(); ++i) d.push_back(v[i] - w[i]);
  return length(d);
}
Long wide(const Vector& v) { return Long(v.begin(), v.end()); }

// A^T v, of vectors of rows.
Long transposed(const Point& p, const Long& v) {
  Long out(at(p.d), 0);
  for (int i = 0; i < p.n; ++i)
    for (int j = 0; j < p.d; ++j)
      out[at(j)] += static_cast<long double>(p.a[at(i * p.d + j)]) * v[at(i)];
  return out;
}

Vector simplex(int n, Rng& rng) {
  std::exponential_distribution<double> part;
  Vector b;
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    b.push_back(rng() % 3 == 0 && n > 1 && i + 1 < n ? 0 : part(rng));
    sum += b.back();
  }
  for (double& v : b) v /= sum * (1 + 1e-12);
  return b;
}

struct Expected {
  int k;
  long double measured, bound;
};

template <class LossT>
std::vector<Expected> restated(const Point& p, const Point& moved, const Vector& b, double norm) {
  const Naive s(p, b), t(moved, b);
  const long double dz = distance(t.z, s.z), top = std::max(s.top, t.top), most = std::exp(top);
  const long double n = p.n, dx = distance(wide(moved.x), wide(p.x)), a = norm;
  const long double dmass = std::abs(t.mass - s.mass), du = distance(t.u, s.u);
  const long double both = length(t.c) + length(s.c), change = std::abs(length(t.c) - length(s.c));
  const long double r = std::max({a, length(wide(p.x)), length(wide(moved.x))}), r2 = r * r;
  const long double low = std::min(s.mass, t.mass),
                    factor = most * (1 + std::sqrt(n) * length(wide(b)));
  std::vector<Expected> all{
      {bound_u, du / most, dz},
      {bound_mass, dmass / std::max(length(s.u), length(t.u)), dz},
      {bound_inverse_mass, std::abs(1 / t.mass - 1 / s.mass) * low, dz},
      {bound_h, distance(t.h, s.h), dz},
      {bound_q, std::abs(t.q - s.q), std::sqrt(5.0L) / 2 * dz},
      {bound_dlogit, distance(t.g, s.g), 0.75L * dz},
      {bound_error, change, dz / 2},
      {bound_paper_u, du / most, 2 * std::sqrt(n) * r * std::exp(r2 - top) * dx},
      {bound_paper_mass, dmass / most, std::sqrt(n) * du / most},
      {bound_paper_inverse_mass, std::abs(1 / t.mass - 1 / s.mass) * low,
       std::exp(2 * r2) * dmass * low},
      {bound_paper_f, distance(t.f, s.f), std::pow(n, 1.5L) * std::exp(5 * r2) * dx}};
  if constexpr (std::is_same_v<LossT, SoftmaxL2>) {
    const long double loss = std::abs(length(t.c) * length(t.c) - length(s.c) * length(s.c)) / 2;
    all.push_back({bound_loss, loss, both / 4 * dz});
    all.push_back(
        {bound_gradient, distance(transposed(moved, t.g), transposed(p, s.g)), 0.75L * a * dz});
  } else {
    const auto gradient = [&b](const Point& at_point, const Naive& o) {
      long double be = 0;
      for (std::size_t i = 0; i < b.size(); ++i) be += static_cast<long double>(b[i]) * o.e[i];
      Long g;
      for (std::size_t i = 0; i < b.size(); ++i) g.push_back(o.u[i] * (o.e[i] - be));
      return transposed(at_point, g);
    };
    all.push_back({bound_rescaled_error, distance(t.e, s.e) / factor, dz});
    all.push_back({bound_rescaled_loss, std::abs(length(t.e) - length(s.e)) / factor, dz});
    all.push_back({bound_rescaled_gradient, distance(gradient(moved, t), gradient(p, s)),
                   (2 * n + 2 * std::sqrt(n) + 2) * most * most * a * dz});
  }
  return all;
}

Vector normals(std::int64_t count, double size, Rng& rng) {
  std::normal_distribution<double> normal;
  Vector v;
  for (std::int64_t i = 0; i < count; ++i) v.push_back(size * normal(rng));
  return v;
}

template <class LossT>
void compare_with_restated(std::int64_t& compared) {
  Rng rng(11);
  for (int trial = 0; trial < 3000; ++trial) {
    const int n = 1 + int(rng() % 9), d = 1 + int(rng() % 4);
    const Point p{n, d, normals(n * d, 1, rng), normals(d, 1, rng)};
    Point moved = p;
    const Vector step = normals(d, std::pow(10.0, -double(rng() % 3)), rng);
    for (int j = 0; j < d; ++j) moved.x[at(j)] += step[at(j)];
    const Vector b = simplex(n, rng);
    const Pair<LossT> pair(p, moved, b);
    for (const Expected& want : restated<LossT>(p, moved, b, pair.norm())) {
      const auto got = pair.bounds().seen(want.k);
      ASSERT_EQ(got.judged, 1) << want.k;
      ASSERT_EQ(got.violations, 0) << want.k;
      // Differences of numbers of order 1 for steps of 1e-2, rounded in 1e-16.
      if (want.measured < 1e-9L) continue;
      ASSERT_NEAR(got.measured, double(want.measured), 1e-6 * double(want.measured) + 1e-13)
          << "bound " << want.k << ", n = " << n << ", d = " << d;
      ASSERT_NEAR(got.log10_bound, double(std::log10(want.bound)), 1e-9) << "bound " << want.k;
      ++compared;
    }
  }
}

TEST(Theory, MeasuresWhatThePapersDefine) {
  std::int64_t compared = 0;
  compare_with_restated<SoftmaxL2>(compared);
  compare_with_restated<RescaledL2>(compared);
  std::printf("[count] shifts and bounds against formulas restated in long double: %lld\n",
              static_cast<long long>(compared));
}

struct Looseness {
  std::int64_t updates = 0;
  double closest[bound_count];
  Looseness() { std::fill(std::begin(closest), std::end(closest), HUGE_VAL); }
};

template <class LossT>
void families(Looseness& loose, std::int64_t instances, unsigned seed) {
  Rng rng(seed);
  const double radii[] = {0.5, 1, 2, 4, 6, 12};
  for (std::int64_t i = 0; i < instances; ++i) {
    GenerateOptions o;
    o.family = static_cast<Family>(i % 6);
    o.n_min = o.n_max = 2 + int(rng() % 15);
    o.d = 1 + int(rng() % 4);
    o.count = instances;
    o.radius = radii[rng() % 6];
    o.seed = seed;
    Point p{o.n_min, o.d, Vector(at(o.n_min * o.d)), Vector(at(o.d))};
    Vector b(at(o.n_min));
    generate_instance(o, i, p.a, b, p.x);
    Point moved = p;
    const double size = o.radius * std::pow(10.0, -double(rng() % 7));
    const Vector step = normals(o.d, size, rng);
    for (int j = 0; j < o.d; ++j) moved.x[at(j)] += step[at(j)];
    const Pair<LossT> pair(p, moved, rng() % 2 ? b : simplex(o.n_min, rng));
    ASSERT_EQ(pair.violations(), 0) << "family " << i % 6 << ", n = " << o.n_min << ", d = " << o.d
                                    << ", R = " << o.radius << ", step " << size;
    ++loose.updates;
    for (int k = 0; k < bound_count; ++k)
      if (const auto w = pair.bounds().seen(k); w.measured > 0)
        loose.closest[k] = std::min(loose.closest[k], w.margin);
  }
}

TEST(Theory, NoBoundIsViolatedOnTheFamiliesOfGen) {
  Looseness loose;
  families<SoftmaxL2>(loose, 24'000, 1);
  families<RescaledL2>(loose, 24'000, 2);
  families<CrossEntropy>(loose, 6'000, 3);
  EXPECT_GE(loose.updates, 50'000);
  std::printf("[count] instances of six families, R up to 12, judged by every bound: %lld\n",
              static_cast<long long>(loose.updates));
  for (int k = 0; k < bound_count; ++k) {
    EXPECT_TRUE(std::isfinite(loose.closest[k])) << "bound " << k << " was never judged";
    EXPECT_GE(loose.closest[k], -1e-6) << k;
    std::printf("[count] bound %d: closest log10(bound / measured) %.2g\n", k, loose.closest[k]);
  }
}

TEST(Theory, AStepIsAChangeOfTargetAndOfData) {
  Rng rng(5);
  for (int trial = 0; trial < 500; ++trial) {
    const int n = 2 + int(rng() % 9), d = 1 + int(rng() % 4);
    const Point p{n, d, normals(n * d, 1, rng), normals(d, 1, rng)};
    Point moved = p, data = p;
    const Vector dx = normals(d, 0.1, rng);
    double squares = 0;
    for (int j = 0; j < d; ++j) squares += p.x[at(j)] * p.x[at(j)];
    for (int j = 0; j < d; ++j) moved.x[at(j)] += dx[at(j)];
    for (int i = 0; i < n; ++i) {  // A + (A dx) x^T / |x|^2
      double adx = 0;
      for (int j = 0; j < d; ++j) adx += p.a[at(i * d + j)] * dx[at(j)];
      for (int j = 0; j < d; ++j) data.a[at(i * d + j)] += adx * p.x[at(j)] / squares;
    }
    const Vector b = simplex(n, rng);
    const Pair<SoftmaxL2> by_weights(p, moved, b), by_data(p, data, b);
    const BoundSummary<double>& w = by_weights.bounds();
    EXPECT_NEAR(by_data.shifts().f_max, by_weights.shifts().f_max, 1e-13);
    EXPECT_EQ(w.target_shift, by_weights.shifts().f_max);
    EXPECT_LE(w.identity, 1e-15);
    const Naive s(p, b), t(moved, b);
    EXPECT_NEAR(w.data_shift, double(distance(t.z, s.z)) / std::sqrt(squares), 1e-12);
    EXPECT_NEAR(w.error_change, double(std::abs(length(t.c) - length(s.c))), 1e-14);
    const Pair<RescaledL2> rescaled(p, moved, b);
    EXPECT_LE(rescaled.bounds().identity, 1e-14);
    EXPECT_NEAR(rescaled.bounds().target_shift / double(distance(t.e, s.e) / s.mass), 1, 1e-9);
  }
}

// Every b of the batch sums to 1; the changed problem has other data, and other x0 if `both`.
TEST(Theory, DataShiftsOfBatchesNeverViolate) {
  Rng rng(8);
  std::int64_t judged = 0;
  for (int trial = 0; trial < 40; ++trial) {
    const double size = std::pow(10.0, -double(trial % 6));
    const Options options{.loss = trial % 2 ? AnyLoss(RescaledL2{}) : AnyLoss(SoftmaxL2{})};
    const Vector a1 = normals(200 * 5 * 2, 0.7, rng), a2 = normals(200 * 7 * 3, 0.7, rng);
    const Vector x = normals(200 * 2 * 3, 0.7, rng);
    Vector b, moved1 = a1, moved2 = a2, moved_x = x;
    for (int s = 0; s < 200 * 5; ++s)
      for (const double v : simplex(7, rng)) b.push_back(v);
    for (Vector* v : {&moved1, &moved2, &moved_x}) {
      const Vector by = normals(std::ssize(*v), size, rng);
      for (std::size_t i = 0; i < by.size() && (v != &moved_x || trial % 4 > 1); ++i)
        (*v)[i] += by[i];
    }
    const MatrixProblem<double> from{
        .count = 200, .n = 5, .m = 7, .d1 = 2, .d2 = 3, .a1 = a1, .a2 = a2, .b = b, .x0 = x};
    MatrixProblem<double> to = from;
    to.a1 = moved1;
    to.a2 = moved2;
    to.x0 = moved_x;
    const VectorProblem<double> vector{.count = 200,
                                       .n = 7,
                                       .d = 3,
                                       .a = a2,
                                       .b = std::span(b).first(7),
                                       .x0 = std::span(x).first(600)};
    VectorProblem<double> changed = vector;
    changed.a = moved2;
    changed.x0 = std::span<const double>(moved_x).first(600);
    for (const Result<double>& r :
         {measure_data_shift(from, to, options), measure_data_shift(vector, changed, options)})
      for (const BoundReport& report : bound_reports(r)) {
        EXPECT_EQ(report.violations, 0) << report.id << ", size " << size;
        judged += report.id[0] == 'D' ? report.updates : 0;
      }
  }
  std::printf("[count] data shifts judged, a bound each: %lld\n", static_cast<long long>(judged));
}

TEST(Theory, AnAttackAttainsD8AndExceedsNothing) {
  Rng rng(3);
  const Vector a = normals(170 * 2 * 2, 1, rng), x = normals(170 * 2, 1, rng);
  Vector b;
  for (int i = 0; i < 170; ++i)
    for (const double v : simplex(2, rng)) b.push_back(v);
  const VectorProblem<double> p{.count = 170, .n = 2, .d = 2, .a = a, .b = b, .x0 = x};
  std::int64_t finished = 0;
  const Result<double> r =
      attack_bounds(p, {.threads = 1}, 200, 1, [&](std::int64_t) { ++finished; });
  EXPECT_EQ(finished, 170);
  for (const BoundReport& report : bound_reports(r)) {
    EXPECT_EQ(report.violations, 0) << report.id;
    if (report.id == "D8") {
      EXPECT_LT(report.log10_ratio, -std::log10(0.999));
      EXPECT_GE(report.log10_ratio, -1e-9);
    }
    if (report.id == "D5" || report.id == "D6") {
      EXPECT_LT(report.log10_ratio, -std::log10(0.99)) << report.id;
    }
    if (report.id == "D9" || report.id == "D10") {
      EXPECT_GT(report.log10_ratio, 0.1) << report.id;
    }
  }
  EXPECT_EQ(bound_reports(r, 0.9)[0].id, "D8");
  EXPECT_GT(bound_reports(r, 0.9)[0].violations, 0);
}

TEST(Theory, RefusesWhatItDoesNotSpeakOf) {
  const Vector one{1}, two{1, 1};
  const VectorProblem<double> p{.count = 1, .n = 1, .d = 1, .a = one, .b = one};
  const VectorProblem<double> more{.count = 2, .n = 1, .d = 1, .a = two, .b = two};
  const auto sentence = [](auto call) {
    try {
      call();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::usage);
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(sentence([&] { attack_bounds(p, {.loss = ExpL2{}}, 1, 1); }),
            "the bounds speak of a softmax, which the loss 'exp_l2' does not have");
  EXPECT_EQ(sentence([&] { measure_data_shift(p, p, {.loss = LeastSquares{}}); }),
            "the bounds speak of a softmax, which the loss 'least_squares' does not have");
  EXPECT_EQ(sentence([&] { measure_data_shift(p, more, {}); }),
            "the number of instances is 2 in the changed problem but 1 in the problem");
  const VectorProblem<double> longer{.count = 1, .n = 2, .d = 1, .a = two, .b = two},
      wider{.count = 1, .n = 1, .d = 2, .a = two, .b = one};
  EXPECT_EQ(
      sentence([&] { measure_data_shift(p, longer, {}); }),
      "the length of the softmaxes of block 0 is 2 in the changed problem but 1 in the problem");
  EXPECT_EQ(sentence([&] { measure_data_shift(p, wider, {}); }),
            "d2 is 2 in the changed problem but 1 in the problem");
  const std::vector<std::int64_t> segments{0, 1, 2}, instances{0, 2};
  const VectorProblem<double> several{
      .count = 1, .d = 1, .a = two, .b = two, .segments = segments, .instances = instances};
  EXPECT_EQ(sentence([&] { attack_bounds(several, {}, 1, 1); }),
            "instance 0 has 2 softmaxes, but an attack takes one");
}

}  // namespace
}  // namespace softreg
