// Optimizers through the real evaluator: known iterates of a quadratic, Nesterov against a plain
// restatement, projection on a ball, the gradient mapping.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "model/lone_solve.hpp"

namespace softreg {
namespace {

using instances::Case;
using instances::Instance;

template <class O>
class OptimizerOf : public testing::Test {};
TYPED_TEST_SUITE(OptimizerOf, instances::AsTypes<AnyOptimizer>, instances::ByName);

template <class L, class Opt, class T>
struct Solved {
  Solved(const Instance<T>& p, const LoneOptions& o) : lone(p, o), out(lone.run()) {}
  LoneSolve<L, Opt, T> lone;
  Outcome<T> out;
};

// 1/2 |D x - b|^2 with D = diag(1, 2), t = 1/4: x_k - x* = (1 - t D^2)^k (x_0 - x*), so (3/4)^k and
// 0.
TEST(GradientDescentOnAQuadratic, HasItsKnownIterates) {
  const Instance<double> p{2, 2, {1, 0, 0, 2}, {3, 4}, {7, -5}, {0, 0}};
  double factor = 1;
  for (int k = 0; k <= 20; ++k, factor *= 0.75) {
    Solved<LeastSquares, GradientDescent, double> s(p, {.step_size = 0.25, .stop = {k, 0, 4}});
    // Powers of 3/4 times 4 are exact while they have fewer than 53 bits: to k = 24.
    EXPECT_EQ(s.lone.x[0], 3 + 4 * factor);
    EXPECT_EQ(s.lone.x[1], k == 0 ? -5 : 2);
    EXPECT_EQ(s.out.gradient_norm, k == 0 ? std::sqrt(16.0 + 784.0) : 4 * factor);
  }
}

// 1/2 x^2, t = 1/2, x0 = 1, by hand: next_k = y_k / 2, y_{k+1} = next + k/(k+3) (next - x_k).
//   k = 0: next 1/2, y = 1/2;  k = 1: next 1/4, y = 1/4 + 1/4 (1/4 - 1/2) = 3/16
//   k = 2: next 3/32, y = 3/32 + 2/5 (3/32 - 1/4) = 1/32;  k = 3: next 1/64, y = 1/64 + 1/2 (1/64 -
//   3/32) = -3/128
TEST(NesterovOnAQuadratic, HasItsKnownIterates) {
  const double want[] = {1, 0.5, 3.0 / 16, 1.0 / 32, -3.0 / 128};
  for (int k = 0; k <= 4; ++k) {
    Solved<LeastSquares, Nesterov, double> s({1, 1, {1}, {0}, {1}, {0}},
                                             {.step_size = 0.5, .stop = {k, 0, 1}});
    EXPECT_NEAR(s.lone.x[0], want[k], 1e-16) << "the look-ahead point after " << k;
    EXPECT_NEAR(s.out.gradient_norm, std::abs(want[k]), 1e-16);
    EXPECT_NEAR(s.out.loss, want[k] * want[k] / 2, 1e-16);
  }
}

// In long double the evaluator and the restatement differ by the rounding of a long double only.
TYPED_TEST(OptimizerOf, EqualsItsPlainRestatement) {
  long compared = 0;
  for (const Case kind : {Case::plain, Case::outlier, Case::one_hot})
    for (const instances::Shape shape : instances::every_shape)
      for (const double ball : {0.0, 0.8}) {
        const Instance<long double> p = instances::make<long double>(kind, shape, 21);
        double square =
            0;  // |A|_F^2; the curvature is at most (5/8 + 0.7^2) times that, plus ridge
        for (const long double v : p.a) square += static_cast<double>(v * v);
        const double t = 1 / (1.2 * square + 0.25);
        oracle::Problem exact = instances::exact(p, true);
        exact.ridge = 0.25;
        exact.ball = static_cast<long double>(ball);
        exact.step_size = static_cast<long double>(t);
        for (const int steps : {1, 2, 3, 10, 40}) {
          Solved<SoftmaxL2, TypeParam, long double> s(p, {.step_size = t,
                                                          .ridge = 0.25,
                                                          .ball = ball,
                                                          .weighted = true,
                                                          .stop = {steps, 0, 7}});
          const oracle::Vector x = oracle::iterate<SoftmaxL2>(exact, TypeParam{}, steps);
          const oracle::PointAt there = oracle::evaluate<SoftmaxL2>(exact, x);
          for (std::size_t j = 0; j < x.size(); ++j)
            ASSERT_LT(std::abs(s.lone.x[j] - x[j]), 1e-16L) << steps << " steps";
          const long double norm = oracle::gradient_norm(exact, x, there.gradient);
          ASSERT_LT(std::abs(s.out.gradient_norm - norm), 1e-15L * (1 + norm) / exact.step_size);
          ASSERT_LT(std::abs(s.out.objective - there.objective), 1e-16L * (1 + there.objective));
          ++compared;
        }
      }
  std::printf("[count] %s trajectories against the restatement: %ld\n", TypeParam::name.data(),
              compared);
}

// After every update the returned point lies on the ball, for Nesterov the look-ahead point, which
// momentum would carry outside. A unit of rounding per coordinate and for the factor.
TYPED_TEST(OptimizerOf, EveryReturnedPointLiesOnTheBall) {
  const auto sweep = [](auto number) {
    using T = decltype(number);
    int on_the_boundary = 0;
    for (std::uint64_t seed = 0; seed < 10; ++seed)
      for (const double ball : {1e-3, 0.5, 2.0})
        for (int steps = 1; steps <= 12; ++steps) {
          const Instance<T> p = instances::make<T>(Case::one_hot, {9, 4}, seed);
          Solved<LeastSquares, TypeParam, T> s(
              p, {.step_size = 0.4, .ball = ball, .stop = {steps, 0, 5}});
          const long double reach = oracle::length(instances::exact(s.lone.x));
          const long double radius = static_cast<long double>(static_cast<T>(ball));
          EXPECT_LE(reach, radius * (1 + 8 * std::numeric_limits<T>::epsilon()));
          on_the_boundary += reach > radius * 0.999L;
        }
    EXPECT_GT(on_the_boundary, 100) << "the ball was hardly ever felt";
  };
  sweep(1.0f);
  sweep(1.0);
}

// With a ball the norm is |x - P(x - t g)| / t: zero at a minimum on the boundary, where |g| is
// not, so that such an instance converges; without projection it is |g| to the last bit.
TYPED_TEST(OptimizerOf, ConvergesOnTheBoundaryByTheGradientMapping) {
  const Instance<double> p{1, 1, {1}, {5}, {0.5}, {0}};  // 1/2 (x - 5)^2 on |x| <= 1
  Solved<LeastSquares, TypeParam, double> s(p, {.step_size = 0.25, .ball = 1});
  EXPECT_EQ(s.out.status, Status::converged);
  EXPECT_EQ(s.lone.x[0], 1);
  EXPECT_EQ(s.out.gradient_norm, 0);
  EXPECT_EQ(s.out.loss, 8);
  const Instance<double> q = instances::make<double>(Case::plain, {9, 4}, 2);
  const LoneOptions o{.step_size = 0.01, .stop = {0, 0, 1}};
  LoneOptions wide = o;
  wide.ball = 100;
  const Solved<SoftmaxL2, TypeParam, double> free(q, o), held(q, wide);
  EXPECT_EQ(free.out.gradient_norm, held.out.gradient_norm);
}

// A start outside: the first update brings it back.
TYPED_TEST(OptimizerOf, AStartOutsideTheBallIsBroughtBack) {
  const Instance<double> p{1, 1, {1}, {0}, {8}, {0}};
  Solved<LeastSquares, TypeParam, double> none(p, {.step_size = 0.5, .ball = 2, .stop = {0, 0, 1}});
  EXPECT_EQ(none.lone.x[0], 8) << "no update, no projection";
  EXPECT_EQ(none.out.gradient_norm, (8 - 2) / 0.5) << "8 - P(8 - 0.5 * 8) = 8 - P(4) = 6";
  Solved<LeastSquares, TypeParam, double> one(p, {.step_size = 0.5, .ball = 2, .stop = {1, 0, 1}});
  EXPECT_EQ(one.lone.x[0], 2);
}

}  // namespace
}  // namespace softreg
