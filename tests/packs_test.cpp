// Ragged batches on the CPU: instances of equally many rows lie side by side, the others go alone,
// and neither that nor the threads change a bit.
#include <gtest/gtest.h>

#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "batches.hpp"

namespace softreg {
namespace {

Options options_of(std::size_t k) {
  Options o{.loss = loss_at(k % std::variant_size_v<AnyLoss>), .device = Device::cpu};
  o.optimizer = optimizer_at(k % 2, 0.01);
  o.stop = {.max_steps = 7, .gradient_norm = k % 3 == 0 ? 1e-2 : 0, .check_every = 3};
  const TraceKind traces[] = {TraceKind::none, TraceKind::loss, TraceKind::shifts,
                              TraceKind::bounds};
  o.trace = traces[k % 4];
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

// Names of classes hold for registers of 32 and of 64 bytes.
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
  expect_same_alone(make_batch<float>(r), options_of(0), "packs1,packs4,lanes32_reduced");
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
