// The bounds on the shift of f: constants against hand values, reports against hand-made summaries,
// and no false violation over updates that the library's own evaluator measures, while a bound that
// is too small by a fifth is reported.
#include "softreg/bounds.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "every_loss.hpp"
#include "matrix_norm.hpp"
#include "softreg/model/memory_placement.hpp"

namespace softreg {
namespace {

using Rng = std::mt19937_64;

TEST(Bounds, PaperConstantAgainstHandValues) {
  EXPECT_EQ(log10_paper_constant(1, 0), 0);
  EXPECT_NEAR(log10_paper_constant(1, 1), 4.342944819, 1e-9);
  EXPECT_NEAR(log10_paper_constant(100, 0), 3, 1e-12);
  // 1.5 log10(64) = 2.709269961, 160 log10(e) = 69.487117104
  EXPECT_NEAR(log10_paper_constant(64, 4), 72.196387065, 1e-8);
  // M itself leaves double between R = 8.42 and 8.43 (n = 1), 8.30 and 8.31 (n = 1e6).
  const double largest = std::log10(std::numeric_limits<double>::max());
  EXPECT_LT(log10_paper_constant(1, 8.42), largest);
  EXPECT_GT(log10_paper_constant(1, 8.43), largest);
  EXPECT_LT(log10_paper_constant(1'000'000, 8.30), largest);
  EXPECT_GT(log10_paper_constant(1'000'000, 8.31), largest);
}

TEST(Bounds, ReportsFoldTheClosestUpdate) {
  Result<double> r;
  EXPECT_TRUE(bound_reports(r).empty());
  ShiftSummary<double> near{}, far{}, unmeasured{}, still{};
  near.updates = 10;
  near.sharp = {0.8, 0.5, 0.625, 10, 2};
  near.paper = {30, 0.25, 10, 28, 10, 3, 0};
  near.paper_at_4 = {70, 0.25, 1, 500, 10, 10, 0};
  far.updates = 5;
  far.sharp = {0.5, 0.9, 1.8, 5, 1};
  far.paper = {20, 0.125, 0.1, 20, 5, 5, 0};
  still.updates = 3;  // moved nothing: no ratio
  still.sharp.judged = 3;
  r.shifts = {far, unmeasured, near, still};
  const std::vector<BoundReport> reports = bound_reports(r);
  ASSERT_EQ(reports.size(), 3u);
  EXPECT_EQ(reports[0].id, "D8");
  EXPECT_EQ(reports[0].provenance, "derived");
  EXPECT_EQ(reports[0].measured, 0.5);
  EXPECT_NEAR(reports[0].log10_ratio, -std::log10(0.8), 1e-15);
  EXPECT_NEAR(reports[0].bound, 0.625, 1e-12);
  EXPECT_EQ(reports[0].instances, 3);
  EXPECT_EQ(reports[0].updates, 18);
  EXPECT_EQ(reports[0].hypotheses_hold, 18);
  EXPECT_EQ(reports[0].violations, 3);
  EXPECT_EQ(reports[1].id, "P6");
  EXPECT_EQ(reports[1].provenance, "recalled");
  EXPECT_EQ(reports[1].log10_ratio, 20);
  EXPECT_EQ(reports[1].measured, 0.125);
  EXPECT_EQ(reports[1].hypotheses_hold, 8);
  EXPECT_EQ(reports[2].id, "P6@4");
  EXPECT_EQ(reports[2].bound, HUGE_VAL);
  EXPECT_EQ(reports[2].log10_bound, 500);
}

TEST(Bounds, NothingMeasuredIsNan) {
  Result<float> r;
  r.shifts.resize(4, ShiftSummary<float>{});
  for (const BoundReport& report : bound_reports(r)) {
    EXPECT_TRUE(std::isnan(report.measured));
    EXPECT_TRUE(std::isnan(report.bound));
    EXPECT_TRUE(std::isnan(report.log10_ratio));
    EXPECT_EQ(report.instances, 0);
    EXPECT_EQ(report.violations, 0);
  }
}

// One instance whose x the test moves; the evaluator measures and judges every move.
template <class T, int Lanes, class LossT>
class Watched {
 public:
  Watched(int rows, int parameters, std::vector<T> a, std::vector<T> b = {})
      : a_(std::move(a)), target_(std::move(b)), x_(size(parameters)) {
    target_.resize(size(rows), target_.empty() ? T(1) / T(rows) : T(0));
    const Matrix<const T> matrix{a_.data(), rows, parameters, parameters, 1};
    norm_ = rounded_up<T>(operator_norm_bound(matrix));
    batch_.count = 1;
    batch_.d2 = parameters;
    batch_.m = rows;
    batch_.shifts = &summary_;
    batch_.bounds = &bounds_;
    batch_.operator_norm = &norm_;
    const Extent extent = extent_of(batch_, 0);
    workspace_.resize(size(MemoryWorkspace<T>::size(extent)));
    before_.resize(size(ShiftWorkspace<T>::size(extent, softreg::Watched::bounds)), quiet_nan<T>());
    evaluator_.emplace_back(Solver{{{{},
                                     {matrix},
                                     target_.data(),
                                     nullptr,
                                     T(0),
                                     nullptr,
                                     x_.data(),
                                     MemoryWorkspace<T>::carve(workspace_.data(), extent)},
                                    batch_,
                                    0,
                                    ShiftWorkspace<T>::of(before_.data(), extent)}});
    evaluator_[0].p.load();
    evaluator_[0].init();
  }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

