// Every loss of the catalogue, as scalar functions: values and dL/dz against the oracle within a
// derived bound, derivatives by dual numbers, and what the flags `normalized` and `invariant`
// promise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "dual.hpp"
#include "model/lone_solve.hpp"

namespace softreg {
namespace {

using instances::Case;
using instances::Instance;
using instances::Shape;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

template <class T>
struct Pass {
  T loss, mass;
  std::vector<T> f, dlogits, combined;  // combined: dlogits by basis and combine
};

// One pass over the rows in order, as an evaluator makes it, at the given shift.
template <class L, class T>
Pass<T> pass(const std::vector<T>& z, const std::vector<T>& b, const T& shift) {
  using F = Formula<L>;
  std::vector<T> u;
  for (const T& logit : z) u.push_back(activation<L>(logit - shift));
  typename F::template Head<T> h;
  if constexpr (L::normalized) {
    typename F::template Terms<T> sums{};
    for (std::size_t i = 0; i < z.size(); ++i) sums = F::terms(u[i], b[i], sums);
    h = F::finish(sums, shift);
  }
  typename F::template Tested<T> tested{};
  for (std::size_t i = 0; i < z.size(); ++i) tested = F::tested(z[i] - shift, u[i], b[i], tested);
  Pass<T> out{F::loss(tested, h), T(1), {}, {}, {}};
  if constexpr (L::normalized) out.mass = h.mass;
  for (std::size_t i = 0; i < z.size(); ++i) {
    out.f.push_back(F::output(u[i], h));
    out.dlogits.push_back(F::dlogit(z[i] - shift, u[i], b[i], h));
    out.combined.push_back(F::combine(F::basis(z[i] - shift, u[i], b[i]), h));
  }
  return out;
}
// log <exp z, 1>
template <class T>
T log_mass(const std::vector<T>& z) {
  const T most = *std::max_element(z.begin(), z.end());
  T mass = T(0);
  for (const T v : z) mass = mass + exp_(v - most);
  return most + log_(mass);
}
// At the shift that the evaluator aims at.
template <class L, class T>
Pass<T> pass(const std::vector<T>& z, const std::vector<T>& b) {
  return pass<L>(z, b, L::normalized ? log_mass(z) : T(0));
}

template <class T>
std::vector<T> logits(const Instance<T>& p) {
  std::vector<T> z(at(p.n), T(0));
  for (int i = 0; i < p.n; ++i)
    for (int j = 0; j < p.d; ++j) z[at(i)] = fma_(p.a[at(i * p.d + j)], p.x0[at(j)], z[at(i)]);
  return z;
}

template <class L>
class LossOf : public testing::Test {};
TYPED_TEST_SUITE(LossOf, instances::AsTypes<AnyLoss>, instances::ByName);

// Largest ratio of error to tolerance, and what it was.
struct Worst {
  double ratio = 0;
  long compared = 0;
  void see(oracle::Real got, oracle::Real want, oracle::Real tolerance) {
    ++compared;
    const double r = static_cast<double>(std::abs(got - want) / tolerance);
    if (!(r <= ratio)) ratio = r;
  }
};

// Sizes of the terms that cancel in a softmax loss and its slopes: a saturated softmax has slopes
// far below a unit of rounding, and no arithmetic that adds terms of order one can see them.
template <class L>
oracle::LossAt cancelling_terms(const oracle::LossAt& at_z, const oracle::Vector& b) {
  oracle::LossAt size{0, {}, oracle::Vector(b.size(), 0)};
  if (!L::invariant) return size;
  oracle::Real total = 0, pull = 0;  // <|b|, 1>, <f, f + |b|>
  for (std::size_t i = 0; i < b.size(); ++i) {
    total += std::abs(b[i]);
    pull += at_z.f[i] * (at_z.f[i] + std::abs(b[i]));
  }
  for (std::size_t i = 0; i < b.size(); ++i) {
    const oracle::Real f = at_z.f[i], t = std::abs(b[i]);
    size.dlogits[i] = std::is_same_v<L, CrossEntropy> ? total * f + t : f * (f + t + pull);
  }
  size.loss = std::is_same_v<L, CrossEntropy> ? total : 0;
  return size;
}

// The computed value is the exact value of data that differ by c units of rounding, c = rows + 16:
// the logits by c units of (1 + |z| + |shift|) (subtracting the shift, exp, sums of n positive
// terms), the target by c units of itself; a few products more. First-order bound, by differences
// of the oracle.
template <class L>
void compare_with_oracle(const oracle::Vector& z, const oracle::Vector& b, oracle::Real unit,
                         oracle::Real loss, const oracle::Vector& dlogits, Worst& worst) {
  const oracle::LossAt want = oracle::loss_at<L>(z, b);
  const oracle::Real c = unit * static_cast<oracle::Real>(z.size() + 16);
  oracle::Real largest = 0;
  for (const oracle::Real v : z) largest = std::max(largest, std::abs(v));
  const oracle::LossAt terms = cancelling_terms<L>(want, b);
  oracle::Real loss_tolerance = c * (want.loss + terms.loss);
  oracle::Vector tolerance = want.dlogits;
  for (std::size_t i = 0; i < z.size(); ++i)
    tolerance[i] = c * (std::abs(want.dlogits[i]) + terms.dlogits[i]);
  const auto add = [&](const oracle::LossAt& moved) {
    loss_tolerance += std::abs(moved.loss - want.loss);
    for (std::size_t i = 0; i < z.size(); ++i)
      tolerance[i] += std::abs(moved.dlogits[i] - want.dlogits[i]);
  };
  for (std::size_t k = 0; k < z.size(); ++k) {
    oracle::Vector other = z;
    other[k] += c * (1 + largest + std::log(oracle::Real(z.size())));
    add(oracle::loss_at<L>(other, b));
    other = b;
    other[k] += c * std::abs(b[k]);
    add(oracle::loss_at<L>(z, other));
  }
  const oracle::Real floor = std::numeric_limits<oracle::Real>::min();
  worst.see(loss, want.loss, loss_tolerance + floor);
  for (std::size_t i = 0; i < z.size(); ++i)
    worst.see(dlogits[i], want.dlogits[i], tolerance[i] + floor);
}

template <class L, class T>
void sweep_against_oracle(const char* type) {
  Worst worst;
  for (const Case kind : instances::every_case)
    for (const Shape shape : instances::every_shape)
      for (std::uint64_t seed = 0; seed < 2; ++seed) {
        const Instance<T> p = instances::make<T>(kind, shape, seed);
        const std::vector<T> z = logits(p);
        const Pass<T> got = pass<L>(z, p.b);
        for (const std::vector<T>& dlogits : {got.dlogits, got.combined})
          compare_with_oracle<L>(instances::exact(z), instances::exact(p.b),
                                 std::numeric_limits<T>::epsilon() / 2, got.loss,
                                 instances::exact(dlogits), worst);
      }
  std::printf("[count] %s %s numbers against the oracle: %ld (worst %.3f of the bound)\n",
              L::name.data(), type, worst.compared, worst.ratio);
  EXPECT_LE(worst.ratio, 1);
}

TYPED_TEST(LossOf, EqualsTheOracleFloat) { sweep_against_oracle<TypeParam, float>("f32"); }
TYPED_TEST(LossOf, EqualsTheOracleDouble) { sweep_against_oracle<TypeParam, double>("f64"); }
TYPED_TEST(LossOf, EqualsTheOracleLongDouble) {
  sweep_against_oracle<TypeParam, long double>("long double");
}

// combine is linear: of a sum of the basis over rows, each times a number of its own, it makes the
// sum of dL/dz times these numbers, and loses no more than dlogit does: also where b is small, or
// large.
TYPED_TEST(LossOf, CombinesSumsOfItsBasis) {
  using F = Formula<TypeParam>;
  double worst = 0;
  for (const Case kind : instances::every_case)
    for (const double scale : {1.0, 1e-3, 1e-6, 1e3}) {
      Instance<double> p = instances::make<double>(kind, {33, 5}, 5);
      for (double& b : p.b) b *= scale;
      const std::vector<double> z = logits(p);
      const double shift = TypeParam::normalized ? log_mass(z) : 0;
      typename F::template Head<double> h;
      if constexpr (TypeParam::normalized) {
        typename F::template Terms<double> terms{};
        for (std::size_t i = 0; i < z.size(); ++i)
          terms = F::terms(activation<TypeParam>(z[i] - shift), p.b[i], terms);
        h = F::finish(terms, shift);
      }
      decltype(F::basis(0.0, 0.0, 0.0)) sum{};
      const oracle::LossAt exact =
          oracle::loss_at<TypeParam>(instances::exact(z), instances::exact(p.b));
      const oracle::LossAt cancelling = cancelling_terms<TypeParam>(exact, instances::exact(p.b));
      double size = 0, want = 0;
      for (std::size_t i = 0; i < z.size(); ++i) {
        const double u = activation<TypeParam>(z[i] - shift), a = p.a[i * 5];
        const auto t = F::basis(z[i] - shift, u, p.b[i]);
        for (std::size_t k = 0; k < std::size(t.v); ++k) sum.v[k] += a * t.v[k];
        want += a * F::dlogit(z[i] - shift, u, p.b[i], h);
        if (TypeParam::invariant) {
          size +=
              std::abs(a) * static_cast<double>(std::abs(exact.dlogits[i]) + cancelling.dlogits[i]);
        } else {
          for (std::size_t k = 0; k < std::size(t.v); ++k) {
            auto part = t;
            for (std::size_t other = 0; other < std::size(t.v); ++other)
              if (other != k) part.v[other] = 0;
            size += std::abs(a * F::combine(part, h));
          }
        }
      }
      const double tolerance = 64 * 1.2e-16 * size + 1e-300;  // 33 rows, and some roundings of each
      worst = std::max(worst, std::abs(F::combine(sum, h) - want) / tolerance);
    }
  EXPECT_LE(worst, 1);
}

// The prediction is what the papers call f, and a distribution where the loss says so.
TYPED_TEST(LossOf, PredictionEqualsTheOracle) {
  for (const Case kind : instances::every_case) {
    const Instance<double> p = instances::make<double>(kind, {33, 5}, 4);
    const std::vector<double> z = logits(p);
    const Pass<double> got = pass<TypeParam>(z, p.b);
    const oracle::LossAt want =
        oracle::loss_at<TypeParam>(instances::exact(z), instances::exact(p.b));
    double sum = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      // n + 16 units, times what a unit of the largest logit does to exp.
      const double tolerance = 49 * 1.2e-16 * (1 + 2 * std::abs(z[i])) * std::abs(got.f[i]);
      EXPECT_NEAR(got.f[i], static_cast<double>(want.f[i]), 4 * tolerance);
      sum += got.f[i];
    }
    if (TypeParam::normalized) {
      EXPECT_NEAR(sum, 1, 33 * 2.3e-16);
    }
  }
}

// Derivatives by dual numbers are exact up to rounding: a few hundred units of the largest one.
constexpr double tight = 1e-13;

TYPED_TEST(LossOf, DlogitIsTheDerivativeOfTheLoss) {
  using L = TypeParam;
  using D = Dual<double>;
  long compared = 0;
  for (const Case kind : instances::every_case)
    for (const Shape shape : instances::every_shape) {
      const Instance<double> p = instances::make<double>(kind, shape, 11);
      const std::vector<double> z = logits(p);
      const Pass<double> got = pass<L>(z, p.b);
      double scale = std::abs(got.loss);
      for (const double g : got.dlogits) scale = std::max(scale, std::abs(g));
      for (std::size_t k = 0; k < z.size(); ++k, ++compared) {
        std::vector<D> moving(z.begin(), z.end());
        moving[k].d = 1;
        const Pass<D> dual = pass<L>(moving, std::vector<D>(p.b.begin(), p.b.end()));
        ASSERT_NEAR(dual.loss.d, got.dlogits[k], tight * (1 + scale))
            << "case " << int(kind) << " n " << shape.n << " row " << k;
      }
    }
  std::printf("[count] %s dL/dz by dual numbers: %ld\n", L::name.data(), compared);
}

// d objective / dx and d objective / dA = dlogits x^T through the whole evaluator, regularisers
// included.
TYPED_TEST(LossOf, GradientsOfTheEvaluatorAreDerivatives) {
  using L = TypeParam;
  using D = Dual<double>;
  const LoneOptions o{.ridge = 0.3, .weighted = true, .describing = true, .stop = {0, 0, 1}};
  for (const Case kind : {Case::plain, Case::one_hot, Case::sparse}) {
    const Shape shape{7, 3};
    const Instance<double> p = instances::make<double>(kind, shape, 5);
    LoneSolve<L, GradientDescent, double> lone(p, o);
    const Outcome<double> value = lone.run();
    ASSERT_GT(value.gradient_norm, 1e-3) << "a stationary start proves nothing";
    const auto derivative = [&](std::vector<D> Instance<D>::*array, int k) {
      Instance<D> moving{p.n,
                         p.d,
                         {p.a.begin(), p.a.end()},
                         {p.b.begin(), p.b.end()},
                         {p.x0.begin(), p.x0.end()},
                         {p.w.begin(), p.w.end()}};
      (moving.*array)[at(k)].d = 1;
      LoneOptions plain = o;
      plain.describing = false;
      LoneSolve<L, GradientDescent, D> dual(moving, plain);
      const Outcome<D> out = dual.run();
      EXPECT_EQ(out.objective.v, value.objective);
      return out.objective.d;
    };
    const double scale = tight * (1 + value.objective + value.gradient_norm);
    for (int j = 0; j < p.d; ++j)
      EXPECT_NEAR(derivative(&Instance<D>::x0, j), lone.gradient[at(j)], scale);
    for (int i = 0; i < p.n; ++i)
      for (int j = 0; j < p.d; ++j)
        EXPECT_NEAR(derivative(&Instance<D>::a, i * p.d + j), lone.dlogits[at(i)] * p.x0[at(j)],
                    scale);
  }
}

// Moving every logit by the same amount changes nothing if and only if the loss says invariant.
TYPED_TEST(LossOf, InvarianceIsAsTheFlagSays) {
  using L = TypeParam;
  const Instance<double> p = instances::make<double>(Case::plain, {16, 4}, 2);
  const std::vector<double> z = logits(p);
  const Pass<double> here = pass<L>(z, p.b);
  for (const double move : {-3.0, 0.5, 3.0}) {
    std::vector<double> moved = z;
    for (double& v : moved) v += move;
    const Pass<double> there = pass<L>(moved, p.b);
    double change = std::abs(there.loss - here.loss);
    for (std::size_t i = 0; i < z.size(); ++i)
      change = std::max(change, std::abs(there.dlogits[i] - here.dlogits[i]));
    if (L::invariant) {
      EXPECT_LT(change, 1e-14) << "moved by " << move;
    } else {
      EXPECT_GT(change, 1e-3) << "moved by " << move;
    }
  }
}

// A normalized loss gives the same loss and slopes whatever shift it is evaluated at: the mass
// absorbs it. (Factors of 2 are as far as the evaluator lets the mass go.)
template <class L>
class NormalizedLossOf : public testing::Test {};
using NormalizedLosses = testing::Types<SoftmaxL2, RescaledL2, CrossEntropy>;
TYPED_TEST_SUITE(NormalizedLossOf, NormalizedLosses, instances::ByName);
template <class... L>
constexpr int normalized_count(std::variant<L...>*) {
  return (... + (L::normalized ? 1 : 0));
}
static_assert(normalized_count(static_cast<AnyLoss*>(nullptr)) == 3, "list it above");

TYPED_TEST(NormalizedLossOf, TheShiftOfTheSumsDoesNotMatter) {
  using L = TypeParam;
  const Instance<double> p = instances::make<double>(Case::plain, {16, 4}, 3);
  const std::vector<double> z = logits(p);
  const Pass<double> best = pass<L>(z, p.b);
  double most = *std::max_element(z.begin(), z.end()), mass = 0;
  for (const double v : z) mass += std::exp(v - most);
  for (const double off : {-0.6, -0.1, 0.2, 0.6}) {
    const Pass<double> got = pass<L>(z, p.b, most + std::log(mass) + off);
    EXPECT_NEAR(got.mass, std::exp(-off), 1e-13);
    EXPECT_NEAR(got.loss, best.loss, 1e-14 * (1 + best.loss));
    for (std::size_t i = 0; i < z.size(); ++i)
      EXPECT_NEAR(got.dlogits[i], best.dlogits[i], 1e-14 * (1 + std::abs(best.dlogits[i])));
  }
}

}  // namespace
}  // namespace softreg
