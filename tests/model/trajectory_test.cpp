// The iteration loop: every status of a solve is forced, `steps`, the returned x and its numbers
// are what is documented, for every check_every; random scripts of measurements against a
// restatement of the documentation; then the same through the real evaluator.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <limits>
#include <vector>

#include "model/lone_solve.hpp"

namespace softreg {
namespace {

using instances::Case;
using instances::Instance;

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_value = quiet_nan<double>();

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// What happens at a step of a scripted run; loss and objective tell the step they belong to.
struct Scene {
  double gradient_norm = 1, objective_error = 0;  // added to the objective: NaN or inf
  bool finite_point = true, moves = true, cancelled = false;
};

// Plays a script; remembers what the loop asked of it.
struct Script {
  std::vector<Scene> scenes;
  bool describing = false, test = false;
  int step = 0, evaluations = 0, described = -1, kept = -1;
  std::vector<int> tests, kept_steps;
  Outcome<double> outcome;

  void init() { step = 0; }
  void evaluate(int k, bool describe, bool tested) {
    EXPECT_EQ(k, step);
    test = tested;
    if (describe)
      described = k;
    else
      ++evaluations;
  }
  bool cancelled() const { return scenes[at(step)].cancelled; }
  bool describes() const { return describing; }
  Measurement<double> measure() {
    EXPECT_TRUE(test) << "the loss was not asked for";
    tests.push_back(step);
    const Scene& s = scenes[at(step)];
    return {100.0 + step, 200.0 + step + s.objective_error, s.gradient_norm, s.finite_point};
  }
  void keep(int at_step, const Measurement<double>& now) {
    EXPECT_EQ(at_step, step);
    EXPECT_EQ(now.loss, 100.0 + step);
    kept = step;
    kept_steps.push_back(step);
    outcome = {Status::not_run, step, now.loss, now.objective, now.gradient_norm};
  }
  void end(Status status) {
    if (status == Status::not_run) outcome = {};
    outcome.status = status;
  }
  bool update(int k, bool ask) {
    EXPECT_EQ(k, step);
    return scenes[at(step++)].moves || !ask;
  }
};

struct Expected {
  Status status;
  int steps;
};
// The documentation, restated: tests at 0, K, 2K, ... and at the end; the first that decides ends
// it.
Expected documented(const std::vector<Scene>& scenes, const Stop& stop) {
  int passed = 0;
  for (int k = 0; k <= stop.max_steps; ++k) {
    if (k % stop.check_every != 0 && k != stop.max_steps) continue;
    const Scene& s = scenes[at(k)];
    const bool numbers = is_finite(s.objective_error) && is_finite(s.gradient_norm);
    if (s.cancelled) return {Status::not_run, 0};
    if (!s.finite_point) return {Status::diverged, passed};
    if (!numbers) return {Status::overflow, passed};
    passed = k;
    if (stop.gradient_norm > 0 && s.gradient_norm <= stop.gradient_norm)
      return {Status::converged, k};
    if (k < stop.max_steps && !s.moves && stop.gradient_norm > 0) return {Status::stalled, k};
  }
  return {Status::max_steps, stop.max_steps};
}

void compare(Script& script, const Stop& stop) {
  const Expected want = documented(script.scenes, stop);
  trajectory(script, stop);
  const Outcome<double>& got = script.outcome;
  ASSERT_EQ(got.status, want.status);
  ASSERT_EQ(got.steps, want.steps);
  if (want.status == Status::not_run) {
    ASSERT_TRUE(std::isnan(got.loss) && std::isnan(got.objective) && std::isnan(got.gradient_norm));
    return;
  }
  ASSERT_EQ(script.kept, want.steps) << "the kept x belongs to `steps`";
  ASSERT_EQ(got.loss, 100.0 + want.steps);
  const Scene& s = script.scenes[at(want.steps)];
  ASSERT_TRUE(got.objective == 200.0 + want.steps + s.objective_error ||
              std::isnan(s.objective_error));
  ASSERT_TRUE(got.gradient_norm == s.gradient_norm || std::isnan(s.gradient_norm));
  for (const int k : script.tests)
    ASSERT_TRUE(k % stop.check_every == 0 || k == stop.max_steps) << "tested at step " << k;
}

TEST(Trajectory, FollowsItsDocumentationOnRandomScripts) {
  instances::Random r(3);
  std::array<long, 42> seen{};
  const long runs = 40000;
  for (long run = 0; run < runs; ++run) {
    const int every[] = {1, 2, 3, 8, 1000};
    const Stop stop{r.below(30), r.below(3) == 0 ? 0.0 : 0.5, every[r.below(5)]};
    Script script;
    script.scenes.resize(at(stop.max_steps + 1));
    const int kind = r.below(6);
    for (Scene& s : script.scenes) {
      const bool now = r.below(8) == 0;
      if (kind == 1 && now) s.gradient_norm = 0.5 * r.below(2);
      if (kind == 2 && now) s.finite_point = false;
      if (kind == 3 && now)
        (r.below(2) ? s.gradient_norm : s.objective_error) = r.below(2) ? inf : nan_value;
      if (kind == 4 && now) s.moves = false;
      if (kind == 5 && now) s.cancelled = true;
      if (kind == 2 && r.below(4) == 0) s.gradient_norm = nan_value;
    }
    compare(script, stop);
    if (HasFatalFailure()) FAIL() << "run " << run << " kind " << kind;
    ++seen[at(int(documented(script.scenes, stop).status))];
  }
  for (const Status s : {Status::converged, Status::stalled, Status::max_steps, Status::diverged,
                         Status::overflow, Status::not_run})
    EXPECT_GT(seen[at(int(s))], 500) << "status " << int(s) << " was hardly ever forced";
  std::printf("[count] scripted trajectories: %ld\n", runs);
}

TEST(Trajectory, TestsAtMultiplesAndAtTheEndOnly) {
  for (const int every : {1, 3, 8, 1000}) {
    Script script;
    script.scenes.resize(21);
    trajectory(script, {20, 1e-9, every});
    EXPECT_EQ(script.outcome.status, Status::max_steps);
    EXPECT_EQ(script.outcome.steps, 20);
    EXPECT_EQ(script.evaluations, 21);
    std::vector<int> want;
    for (int k = 0; k < 20; k += every) want.push_back(k);
    want.push_back(20);
    EXPECT_EQ(script.tests, want) << "check_every " << every;
    EXPECT_EQ(script.kept_steps, want);
  }
}

TEST(Trajectory, DescribesThePointOnceMoreAfterTheLastTest) {
  Script script;
  script.describing = true;
  script.scenes.resize(6);
  trajectory(script, {5, 0, 2});
  EXPECT_EQ(script.outcome.status, Status::max_steps);
  EXPECT_EQ(script.described, 5);
  EXPECT_EQ(script.evaluations, 6);
}

// The rest runs the real evaluator. least_squares with A = 1, b = 0: x <- (1 - t) x, all exact for
// powers of two.
Instance<double> one_number(double a, double b, double x0) { return {1, 1, {a}, {b}, {x0}, {1}}; }

template <class L, class Opt = GradientDescent, class T = double>
struct Solved {
  Solved(const Instance<T>& p, const LoneOptions& o) : lone(p, o), out(lone.run()) {}
  LoneSolve<L, Opt, T> lone;
  Outcome<T> out;
};

TEST(RealTrajectory, ConvergesAtTheStart) {
  Solved<LeastSquares> s(one_number(1, 2, 2), {.step_size = 0.5});
  EXPECT_EQ(s.out.status, Status::converged);
  EXPECT_EQ(s.out.steps, 0);
  EXPECT_EQ(s.out.gradient_norm, 0);
  EXPECT_EQ(s.lone.x[0], 2);
}

// x halves at every step: |g| = 2^-k at step k. The first test with |g| <= 2^-10 ends it.
TEST(RealTrajectory, ConvergesAtTheFirstTestThatIsGoodEnough) {
  for (const int every : {1, 3, 8, 1000}) {
    const int want = every == 1000 ? 100 : (10 + every - 1) / every * every;
    Solved<LeastSquares> s(one_number(1, 0, 1), {.step_size = 0.5, .stop = {100, 0x1p-10, every}});
    EXPECT_EQ(s.out.status, Status::converged) << every;
    EXPECT_EQ(s.out.steps, want);
    EXPECT_EQ(s.lone.x[0], std::ldexp(1.0, -want));
    EXPECT_EQ(s.out.gradient_norm, std::ldexp(1.0, -want));
    EXPECT_EQ(s.out.loss, std::ldexp(1.0, -2 * want - 1));
  }
}

TEST(RealTrajectory, MaxStepsNeedNotBeAMultipleOfCheckEvery) {
  for (const int every : {1, 3, 8, 1000})
    for (const int most : {0, 1, 7, 8, 9, 10}) {
      Solved<LeastSquares> s(one_number(1, 0, 1),
                             {.step_size = 0.5, .stop = {most, 1e-300, every}});
      EXPECT_EQ(s.out.status, Status::max_steps);
      EXPECT_EQ(s.out.steps, most);
      EXPECT_EQ(s.lone.x[0], std::ldexp(1.0, -most));
    }
}

// A step of half a spacing of x = 1 rounds back to x.
TEST(RealTrajectory, StallsWhenAnUpdateChangesNothing) {
  Solved<LeastSquares> s(one_number(1, 0, 1), {.step_size = 0x1p-54});
  EXPECT_EQ(s.out.status, Status::stalled);
  EXPECT_EQ(s.out.steps, 0);
  EXPECT_EQ(s.lone.x[0], 1);
  Solved<LeastSquares> never(one_number(1, 0, 1), {.step_size = 0x1p-54, .stop = {20, 0, 8}});
  EXPECT_EQ(never.out.status, Status::max_steps) << "tol = 0 never stops early";
  EXPECT_EQ(never.out.steps, 20);
}
TEST(RealTrajectory, StallsLaterAtTheRoundedMinimum) {
  // 3 x = 1 has no exact solution: descent stops moving with a gradient that is not zero.
  Solved<LeastSquares> slow(one_number(3, 1, 1), {.step_size = 0.01, .stop = {100000, 1e-300, 8}});
  EXPECT_EQ(slow.out.status, Status::stalled);
  EXPECT_GT(slow.out.steps, 100);
  EXPECT_EQ(slow.out.steps % 8, 0);
  EXPECT_NEAR(slow.lone.x[0], 1.0 / 3, 1e-14);
  EXPECT_GT(slow.out.gradient_norm, 0);
}
TEST(RealTrajectory, NesterovStallsToo) {
  Solved<LeastSquares, Nesterov> s(one_number(3, 1, 1),
                                   {.step_size = 0.01, .stop = {100000, 1e-300, 8}});
  EXPECT_EQ(s.out.status, Status::stalled);
  EXPECT_NEAR(s.lone.x[0], 1.0 / 3, 1e-14);
}
// From x = 1, y = 2 the descent step 2 - 2/2 gives x = 1 again, but y becomes 1: no stall. From x =
// y = 0 nothing moves.
TEST(RealTrajectory, APointThatMovesIsNotAStall) {
  LoneSolve<LeastSquares, Nesterov, double> lone(one_number(1, 0, 1), {.step_size = 0.5});
  lone.evaluator.init();
  double &x = lone.evaluator.p.w.x[0], &y = lone.parameter(0);
  y = 2;
  lone.evaluator.evaluate(4, false);
  EXPECT_TRUE(lone.evaluator.update(4, true));
  EXPECT_EQ(x, 1);
  EXPECT_EQ(y, 1);
  x = y = 0;
  lone.evaluator.evaluate(5, false);
  EXPECT_FALSE(lone.evaluator.update(5, true));
}

// |1 - t| = 2^40: x passes the largest double after 26 updates.
TEST(RealTrajectory, OverflowAndDivergenceReturnTheLastPointThatPassed) {
  const double t = 1 + 0x1p40;
  const auto x_after = [](int k) { return std::ldexp(k % 2 == 0 ? 1.0 : -1.0, 40 * k); };
  for (const int every : {1, 3, 8}) {
    Solved<LeastSquares> s(one_number(1, 0, 1), {.step_size = t, .stop = {1000, 1e-9, every}});
    // The loss x^2/2 is finite up to step 12 (2^960), infinite from step 13 (2^1040) on; x itself
    // from step 26 on. Tests at multiples of `every`: 13, 15, 16 are the first not to pass.
    const int last = every == 1 ? 12 : every == 3 ? 12 : 8;
    EXPECT_EQ(s.out.status, Status::overflow) << every;
    EXPECT_EQ(s.out.steps, last);
    EXPECT_EQ(s.lone.x[0], x_after(last));
    EXPECT_EQ(s.out.loss, std::ldexp(1.0, 80 * last - 1));
    EXPECT_EQ(s.out.gradient_norm, std::ldexp(1.0, 40 * last));
  }
  Solved<LeastSquares> late(one_number(1, 0, 1), {.step_size = t, .stop = {1000, 1e-9, 1000}});
  EXPECT_EQ(late.out.status, Status::diverged);
  EXPECT_EQ(late.out.steps, 0);
  EXPECT_EQ(late.lone.x[0], 1);
  EXPECT_EQ(late.out.loss, 0.5);
  Solved<LeastSquares> zero_tolerance(one_number(1, 0, 1), {.step_size = t, .stop = {1000, 0, 8}});
  EXPECT_EQ(zero_tolerance.out.status, Status::overflow) << "tol = 0 ends early by 12 and 30";
  EXPECT_EQ(zero_tolerance.out.steps, 8);
  Solved<LeastSquares> at_24(one_number(1, 0, 1), {.step_size = t, .stop = {1000, 0, 40}});
  EXPECT_EQ(at_24.out.status, Status::diverged);
  EXPECT_EQ(at_24.out.steps, 0);
}

TEST(RealTrajectory, OverflowAtTheStartReturnsTheStartWithItsNumbers) {
  Solved<ExpL2> s(one_number(1000, 0, 1), {.step_size = 1});
  EXPECT_EQ(s.out.status, Status::overflow);
  EXPECT_EQ(s.out.steps, 0);
  EXPECT_EQ(s.lone.x[0], 1);
  EXPECT_EQ(s.out.loss, inf);
  Solved<LeastSquares> gradient(one_number(1e200, 0, 1e-50), {.step_size = 1});
  EXPECT_EQ(gradient.out.status, Status::overflow) << "z = 1e150, loss 5e299, gradient 1e350";
  EXPECT_EQ(gradient.out.loss, 0.5 * (1e200 * 1e-50) * (1e200 * 1e-50));
}

TEST(RealTrajectory, CancellingLeavesNoNumbers) {
  for (const int already : {0, 1, 5}) {
    LoneSolve<LeastSquares, GradientDescent, double> lone(
        one_number(1, 0, 1), {.step_size = 0.5, .stop = {100, 1e-300, 2}});
    const int yes = 1, no = 0;
    // Cancelled by the evaluator's own flag, raised before test number `already`.
    struct Cancelling {
      decltype(lone.evaluator)& inner;
      Batch<double>& batch;
      const int *yes, *no;
      int left;
      void init() { inner.init(); }
      void evaluate(int step, bool describing, bool tested) {
        inner.evaluate(step, describing, tested);
      }
      bool cancelled() {
        batch.cancelled = left-- == 0 ? yes : no;
        return inner.cancelled();
      }
      bool describes() const { return inner.describes(); }
      Measurement<double> measure() const { return inner.measure(); }
      void keep(int step, const Measurement<double>& now) const { inner.keep(step, now); }
      void end(Status status) const { inner.end(status); }
      bool update(int step, bool ask) { return inner.update(step, ask); }
    } cancelling{lone.evaluator, lone.batch, &yes, &no, already};
    trajectory(cancelling, lone.batch.stop);
    const Outcome<double>& out = lone.outcome;
    EXPECT_EQ(out.status, Status::not_run);
    EXPECT_EQ(out.steps, 0);
    EXPECT_TRUE(std::isnan(out.loss) && std::isnan(out.objective) && std::isnan(out.gradient_norm));
  }
}

TEST(RealTrajectory, TheLossTraceHoldsEveryTest) {
  for (const int every : {1, 3, 8, 1000}) {
    Solved<LeastSquares> s(one_number(1, 0, 1),
                           {.step_size = 0.5, .tracing = true, .stop = {20, 0, every}});
    std::vector<double> want;
    for (int k = 0; k < 20; k += every) want.push_back(std::ldexp(1.0, -2 * k - 1));
    want.push_back(std::ldexp(1.0, -41));
    for (std::size_t k = 0; k < want.size(); ++k) EXPECT_EQ(s.lone.losses[k], want[k]);
    EXPECT_TRUE(std::isnan(s.lone.losses[want.size()])) << "NaN after the end";
  }
}

// On every loss and optimizer: a run of K steps returns what K runs of the same kind lead to, and
// its loss, objective and norm are those of an evaluation at the returned x (the look-ahead point).
template <class Pair>
class EveryTrajectory : public testing::Test {};
template <class L, class O>
struct On {
  using LossT = L;
  using Opt = O;
};
template <class V>
struct Pairs;
template <class... L>
struct Pairs<std::variant<L...>> {
  using type = testing::Types<On<L, GradientDescent>..., On<L, Nesterov>...>;
};
TYPED_TEST_SUITE(EveryTrajectory, Pairs<AnyLoss>::type, );

TYPED_TEST(EveryTrajectory, NumbersBelongToTheReturnedPoint) {
  using L = typename TypeParam::LossT;
  using Opt = typename TypeParam::Opt;
  const Instance<double> p = instances::make<double>(Case::plain, {12, 4}, 8);
  for (const int steps : {0, 1, 2, 7, 13}) {
    LoneOptions o{.step_size = 0.02, .ridge = 0.1, .weighted = true, .stop = {steps, 0, 5}};
    Solved<L, Opt> run(p, o);
    ASSERT_EQ(run.out.status, Status::max_steps);
    Instance<double> there = p;
    there.x0 = run.lone.x;
    o.stop.max_steps = 0;
    Solved<L, Opt> again(there, o);
    // Only the lagged shift differs: a unit or two in the last place of the logits.
    EXPECT_NEAR(run.out.loss, again.out.loss, 1e-14 * (1 + again.out.loss));
    EXPECT_NEAR(run.out.objective, again.out.objective, 1e-14 * (1 + again.out.objective));
    EXPECT_NEAR(run.out.gradient_norm, again.out.gradient_norm,
                1e-14 * (1 + again.out.gradient_norm));
    oracle::Problem exact = instances::exact(p, true);
    exact.ridge = 0.1;
    exact.step_size = 0.02;
    const oracle::Vector x = oracle::iterate<L>(exact, Opt{}, steps);
    for (std::size_t j = 0; j < x.size(); ++j)
      EXPECT_NEAR(run.lone.x[j], static_cast<double>(x[j]), 1e-13) << "after " << steps;
  }
}

}  // namespace
}  // namespace softreg
