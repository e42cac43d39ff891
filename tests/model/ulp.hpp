// Errors in units of the last place of the exact value, and the functions of math.hpp as types,
// each with its loop compiled once per instruction set. A result must overflow exactly when the
// exact value rounds to infinity.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "softreg/model/math.hpp"

namespace softreg::testing {

// |got - want| in ulp of want, for a want that is itself right to 2^-20 ulp of a float or better.
inline double ulp_error(float got, double want) {
  const float rounded = static_cast<float>(want);
  if (std::isnan(want) || std::isinf(rounded) || !std::isfinite(got)) {
    const bool same = std::isnan(want) ? std::isnan(got) : got == rounded;
    return same ? 0 : std::numeric_limits<double>::infinity();
  }
  const int exponent = static_cast<int>(std::bit_cast<std::uint64_t>(want) >> 52 & 0x7ff) - 1023;
  const auto inverse = static_cast<std::uint64_t>(1023 + 23 - std::max(exponent, -126)) << 52;
  return std::abs(static_cast<double>(got) - want) * std::bit_cast<double>(inverse);
}

struct Exp {
  static constexpr const char* name = "exp";
  template <class T>
  static constexpr double bound = exp_ulp<T>;
  template <class T>
  SR_MATH static T apply(T x) {
    return exp_(x);
  }
  static double reference(double x) { return std::exp(x); }
};
struct Log {
  static constexpr const char* name = "log";
  template <class T>
  static constexpr double bound = log_ulp<T>;
  template <class T>
  SR_MATH static T apply(T x) {
    return log_(x);
  }
  static double reference(double x) { return std::log(x); }
};
struct Sinh {
  static constexpr const char* name = "sinh";
  template <class T>
  static constexpr double bound = sinh_ulp<T>;
  template <class T>
  SR_MATH static T apply(T x) {
    return sinh_(x);
  }
  static double reference(double x) { return std::sinh(x); }
};
struct Cosh {
  static constexpr const char* name = "cosh";
  template <class T>
  static constexpr double bound = cosh_ulp<T>;
  template <class T>
  SR_MATH static T apply(T x) {
    return cosh_(x);
  }
  static double reference(double x) { return std::cosh(x); }
};

inline constexpr int block = 32;

template <class F, class T>
void apply_block(const T* __restrict x, T* __restrict y) {
  for (int i = 0; i < block; ++i) y[i] = F::apply(x[i]);
}
#if defined(__x86_64__)
template <class F, class T>
__attribute__((target("avx2,fma"))) void apply_block_avx2(const T* __restrict x, T* __restrict y) {
  for (int i = 0; i < block; ++i) y[i] = F::apply(x[i]);
}
template <class F, class T>
__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma"))) void apply_block_avx512(
    const T* __restrict x, T* __restrict y) {
  for (int i = 0; i < block; ++i) y[i] = F::apply(x[i]);
}
inline bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
inline bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
}
#endif

// The fastest loop this machine runs; math_test shows that all give the same bits.
template <class F, class T>
void apply_block_fastest(const T* __restrict x, T* __restrict y) {
#if defined(__x86_64__)
  if (has_avx2()) return apply_block_avx2<F, T>(x, y);
#endif
  apply_block<F, T>(x, y);
}

}  // namespace softreg::testing
