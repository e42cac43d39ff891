// solve() on the reference and the CPU backend against naive trajectories in long double: all
// losses, optimizers, dtypes and shapes, hard cases, regularisers, a ball, ragged batches.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "instances.hpp"
#include "softreg/softreg.hpp"

namespace softreg {
namespace {

using instances::Case;
using instances::Gathered;
using instances::Instance;
using instances::Shape;
using oracle::Real;
using oracle::Vector;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// The scale of the curvature at x0, from |A|_F^2 and the largest second derivative in z there: a
// step size of 0.7 over it moves and does not diverge.
template <class L>
Real curvature(const oracle::Problem& p) {
  const oracle::PointAt now = oracle::evaluate<L>(p, p.x0);
  Real square = 0, most = 0, top = 0, weight = 0, far = 0;
  for (const Real v : p.a) square += v * v;
  for (const Real v : p.w) weight = std::max(weight, v * v);
  for (const Real z : now.z) {
    most = std::max(most, std::abs(z));
    top = std::max(top, z);
  }
  for (const Real f : now.f) far = std::max(far, std::abs(f));
  Real in_z = 1;
  if (std::is_same_v<L, RescaledL2>)
    in_z = (2 * p.n + 2 * std::sqrt(Real(p.n)) + 2) * std::exp(2 * top);
  else if (!L::normalized && !std::is_same_v<L, LeastSquares>)
    in_z = 2 * (far + 1) * (far + 1);
  return (in_z + weight) * square + p.ridge;
}

// Size of the terms that cancel in the slope of row i: f (f - b - q) of a softmax loss, or mass^2
// times as much, phi' (phi - b) otherwise (|phi'| <= 1 + |phi| for all of them). Their rounding is
// not that of any nearby data: it moves f off the simplex, or cosh below 1.
template <class L>
Real cancelling(const oracle::Problem& p, const oracle::PointAt& now, std::size_t i) {
  const Real f = std::abs(now.f[i]), b = std::abs(p.b[i]);
  if (!L::normalized) return (1 + f) * (f + b);
  Real total = 1;
  for (const Real target : p.b) total += std::abs(target);
  const Real scale = std::is_same_v<L, RescaledL2> ? std::exp(2 * now.log_mass) : 1;
  return scale * (f * total + (std::is_same_v<L, CrossEntropy> ? b : 0));
}

// A solve in T makes every step exactly for data that differ by at most c units of rounding, c = n
// + d + 16: matrix and target relatively, logits (exp, log, the shift, the sums) by c units of 1 +
// |z|, the point by a unit per update; and slopes err by c units of what cancels in them. So
// trajectories perturbed by that much and at random show how far a right solver may stray: one
// perturbed anew at every step, one in the same way at every step, because roundings repeat where
// the point hardly moves.
template <class L, class Opt>
Vector stray(const oracle::Problem& p, const Opt& optimizer, int steps, Real unit, bool repeating,
             std::uint64_t seed) {
  const Real c = unit * Real(p.n + p.d + 16);
  instances::Random r(seed);
  const auto either = [&] { return static_cast<Real>(r.uniform(-1, 1)); };
  oracle::Problem other = p;
  return oracle::iterate(p, optimizer, steps, [&](int, const Vector& x) {
    if (repeating) r = instances::Random(seed);
    for (std::size_t k = 0; k < p.a.size(); ++k) other.a[k] = p.a[k] * (1 + c * either());
    for (std::size_t k = 0; k < p.b.size(); ++k) other.b[k] = p.b[k] * (1 + c * either());
    Real reach = 1;
    Vector nudge(p.b.size(), 0);
    for (std::size_t i = 0; i < nudge.size(); ++i) {
      Real z = 0;
      for (std::size_t j = 0; j < x.size(); ++j) z += std::abs(p.a[i * x.size() + j] * x[j]);
      reach = std::max(reach, 1 + z);
    }
    for (Real& v : nudge) v = c * reach * either();
    oracle::PointAt now = oracle::evaluate<L>(other, x, nudge);
    for (std::size_t i = 0; i < nudge.size(); ++i) {
      const Real slip = c * either() * cancelling<L>(p, now, i);
      for (std::size_t j = 0; j < x.size(); ++j) now.gradient[j] += p.a[i * x.size() + j] * slip;
    }
    for (std::size_t j = 0; j < x.size(); ++j)  // x - t g rounds, however small t g is
      now.gradient[j] += unit * either() * x[j] / p.step_size;
    return now.gradient;
  });
}

struct Tally {
  long instances = 0, comparisons = 0;
  Real worst = 0;  // error over tolerance
};

// What one instance must come to, and how far rounding may carry it.
struct Expected {
  Vector x;
  oracle::PointAt there;
  Real norm, x_tolerance, number_tolerance;
};

// Four times what the strays show, since chance may have been kind to them; at least the rounding
// that the last step commits.
template <class L, class Opt, class T>
Expected expect(const oracle::Problem& p, const Opt& optimizer, int steps, std::uint64_t seed) {
  Expected e;
  e.x = oracle::iterate<L>(p, optimizer, steps);
  e.there = oracle::evaluate<L>(p, e.x);
  e.norm = oracle::gradient_norm(p, e.x, e.there.gradient);
  const Real unit = std::numeric_limits<T>::epsilon() / 2;
  const Real c = unit * Real(p.n + p.d + 16);
  Real strayed = 0, numbers = 0;
  for (const bool repeating : {false, true}) {
    const Vector x = stray<L>(p, optimizer, steps, unit, repeating, seed);
    const oracle::PointAt at_x = oracle::evaluate<L>(p, x);
    Vector difference = x;
    for (std::size_t j = 0; j < x.size(); ++j) difference[j] -= e.x[j];
    strayed = std::max(strayed, oracle::length(difference));
    numbers = std::max({numbers, std::abs(at_x.objective - e.there.objective),
                        std::abs(oracle::gradient_norm(p, x, at_x.gradient) - e.norm)});
  }
  Real size = 0, reach = 1;  // of the gradient's terms and of the logits
  for (std::size_t i = 0; i < e.there.z.size(); ++i) {
    reach = std::max(reach, 1 + std::abs(e.there.z[i]));
    for (std::size_t j = 0; j < e.x.size(); ++j) {
      const Real a = std::abs(p.a[i * e.x.size() + j]);
      size += a * (std::abs(e.there.dlogits[i]) + cancelling<L>(p, e.there, i));
      reach = std::max(reach, 1 + a * std::abs(e.x[j]));
    }
  }
  const Real local = c * reach * size;
  const Real mapping = p.ball > 0 ? c * (oracle::length(e.x) + p.ball) / p.step_size : 0;
  e.x_tolerance = 4 * strayed + c * oracle::length(e.x) + p.step_size * local;
  e.number_tolerance =
      4 * numbers + 4 * local + c * (std::abs(e.there.objective) + e.norm) + 4 * mapping;
  return e;
}

void see(Tally& tally, Real error, Real tolerance, const char* what, const std::string& where) {
  ++tally.comparisons;
  if (error <= tolerance) {
    tally.worst = std::max(tally.worst, tolerance > 0 ? error / tolerance : 0);
    return;
  }
  ADD_FAILURE() << what << " is off by " << error << ", allowed " << tolerance << where;
}

template <class T>
void compare(const Expected& want, const Result<T>& got, std::int64_t i, const std::string& where,
             Tally& tally) {
  ASSERT_EQ(got.status[at(i)], Status::max_steps) << where;
  Vector difference = want.x;
  for (std::size_t j = 0; j < want.x.size(); ++j)
    difference[j] -= static_cast<Real>(got.x[at(i * got.d) + j]);
  see(tally, oracle::length(difference), want.x_tolerance, "x", where);
  const Real allowed = want.number_tolerance;
  see(tally, std::abs(got.loss[at(i)] - want.there.loss), allowed, "loss", where);
  see(tally, std::abs(got.objective[at(i)] - want.there.objective), allowed, "objective", where);
  see(tally, std::abs(got.gradient_norm[at(i)] - want.norm), allowed, "gradient norm", where);
}

struct Setting {
  double ridge = 0, ball = 0;
  bool weighted = false;
};

template <class L, class Opt, class T>
void solve_and_compare(const std::vector<Instance<T>>& parts, const Setting& setting, int steps,
                       std::uint64_t seed, Tally& tally) {
  Gathered<T> batch = instances::gather(parts);
  std::vector<oracle::Problem> problems;
  for (const Instance<T>& part : parts) {
    oracle::Problem p = instances::exact(part, setting.weighted);
    p.ridge = static_cast<Real>(static_cast<T>(setting.ridge));
    p.ball = static_cast<Real>(static_cast<T>(setting.ball));
    const T t = static_cast<T>(Real(0.7) / curvature<L>(p));
    p.step_size = t;
    batch.step_size.push_back(static_cast<double>(t));
    problems.push_back(p);
  }
  Options o{.loss = L{}, .optimizer = Opt{}, .stop = {steps, 0, 5}};
  o.ridge = setting.ridge;
  o.ball = setting.ball;
  o.threads = 1;
  o.device = Device::reference;
  const Result<T> reference = solve(batch.view(setting.weighted), o);
  o.device = Device::cpu;
  const Result<T> cpu = solve(batch.view(setting.weighted), o);
  for (std::size_t i = 0; i < parts.size(); ++i, ++tally.instances) {
    const Expected want = expect<L, Opt, T>(problems[i], Opt{}, steps, seed + i);
    const std::string where = " (" + std::string(L::name) + ", " + std::string(Opt::name) + ", n " +
                              std::to_string(parts[i].n) + ", d " + std::to_string(parts[i].d) +
                              ", instance " + std::to_string(i) + ", " + std::to_string(steps) +
                              " steps)";
    compare(want, reference, std::int64_t(i), where + " reference", tally);
    compare(want, cpu, std::int64_t(i), where + " cpu", tally);
  }
}

constexpr Setting settings[] = {
    {}, {.weighted = true}, {.ridge = 0.25, .weighted = true}, {.ball = 0.7}};

// Two uniform batches of 13 instances per shape and one ragged batch.
template <class L, class Opt, class T>
void sweep(Tally& tally) {
  std::uint64_t seed = 1;
  for (std::size_t s = 0; s < std::size(instances::every_shape); ++s)
    for (const std::size_t variant : {s % 4, (s + 2) % 4}) {
      std::vector<Instance<T>> parts;
      for (int i = 0; i < 13; ++i)
        parts.push_back(
            instances::make<T>(instances::case_of(i), instances::every_shape[s], ++seed));
      solve_and_compare<L, Opt>(parts, settings[variant], 5 + static_cast<int>(seed % 26), seed,
                                tally);
    }
  std::vector<Instance<T>> ragged;
  for (const int n : {3, 1, 40, 33, 2, 17, 64, 5})
    ragged.push_back(instances::make<T>(Case::plain, {n, 4}, ++seed));
  solve_and_compare<L, Opt>(ragged, settings[2], 12, seed, tally);
}

Tally& everything() {
  static Tally tally;
  return tally;
}

template <class L>
class SolveOf : public testing::Test {
 protected:
  static void TearDownTestSuite() {  // the last suite's line counts all
    std::printf(
        "[count] instances against the oracle: %ld (%ld numbers, worst %.3f of the bound)\n",
        everything().instances, everything().comparisons, static_cast<double>(everything().worst));
  }
};
TYPED_TEST_SUITE(SolveOf, instances::AsTypes<AnyLoss>, instances::ByName);

TYPED_TEST(SolveOf, GradientDescentFollowsTheOracle) {
  sweep<TypeParam, GradientDescent, float>(everything());
  sweep<TypeParam, GradientDescent, double>(everything());
}
TYPED_TEST(SolveOf, NesterovFollowsTheOracle) {
  sweep<TypeParam, Nesterov, float>(everything());
  sweep<TypeParam, Nesterov, double>(everything());
}

}  // namespace
}  // namespace softreg
