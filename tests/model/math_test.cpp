// exp, log, sinh, cosh and scale_by_exp against MPFR (double) and the C library in double (float):
// the stated bounds, special values, and the same bits whatever the instruction set. Every float
// input is tried by math_exhaustive_test.
#include <gtest/gtest.h>
#include <mpfr.h>

#include <cstdio>
#include <random>
#include <vector>

#include "model/ulp.hpp"

namespace softreg::testing {
namespace {

// 120 bits: the reference's own error is below 2^-66 ulp of a double.
class Exact {
 public:
  Exact() { mpfr_init2(v, 120); }
  ~Exact() { mpfr_clear(v); }
  Exact(const Exact&) = delete;
  Exact& operator=(const Exact&) = delete;
  mpfr_t v;
};

double ulp_error(double got, const Exact& want) {
  const double rounded = mpfr_get_d(want.v, MPFR_RNDN);
  if (!std::isfinite(rounded) || !std::isfinite(got) || mpfr_zero_p(want.v)) {
    const bool same = std::isnan(rounded) ? std::isnan(got) : got == rounded;
    return same ? 0 : std::numeric_limits<double>::infinity();
  }
  static Exact difference;
  mpfr_sub_d(difference.v, want.v, got, MPFR_RNDN);
  const long unit = std::max(mpfr_get_exp(want.v), mpfr_exp_t{-1021}) - 53;
  mpfr_mul_2si(difference.v, difference.v, -unit, MPFR_RNDN);
  return std::abs(mpfr_get_d(difference.v, MPFR_RNDN));
}

using MpfrFunction = int (*)(mpfr_ptr, mpfr_srcptr, mpfr_rnd_t);

struct Worst {
  double error = 0, at = 0;
  void see(double e, double x) {
    if (!(e <= error)) {
      error = e;
      at = x;
    }
  }
};

template <class F>
void compare_with_mpfr(MpfrFunction exact, const std::vector<double>& points) {
  Exact x, want;
  Worst worst;
  for (const double p : points) {
    mpfr_set_d(x.v, p, MPFR_RNDN);
    exact(want.v, x.v, MPFR_RNDN);
    worst.see(ulp_error(F::apply(p), want), p);
  }
  std::printf("[count] %s double points: %zu (worst %.4f ulp at %.17g)\n", F::name, points.size(),
              worst.error, worst.at);
  EXPECT_LE(worst.error, F::template bound<double>) << F::name << " at " << worst.at;
}

double uniform(std::mt19937_64& g, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(g);
}
double any_double(std::mt19937_64& g) { return std::bit_cast<double>(g()); }

// The double itself and its neighbours.
void add_around(std::vector<double>& points, double x, int neighbours) {
  points.push_back(x);
  double below = x, above = x;
  for (int i = 0; i < neighbours; ++i) {
    points.push_back(below = std::nextafter(below, -1e308));
    points.push_back(above = std::nextafter(above, 1e308));
  }
}

// For exp, sinh and cosh: random over every scale, the edges of the argument reduction, the
// thresholds.
std::vector<double> exponents(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 g(seed);
  std::vector<double> points;
  for (int k = -1080; k <= 1030; ++k) add_around(points, (k + 0.5) * 0x1.62e42fefa39efp-1, 2);
  for (const double t : {709.782712893384, 710.4758600739439, 708.3964185322641, 745.1332191019411,
                         744.4400719213812, 0.5, 1.0}) {
    add_around(points, t, 200);
    add_around(points, -t, 200);
  }
  while (points.size() < count) {
    points.push_back(uniform(g, -746, 711));
    points.push_back(uniform(g, -2, 2));
    points.push_back(uniform(g, -30, 30));
    points.push_back(std::ldexp(uniform(g, -1, 1), -static_cast<int>(g() % 1070)));
    points.push_back(any_double(g));
  }
  return points;
}

// For log: every scale, both sides of 1, the edge of the argument reduction, subnormals.
std::vector<double> arguments(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 g(seed);
  std::vector<double> points;
  for (int k = -1074; k < 1024; ++k) {
    add_around(points, std::ldexp(1.0, k), 2);
    add_around(points, std::ldexp(0x1.6a09e667f3bcdp-1, k), 2);
  }
  add_around(points, 1.0, 1000);
  while (points.size() < count) {
    points.push_back(std::abs(any_double(g)));
    points.push_back(uniform(g, 0.25, 4));
    points.push_back(1 + std::ldexp(uniform(g, -1, 1), -static_cast<int>(g() % 52)));
    points.push_back(std::bit_cast<double>(g() >> 12));  // subnormal
  }
  return points;
}

TEST(Math, ExpOfDoubleIsWithinItsBoundOfMpfr) {
  compare_with_mpfr<Exp>(mpfr_exp, exponents(350000, 1));
}
TEST(Math, LogOfDoubleIsWithinItsBoundOfMpfr) {
  compare_with_mpfr<Log>(mpfr_log, arguments(350000, 2));
}
TEST(Math, SinhOfDoubleIsWithinItsBoundOfMpfr) {
  compare_with_mpfr<Sinh>(mpfr_sinh, exponents(175000, 3));
}
TEST(Math, CoshOfDoubleIsWithinItsBoundOfMpfr) {
  compare_with_mpfr<Cosh>(mpfr_cosh, exponents(175000, 4));
}

template <class F>
void sweep_floats() {
  Worst worst;
  std::uint64_t points = 0;
  const auto sweep = [&](std::uint64_t first, std::uint64_t last, std::uint64_t stride) {
    for (std::uint64_t bits = first; bits < last; bits += stride, ++points) {
      const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
      const auto exact = static_cast<double>(x);
      worst.see(testing::ulp_error(F::apply(x), F::reference(exact)), exact);
    }
  };
  // Strides are primes. All patterns; then 1/4 <= |x| < 128, where exp and its kin are decided.
  sweep(0, 0x100000000u, 8191);
  sweep(0x3e800000u, 0x43000000u, 61);
  sweep(0xbe800000u, 0xc3000000u, 61);
  std::printf("[count] %s float points: %llu (worst %.4f ulp at %.9g)\n", F::name,
              static_cast<unsigned long long>(points), worst.error, worst.at);
  EXPECT_LE(worst.error, F::template bound<float>) << F::name << " at " << worst.at;
}

TEST(Math, FloatsThroughoutTheRangeAreWithinTheirBounds) {
  sweep_floats<Exp>();
  sweep_floats<Log>();
  sweep_floats<Sinh>();
  sweep_floats<Cosh>();
}

// Not-a-numbers of both signs, quiet and signalling, with payloads that reach into every bit.
template <class T>
std::vector<T> not_numbers() {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr Bits one = 1, infinite = std::bit_cast<Bits>(std::numeric_limits<T>::infinity());
  std::vector<T> values{std::bit_cast<T>(static_cast<Bits>(~Bits{0}))};
  for (int bit = 0; bit < std::numeric_limits<T>::digits - 1; ++bit) {
    values.push_back(std::bit_cast<T>(static_cast<Bits>(infinite | one << bit)));
    values.push_back(-values.back());
  }
  return values;
}

template <class T>
void check_special_values() {
  using Limits = std::numeric_limits<T>;
  constexpr T inf = Limits::infinity(), max = Limits::max(), tiny = Limits::denorm_min();
  for (const T nan : not_numbers<T>()) {
    EXPECT_TRUE(std::isnan(exp_(nan)));
    EXPECT_TRUE(std::isnan(log_(nan)));
    EXPECT_TRUE(std::isnan(sinh_(nan)));
    EXPECT_TRUE(std::isnan(cosh_(nan)));
    EXPECT_TRUE(std::isnan(scale_by_exp(nan, T(1))));
    EXPECT_TRUE(std::isnan(scale_by_exp(T(1), nan)));
    EXPECT_FALSE(is_finite(nan));
  }
  for (const T zero : {T(0), T(-0.0)}) {
    EXPECT_EQ(exp_(zero), T(1));
    EXPECT_EQ(log_(zero), -inf);
    EXPECT_EQ(std::signbit(sinh_(zero)), std::signbit(zero));
    EXPECT_EQ(sinh_(zero), T(0));
    EXPECT_EQ(cosh_(zero), T(1));
  }
  EXPECT_EQ(exp_(-inf), T(0));
  EXPECT_EQ(exp_(-max), T(0));
  EXPECT_EQ(exp_(inf), inf);
  EXPECT_EQ(exp_(max), inf);
  EXPECT_EQ(log_(inf), inf);
  EXPECT_EQ(log_(T(1)), T(0));
  EXPECT_FALSE(std::signbit(log_(T(1))));
  for (const T negative : {-tiny, T(-1), -max, -inf}) EXPECT_TRUE(std::isnan(log_(negative)));
  for (const T huge : {inf, max}) {
    EXPECT_EQ(sinh_(huge), inf);
    EXPECT_EQ(sinh_(-huge), -inf);
    EXPECT_EQ(cosh_(huge), inf);
    EXPECT_EQ(cosh_(-huge), inf);
  }
  EXPECT_EQ(sinh_(tiny), tiny);
  EXPECT_EQ(sinh_(-tiny), -tiny);
  EXPECT_TRUE(is_finite(max));
  EXPECT_TRUE(is_finite(-max));
  EXPECT_FALSE(is_finite(inf));
  EXPECT_FALSE(is_finite(-inf));
}

TEST(Math, SpecialValues) {
  check_special_values<float>();
  check_special_values<double>();
}

// exp(x) is finite up to log(max), sinh and cosh for ln 2 more; the last finite result and the
// first infinite one.
template <class T>
void check_thresholds(T last_exp, T last_cosh, T last_nonzero) {
  constexpr T inf = std::numeric_limits<T>::infinity();
  EXPECT_TRUE(is_finite(exp_(last_exp)));
  EXPECT_EQ(exp_(std::nextafter(last_exp, inf)), inf);
  EXPECT_TRUE(is_finite(cosh_(last_cosh)));
  EXPECT_TRUE(is_finite(sinh_(-last_cosh)));
  EXPECT_EQ(cosh_(std::nextafter(last_cosh, inf)), inf);
  EXPECT_EQ(sinh_(std::nextafter(-last_cosh, -inf)), -inf);
  EXPECT_EQ(exp_(last_nonzero), std::numeric_limits<T>::denorm_min());
  EXPECT_EQ(exp_(std::nextafter(last_nonzero, -inf)), T(0));
}

TEST(Math, OverflowAndUnderflowStartWhereTheyShould) {
  check_thresholds(0x1.62e42ep+6f, 0x1.65a9f8p+6f, -0x1.9fe368p+6f);
  check_thresholds(0x1.62e42fefa39efp+9, 0x1.633ce8fb9f87dp+9, -0x1.74910d52d3051p+9);
}

template <class T>
void check_symmetry() {
  std::mt19937_64 g(5);
  for (int i = 0; i < 100000; ++i) {
    const T x = static_cast<T>(std::ldexp(uniform(g, 0, 750), -static_cast<int>(g() % 40)));
    ASSERT_EQ(sinh_(-x), -sinh_(x)) << x;
    ASSERT_EQ(cosh_(-x), cosh_(x)) << x;
  }
}

TEST(Math, SinhIsOddAndCoshIsEven) {
  check_symmetry<float>();
  check_symmetry<double>();
}

// Less than 1 ulp of error lets the results of neighbouring inputs change places by 1 ulp, never by
// more.
template <class F>
void check_neighbours(double low, double high) {
  std::mt19937_64 g(6);
  for (int i = 0; i < 200000; ++i) {
    const double x = uniform(g, low, high), next = std::nextafter(x, 1e308);
    const double y = F::apply(x);
    ASSERT_GE(F::apply(next), std::nextafter(y, -1e308)) << F::name << " at " << x;
  }
}

TEST(Math, ExpAndLogRiseWithTheirArgument) {
  check_neighbours<Exp>(-740, 709);
  check_neighbours<Log>(0, 3);
  check_neighbours<Log>(0, 1e300);
}

template <class F, class T>
void expect_same_bits(void (*loop)(const T*, T*)) {
  std::mt19937_64 g(7);
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  for (int round = 0; round < 10000; ++round) {
    T x[block], y[block];
    for (int i = 0; i < block; ++i) {
      const auto scale = std::ldexp(uniform(g, -800, 800), -static_cast<int>(g() % 30));
      x[i] = i % 2 ? static_cast<T>(scale) : std::bit_cast<T>(static_cast<Bits>(g()));
    }
    loop(x, y);
    for (int i = 0; i < block; ++i) {
      const T alone = F::apply(x[i]);
      const bool same = std::bit_cast<Bits>(alone) == std::bit_cast<Bits>(y[i]);
      ASSERT_TRUE(same || (std::isnan(alone) && std::isnan(y[i])))
          << F::name << '(' << x[i] << "): " << alone << " alone, " << y[i] << " in a loop";
    }
  }
}

template <class F>
void expect_same_bits_on_every_isa() {
  expect_same_bits<F, float>(apply_block<F, float>);
  expect_same_bits<F, double>(apply_block<F, double>);
#if defined(__x86_64__)
  if (has_avx2()) {
    expect_same_bits<F, float>(apply_block_avx2<F, float>);
    expect_same_bits<F, double>(apply_block_avx2<F, double>);
  }
  if (has_avx512()) {
    expect_same_bits<F, float>(apply_block_avx512<F, float>);
    expect_same_bits<F, double>(apply_block_avx512<F, double>);
  }
#endif
}

TEST(Math, LoopsForEveryInstructionSetGiveTheBitsOfOneCall) {
  expect_same_bits_on_every_isa<Exp>();
  expect_same_bits_on_every_isa<Log>();
  expect_same_bits_on_every_isa<Sinh>();
  expect_same_bits_on_every_isa<Cosh>();
#if defined(__x86_64__)
  std::printf("instruction sets: baseline%s%s\n", has_avx2() ? ", avx2" : "",
              has_avx512() ? ", avx512" : "");
#endif
}

TEST(Math, ScaleByExpOfDoubleIsWithinItsBoundOfMpfr) {
  std::mt19937_64 g(8);
  Exact product, factor;
  Worst worst;
  constexpr int points = 100000;
  for (int i = 0; i < points; ++i) {
    // Normal and subnormal values; half of the exponents lead back into the range of a double.
    const double value = i % 10 == 0 ? std::bit_cast<double>(g() >> 12) : any_double(g);
    if (!std::isfinite(value)) continue;
    double s = uniform(g, -10000, 10000);
    if (i % 4 != 0) s = uniform(g, -745, 709) - std::log(std::max(std::abs(value), 5e-324));
    if (i % 4 == 3) s = uniform(g, -1, 1);
    mpfr_set_d(factor.v, s, MPFR_RNDN);
    mpfr_exp(factor.v, factor.v, MPFR_RNDN);
    mpfr_mul_d(product.v, factor.v, value, MPFR_RNDN);
    worst.see(ulp_error(scale_by_exp(value, s), product), s);
  }
  std::printf("[count] scale_by_exp double points: %d (worst %.4f ulp)\n", points, worst.error);
  EXPECT_LE(worst.error, scale_by_exp_ulp<double>) << "s = " << worst.at;
}

TEST(Math, ScaleByExpOfFloatIsWithinItsBound) {
  std::mt19937_64 g(9);
  Worst worst;
  constexpr int points = 1000000;
  for (int i = 0; i < points; ++i) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(g()));
    if (!std::isfinite(value)) continue;
    const auto s = static_cast<float>(i % 4 == 0   ? uniform(g, -10000, 10000)
                                      : i % 4 == 1 ? uniform(g, -1, 1)
                                                   : uniform(g, -200, 200));
    const long double want =
        static_cast<long double>(value) * std::exp(static_cast<long double>(s));
    worst.see(testing::ulp_error(scale_by_exp(value, s), static_cast<double>(want)),
              static_cast<double>(s));
  }
  std::printf("[count] scale_by_exp float points: %d (worst %.4f ulp)\n", points, worst.error);
  EXPECT_LE(worst.error, scale_by_exp_ulp<float>) << "s = " << worst.at;
}

