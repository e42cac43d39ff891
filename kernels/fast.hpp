// Fast<float>: a float whose exp, log and quotients are the device's approximations in place of
// ours. As NVIDIA describes the instructions (not measured here), in units of 2^-23: exp(a) is off
// by about 2 + |a| / 2 (a log2 e is rounded), log by about 2 of its own and, near 1, by 2^-22 in
// all, a quotient by about 2; a number below 2^-126 is 0, and so is a quotient by one above 2^126.
// A kernel that computes its loss with them has no bits to keep, only a tolerance; products, sums
// and updates stay those of float. sinh and cosh stay ours, and for double there is nothing faster.
#pragma once
#include "simt.hpp"

namespace softreg {

template <class T>
struct Fast;

template <>
struct Fast<float> {
  float v;
  Fast() = default;
  SR_HD explicit constexpr Fast(float value) : v(value) {}
  SR_HD explicit constexpr Fast(double value) : v(static_cast<float>(value)) {}
  SR_HD explicit constexpr Fast(int value) : v(static_cast<float>(value)) {}
  SR_HD explicit operator float() const { return v; }

  SR_HD friend Fast operator+(Fast a, Fast b) { return Fast(a.v + b.v); }
  SR_HD friend Fast operator-(Fast a, Fast b) { return Fast(a.v - b.v); }
  SR_HD friend Fast operator*(Fast a, Fast b) { return Fast(a.v * b.v); }
  SR_HD friend Fast operator/(Fast a, Fast b) { return Fast(a.v * simt::approximate_inverse(b.v)); }
  SR_HD friend Fast operator-(Fast a) { return Fast(-a.v); }
  SR_HD friend bool operator<(Fast a, Fast b) { return a.v < b.v; }
  SR_HD friend bool operator>(Fast a, Fast b) { return a.v > b.v; }
  SR_HD friend bool operator==(Fast a, Fast b) { return a.v == b.v; }
  SR_HD friend Fast fma_(Fast a, Fast b, Fast c) { return Fast(fma_(a.v, b.v, c.v)); }
  SR_HD friend Fast exp_(Fast a) {
    return Fast(simt::approximate_exp2(a.v * math_detail::Format<float>::log2_e));
  }
  SR_HD friend Fast log_(Fast a) {
    return Fast(simt::approximate_log2(a.v) * math_detail::Format<float>::ln2);
  }
  SR_HD friend Fast sinh_(Fast a) { return Fast(sinh_(a.v)); }
  SR_HD friend Fast cosh_(Fast a) { return Fast(cosh_(a.v)); }
  SR_HD friend Fast scale_by_exp(Fast a, Fast b) { return Fast(scale_by_exp(a.v, b.v)); }
};

template <>
struct RealOf<Fast<float>> {
  using type = float;
};

}  // namespace softreg
