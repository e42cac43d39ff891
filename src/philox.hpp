// Random numbers as a pure function of their place (seed, instance, array, element): any order, any
// thread, any machine gives the same bits. Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel
// random numbers: as easy as 1, 2, 3; SC 2011), uniform and normal doubles from it; no libm.
#pragma once
#include <array>
#include <cstdint>

#include "softreg/model/math.hpp"

namespace softreg {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

// The published generator: 128 random bits for a 128-bit counter and a 64-bit key.
constexpr PhiloxCounter philox4x32_10(PhiloxCounter c, PhiloxKey k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k = {k[0] + 0x9E3779B9, k[1] + 0xBB67AE85};
  }
  return c;
}

// One random array of one instance. Its element e is 64 bits of the Philox block with
//   key      seed bits 0-31, seed bits 32-63
//   counter  e bits 0-31, e bits 32-55 with the array number in the top 8 bits,
//            instance bits 0-31, instance bits 32-63
// Each element has a block of its own; the second half of the block is not used.
struct RandomArray {
  static constexpr std::uint64_t max_elements = std::uint64_t{1} << 56;

  std::uint64_t seed;
  std::uint64_t instance;
  std::uint8_t array;

  constexpr std::uint64_t bits(std::uint64_t e) const {
    const std::uint32_t high = static_cast<std::uint32_t>(e >> 32) | std::uint32_t{array} << 24;
    const PhiloxCounter out =
        philox4x32_10({low_half(e), high, low_half(instance), high_half(instance)},
                      {low_half(seed), high_half(seed)});
    return std::uint64_t{out[1]} << 32 | out[0];
  }

 private:
  static constexpr std::uint32_t low_half(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
  static constexpr std::uint32_t high_half(std::uint64_t x) {
    return static_cast<std::uint32_t>(x >> 32);
  }
};

// An odd multiple of 2^-53 in (0, 1): symmetric about 1/2, exact, and never 0, 1/2 or 1.
constexpr double uniform_open(std::uint64_t bits) {
  return static_cast<double>(bits >> 12 << 1 | 1) * 0x1p-53;
}

// An integer in [0, range): floor(bits range / 2^64). range in [1, 2^32].
constexpr std::uint64_t uniform_below(std::uint64_t bits, std::uint64_t range) {
  const std::uint64_t low = (bits & 0xFFFFFFFF) * range >> 32;
  return ((bits >> 32) * range + low) >> 32;
}

namespace detail {
// Horner's rule, highest power first.
template <int N>
constexpr double polynomial(const double (&c)[N], double r) {
  double s = c[0];
  for (int i = 1; i < N; ++i) s = s * r + c[i];
  return s;
}
}  // namespace detail

// The x with Phi(x) = p, for p in (0, 1); relative error about 1e-16 before rounding.
// Source: M. J. Wichura, Algorithm AS 241 (PPND16): The percentage points of the normal
// distribution, Applied Statistics 37 (1988) 477-484.
inline double normal_quantile(double p) {
  using detail::polynomial;
  const double q = p - 0.5;
  if (q >= -0.425 && q <= 0.425) {
    constexpr double a[] = {2.5090809287301226727e+3, 3.3430575583588128105e+4,
                            6.7265770927008700853e+4, 4.5921953931549871457e+4,
                            1.3731693765509461125e+4, 1.9715909503065514427e+3,
                            1.3314166789178437745e+2, 3.3871328727963666080e+0};
    constexpr double b[] = {5.2264952788528545610e+3, 2.8729085735721942674e+4,
                            3.9307895800092710610e+4, 2.1213794301586595867e+4,
                            5.3941960214247511077e+3, 6.8718700749205790830e+2,
                            4.2313330701600911252e+1, 1.0};
    const double r = 0.180625 - q * q;
    return q * polynomial(a, r) / polynomial(b, r);
  }
  const double r = sqrt_(-log_(q < 0 ? p : 1 - p));
  double x;
  if (r <= 5) {
    constexpr double c[] = {7.74545014278341407640e-4, 2.27238449892691845833e-2,
                            2.41780725177450611770e-1, 1.27045825245236838258e+0,
                            3.64784832476320460504e+0, 5.76949722146069140550e+0,
                            4.63033784615654529590e+0, 1.42343711074968357734e+0};
    constexpr double d[] = {1.05075007164441684324e-9, 5.47593808499534494600e-4,
                            1.51986665636164571966e-2, 1.48103976427480074590e-1,
                            6.89767334985100004550e-1, 1.67638483018380384940e+0,
                            2.05319162663775882187e+0, 1.0};
    x = polynomial(c, r - 1.6) / polynomial(d, r - 1.6);
  } else {
    constexpr double e[] = {2.01033439929228813265e-7, 2.71155556874348757815e-5,
                            1.24266094738807843860e-3, 2.65321895265761230930e-2,
                            2.96560571828504891230e-1, 1.78482653991729133580e+0,
                            5.46378491116411436990e+0, 6.65790464350110377720e+0};
    constexpr double f[] = {2.04426310338993978564e-15, 1.42151175831644588870e-7,
                            1.84631831751005468180e-5,  7.86869131145613259100e-4,
                            1.48753612908506148525e-2,  1.36929880922735805310e-1,
                            5.99832206555887937690e-1,  1.0};
    x = polynomial(e, r - 5) / polynomial(f, r - 5);
  }
  return q < 0 ? -x : x;
}

// A standard normal number; |x| <= 8.3.
inline double normal(std::uint64_t bits) { return normal_quantile(uniform_open(bits)); }

}  // namespace softreg