template <class T>
void check_scale_by_exp() {
  using Limits = std::numeric_limits<T>;
  constexpr T inf = Limits::infinity();
  for (const T s : {T(1e4), T(-1e4), inf, -inf, T(0)}) {
    EXPECT_EQ(scale_by_exp(T(0), s), T(0));
    EXPECT_TRUE(std::signbit(scale_by_exp(T(-0.0), s)));
    EXPECT_EQ(scale_by_exp(inf, s), inf);
    EXPECT_EQ(scale_by_exp(-inf, s), -inf);
  }
  EXPECT_EQ(scale_by_exp(T(3), T(0)), T(3));
  EXPECT_EQ(scale_by_exp(T(-1), T(1e4)), -inf);
  EXPECT_EQ(scale_by_exp(T(1), T(-1e4)), T(0));
  // The factor alone would overflow (underflow), the product does not.
  const T big = std::log(Limits::max());
  EXPECT_TRUE(is_finite(scale_by_exp(Limits::min(), T(2) * big - T(4))));
  EXPECT_GT(scale_by_exp(Limits::min(), T(2) * big - T(4)), T(1));
  EXPECT_GT(scale_by_exp(Limits::max(), T(-2) * big + T(4)), T(0));
  // The largest number times something just below 1, with a fraction above 1 in exp(s) = 2^k p.
  EXPECT_TRUE(is_finite(scale_by_exp(Limits::max(), T(-0.4))));
  EXPECT_EQ(scale_by_exp(Limits::max(), T(0.4)), inf);
}

