// Every float input of exp, log, sinh and cosh against the C library in double. Its result errs by
// less than 1 ulp of a double, so 2^-29 ulp of a float: the errors below are right to that, and the
// test for overflow could only be wrong for an exact value within 2^-29 ulp of the overflow
// threshold, which would show as an infinite error.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

#include "model/ulp.hpp"

namespace softreg::testing {
namespace {

struct Worst {
  double error = 0;
  float at = 0;
  std::uint64_t inputs = 0, beyond_half = 0, steps_back = 0;
  double longest_step_back = 0;  // ulp
};

double ulp_distance(float a, float b) {
  return std::abs(static_cast<double>(std::bit_cast<std::int32_t>(a)) -
                  static_cast<double>(std::bit_cast<std::int32_t>(b)));
}

// All bit patterns in [first, last), both multiples of the block. direction: +1 where the function
// rises with the pattern, -1 where it falls.
template <class F>
void sweep(std::uint64_t first, std::uint64_t last, int direction, Worst& worst) {
  float x[block], y[block];
  float before = std::numeric_limits<float>::quiet_NaN();
  for (std::uint64_t start = first; start < last; start += block) {
    for (unsigned i = 0; i < block; ++i)
      x[i] = std::bit_cast<float>(static_cast<unsigned>(start) + i);
    apply_block_fastest<F>(x, y);
    for (int i = 0; i < block; ++i) {
      const double error = ulp_error(y[i], F::reference(static_cast<double>(x[i])));
      worst.beyond_half += error > 0.5 ? 1 : 0;
      if (!(error <= worst.error)) {
        worst.error = error;
        worst.at = x[i];
      }
      if (direction > 0 ? y[i] < before : y[i] > before) {
        ++worst.steps_back;
        worst.longest_step_back = std::max(worst.longest_step_back, ulp_distance(y[i], before));
      }
      before = y[i];
    }
  }
  worst.inputs += last - first;
}

constexpr std::uint64_t negative = 0x80000000u, all = 0x100000000u;

template <class F>
void judge(const Worst& w) {
  std::printf("[count] %s float inputs: %llu\n", F::name,
              static_cast<unsigned long long>(w.inputs));
  std::printf("%s float: worst %.4f ulp at %.9g, %.3f %% not correctly rounded, %llu steps back\n",
              F::name, w.error, static_cast<double>(w.at),
              100.0 * static_cast<double>(w.beyond_half) / static_cast<double>(w.inputs),
              static_cast<unsigned long long>(w.steps_back));
  EXPECT_EQ(w.inputs, all);
  EXPECT_LE(w.error, F::template bound<float>) << "at " << w.at;
  EXPECT_GE(w.error, F::template bound<float> - 0.02) << "the stated bound is loose";
  // Two errors of at most `bound` ulp each can exchange neighbours by at most their sum.
  EXPECT_LE(w.longest_step_back, 2 * F::template bound<float>);
}

TEST(SlowMath, ExpOfEveryFloat) {
  Worst w;
  sweep<Exp>(0, negative, +1, w);
  sweep<Exp>(negative, all, -1, w);
  judge<Exp>(w);
}

TEST(SlowMath, LogOfEveryFloat) {
  Worst w;
  sweep<Log>(0, negative, +1, w);
  sweep<Log>(negative, all, +1, w);
  judge<Log>(w);
}

// The other half of the inputs: bits of F(-x) against those of F(x), whose sign bit flips where F
// is odd.
template <class F>
void mirror(std::uint32_t flip, Worst& worst) {
  float x[block], y[block], minus_x[block], mirrored[block];
  for (std::uint64_t start = 0; start < negative; start += block) {
    for (unsigned i = 0; i < block; ++i) {
      x[i] = std::bit_cast<float>(static_cast<unsigned>(start) + i);
      minus_x[i] = -x[i];
    }
    apply_block_fastest<F>(x, y);
    apply_block_fastest<F>(minus_x, mirrored);
    for (int i = 0; i < block; ++i) {
      const auto want = std::bit_cast<std::uint32_t>(y[i]) ^ flip;
      ASSERT_TRUE(std::isnan(x[i]) ? std::isnan(mirrored[i])
                                   : std::bit_cast<std::uint32_t>(mirrored[i]) == want)
          << F::name << " at " << minus_x[i];
    }
  }
  worst.inputs += negative;
}

TEST(SlowMath, SinhOfEveryFloat) {
  Worst w;
  sweep<Sinh>(0, negative, +1, w);
  mirror<Sinh>(0x80000000u, w);
  judge<Sinh>(w);
}

TEST(SlowMath, CoshOfEveryFloat) {
  Worst w;
  sweep<Cosh>(0, negative, +1, w);
  mirror<Cosh>(0, w);
  judge<Cosh>(w);
}

}  // namespace
}  // namespace softreg::testing
