// Packs on the CPU: of a ragged batch instances of equally many rows lie side by side and the
// others go alone, an A that all share is read where it lies, and neither that nor the threads
// change a bit.
#include <gtest/gtest.h>

#include <cstdio>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "batches.hpp"

namespace softreg {
namespace {

// Losses in turn; the rest is drawn, because turns that share a divisor never meet some others.
Options options_of(std::size_t k) {
  Rng rng(k);
  Options o{.loss = loss_at(k % std::variant_size_v<AnyLoss>), .device = Device::cpu};
  o.optimizer = optimizer_at(at(draw(rng, 0, 1)), 0.01);
  o.stop = {.max_steps = 7, .gradient_norm = draw(rng, 0, 2) == 0 ? 1e-2 : 0, .check_every = 3};
  const TraceKind traces[] = {TraceKind::none, TraceKind::loss, TraceKind::shifts,
                              TraceKind::bounds};
  o.trace = traces[draw(rng, 0, 3)];
  return o;
}

template <class T>
std::int64_t expect_same_alone(const TestBatch<T>& p, Options o, const std::string& size_class) {
  o.threads = 1;
  const Result<T> whole = solve(p.view(), o);
  EXPECT_EQ(whole.plan.size_class.substr(0, size_class.size()), size_class);
  o.threads = 3;
  EXPECT_EQ(difference(solve(p.view(), o), whole), "") << "three threads";
  for (std::int64_t i = 0; i < p.count; ++i)
    EXPECT_EQ(difference(solve(p.pick({i}, true).view(), o), 0, whole, i), "") << "instance " << i;
  return p.count;
}

// Names of classes hold for registers of 32 and of 64 bytes and first caches of 32 to 64 KiB.
TEST(Packs, OfRaggedBatchesChangeNoBit) {
  std::int64_t compared = 0;
  for (std::size_t k = 0; k < (sanitized ? 4 : 28); ++k) {
    BatchRecipe r{.count = 150, .n_min = 1, .n_max = 40, .d = 5, .weights = k % 3 == 1, .seed = k};
    compared += expect_same_alone(make_batch<float>(r), options_of(k), "packs1");
    compared += expect_same_alone(make_batch<double>(r), options_of(k), "packs1");
  }
  std::printf("[count] instances of ragged batches in packs and alone, bit for bit: %lld\n",
              static_cast<long long>(compared));
}

// Short ones are reduced, long ones are too large to lie beside others, some shapes are met once.
TEST(Packs, OfOneBatchMayBeOfManyKinds) {
  const BatchRecipe r{.count = 300, .n_min = 1, .n_max = 200, .d = 36, .starts = false, .seed = 4};
  expect_same_alone(make_batch<float>(r), options_of(0), "packs1,packs4,lanes16_reduced");
}

// Enough instances that share A read it where it lies, of whatever size.
TEST(Packs, OfSharedAReadItWhereItLies) {
  std::int64_t compared = 0, steps = 0;
  const auto compare = [&]<class T>(T, std::size_t k) {
    const std::int64_t sizes[][2] = {{1, 1}, {9, 3}, {70, 21}, {300, 40}, {33, 5}, {20, 40}};
    const auto& [n, d] = sizes[k % std::size(sizes)];
    TestBatch<T> lean = make_batch<T>({50, n, n, d, true, k % 4 == 1, false, k});
    TestBatch<T> full = lean;
    lean.a.resize(at(n * d));
    for (std::int64_t i = 0; i < full.count; ++i)
      std::copy(lean.a.begin(), lean.a.end(), full.a.begin() + i * n * d);
    Options o = options_of(k);
    o.threads = 1;
    const Result<T> got = solve(lean.view(), o);
    const bool may_reduce = d > 32 && 4 * n <= 3 * d;  // to an A of each one's own
    EXPECT_TRUE(may_reduce || got.plan.size_class == "packs1") << got.plan.size_class;
    EXPECT_EQ(difference(got, solve(full.view(), o)), "") << n << " x " << d;
    o.threads = 3;
    EXPECT_EQ(difference(solve(lean.view(), o), got), "") << n << " x " << d << ", three threads";
    o.threads = 1;
    // One alone has no neighbours: the bits are the same.
    lean = full.pick({1}, false);
    const Result<T> one = solve(lean.view(), o);
    EXPECT_TRUE(n != 300 || one.plan.size_class == "lanes16") << one.plan.size_class;
    EXPECT_EQ(difference(one, 0, got, 1), "") << n << " x " << d << ", alone";
    compared += full.count + 1;
    steps += std::accumulate(got.steps.begin(), got.steps.end(), std::int64_t{0});
  };
  for (std::size_t k = 0; k < (sanitized ? 6 : 28); ++k) {
    compare(float{}, k);
    compare(double{}, k);
  }
  EXPECT_GT(steps, 3 * compared) << "of 7 at most: a start that is an end compares nothing";
  std::printf("[count] instances that share A in packs and alone, bit for bit: %lld (%lld steps)\n",
              static_cast<long long>(compared), static_cast<long long>(steps));
}

// Of 4 rows one alone is left, of 5 none.
TEST(Packs, LeaveOutWhatIsNotFit) {
  TestBatch<float> p =
      make_batch<float>({.count = 60, .n_min = 3, .n_max = 5, .d = 2, .starts = false, .seed = 9});
  std::vector<bool> bad(at(p.count));
  bool seen = false;
  for (std::int64_t i = 0; i < p.count; ++i) {
    const bool four = p.rows(i) == 4;
    bad[at(i)] = p.rows(i) == 5 || (four && seen) || i % 7 == 0;
    seen = seen || (four && !bad[at(i)]);
    if (bad[at(i)]) p.a[at(p.first_row(i) * p.d)] = std::numeric_limits<float>::quiet_NaN();
  }
  expect_same_alone(p, options_of(0), "packs1");
  const Result<float> r = solve(p.view(), options_of(0));
  for (std::int64_t i = 0; i < p.count; ++i)
    EXPECT_EQ(r.status[at(i)] == Status::bad_input, bad[at(i)]) << i;
}

}  // namespace
}  // namespace softreg
