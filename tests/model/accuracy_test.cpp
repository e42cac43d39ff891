// What the lagged shift and the deflated sums are for: losses and gradients near the minimum in
// single precision, jumps of the logits that the guard must catch, and the rescaled loss where its
// values leave the range of the type.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "model/lone_solve.hpp"

namespace softreg {
namespace {

using instances::Instance;
using oracle::Real;
using oracle::Vector;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

template <class T>
Real distance(const T* got, const Vector& want) {
  Real sum = 0;
  for (std::size_t j = 0; j < want.size(); ++j) sum += (got[j] - want[j]) * (got[j] - want[j]);
  return std::sqrt(sum);
}
double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

// (n, d) = (1024, 32), A normal, x* of size 1/6 per coordinate, b = f(x*) rounded to T, and a start
// `distance` of that size away.
Instance<float> near_minimum(double far, std::uint64_t seed) {
  instances::Random r(seed);
  Instance<float> p{1024, 32, {}, {}, {}, {}};
  for (int k = 0; k < p.n * p.d; ++k) p.a.push_back(static_cast<float>(r.normal()));
  Vector z(at(p.n), 0);
  for (int j = 0; j < p.d; ++j) {
    p.x0.push_back(static_cast<float>(r.normal() / 6));
    for (int i = 0; i < p.n; ++i) z[at(i)] += static_cast<Real>(p.a[at(i * p.d + j)]) * p.x0[at(j)];
  }
  for (const Real f : oracle::softmax(z)) p.b.push_back(static_cast<float>(f));
  for (float& x : p.x0) x = static_cast<float>(x + far * r.normal() / 6);
  return p;
}

// The oracle's formulas for one softmax without the (n, n) Jacobian, which is too large here.
struct Exact {
  Real loss = 0;
  Vector gradient;
};
Exact exact_softmax_l2(const Instance<float>& p) {
  Vector z(at(p.n), 0);
  for (int i = 0; i < p.n; ++i)
    for (int j = 0; j < p.d; ++j) z[at(i)] += static_cast<Real>(p.a[at(i * p.d + j)]) * p.x0[at(j)];
  const Vector f = oracle::softmax(z);
  Real q = 0;
  Exact out{0, Vector(at(p.d), 0)};
  for (int i = 0; i < p.n; ++i) {
    const Real c = f[at(i)] - p.b[at(i)];
    out.loss += c * c / 2;
    q += f[at(i)] * c;
  }
  for (int i = 0; i < p.n; ++i)
    for (int j = 0; j < p.d; ++j)
      out.gradient[at(j)] += p.a[at(i * p.d + j)] * f[at(i)] * (f[at(i)] - p.b[at(i)] - q);
  return out;
}

struct Errors {
  double loss, gradient;
};
template <class T>
Errors errors(T loss, const T* gradient, const Exact& want) {
  return {static_cast<double>(std::abs(loss - want.loss) / want.loss),
          static_cast<double>(distance(gradient, want.gradient) / oracle::length(want.gradient))};
}

// One pass at the maximum, sums of u^2, u b and b^2 on their own: what deflation replaces.
Errors plain_form(const Instance<float>& p, const Exact& want) {
  std::vector<float> z(at(p.n), 0.0f);
  for (int i = 0; i < p.n; ++i)
    for (int j = 0; j < p.d; ++j) z[at(i)] = fma_(p.a[at(i * p.d + j)], p.x0[at(j)], z[at(i)]);
  const float most = *std::max_element(z.begin(), z.end());
  const auto sum = [&](auto term) {  // 16 partial sums, as the evaluator's lanes
    return LaneGroup<16>().sum<float>(
        p.n, [&](int i, float s) { return s + term(i, exp_(z[at(i)] - most)); });
  };
  const auto b = [&](int i) { return p.b[at(i)]; };
  const float r = 1 / sum([](int, float u) { return u; });
  const float uu = sum([](int, float u) { return u * u; });
  const float ub = sum([&](int i, float u) { return u * b(i); });
  const float bb = sum([&](int i, float) { return b(i) * b(i); });
  const float loss = (uu * r * r - 2 * ub * r + bb) / 2, q = uu * r * r - ub * r;
  std::vector<float> gradient;
  for (int j = 0; j < p.d; ++j) {
    const auto a = [&](int i) { return p.a[at(i * p.d + j)]; };
    const float p1 = sum([&](int i, float u) { return u * u * a(i); });
    const float p2 = sum([&](int i, float u) { return u * b(i) * a(i); });
    const float p3 = sum([&](int i, float u) { return u * a(i); });
    gradient.push_back(p1 * r * r - p2 * r - q * r * p3);
  }
  return errors(loss, gradient.data(), want);
}

// As in a solve: an evaluation nearby leaves its shift for the one that is measured.
template <class G>
Errors deflated_form(const Instance<float>& p, const Exact& want) {
  LoneSolve<SoftmaxL2, GradientDescent, float, G> lone(p, {});
  for (int j = 0; j < p.d; ++j) lone.parameter(j) *= 1.001f;
  lone.evaluator.init();
  lone.evaluator.evaluate(0, false);
  for (int j = 0; j < p.d; ++j) lone.parameter(j) = p.x0[at(j)];
  lone.evaluator.evaluate(1, false);
  return errors(lone.evaluator.loss, lone.gradient_now(), want);
}

// The table of the specification's section on the accuracy of the one-pass form.
struct Row {
  double distance, loss;   // of the start; 1/2 |f - b|^2
  Errors plain, deflated;  // as tabulated; the larger of the deflated and of the two-pass form
};
constexpr Row table[] = {{1e-1, 5e-6, {8e-6, 4e-6}, {3e-7, 7e-7}},
                         {1e-2, 1e-7, {6e-4, 4e-5}, {4e-6, 9e-6}},
                         {1e-3, 8e-10, {5e-2, 4e-4}, {3e-5, 8e-5}},
                         {1e-4, 8e-12, {3.4, 6e-3}, {2e-4, 6e-4}}};

TEST(NearTheMinimum, TheTableOfTheSpecificationIsReproduced) {
  std::printf("%10s | %-21s | %-21s | %-21s\n", "L", "plain: L, gradient", "deflated, 1 lane",
              "deflated, 16 lanes");
  for (const Row& row : table) {
    std::vector<double> loss, p_loss, p_grad, d_loss, d_grad, w_loss, w_grad;
    for (std::uint64_t seed = 0; seed < 9; ++seed) {
      const Instance<float> p = near_minimum(row.distance, seed);
      const Exact want = exact_softmax_l2(p);
      const Errors plain = plain_form(p, want), one = deflated_form<LaneGroup<1>>(p, want),
                   wide = deflated_form<LaneGroup<16, true>>(p, want);
      loss.push_back(static_cast<double>(want.loss));
      p_loss.push_back(plain.loss);
      p_grad.push_back(plain.gradient);
      d_loss.push_back(one.loss);
      d_grad.push_back(one.gradient);
      w_loss.push_back(wide.loss);
      w_grad.push_back(wide.gradient);
    }
    std::printf("%10.1e | %9.1e %9.1e   | %9.1e %9.1e   | %9.1e %9.1e\n", median(loss),
                median(p_loss), median(p_grad), median(d_loss), median(d_grad), median(w_loss),
                median(w_grad));
    // The instances are drawn anew, so errors agree with the tabulated ones within a factor of 5.
    EXPECT_LT(std::abs(std::log10(median(loss) / row.loss)), std::log10(5));
    EXPECT_LT(median(d_loss), 5 * row.deflated.loss);
    EXPECT_LT(median(d_grad), 5 * row.deflated.gradient);
    EXPECT_LT(median(w_loss), 5 * row.deflated.loss);
    EXPECT_LT(median(w_grad), 5 * row.deflated.gradient);
    EXPECT_GT(median(p_loss), row.plain.loss / 5);
    EXPECT_GT(median(p_loss), 5 * median(w_loss)) << "what the deflation is for";
  }
}

// z_i = a_i x with a single parameter: x = 1 puts the logits where A says.
template <class T>
Instance<T> at_logits(const std::vector<double>& z, const std::vector<double>& b) {
  Instance<T> p{static_cast<int>(z.size()), 1, {}, {}, {T(1)}, {}};
  for (const double v : z) p.a.push_back(static_cast<T>(v));
  for (const double v : b) p.b.push_back(static_cast<T>(v));
  return p;
}

// Relative to dL/dz, whose terms are f times numbers of order one; u = exp(z - shift) errs by as
// many units as |z| has.
template <class L, class T>
void compare_at(LoneSolve<L, GradientDescent, T>& lone, const Instance<T>& p, T x, int step) {
  lone.parameter(0) = x;
  lone.evaluator.evaluate(step, false);
  const oracle::PointAt want =
      oracle::evaluate<L>(instances::exact(p, false), {static_cast<Real>(x)});
  Real reach = 0, scale = 0;
  for (std::size_t i = 0; i < want.z.size(); ++i) {
    reach = std::max(reach, std::abs(want.z[i]));
    scale += std::abs(p.a[i]) * (std::abs(want.dlogits[i]) + want.f[i]);
  }
  const Real unit = std::numeric_limits<T>::epsilon() / 2;
  const Real tolerance = (16 + 4 * reach) * unit;
  ASSERT_LE(std::abs(lone.evaluator.loss - want.loss), tolerance * (1 + want.loss))
      << "step " << step << " to x = " << x;
  const Real underflow = 4 * std::numeric_limits<T>::denorm_min();  // u or f is 0 below it
  for (const T a : p.a) scale += std::abs(Real(a)) * underflow / tolerance;
  ASSERT_LE(std::abs(lone.gradient_now()[0] - want.gradient[0]), tolerance * scale)
      << "step " << step << " to x = " << x;
}

template <class L, class T>
void jump(const std::vector<double>& sizes) {
  const std::vector<double> b = {0.1, 0.2, 0.3, 0.4};
  long jumps = 0;
  // All logits together (the mass jumps), apart, one alone.
  for (const std::vector<double>& z :
       {std::vector<double>{1, 1, 1, 1}, {1, 0.99, 0.98, 1.01}, {1, -1, 0.5, 0}, {0, 0, 1, 0}}) {
    const Instance<T> p = at_logits<T>(z, b);
    LoneSolve<L, GradientDescent, T> lone(p, {});
    lone.evaluator.init();
    int step = 0;
    for (const double first : sizes)
      for (const double second : sizes)
        for (const double x : {first, second, 0.5, second, first, -second}) {
          compare_at(lone, p, static_cast<T>(x), step++);
          if (testing::Test::HasFatalFailure()) return;
          ++jumps;
        }
    for (const double x : sizes) {  // the first step of all
      LoneSolve<L, GradientDescent, T> fresh(p, {});
      fresh.evaluator.init();
      compare_at(fresh, p, static_cast<T>(x), 0);
    }
  }
  std::printf("[count] %s jumps of the logits: %ld\n", L::name.data(), jumps);
}

template <class L>
class GuardOf : public testing::Test {};
using Invariant = testing::Types<SoftmaxL2, CrossEntropy>;
TYPED_TEST_SUITE(GuardOf, Invariant, instances::ByName);

TYPED_TEST(GuardOf, CatchesJumpsInSinglePrecision) {
  jump<TypeParam, float>({60, -60, 500, -500, 3, 20, -20});
}
TYPED_TEST(GuardOf, CatchesJumpsInDoublePrecision) {
  jump<TypeParam, double>({60, -60, 5000, -5000, 3, 300, -700});
}

// Through solve's own loop: one step with a large step size throws the logits by hundreds.
TYPED_TEST(GuardOf, CatchesJumpsOfALargeStep) {
  for (const double jump : {60.0, -60.0, 500.0, -500.0}) {
    Instance<float> p = at_logits<float>({1, 0.5, -0.5, 0.25}, {0.1, 0.2, 0.3, 0.4});
    p.x0[0] = 0.01f;
    oracle::Problem exact = instances::exact(p, false);
    const Real slope = oracle::evaluate<TypeParam>(exact, exact.x0).gradient[0];
    const double t = std::abs(jump / static_cast<double>(slope));
    LoneSolve<TypeParam, GradientDescent, float> lone(p, {.step_size = t, .stop = {1, 0, 1}});
    const Outcome<float> out = lone.run();
    ASSERT_GT(std::abs(lone.x[0]), 50);
    const oracle::PointAt want = oracle::evaluate<TypeParam>(exact, {lone.x[0]});
    EXPECT_LE(std::abs(out.loss - want.loss), 1e-4L * want.loss);
    EXPECT_LE(std::abs(out.gradient_norm - std::abs(want.gradient[0])), 1e-4L);
  }
}

// Counts what a sweep of one evaluation each came to.
struct Ends {
  long right = 0, overflow = 0;
};

// Loss and gradient at logits z are right, or the instance says overflow and the truth does not
// fit.
template <class T>
void rescaled_at(const std::vector<double>& z, const std::vector<double>& b, Ends& ends) {
  const Instance<T> p = at_logits<T>(z, b);
  LoneSolve<RescaledL2, GradientDescent, T> lone(p, {.describing = true, .stop = {0, 0, 1}});
  const Outcome<T> out = lone.run();
  const oracle::PointAt want = oracle::evaluate<RescaledL2>(instances::exact(p, false), {1});
  const Real unit = std::numeric_limits<T>::epsilon() / 2, most = std::numeric_limits<T>::max();
  // L = e^2s L', dL/dz = e^2s g', and L' <= (1 + |b|_1)^2, |g'_i| <= f_i (1 + |b|_1)^2 in any sign
  // of the terms: sums of n terms, and exp of numbers with units of |z|, cost (n + 16 + 4 |z|)
  // units.
  Real reach = 0, pull = 1, largest = want.loss, sum_of_sizes = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    reach = std::max(reach, std::abs(want.z[i]));
    pull += std::abs(Real(p.b[i]));
    largest = std::max(largest, std::abs(want.dlogits[i]));
  }
  const Real relative = (Real(z.size()) + 16 + 4 * reach) * unit;
  const Real mass = std::exp(want.log_mass), size = mass * mass * pull * pull;
  // u and g' may be subnormal before they are scaled, the result after.
  const Real underflow = std::numeric_limits<T>::denorm_min() * (2 + size);
  Real terms = 0;  // of the gradient: their partial sums may overflow before they cancel
  for (std::size_t i = 0; i < z.size(); ++i) {
    terms += std::abs(p.a[i] * want.dlogits[i]);
    sum_of_sizes += std::abs(Real(p.a[i])) * (want.f[i] * size * relative + underflow);
  }
  largest = std::max(largest, terms);
  if (out.status == Status::overflow) {
    ++ends.overflow;
    EXPECT_GT(largest + relative * size, most) << "overflow, but the largest is " << largest;
    EXPECT_EQ(lone.x[0], T(1));
    return;
  }
  ++ends.right;
  ASSERT_EQ(out.status, Status::max_steps);
  EXPECT_LE(std::abs(out.loss - want.loss), relative * (size + want.loss) + underflow);
  EXPECT_LE(std::abs(out.gradient_norm - std::abs(want.gradient[0])), sum_of_sizes);
  for (std::size_t i = 0; i < z.size(); ++i) {
    EXPECT_LE(std::abs(lone.dlogits[i] - want.dlogits[i]), want.f[i] * size * relative + underflow)
        << "row " << i << ": " << lone.dlogits[i] << " for " << want.dlogits[i];
    EXPECT_FALSE(std::isnan(lone.output[i]));
  }
  EXPECT_FALSE(std::isnan(lone.log_mass));
}

template <class T>
Ends rescaled_sweep(double top) {
  Ends ends;
  const std::vector<std::vector<double>> shapes = {
      {1, 1, 1, 1}, {1, 0.999, 0.998, 1}, {1, 0, -1, 0.5}, {0, 0, 1, 0}, {-1, 0.1, 0, 0.2}};
  for (const std::vector<double>& shape : shapes)
    for (int k = -200; k <= 200; ++k)
      for (const std::vector<double>& b : {std::vector<double>{0.1, 0.2, 0.3, 0.4},
                                           {0, 1, 0, 0},
                                           {0.25, 0.25, 0.25, 0.25},
                                           {0, 0, 0, 0}}) {
        std::vector<double> z = shape;
        for (double& v : z) v *= top * k / 200;
        rescaled_at<T>(z, b, ends);
        if (testing::Test::HasFailure()) return ends;
      }
  return ends;
}

TEST(Rescaled, IsRightOrSaysOverflowInSinglePrecision) {
  const Ends far = rescaled_sweep<float>(500), near = rescaled_sweep<float>(60);
  EXPECT_GT(far.overflow, 500);
  EXPECT_GT(far.right, 1500);
  EXPECT_GT(near.right, 5000);
  std::printf("[count] rescaled_l2 f32 right: %ld, overflow: %ld\n", far.right + near.right,
              far.overflow + near.overflow);
}
TEST(Rescaled, IsRightOrSaysOverflowInDoublePrecision) {
  const Ends far = rescaled_sweep<double>(5000), near = rescaled_sweep<double>(500);
  EXPECT_GT(far.overflow, 500);
  EXPECT_GT(far.right, 1500);
  EXPECT_GT(near.right, 5000);
  std::printf("[count] rescaled_l2 f64 right: %ld, overflow: %ld\n", far.right + near.right,
              far.overflow + near.overflow);
}

// f = b exactly: the loss is 0 * exp(2 s), whose factor is infinite for large logits.
TEST(Rescaled, IsExactlyZeroWhereThePredictionIsTheTarget) {
  for (const double z : {0.0, 1.0, 50.0, 500.0, -500.0}) {
    const Instance<float> p = at_logits<float>({z, z, z, z}, {0.25, 0.25, 0.25, 0.25});
    LoneSolve<RescaledL2, GradientDescent, float> lone(p, {});
    const Outcome<float> out = lone.run();
    // u = exp(z - log of the mass) may miss 1/4 by a unit; at 500 exp(1000) makes that an overflow.
    if (out.status == Status::overflow) {
      EXPECT_GT(z, 40);
      continue;
    }
    EXPECT_EQ(out.status, Status::converged);
    EXPECT_LE(out.loss, std::exp(2 * std::min(z, 0.0) + 20) * 1e-13);
  }
  for (const double z : {-5000.0, -500.0, 0.0, 500.0, 5000.0}) {  // n = 1, b = 1: u = mass
    const Instance<double> p = at_logits<double>({z}, {1});
    LoneSolve<RescaledL2, GradientDescent, double> lone(p, {});
    const Outcome<double> out = lone.run();
    EXPECT_EQ(out.status, Status::converged) << "z = " << z;
    EXPECT_EQ(out.loss, 0);
    EXPECT_EQ(out.gradient_norm, 0);
  }
}

// Every update of a descent that is thrown far out ends in a number or in a status, never in NaN.
TEST(Rescaled, NeverReturnsNan) {
  long runs = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed)
    for (const double t : {1e-4, 1e-1, 1e2, 1e6, 1e30}) {
      const Instance<float> p =
          instances::make<float>(instances::case_of(seed), instances::every_shape[seed % 14], seed);
      LoneSolve<RescaledL2, GradientDescent, float> lone(
          p, {.step_size = t, .stop = {50, 1e-6, 1 + static_cast<int>(seed % 9)}});
      const Outcome<float> out = lone.run();
      const bool started = !(out.steps == 0 && out.status == Status::overflow);
      EXPECT_FALSE(started && !std::isfinite(out.loss)) << "status " << int(out.status);
      for (const float x : lone.x) EXPECT_TRUE(std::isfinite(x));
      ++runs;
    }
  std::printf("[count] rescaled_l2 descents thrown far out: %ld\n", runs);
}

}  // namespace
}  // namespace softreg
