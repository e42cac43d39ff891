// exp, log, sinh, cosh and their helpers for float and double: one implementation for host and
// device with the same bits everywhere. Built from IEEE + - * / sqrt, explicit fma, integer
// operations and bit casts; branch-free and free of memory look-ups, so loops over them vectorise.
// No product feeds a sum outside an fma: contraction has nothing to change. T may also be a pack of
// numbers (src/pack.hpp), each of which gets the bits it would get alone.
#pragma once
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#define SR_HD __host__ __device__
#define SR_UNROLL _Pragma("unroll")
#define SR_ROLLED _Pragma("unroll 1")
#define SR_APART SR_HD
#else
#define SR_HD
#define SR_UNROLL
#define SR_ROLLED
#define SR_APART __attribute__((noinline))
#endif

// SR_APART: on the host a function of its own, so that what losses share can be compiled once.

// Forced inline: object files built for different instruction sets must share no copy of these.
#define SR_MATH SR_HD inline __attribute__((always_inline))

namespace softreg {

// Real<T>: T itself, or the numbers of a pack.
template <class T>
struct RealOf {
  using type = T;
};
template <class T>
using Real = typename RealOf<T>::type;
// A decision, and how often it was yes, for each number of T.
template <class T>
using Truth = decltype(T() == T());
template <class T>
using Count = std::conditional_t<std::is_same_v<T, Real<T>>, int, T>;

// Largest error in units of the last place of the exact result (of the smallest subnormal below the
// normal range). Measured: exp, log, sinh, cosh for float over all 2^32 inputs; the others are the
// largest error seen in 1e8 points or more, rounded up, not proven.
template <class T>
inline constexpr double exp_ulp = 0.90;
template <class T>
inline constexpr double log_ulp = sizeof(T) == 4 ? 0.94 : 0.77;
template <class T>
inline constexpr double sinh_ulp = sizeof(T) == 4 ? 1.82 : 2.25;
template <class T>
inline constexpr double cosh_ulp = sizeof(T) == 4 ? 1.46 : 1.50;
template <class T>
inline constexpr double scale_by_exp_ulp = 1.70;

SR_MATH float fma_(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SR_MATH double fma_(double a, double b, double c) { return __builtin_fma(a, b, c); }
SR_MATH float sqrt_(float x) { return __builtin_sqrtf(x); }
SR_MATH double sqrt_(double x) { return __builtin_sqrt(x); }
SR_MATH float abs_(float x) { return __builtin_fabsf(x); }
SR_MATH double abs_(double x) { return __builtin_fabs(x); }

#if !defined(__CUDACC_RTC__)  // which knows no long double
inline long double fma_(long double a, long double b, long double c) {
  return __builtin_fmal(a, b, c);
}
inline long double sqrt_(long double x) { return __builtin_sqrtl(x); }
inline long double abs_(long double x) { return __builtin_fabsl(x); }
inline long double exp_(long double x) { return __builtin_expl(x); }
inline long double log_(long double x) { return __builtin_logl(x); }
inline long double sinh_(long double x) { return __builtin_sinhl(x); }
inline long double cosh_(long double x) { return __builtin_coshl(x); }
inline bool is_finite(long double x) { return __builtin_isfinite(x); }
#endif

template <class T>
SR_MATH T select(bool c, T a, T b) {
  return c ? a : b;
}
// a() or b(); a pack computes both.
template <class A, class B>
SR_MATH auto either(bool c, A a, B b) {
  return c ? a() : b();
}
SR_MATH bool all(bool c) { return c; }
SR_MATH bool any(bool c) { return c; }
template <class T>
SR_MATH Truth<T> yes() {
  return T(0) == T(0);
}
template <class T>
SR_MATH Count<T> one_if(Truth<T> c) {
  return select(c, Count<T>(1), Count<T>(0));
}
// a when a > b, else b: a NaN in b passes, a NaN in a does not.
template <class T>
SR_MATH T max_(T a, T b) {
  return select(a > b, a, b);
}
template <class T>
SR_MATH T min_(T a, T b) {
  return select(a < b, a, b);
}
template <class T>
SR_MATH T infinity() {
  return T(Real<T>(__builtin_huge_val()));
}
template <class T>
SR_MATH T quiet_nan() {
  return T(Real<T>(__builtin_nan("")));
}

namespace math_detail {

// ln2_hi has so few bits that k * ln2_hi is exact for every k used; ln2_lo is the rest of ln 2.
template <class T>
struct Format;

template <>
struct Format<float> {
  using Bits = std::uint32_t;
  static constexpr int mantissa = 23;
  static constexpr Bits bias = 127, sign = 0x80000000u;
  static constexpr float magic = 0x1.8p23f;  // x + magic holds round(x) in its low bits
  static constexpr float max = 0x1.fffffep127f, min_normal = 0x1p-126f;
  static constexpr float log2_e = 0x1.715476p0f, ln2 = 0x1.62e43p-1f;
  static constexpr float ln2_hi = 0x1.62e4p-1f, ln2_lo = 1.4286068203094172321e-6f;
  static constexpr float exp_min = -104, exp_max = 89;  // exp is 0 below, inf above
  static constexpr float cosh_max = 90;                 // sinh and cosh are infinite above
  static constexpr float tail_max = 60;                 // 2^(-2 tail_max) is nothing beside 1/2
  static constexpr float scale_max = 200, scale_step = 100;
};

template <>
struct Format<double> {
  using Bits = std::uint64_t;
  static constexpr int mantissa = 52;
  static constexpr Bits bias = 1023, sign = 0x8000000000000000u;
  static constexpr double magic = 0x1.8p52;
  static constexpr double max = 0x1.fffffffffffffp1023, min_normal = 0x1p-1022;
  static constexpr double log2_e = 0x1.71547652b82fep0, ln2 = 0x1.62e42fefa39efp-1;
  static constexpr double ln2_hi = 0x1.62e42fefa3p-1, ln2_lo = 0x1.3de6af278ece6p-42;
  static constexpr double exp_min = -746, exp_max = 710;
  static constexpr double cosh_max = 712;
  static constexpr double tail_max = 500;
  static constexpr double scale_max = 1500, scale_step = 900;
};

SR_MATH std::uint32_t to_bits(float x) { return __builtin_bit_cast(std::uint32_t, x); }
SR_MATH std::uint64_t to_bits(double x) { return __builtin_bit_cast(std::uint64_t, x); }
SR_MATH float from_bits(std::uint32_t b) { return __builtin_bit_cast(float, b); }
SR_MATH double from_bits(std::uint64_t b) { return __builtin_bit_cast(double, b); }

// min and max that pass a NaN in x on.
template <class T>
SR_MATH T at_most(T x, Real<T> bound) {
  return select(x > bound, T(bound), x);
}
template <class T>
SR_MATH T at_least(T x, Real<T> bound) {
  return select(x < bound, T(bound), x);
}

// exp(r) for |r| <= ln(2)/2 as 1 + r + r^2 q(r); minimax q, Remez in 50 digits, rounded to T:
// relative error 2^-28.2 (float), 2^-57.9 (double).
template <class T>
SR_MATH T exp_reduced(T r) {
  if constexpr (sizeof(Real<T>) == 4) {
    T q = 0x1.6ac142p-10f;
    q = fma_(q, r, 0x1.123da6p-7f);
    q = fma_(q, r, 0x1.555858p-5f);
    q = fma_(q, r, 0x1.55548cp-3f);
    q = fma_(q, r, 0x1.fffffcp-2f);
    q = fma_(q, r, 1.0f);
    return fma_(q, r, 1.0f);
  } else {
    T q = 0x1.adcbf0a2d4e80p-26;
    q = fma_(q, r, 0x1.28aec2cba1345p-22);
    q = fma_(q, r, 0x1.71def9c449345p-19);
    q = fma_(q, r, 0x1.a019989b1af77p-16);
    q = fma_(q, r, 0x1.a01a013b57a07p-13);
    q = fma_(q, r, 0x1.6c16c184b333bp-10);
    q = fma_(q, r, 0x1.11111111251f1p-7);
    q = fma_(q, r, 0x1.5555555550608p-5);
    q = fma_(q, r, 0x1.5555555555502p-3);
    q = fma_(q, r, 0x1.000000000000ap-1);
    q = fma_(q, r, 1.0);
    return fma_(q, r, 1.0);
  }
}

// x - k ln 2
template <class T>
SR_MATH T reduce(T x, T k) {
  using F = Format<Real<T>>;
  return fma_(k, -F::ln2_lo, fma_(k, -F::ln2_hi, x));
}

// 2^k from n = magic + bias + k, for the k whose 2^k is a normal number.
template <class T>
SR_MATH T power_of_two(T n) {
  return from_bits(to_bits(n) << Format<Real<T>>::mantissa);
}

// y 2^k from n = magic + 2 bias + k: 2^k itself leaves the range of T, its two halves do not, and
// only the second product rounds.
template <class T>
SR_MATH T scale(T y, T n) {
  constexpr int mantissa = Format<Real<T>>::mantissa;
  const auto whole = to_bits(n), part = whole >> 1;
  return y * from_bits(part << mantissa) * from_bits((whole - part) << mantissa);
}

// exp(x) = 2^k exp(r). One bound is a clamp and the other a select because g++ 12 splits two clamps
// into branches.
template <class T>
SR_MATH T exp_impl(T x) {
  using F = Format<Real<T>>;
  constexpr auto magic = F::magic + Real<T>(2 * F::bias);
  const T c = at_most(x, F::exp_max);
  const T n = fma_(c, F::log2_e, magic);
  return select(x < F::exp_min, T(0), scale(exp_reduced(reduce(c, n - magic)), n));
}

// cosh(r) - 1 and sinh(r) for |r| <= ln(2)/2; minimax in z = r^2, Remez in 50 digits, rounded to T:
// cosh r and sinh(r) / r err by less than 2^-33 (float), 2^-61 (double).
template <class T>
SR_MATH T cosh_minus_1_reduced(T z) {
  if constexpr (sizeof(Real<T>) == 4) {
    T q = 0x1.6d4f14p-10f;
    q = fma_(q, z, 0x1.5554e6p-5f);
    q = fma_(q, z, 0.5f);
    return q * z;
  } else {
    T q = 0x1.1f8bedc7b46a2p-29;
    q = fma_(q, z, 0x1.27e4cc0947d5ap-22);
    q = fma_(q, z, 0x1.a01a01ad8104dp-16);
    q = fma_(q, z, 0x1.6c16c16c14ffap-10);
    q = fma_(q, z, 0x1.5555555555558p-5);
    q = fma_(q, z, 0.5);
    return q * z;
  }
}
template <class T>
SR_MATH T sinh_reduced(T r, T z) {
  if constexpr (sizeof(Real<T>) == 4) {
    T q = 0x1.a2e31ep-13f;
    q = fma_(q, z, 0x1.110fbep-7f);
    q = fma_(q, z, 0x1.555556p-3f);
    return fma_(r * z, q, r);
  } else {
    T q = 0x1.af5ff387a32e6p-26;
    q = fma_(q, z, 0x1.71ddf7afd3f4ap-19);
    q = fma_(q, z, 0x1.a01a01b020510p-13);
    q = fma_(q, z, 0x1.111111110f62ap-7);
    q = fma_(q, z, 0x1.5555555555559p-3);
    return fma_(r * z, q, r);
  }
}

// |x| = k ln 2 + r, so with h = 2^(-2k-1), S = sinh r, C = cosh r:
//   sinh |x| = 2^k ((1/2 - h) C + (1/2 + h) S),   cosh x = 2^k ((1/2 + h) C + (1/2 - h) S).
// For k = 0 the first is S itself, which keeps sinh accurate in relative terms at any small x.
template <class T>
struct Hyperbolic {
  T n, h, cosh_minus_1, sinh;  // n = magic + 2 bias + k
};
template <class T>
SR_MATH Hyperbolic<T> hyperbolic(T x) {
  using F = Format<Real<T>>;
  constexpr auto magic = F::magic + Real<T>(2 * F::bias);
  const T c = abs_(x);
  const T n = fma_(c, F::log2_e, magic);
  const T r = reduce(c, n - magic);
  const T z = r * r;
  const auto twice = to_bits(at_most(n, magic + F::tail_max)) << (F::mantissa + 1);
  const T h = from_bits(decltype(twice)((5 * F::bias - 1) << F::mantissa) - twice);
  return {n, h, cosh_minus_1_reduced(z), sinh_reduced(r, z)};
}
template <class T>
SR_MATH T sinh_impl(T x) {
  using F = Format<Real<T>>;
  const Hyperbolic<T> p = hyperbolic(x);
  const T a = T(0.5) - p.h, b = T(0.5) + p.h;
  const T y = scale(a + fma_(a, p.cosh_minus_1, b * p.sinh), p.n);
  const T magnitude = select(abs_(x) > F::cosh_max, infinity<T>(), y);
  return from_bits(to_bits(magnitude) | (to_bits(x) & F::sign));
}
template <class T>
SR_MATH T cosh_impl(T x) {
  const Hyperbolic<T> p = hyperbolic(x);
  const T a = T(0.5) - p.h, b = T(0.5) + p.h;
  const T y = scale(T(0.5) + (p.h + fma_(b, p.cosh_minus_1, a * p.sinh)), p.n);
  return select(abs_(x) > Format<Real<T>>::cosh_max, infinity<T>(), y);
}

// x = 2^k m with m in [low, 2 low); subnormals are scaled first.
template <class T>
struct Split {
  T k, m;
};
template <class T>
SR_MATH Split<T> split(T x, typename Format<Real<T>>::Bits low) {
  using F = Format<Real<T>>;
  using Bits = typename F::Bits;
  const T lift = select(x < F::min_normal, T(Real<T>(Bits(1) << F::mantissa)), T(1));
  const auto i = to_bits(x * lift) - low;
  const Bits mask = (Bits(1) << F::mantissa) - 1;
  // lift gives its exponent back; 2 bias + 2 more makes k positive for every positive input.
  const auto k = (i + ((3 * F::bias + 2) << F::mantissa) - to_bits(lift)) >> F::mantissa;
  return {from_bits(k | to_bits(F::magic)) - (F::magic + Real<T>(2 * F::bias + 2)),
          from_bits((i & mask) + low)};
}

template <class T>
SR_MATH T log_special(T x, T y) {
  y = select(x < T(0), quiet_nan<T>(), y);
  y = select(x == T(0), -infinity<T>(), y);
  return select(x < infinity<T>(), y, x);  // inf and NaN are their own logarithms
}

// float: log(1 + f) = f - f^2/2 + f^3 q(f) for 2/3 <= 1 + f < 4/3; minimax q, Remez in 50 digits:
// relative error 2^-27.6.
// double: log(1 + f) = 2 s + s R(s^2) with s = f / (2 + f), regrouped as f - (f^2/2 - s (f^2/2 +
// R)) to keep the leading terms exact (the form of FreeBSD's e_log.c), for 1 + f in [sqrt(1/2),
// sqrt(2)); minimax R, Remez in 50 digits: relative error 2^-59.5.
template <class T>
SR_MATH T log_impl(T x) {
  using F = Format<Real<T>>;
  if constexpr (sizeof(Real<T>) == 4) {
    const auto [k, m] = split(x, 0x3f2aaaabu);
    const T f = m - 1.0f;
    T q = -0x1.080c3cp-3f;
    q = fma_(q, f, 0x1.1e8412p-3f);
    q = fma_(q, f, -0x1.f30e7ap-4f);
    q = fma_(q, f, 0x1.1ed1a0p-3f);
    q = fma_(q, f, -0x1.559de2p-3f);
    q = fma_(q, f, 0x1.99d076p-3f);
    q = fma_(q, f, -0x1.fffef0p-3f);
    q = fma_(q, f, 0x1.555506p-2f);
    q = fma_(q, f, -0.5f);
    return log_special(x, fma_(k, F::ln2, fma_(q, f * f, f)));
  } else {
    const auto [k, m] = split(x, std::uint64_t{0x3fe6a09e667f3bcd});
    const T f = m - 1.0;
    const T s = f / (2.0 + f);
    const T z = s * s;
    T q = 0x1.2f04573f9b41ep-3;
    q = fma_(q, z, 0x1.39a1daabde189p-3);
    q = fma_(q, z, 0x1.74663d69089b6p-3);
    q = fma_(q, z, 0x1.c71c52125390fp-3);
    q = fma_(q, z, 0x1.24924941e33bfp-2);
    q = fma_(q, z, 0x1.999999997ff04p-2);
    q = fma_(q, z, 0x1.5555555555592p-1);
    const T h = 0.5 * f;
    const T t = fma_(s, fma_(h, f, q * z), k * F::ln2_lo);
    return log_special(x, fma_(k, F::ln2_hi, f - fma_(h, f, -t)));
  }
}

}  // namespace math_detail

SR_MATH float exp_(float x) { return math_detail::exp_impl(x); }
SR_MATH double exp_(double x) { return math_detail::exp_impl(x); }
SR_MATH float log_(float x) { return math_detail::log_impl(x); }
SR_MATH double log_(double x) { return math_detail::log_impl(x); }
SR_MATH float sinh_(float x) { return math_detail::sinh_impl(x); }
SR_MATH double sinh_(double x) { return math_detail::sinh_impl(x); }
SR_MATH float cosh_(float x) { return math_detail::cosh_impl(x); }
SR_MATH double cosh_(double x) { return math_detail::cosh_impl(x); }
SR_MATH bool is_finite(float x) { return abs_(x) <= math_detail::Format<float>::max; }
SR_MATH bool is_finite(double x) { return abs_(x) <= math_detail::Format<double>::max; }

// value * exp(s) for any s: the power of two in exp(s) is applied as factors that all raise or all
// lower, the largest last and with the fraction. So nothing overflows or underflows before the true
// product does, for any value, and a subnormal result is rounded once; 0 * exp(s) is 0 and
// inf * exp(s) is inf for every s but NaN. All that depends on s alone leaves a loop over values.
template <class T>
SR_MATH T scale_by_exp(T value, T s) {
  using F = math_detail::Format<Real<T>>;
  constexpr auto origin = F::magic + Real<T>(F::bias);
  const T c = math_detail::at_least(math_detail::at_most(s, F::scale_max), -F::scale_max);
  const T k = fma_(c, F::log2_e, F::magic) - F::magic;
  const T k1 = math_detail::at_least(math_detail::at_most(k, F::scale_step), -F::scale_step);
  const T k2 = math_detail::at_least(math_detail::at_most(k - k1, F::scale_step), -F::scale_step);
  const T last =
      math_detail::exp_reduced(math_detail::reduce(c, k)) * math_detail::power_of_two(k1 + origin);
  return value * math_detail::power_of_two(k - k1 - k2 + origin) *
         math_detail::power_of_two(k2 + origin) * last;
}
#if !defined(__CUDACC_RTC__)
inline long double scale_by_exp(long double value, long double s) {
  return value == 0 ? value : value * exp_(s);
}
#endif

}  // namespace softreg
