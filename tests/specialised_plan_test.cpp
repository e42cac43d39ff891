// When kernels are made at run time: the rule, the plan that has it, and the conductor that falls
// back to the catalogue, on the emulated device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>

#include "batches.hpp"
#include "kernels/emulated_gpu.hpp"
#include "plan.hpp"
#include "solve.hpp"

namespace softreg {
namespace {

constexpr KernelPolicy warp = WarpRegisters64x16::policy;

Extent shape(std::int64_t rows, std::int64_t parameters) { return {rows, 1, parameters, 0, rows}; }

TEST(ExactPolicy, KeepsTheLanesAndHoldsTheShape) {
  for (const KernelPolicy& p : policies) {
    if (p.placement != Placement::registers) continue;
    for (int n = 1; n <= p.max_rows; ++n) {
      const int d = 1 + n % p.max_parameters;
      const KernelPolicy exact = exact_policy(p, shape(n, d));
      EXPECT_EQ(exact.lanes, p.lanes);
      EXPECT_EQ(exact.threads, p.threads);
      EXPECT_EQ(exact.max_parameters, d);
      EXPECT_GE(exact.max_rows, n);
      EXPECT_LT(exact.max_rows, n + p.lanes);
      EXPECT_LE(exact.max_rows, p.max_rows);
      EXPECT_EQ(exact.max_rows % exact.lanes, 0);
    }
  }
}

TEST(SpecialisedPolicy, IsMadeWhereItPays) {
  const auto made = [](Specialise when, const KernelPolicy& p, const Extent& e,
                       std::int64_t instances, int steps) {
    return specialised_policy(when, p, e, instances, steps).has_value();
  };
  constexpr Specialise never = Specialise::never, pays = Specialise::when_it_pays,
                       always = Specialise::always;
  EXPECT_FALSE(made(never, warp, shape(40, 9), 1'000'000'000, 1'000'000));
  EXPECT_TRUE(made(always, warp, shape(40, 9), 1, 0));
  EXPECT_FALSE(made(always, warp, shape(40, 9), 0, 1000)) << "no instance";
  EXPECT_FALSE(made(always, warp, shape(40, 16), 1000, 1000)) << "the catalogue has it";
  EXPECT_FALSE(made(always, BlockStream::policy, shape(400, 9), 1000, 1000));
  // 2 * 64 * (16 - 9) = 896 multiply-adds saved a step; 3e13 pay.
  EXPECT_FALSE(made(pays, warp, shape(40, 9), 1'000'000, 33'482));
  EXPECT_TRUE(made(pays, warp, shape(40, 9), 1'000'000, 33'483));
  EXPECT_FALSE(made(pays, warp, shape(40, 9), 1'000'000, 0)) << "evaluate makes no step";
}

// Ragged: one kernel per class, for the largest of its instances.
TEST(SpecialisedPlan, HasOneKernelPerClass) {
  BatchShape s;
  std::vector<std::int64_t> begin = {0};
  for (const int n : {33, 40, 20, 3, 50, 300}) begin.push_back(begin.back() + n);
  s.layout.count = 6;
  s.layout.d2 = 7;
  s.layout.begin2 = s.layout.begin_z = begin.data();
  s.max_steps = 1000;
  std::vector<std::int64_t> runs(6);
  std::iota(runs.begin(), runs.end(), 0);
  DeviceInfo device{132, 2048, std::int64_t{1} << 36};
  for (const auto& exact : plan_cuda(s, runs, device).exact) EXPECT_FALSE(exact);
  device.specialise = Specialise::always;
  const CudaPlan plan = plan_cuda(s, runs, device);
  int kernels = 0;
  for (std::size_t k = 0; k < plan.exact.size(); ++k) {
    if (!plan.exact[k]) continue;
    ++kernels;
    EXPECT_EQ(plan.exact[k]->max_parameters, 7);
    EXPECT_EQ(plan.exact[k]->max_rows, policies[k].max_rows == 32 ? 32 : 64);
  }
  EXPECT_EQ(kernels, 2);
}

class Specialising : public testing::Test {
 protected:
  Specialising() { ::setenv("SOFTREG_SPECIALISE", "always", 1); }
  ~Specialising() override {
    ::unsetenv("SOFTREG_SPECIALISE");
    EXPECT_EQ(gpu.misuse, "");
  }

  EmulatedGpuScope scope;
  EmulatedGpuState& gpu = emulated_gpu_state();
  const std::vector<float> a = std::vector<float>(4 * 40 * 9, 0.1f),
                           b = std::vector<float>(40, 0.025f);
  VectorProblem<float> problem{.count = 4, .n = 40, .d = 9, .a = a, .b = b};
  Options options{.stop = {.max_steps = 3}, .device = Device::cuda};
};

TEST_F(Specialising, LaunchesWhatWasMade) {
  gpu.specialises = true;
  const LiveSolve<float> live(problem, options);
  EXPECT_EQ(live.plan().size_class, "warp_registers_64x16");
  EXPECT_EQ(live.plan().kernels, "specialised");
  EXPECT_TRUE(gpu.specialised.empty()) << "a plan makes nothing";
  const Result<float> r = solve(problem, options);
  EXPECT_EQ(r.plan.kernels, "specialised");
  EXPECT_EQ(gpu.specialised, std::vector<std::string>{"softmax_l2 64x9 4"});
  EXPECT_EQ(gpu.specialised_launches, 1);
  ::setenv("SOFTREG_SPECIALISE", "never", 1);
  const Result<float> plain = solve(problem, options);
  EXPECT_EQ(plain.plan.kernels, "catalogue");
  EXPECT_EQ(gpu.specialised_launches, 1);
  EXPECT_EQ(difference(r, plain), "");
}

TEST_F(Specialising, FallsBackToTheCatalogue) {
  const Result<float> without = solve(problem, options);  // the device has no compiler
  EXPECT_EQ(without.plan.kernels, "catalogue");
  EXPECT_TRUE(gpu.specialised.empty());
  gpu.specialises = true;
  gpu.specialise_failure = ErrorKind::internal;
  const Result<float> failed = solve(problem, options);
  EXPECT_EQ(failed.plan.kernels, "catalogue");
  EXPECT_EQ(gpu.specialised.size(), 1u);
  EXPECT_EQ(gpu.specialised_launches, 0);
  EXPECT_EQ(difference(failed, without), "");
}

TEST_F(Specialising, WithALostDeviceIsAnError) {
  gpu.specialises = true;
  gpu.specialise_failure = ErrorKind::device_lost;
  EXPECT_THROW(solve(problem, options), Error);
}

TEST_F(Specialising, IsRefusedUnderAnUnknownName) {
  ::setenv("SOFTREG_SPECIALISE", "often", 1);
  try {
    solve(problem, options);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), testing::HasSubstr("'often'"));
  }
}

}  // namespace
}  // namespace softreg
