// When kernels are made at run time: the rule, the plan that has it, and the conductor that falls
// back to the catalogue, on the emulated device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>

#include "batches.hpp"
#include "kernels/on_emulated_gpu.hpp"
#include "plan.hpp"
#include "solve.hpp"

namespace softreg {
namespace {

TEST(Narrowed, KeepsTheLanesAndHoldsTheRows) {
  for (const KernelPolicy& p : policies) {
    if (p.placement != Placement::registers) continue;
    for (int n = 1; n <= p.grid.rows; ++n) {
      const int least = 1 + n / 2, d = 1 + n % p.grid.parameters;
      const KernelPolicy special = narrowed(p, least, n, d, true);
      EXPECT_EQ(special.lanes(), p.lanes());
      EXPECT_EQ(special.threads(), p.threads());
      EXPECT_EQ(special.grid.columns, p.grid.columns);
      EXPECT_EQ(special.grid.parameters, p.grid.parameters) << "or sums would have another order";
      EXPECT_GE(special.grid.rows, n);
      EXPECT_LT(special.grid.rows, n + p.lanes());
      EXPECT_LE(special.grid.rows, p.grid.rows);
      EXPECT_EQ(special.grid.rows % special.lanes(), 0);
      EXPECT_LE(special.least_rows, least);
      EXPECT_LE(special.shared_rows, p.shared_rows);
      EXPECT_LE(special.grid.held_rows() - special.shared_rows, p.grid.held_rows() - p.shared_rows);
    }
  }
}

TEST(SpecialisedPolicy, IsMadeWhereItPays) {
  constexpr Specialise never = Specialise::never, pays = Specialise::when_it_pays,
                       always = Specialise::always;
  constexpr KernelPolicy p = Float64x16::policy;
  const auto made = [](Specialise when, const KernelPolicy& policy, const Alike& all) {
    return specialised_policy(when, policy, all).has_value();
  };
  Alike all{.instances = 1'000'000'000,
            .least_rows = 30,
            .most_rows = 40,
            .parameters = 9,
            .plain = true,
            .fast = false,
            .max_steps = 1'000'000};
  EXPECT_FALSE(made(never, p, all));
  EXPECT_TRUE(made(always, p, all));
  EXPECT_FALSE(made(always, BlockStream::policy, all));
  for (const KernelPolicy& k : policies)
    EXPECT_EQ(made(always, k, all), k.placement == Placement::registers && k.shared_rows == 0);
  // 2 * (64 - 40) * 16 = 768 multiply-adds saved a step; 3e13 pay.
  all.instances = 1'000'000;
  all.max_steps = 39'062;
  EXPECT_FALSE(made(pays, p, all));
  all.max_steps = 39'063;
  EXPECT_TRUE(made(pays, p, all));
  EXPECT_FALSE(specialised_policy(pays, p, all)->fast);
  all.max_steps = 0;
  EXPECT_FALSE(made(pays, p, all)) << "evaluate makes no step";
  all.fast = true;  // the catalogue has none
  EXPECT_TRUE(specialised_policy(never, p, all)->fast);
  EXPECT_FALSE(made(never, BlockStream::policy, all));
  all.instances = 0;
  EXPECT_FALSE(made(always, p, all)) << "no instance";
}

// Ragged: one kernel per class, for all of its instances.
TEST(SpecialisedPlan, HasOneKernelPerClass) {
  BatchShape s;
  std::vector<std::int64_t> begin = {0};
  for (const int n : {33, 40, 20, 3, 50, 2000}) begin.push_back(begin.back() + n);
  s.layout.count = 6;
  s.layout.d2 = 7;
  s.layout.begin2 = s.layout.begin_z = begin.data();
  s.max_steps = 1000;
  s.plain = true;
  std::vector<std::int64_t> runs(6);
  std::iota(runs.begin(), runs.end(), 0);
  DeviceInfo device{132, 2048, std::int64_t{1} << 36};
  for (const auto& special : plan_cuda(s, runs, device).specialised) EXPECT_FALSE(special);
  device.specialise = Specialise::always;
  const CudaPlan plan = plan_cuda(s, runs, device);
  std::vector<std::string> kernels;
  for (std::size_t k = 0; k < plan.specialised.size(); ++k) {
    if (!plan.specialised[k]) continue;
    const KernelPolicy& p = plan.specialised[k]->policy;
    EXPECT_TRUE(p.plain);
    kernels.push_back(std::string(p.name) + ": " + std::to_string(p.least_rows) + " to " +
                      std::to_string(p.grid.rows));
  }
  EXPECT_EQ(kernels, (std::vector<std::string>{"lanes2_32x8: 2 to 20", "lanes8_64x16: 32 to 56"}));
}

class Specialising : public OnEmulatedGpu {
 protected:
  Specialising() { ::setenv("SOFTREG_SPECIALISE", "always", 1); }
  ~Specialising() override { ::unsetenv("SOFTREG_SPECIALISE"); }

