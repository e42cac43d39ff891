// Vector problems with fewer rows than columns, which the CPU solves in fewer parameters: the bits
// do not depend on what lies beside an instance; numbers that forbid the reduction are seen.
// (That the results are right: backends_test.cpp, matrix_test.cpp.)
#include "reduction.hpp"

#include <gtest/gtest.h>

#include <cstdio>

#include "batches.hpp"

namespace softreg {
namespace {

constexpr std::int64_t n = 8, d = 40, count = 70;

template <class T>
TestBatch<T> batch_of(std::uint64_t seed, bool starts) {
  return make_batch<T>(
      {.count = count, .n_min = n, .n_max = n, .d = d, .starts = starts, .seed = seed});
}

// Even ones for batches with starts, which are not reduced under a trace of shifts. What is drawn
// meets every loss, as turns that share a divisor with theirs would not.
Options options_of(std::size_t k) {
  Rng rng(k);
  Options o{.loss = loss_at(k % std::variant_size_v<AnyLoss>), .device = Device::cpu, .threads = 1};
  o.optimizer = optimizer_at(at(draw(rng, 0, 1)), fitting_step(o.loss, n, d));
  o.stop = {.max_steps = 9, .gradient_norm = draw(rng, 0, 2) == 0 ? 1e-2 : 0, .check_every = 4};
  const TraceKind traces[][2] = {{TraceKind::none, TraceKind::loss},
                                 {TraceKind::shifts, TraceKind::bounds}};
  o.trace = traces[k % 2][draw(rng, 0, 1)];
  return o;
}

template <class T>
std::int64_t expect_same_alone(const TestBatch<T>& p, const Options& o) {
  const Result<T> whole = solve(p.view(), o);
  EXPECT_EQ(whole.plan.size_class.substr(0, 5), "packs");
  EXPECT_TRUE(whole.plan.size_class.ends_with("_reduced")) << whole.plan.size_class;
  for (std::int64_t i = 0; i < p.count; ++i) {
    const Result<T> alone = solve(p.pick({i}, false).view(), o);
    EXPECT_EQ(alone.plan.size_class, "lanes16_reduced");
    EXPECT_EQ(difference(alone, 0, whole, i), "") << "instance " << i;
  }
  return p.count;
}

TEST(Reduction, BitsDoNotDependOnTheBatch) {
  std::int64_t compared = 0;
  for (std::size_t k = 0; k < (sanitized ? 4 : 28); ++k) {
    compared += expect_same_alone(batch_of<float>(k, k % 2 == 0), options_of(k));
    compared += expect_same_alone(batch_of<double>(k, k % 2 == 0), options_of(k));
  }
  std::printf("[count] reduced vector instances in packs and alone, bit for bit: %lld\n",
              static_cast<long long>(compared));
}

// Of some instances the start is far from the rows of A, of one a row of A is too long for R: they
// are solved as they are, beside the others.
TEST(Reduction, IsLeftWhereNumbersForbidIt) {
  TestBatch<float> p = batch_of<float>(5, true);
  for (const std::int64_t i : {0, 3, 33, 69})
    for (std::int64_t j = 0; j < d - n; ++j) {  // A does without these columns
      p.x0[at(i * d + j)] = 1000;
      for (std::int64_t r = 0; r < n; ++r) p.a[at((i * n + r) * d + j)] = 0;
    }
  for (std::int64_t j = 0; j < d; ++j) {
    p.a[at(50 * n * d + j)] = 3e38f;
    p.x0[at(50 * d + j)] = 1;
  }
  Options o = options_of(0);
  o.optimizer = GradientDescent{0.1};
  expect_same_alone(p, o);
  const Result<float> r = solve(p.view(), o);
  for (const std::int64_t i : {0, 3, 33, 69})
    for (std::int64_t j = 0; j < d - n; ++j)
      EXPECT_EQ(r.x[at(i * d + j)], 1000) << "no step moves it, so no rounding may";
  EXPECT_EQ(r.status[50], Status::overflow);

  std::vector<float> x(p.x0.size()), steps(at(count));
  std::vector<Outcome<float>> outcome(at(count));
  Batch<float> batch;
  batch.count = count;
  batch.m = n;
  batch.d2 = d;
  batch.a2 = p.a.data();
  batch.target = p.b.data();
  batch.start = p.x0.data();
  batch.step_size = steps.data();
  batch.x = x.data();
  batch.outcome = outcome.data();
  Reduction<float> reduction;
  for (const std::int64_t i : {0, 1, 3, 33, 49, 50, 69})
    EXPECT_EQ(reduction.take(batch, i) != nullptr, i == 1 || i == 49) << i;
}

TEST(Reduction, IsLeftWhereTheLengthOfAStartCounts) {
  const auto reduced = [](bool starts, double ridge, double ball, TraceKind trace) {
    Options o = options_of(0);
    o.ridge = ridge;
    o.ball = ball;
    o.trace = trace;
    return solve(batch_of<float>(1, starts).view(), o).plan.size_class.ends_with("_reduced");
  };
  for (const bool starts : {false, true}) {
    EXPECT_TRUE(reduced(starts, 0, 0, TraceKind::loss));
    EXPECT_EQ(reduced(starts, 0.1, 0, TraceKind::none), !starts);
    EXPECT_EQ(reduced(starts, 0, 0.1, TraceKind::none), !starts);
    EXPECT_EQ(reduced(starts, 0, 0, TraceKind::shifts), !starts);
    EXPECT_EQ(reduced(starts, 0, 0, TraceKind::bounds), !starts);
  }
}

TEST(Reduction, TakesASharedA) {
  const TestBatch<double> p = batch_of<double>(7, true);
  const Options o = options_of(4);
  TestBatch<double> repeated = p;
  for (std::int64_t i = 1; i < count; ++i)
    std::copy_n(p.a.begin(), n * d, repeated.a.begin() + i * n * d);
  VectorProblem<double> shared = p.view();
  shared.a = shared.a.first(at(n * d));
  EXPECT_EQ(difference(solve(shared, o), solve(repeated.view(), o)), "");
}

}  // namespace
}  // namespace softreg