TEST(Math, ScaleByExpLeavesTheRangeOnlyWithTheProduct) {
  check_scale_by_exp<float>();
  check_scale_by_exp<double>();
}

// A number type of somebody else: its overloads are found through its namespace.
}  // namespace
}  // namespace softreg::testing

namespace elsewhere {
struct Number {
  double value;
  explicit Number(double v) : value(v) {}
  friend bool operator>(Number a, Number b) { return a.value > b.value; }
};
Number exp_(Number x) { return Number(x.value + 1000); }
}  // namespace elsewhere

namespace softreg::testing {
namespace {

template <class T>
T exp_of_larger(T a, T b) {
  return select(true, exp_(max_(a, b)), infinity<T>());
}

TEST(Math, ATypeOfAnotherNamespaceBringsItsOwnFunctions) {
  using elsewhere::Number;
  EXPECT_EQ(exp_of_larger(Number(1), Number(2)).value, 1002);
  EXPECT_EQ(infinity<Number>().value, std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(quiet_nan<Number>().value));
}

TEST(Math, LongDoubleIsTheCLibrary) {
  const long double x = 0.7L;
  EXPECT_EQ(exp_(x), std::exp(x));
  EXPECT_EQ(log_(x), std::log(x));
  EXPECT_EQ(sinh_(x), std::sinh(x));
  EXPECT_EQ(cosh_(x), std::cosh(x));
  EXPECT_EQ(fma_(x, x, x), std::fma(x, x, x));
  EXPECT_EQ(sqrt_(x), std::sqrt(x));
  EXPECT_EQ(abs_(-x), x);
  EXPECT_EQ(scale_by_exp(0.0L, 1e6L), 0.0L);
  EXPECT_EQ(scale_by_exp(x, x), x * std::exp(x));
  EXPECT_TRUE(is_finite(x));
  EXPECT_FALSE(is_finite(infinity<long double>()));
}

TEST(Math, SmallHelpers) {
  EXPECT_EQ(max_(1.0, 2.0), 2.0);
  EXPECT_EQ(max_(2.0f, 1.0f), 2.0f);
  EXPECT_TRUE(std::isnan(max_(1.0, quiet_nan<double>())));
  EXPECT_EQ(select(true, 1, 2), 1);
  EXPECT_EQ(select(false, 1, 2), 2);
  EXPECT_EQ(infinity<float>(), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(quiet_nan<float>()));
  EXPECT_EQ(sqrt_(2.0), std::sqrt(2.0));
  EXPECT_EQ(abs_(-2.0f), 2.0f);
  // One rounding: 1 + 2^-60 - 1 is 2^-60 with an fma and 0 without.
  EXPECT_EQ(fma_(1 + 0x1p-30, 1 - 0x1p-30, -1.0), -0x1p-60);
  EXPECT_EQ(fma_(1 + 0x1p-15f, 1 - 0x1p-15f, -1.0f), -0x1p-30f);
}

}  // namespace
}  // namespace softreg::testing