  const std::vector<float> a = std::vector<float>(4 * 40 * 9, 0.1f),
                           b = std::vector<float>(40, 0.025f);
  VectorProblem<float> problem{.count = 4, .n = 40, .d = 9, .a = a, .b = b};
  Options options{.stop = {.max_steps = 3}, .device = Device::cuda};
};

TEST_F(Specialising, LaunchesWhatWasMade) {
  gpu.specialises = true;
  const LiveSolve<float> live(problem, options);
  EXPECT_EQ(live.plan().size_class, "lanes8_64x16");
  EXPECT_EQ(live.plan().kernels, "specialised");
  EXPECT_TRUE(gpu.specialised.empty()) << "a plan makes nothing";
  const Result<float> r = solve(problem, options);
  EXPECT_EQ(r.plan.kernels, "specialised");
  EXPECT_EQ(gpu.specialised, std::vector<std::string>{"softmax_l2 lanes8_64x16 40x16 plain"});
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

// What only a kernel made at run time has is refused where there is none.
TEST_F(Specialising, FastNeedsItsKernel) {
  ::unsetenv("SOFTREG_SPECIALISE");
  options.arithmetic = Arithmetic::fast;
  const auto refused = [&] {
    try {
      solve(problem, options);
    } catch (const Error& error) {
      return std::pair(error.kind(), std::string(error.what()));
    }
    return std::pair(ErrorKind::internal, std::string("no error"));
  };
  EXPECT_EQ(refused(), std::pair(ErrorKind::device_unavailable,
                                 std::string("the fast arithmetic has kernels that are made at run "
                                             "time, but the emulated GPU was told not to")));
  gpu.specialises = true;
  EXPECT_EQ(solve(problem, options).plan.kernels, "fast");
  EXPECT_EQ(gpu.specialised, std::vector<std::string>{"softmax_l2 lanes8_64x16 40x16 plain fast"});
  gpu.specialise_failure = ErrorKind::internal;
  EXPECT_EQ(refused().second, "emulated GPU: no kernel was to be made");
  options.trace = TraceKind::shifts;
  EXPECT_EQ(refused().first, ErrorKind::usage);
  options.trace = TraceKind::none;
  options.device = Device::cpu;
  EXPECT_EQ(refused(), std::pair(ErrorKind::usage, std::string("the fast arithmetic is for CUDA, "
                                                               "not for the device cpu")));
  EXPECT_THROW(evaluate(problem, options), Error);
}

TEST_F(Specialising, FastIsForRegisters) {
  const std::vector<float> long_a(3000, 0.1f), long_b(3000, 1.0f / 3000);
  options.arithmetic = Arithmetic::fast;
  try {
    solve(VectorProblem<float>{.count = 1, .n = 3000, .d = 1, .a = long_a, .b = long_b}, options);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), testing::HasSubstr("but all instances are in block_stream"));
  }
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
