// Random numbers by place: the published vectors of Philox4x32-10, the layout of the counter, the
// uniforms at their ends, and the normal quantile against values of 25 digits and against erfc.
#include "philox.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <vector>

namespace softreg {
namespace {

// Random123, tests/kat_vectors, lines "philox4x32 10".
TEST(Philox, PublishedVectors) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32_10({ones, ones, ones, ones}, {ones, ones}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, CounterIsSeedInstanceArrayElement) {
  const RandomArray random{0x1111111122222222, 0x3333333344444444, 0x55};
  const PhiloxCounter block =
      philox4x32_10({0x77777777, 0x55666666, 0x44444444, 0x33333333}, {0x22222222, 0x11111111});
  EXPECT_EQ(random.bits(0x0066666677777777), std::uint64_t{block[1]} << 32 | block[0]);
}

// Each word of the place reaches the counter: 64 one-bit changes of seed and instance, 8 of the
// array, 56 of the element give 193 different numbers.
TEST(Philox, EveryBitOfThePlaceCounts) {
  std::set<std::uint64_t> seen = {RandomArray{0, 0, 0}.bits(0)};
  for (int i = 0; i < 64; ++i) {
    const std::uint64_t bit = std::uint64_t{1} << i;
    seen.insert(RandomArray{bit, 0, 0}.bits(0));
    seen.insert(RandomArray{0, bit, 0}.bits(0));
    if (i < 8) seen.insert(RandomArray{0, 0, static_cast<std::uint8_t>(bit)}.bits(0));
    if (bit < RandomArray::max_elements) seen.insert(RandomArray{0, 0, 0}.bits(bit));
  }
  EXPECT_EQ(seen.size(), 193u);
}

TEST(Uniform, OpenIntervalIsExactAndSymmetric) {
  EXPECT_EQ(uniform_open(0), 0x1p-53);
  EXPECT_EQ(uniform_open(~std::uint64_t{0}), 1 - 0x1p-53);
  const std::uint64_t half = std::uint64_t{1} << 63;
  EXPECT_EQ(uniform_open(half), 0.5 + 0x1p-53);
  EXPECT_EQ(uniform_open(half - 1), 0.5 - 0x1p-53);
  for (std::uint64_t e = 0; e < 10000; ++e) {
    const std::uint64_t bits = RandomArray{1, 2, 3}.bits(e);
    ASSERT_EQ(uniform_open(bits) + uniform_open(~bits), 1.0);
    ASSERT_EQ(normal(bits), -normal(~bits));
  }
}

TEST(Uniform, BelowIsTheFloorOfTheProduct) {
  const std::uint64_t all = ~std::uint64_t{0};
  for (const std::uint64_t range : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{7},
                                    std::uint64_t{1000003}, std::uint64_t{1} << 32}) {
    EXPECT_EQ(uniform_below(0, range), 0u);
    EXPECT_EQ(uniform_below(all, range), range - 1);
    // The smallest bits that give k are the ceiling of k 2^64 / range.
    for (const std::uint64_t k : {range / 3, range / 2, range - 1}) {
      if (k == 0) continue;
      const std::uint64_t quotient = all / range, rest = all % range + 1;  // 2^64 = q range + rest
      const std::uint64_t first = k * quotient + (k * rest + range - 1) / range;
      EXPECT_EQ(uniform_below(first, range), k) << range;
      EXPECT_EQ(uniform_below(first - 1, range), k - 1) << range;
    }
  }
}

struct Quantile {
  double p;
  double x;
};

// The values come from mpmath 1.3 with 60 digits: the root of erfc(-x / sqrt 2) / 2 = p. They touch
// each of the three approximations, both sides of their borders (|p - 1/2| = 0.425; p near
// exp(-25) = 2^-36.07) and the ends of what uniform_open gives.
TEST(Normal, QuantilesOf25Digits) {
  const std::vector<Quantile> table = {
      {0x1p-2, -0.674489750196081743202227},
      {0x1.8p-2, -0.3186393639643751630219485},
      {0x1.999999999999ap-1, 0.8416212335729143638035681},
      {0x1.0000000000001p-1, 2.782916424671766922233923e-16},
      {0x1.3333333333333p-4, -1.439531470938455934949801},
      {0x1.3333333333334p-4, -1.439531470938455836911961},
      {0x1p-10, -3.09726907819878446236483},
      {0x1p-35, -6.548269367831730755387616},
      {0x1p-37, -6.752300431407014964607627},
      {0x1p-53, -8.209536151601386855630769},
      {0x1.fffffffffffffp-1, 8.209536151601386855630769},
      {0x1p-60, -8.773321169027551681853587},
      {0x1p-1000, -37.11101193716479141011468},
  };
  // Wichura states about 1 part in 10^16; the f64 evaluation of two polynomials of degree 7, sqrt
  // and log adds a few roundings of 1.1e-16 each.
  for (const auto& [p, x] : table)
    EXPECT_NEAR(normal_quantile(p), x, 8 * 0x1p-53 * std::abs(x)) << p;
  EXPECT_EQ(normal_quantile(0.5), 0.0);
}

// Phi(x) = p: a relative error e of x moves p by e x phi(x) / Phi(x) <= e (x^2 + 1) in the lower
// tail, so the same 8 roundings are asked for over the whole range.
TEST(Normal, QuantileInvertsErfc) {
  int points = 0;
  double worst = 0;
  for (std::uint64_t e = 0; e < 200000; ++e) {
    const RandomArray random{5, 0, 0};
    const double scale = std::ldexp(1.0, -static_cast<int>(e % 52));
    const double p = uniform_open(random.bits(e)) * scale / 2;
    const double x = normal_quantile(p);
    const long double back = std::erfc(-static_cast<long double>(x) / std::sqrt(2.0L)) / 2;
    const double error = std::abs(static_cast<double>(back / p - 1)) / (x * x + 1);
    worst = std::max(worst, error);
    ++points;
  }
  std::printf("[count] quantiles against erfc: %d\n", points);
  EXPECT_LT(worst, 8 * 0x1p-53);
}

// Empirical moments and distribution of 2^20 numbers. Each bound is 5 standard deviations of its
// statistic (variances 1, 2, 15, 96 over N); the Kolmogorov distance exceeds 2.5 / sqrt N with
// probability 2 exp(-2 * 2.5^2) = 7e-6. The numbers are fixed, so the outcome is too.
TEST(Normal, Moments) {
  const int count = 1 << 20;
  double sum[5] = {};
  std::vector<double> x(static_cast<std::size_t>(count));
  for (std::size_t e = 0; e < x.size(); ++e) {
    x[e] = normal(RandomArray{42, 7, 1}.bits(e));
    for (int k = 1; k <= 4; ++k) sum[k] += std::pow(x[e], k);
  }
  const double root = std::sqrt(count);
  EXPECT_LT(std::abs(sum[1] / count), 5 * 1 / root);
  EXPECT_LT(std::abs(sum[2] / count - 1), 5 * std::sqrt(2) / root);
  EXPECT_LT(std::abs(sum[3] / count), 5 * std::sqrt(15) / root);
  EXPECT_LT(std::abs(sum[4] / count - 3), 5 * std::sqrt(96) / root);
  std::sort(x.begin(), x.end());
  double distance = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    distance = std::max(distance, std::abs(std::erfc(-x[i] / std::sqrt(2.0)) / 2 -
                                           (static_cast<double>(i) + 0.5) / count));
  EXPECT_LT(distance, 2.5 / root);
}

// Neighbours in every direction of the counter: correlation of 2^16 pairs within 5 / sqrt N.
TEST(Normal, NeighboursAreUncorrelated) {
  const std::uint64_t count = 1 << 16;
  double dot[4] = {};
  for (std::uint64_t e = 0; e < count; ++e) {
    const double here = normal(RandomArray{3, 4, 5}.bits(e));
    dot[0] += here * normal(RandomArray{3, 4, 5}.bits(e + 1));
    dot[1] += here * normal(RandomArray{3, 4, 6}.bits(e));
    dot[2] += here * normal(RandomArray{3, 5, 5}.bits(e));
    dot[3] += here * normal(RandomArray{4, 4, 5}.bits(e));
  }
  for (const double d : dot) EXPECT_LT(std::abs(d), 5 * std::sqrt(static_cast<double>(count)));
}

}  // namespace
}  // namespace softreg