  void move_to(const std::vector<T>& x) {
    std::copy(x.begin(), x.end(), evaluator_[0].p.w.point);
    evaluator_[0].evaluate(step_++, false);
  }
  const ShiftSummary<T>& summary() const { return summary_; }
  const BoundSummary<T>& bounds() const { return bounds_; }
  T norm() const { return norm_; }

 private:
  using Placement = MemoryPlacement<LaneGroup<Lanes>, DenseMatrix<T>, T>;
  using Solver = softreg::Evaluator<Placement, LossT, T, true>;
  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

  std::vector<T> a_, target_, x_, workspace_, before_;
  T norm_;
  Batch<T> batch_;
  ShiftSummary<T> summary_{};
  BoundSummary<T> bounds_{};
  std::vector<Solver> evaluator_;
  int step_ = 0;
};

struct Tally {
  std::int64_t updates = 0, violations = 0, above_rounding = 0, judged[bound_count] = {};
  double closest = HUGE_VAL, loose[bound_count];
  Tally() { std::fill(std::begin(loose), std::end(loose), HUGE_VAL); }
  template <class W>
  void add(const W& watched) {
    const auto& s = watched.summary();
    using T = std::decay_t<decltype(s.f_max)>;
    for (int k = 0; k < bound_count; ++k) {
      const auto watch = watched.bounds().seen(k);
      judged[k] += watch.judged;
      violations += watch.violations;
      if (watch.measured > T(0)) loose[k] = std::min(loose[k], double(watch.margin));
    }
    updates += s.updates;
    violations += s.sharp.violations + s.paper.violations + s.paper_at_4.violations;
    if (s.sharp.measured > T(0)) {
      ++above_rounding;
      closest = std::min(closest, double(s.sharp.seen().margin));
    }
  }
};

// Targets in the simplex: flat, one-hot, sparse, dense.
template <class T>
std::vector<T> any_target(int rows, int kind, Rng& rng) {
  std::vector<double> b(static_cast<std::size_t>(rows), 0);
  std::exponential_distribution<double> part;
  for (double& v : b)
    v = kind % 5 == 0 ? 1 : kind % 5 == 1 ? 0 : kind % 5 == 2 && rng() % 4 ? 0 : part(rng);
  b[rng() % b.size()] += 1e-3;
  double sum = 0;
  for (const double v : b) sum += v;
  std::vector<T> rounded;
  for (const double v : b) rounded.push_back(static_cast<T>(v / sum));
  return rounded;
}

// Shapes of A (plain, near rank one, rows far from zero, one row apart), sizes of A and x from tiny
// to far beyond exp's range, and steps from none over single roundings to all of x.
template <class T, int Lanes, class LossT>
void random_updates(int instances, int steps, unsigned seed, Tally& tally, double target_size = 1) {
  Rng rng(seed);
  std::normal_distribution<double> normal;
  const auto pick = [&rng](auto... v) {
    const std::common_type_t<decltype(v)...> all[] = {v...};
    return all[rng() % sizeof...(v)];
  };
  for (int c = 0; c < instances; ++c) {
    const int rows = c % 50 == 0 ? 1000 : pick(1, 2, 3, 5, 8, 33, 64, 100);
    const int parameters = pick(1, 2, 7, 16);
    const double scale = pick(0.01, 0.3, 1.0, 4.0, 100.0, 3e4);
    const int family = c % 4;
    std::vector<T> a, x(static_cast<std::size_t>(parameters));
    std::vector<double> direction(x.size());
    for (double& e : direction) e = normal(rng);
    for (int i = 0; i < rows; ++i) {
      const double along = normal(rng);
      for (double e : direction) {
        double v = normal(rng);
        if (family == 1) v = along * e + 1e-4 * v;
        if (family == 2) v += 100;
        if (family == 3 && i > 0) v *= 1e-3;
        a.push_back(static_cast<T>(scale * v / std::sqrt(double(parameters))));
      }
    }
    std::vector<T> b = any_target<T>(rows, c, rng);
    if (target_size != 1)
      for (T& v : b) v *= static_cast<T>(target_size * normal(rng));
    Watched<T, Lanes, LossT> watched(rows, parameters, a, b);
    for (T& v : x) v = static_cast<T>(normal(rng));
    watched.move_to(x);
    for (int s = 0; s < steps; ++s) {
      const double move = pick(0.0, 1e-8, 1e-6, 1e-4, 1e-2, 1.0, 3.0);
      for (T& v : x) v = static_cast<T>(double(v) + move * normal(rng));
      if (rng() % 16 == 0) x[0] = std::nextafter(x[0], infinity<T>());
      watched.move_to(x);
    }
    tally.add(watched);
    ASSERT_EQ(watched.summary().sharp.violations, 0)
        << rows << " rows, " << parameters << " parameters, scale " << scale << ", family "
        << family << ", margin " << watched.summary().sharp.seen().margin << ", measured "
        << watched.summary().sharp.measured;
    ASSERT_EQ(watched.summary().paper.violations, 0);
    ASSERT_EQ(watched.summary().paper_at_4.violations, 0);
    for (int k = 0; k < bound_count; ++k)
      ASSERT_EQ(watched.bounds().seen(k).violations, 0)
          << "bound " << k << ", " << rows << " rows, " << parameters << " parameters, scale "
          << scale << ", family " << family << ", margin " << watched.bounds().seen(k).margin
          << ", measured " << watched.bounds().seen(k).measured;
  }
}

template <class T>
class ShiftsOf : public testing::Test {};
using Both = testing::Types<float, double>;
TYPED_TEST_SUITE(ShiftsOf, Both, );

TYPED_TEST(ShiftsOf, RandomUpdatesNeverViolate) {
  Tally tally;
  random_updates<TypeParam, 1, SoftmaxL2>(400, 100, 1, tally);
  random_updates<TypeParam, 32, SoftmaxL2>(400, 100, 2, tally);
  random_updates<TypeParam, 32, RescaledL2>(200, 100, 3, tally);
  random_updates<TypeParam, 1024, CrossEntropy>(200, 100, 4, tally);
  EXPECT_GE(tally.updates, 100'000);
  EXPECT_EQ(tally.violations, 0);
  EXPECT_GT(tally.above_rounding, 500);
  std::printf("[count] random updates judged (%zu bytes): %lld, closest log10(bound/shift) %.3g\n",
              sizeof(TypeParam), static_cast<long long>(tally.updates), tally.closest);
}

// Where |f - b| is large, its rounding hides how far f moved.
TYPED_TEST(ShiftsOf, TargetsFarFromTheSimplexViolateNothing) {
  Tally tally;
  for (const double size : {10.0, 1000.0, 1e6}) {
    random_updates<TypeParam, 1, SoftmaxL2>(60, 50, 7, tally, size);
    random_updates<TypeParam, 32, RescaledL2>(60, 50, 8, tally, size);
  }
  EXPECT_GT(tally.judged[bound_error], 10'000);
  EXPECT_EQ(tally.violations, 0);
}

// D19 where max(u)^2 is far beyond T, and the shift of the gradient nearly is.
TYPED_TEST(ShiftsOf, GradientsNearTheLargestNumberViolateNothing) {
  using T = TypeParam;
  const T top = sizeof(T) == 4 ? T(46) : T(356), step = sizeof(T) == 4 ? T(0.015) : T(0.01);
  Watched<T, 32, RescaledL2> watched(2, 2, {T(1), T(1), T(-1), T(1)});
  watched.move_to({T(0), top});
  watched.move_to({step, top});
  const BoundWatch<T> seen = watched.bounds().seen(bound_rescaled_gradient);
  EXPECT_EQ(seen.judged, 1);
  EXPECT_EQ(seen.violations, 0);
  EXPECT_GT(seen.measured, std::numeric_limits<T>::max() / T(1e3));
  EXPECT_NEAR(double(seen.margin), 0.96, 0.02);
}

// f = (1/2, 1/2) moved along its tight direction: |df| = 1/2 |dz| (1 - O(dz^2)).
template <class T, int Lanes>
void tight_updates(int count, unsigned seed, Tally& tally) {
  Rng rng(seed);
  // Common parts up to where the spacing of the logits is no longer small beside 1.
  std::uniform_real_distribution<double> exponent(-7, -1), offset(-4, sizeof(T) == 4 ? 7 : 16);
  for (int c = 0; c < count; ++c) {
    // The second column moves both logits together and changes nothing.
    Watched<T, Lanes, SoftmaxL2> watched(2, 2, {T(1), T(1), T(-1), T(1)});
    const T t = static_cast<T>(std::pow(10.0, exponent(rng)));
    const T common = static_cast<T>(std::pow(10.0, offset(rng)));
    watched.move_to({-t / 2, common});
    watched.move_to({t / 2, common});
    watched.move_to({T(0), common});
    watched.move_to({t / 3, common});
    tally.add(watched);
    ASSERT_EQ(watched.summary().sharp.violations, 0)
        << "t " << t << ", common " << common << ", margin "
        << watched.summary().sharp.seen().margin;
  }
}

TYPED_TEST(ShiftsOf, TightUpdatesNeverViolate) {
  Tally tally;
  tight_updates<TypeParam, 1>(10000, 5, tally);
  tight_updates<TypeParam, 32>(10000, 6, tally);
  EXPECT_EQ(tally.updates, 60'000);
  EXPECT_EQ(tally.violations, 0);
  EXPECT_LT(tally.closest, 1e-3);  // tight indeed
  std::printf("[count] tight updates judged (%zu bytes): %lld, closest log10(bound/shift) %.3g\n",
              sizeof(TypeParam), static_cast<long long>(tally.updates), tally.closest);
}

TYPED_TEST(ShiftsOf, BoundTooSmallByAFifthIsReported) {
  using T = TypeParam;
  // Judged as if |A dx| were 0.8 of what it is, that is with 0.4 |A dx| as the bound.
  int reported = 0, steps = 0;
  for (double t = sizeof(T) == 4 ? 1e-4 : 1e-12; t < 0.5; t *= 1.1, ++steps) {
    Watched<T, 32, SoftmaxL2> watched(2, 1, {T(1), T(-1)});
    const T half = static_cast<T>(t / 2);
    watched.move_to({-half});
    watched.move_to({half});
    const ShiftSummary<T>& s = watched.summary();
    ASSERT_EQ(s.updates, 1);
    ASSERT_EQ(s.sharp.violations, 0);
    const T z = 2 * half * std::sqrt(T(2));
    ShiftSummary<T> judged{};
    note_shift(judged, Shift<T>{s.f_max, T(0.8) * z, s.x_max, half, half},
               ShiftScale<T>{2, 1, 2, 1, 32, watched.norm()});
    reported += judged.sharp.violations;
    EXPECT_EQ(judged.paper.violations, 0);
  }
  EXPECT_EQ(reported, steps);
  EXPECT_GT(steps, 80);
}

TYPED_TEST(ShiftsOf, PaperBoundTooSmallIsReported) {
  using T = TypeParam;
  // A shift of 1 for a step of 1e-30 at R = 0.1: M |dx| = 2^1.5 exp(0.1) 1e-30.
  ShiftSummary<T> s{};
  note_shift(s, Shift<T>{T(1), T(4), T(1e-30), T(0.1), T(0.1)},
             ShiftScale<T>{2, 1, 2, 1, 1, T(0.1)});
  EXPECT_EQ(s.sharp.violations, 0);
  EXPECT_EQ(s.paper.violations, 1);
  EXPECT_EQ(s.paper.hypotheses_hold, 0);  // R < 4
  EXPECT_NEAR(double(s.paper.seen().log10_bound), log10_paper_constant(2, 0.1) - 30, 1e-5);
  EXPECT_EQ(s.paper_at_4.violations, 0);  // exp(160) 1e-30 is plenty
  EXPECT_EQ(s.paper_at_4.hypotheses_hold, 1);
  EXPECT_NEAR(double(s.paper_at_4.seen().log10_bound), log10_paper_constant(2, 4) - 30, 2e-5);
}

TYPED_TEST(ShiftsOf, NoMoveNoViolationAndAJumpWithoutAMoveIsOne) {
  using T = TypeParam;
  ShiftSummary<T> s{};
  note_shift(s, Shift<T>{T(0), T(0), T(0), T(1), T(1)}, ShiftScale<T>{4, 1, 4, 2, 1, T(1)});
  EXPECT_EQ(s.updates, 1);
  EXPECT_EQ(s.sharp.violations + s.paper.violations + s.paper_at_4.violations, 0);
  note_shift(s, Shift<T>{T(0.01), T(0), T(0), T(1), T(1)}, ShiftScale<T>{4, 1, 4, 2, 1, T(1)});
  EXPECT_EQ(s.sharp.violations, 1);
  EXPECT_EQ(s.paper.violations, 1);
  EXPECT_EQ(s.paper_at_4.violations, 1);
  note_shift(s, Shift<T>{infinity<T>(), T(1), T(1), T(1), T(1)},
             ShiftScale<T>{4, 1, 4, 2, 1, T(1)});
  EXPECT_EQ(s.updates, 2);  // what is not finite is not judged
}

// each_member() lists them by hand: of numbers of four bytes, none may be missing.
TEST(Summaries, VisitEveryMember) {
  ShiftSummary<float> shifts{};
  BoundSummary<float> bounds{};
  std::size_t visited = 0;
  const auto count = [&visited](auto&, auto&) { ++visited; };
  each_member(shifts, shifts, count);
  EXPECT_EQ(visited, sizeof shifts / 4);
  visited = 0;
  each_member(bounds, bounds, count);
  EXPECT_EQ(visited, sizeof bounds / 4);
}

}  // namespace
}  // namespace softreg
