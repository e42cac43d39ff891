// Fast<float>: a float whose exp, log and quotients are the device's approximations in place of
// ours. As NVIDIA describes the instructions (not measured here), in units of 2^-23: exp2 is off by
// about 2, log by about 2 of its own and, near 1, by 2^-22 in all, a quotient by about 2; a number
// below 2^-126 is 0, and so is a quotient by one above 2^126. exp(a) is a power of two, off by
// |a| / 2 more because a log2 e is rounded; where a softmax is taken the entries of A log2 e are,
// and a logit is off by half a unit of sum |a_j x_j| more.
// A kernel that computes its loss with them has no bits to keep, only a tolerance; products, sums
// and updates stay those of float, but for two things that save an instruction a row each: a factor
// that rows have in common is multiplied once, behind A^T, and <u - b, u> is |u|^2 - <b, u>, off by
// a unit of |u|^2, which the rounding of f alone makes of it too, or in small groups made of f
// (InTurn). |u - b|^2, or |f - b|^2, of which the loss is made, is no difference of sums. sinh and
// cosh stay ours, and for double there is nothing faster.
#pragma once
#include "simt.hpp"
#include "softreg/model/held_logits.hpp"

namespace softreg {

// InTurn: of groups so small that a sum over their lanes costs less than what it saves in every
// row.
template <class T, bool InTurn = false>
struct Fast;

template <bool InTurn>
struct Fast<float, InTurn> {
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
  SR_HD friend Fast fma_(Fast a, Fast b, Fast c) { return Fast(fma_(a.v, b.v, c.v)); }
  SR_HD friend Fast exp_(Fast a) {
    return Fast(simt::approximate_exp2(a.v * math_detail::Format<float>::log2_e));
  }
  SR_HD friend Fast log_(Fast a) {
    return Fast(simt::approximate_log2(a.v) * math_detail::Format<float>::ln2);
  }
  SR_HD friend Fast exp2_(Fast a) { return Fast(simt::approximate_exp2(a.v)); }
  SR_HD friend Fast log2_(Fast a) { return Fast(simt::approximate_log2(a.v)); }
  SR_HD friend Fast centred(Fast, Fast b) { return -b; }
  SR_HD friend Fast sum_of_centred(Fast sum, Fast square) { return square + sum; }
  SR_HD friend Fast scaled_sum_of_centred(Fast r, Fast sum, Fast square) {
    return fma_(r, square, sum);
  }
  SR_HD friend Fast sinh_(Fast a) { return Fast(sinh_(a.v)); }
  SR_HD friend Fast cosh_(Fast a) { return Fast(cosh_(a.v)); }
  SR_HD friend Fast scale_by_exp(Fast a, Fast b) { return Fast(scale_by_exp(a.v, b.v)); }
};

// A factor that rows have in common, and its product with a number of a row, which keeps it apart:
// multiplied once instead of in every row, it rounds once.
template <class F>
struct FastScaled;
template <class F>
struct FastFactor {
  F value;
  SR_HD explicit FastFactor(F of) : value(of) {}
  SR_HD explicit operator F() const { return value; }
  SR_HD friend FastScaled<F> operator*(FastFactor a, F b) { return {a, b}; }
};
template <class F>
struct FastScaled {
  FastFactor<F> factor;
  F rest;
  SR_HD explicit operator F() const { return factor.value * rest; }
  SR_HD explicit operator float() const { return float(factor.value * rest); }
  SR_HD friend FastScaled operator*(FastScaled a, F b) { return {a.factor, a.rest * b}; }
  SR_HD friend F operator-(FastScaled a, F b) { return fma_(a.factor.value, a.rest, -b); }
  SR_HD friend F fma_(F a, FastScaled b, F c) { return fma_(a * b.factor.value, b.rest, c); }
  SR_HD friend F factor_of(FastScaled a) { return a.factor.value; }
  SR_HD friend F rest_of(FastScaled a) { return a.rest; }
};
template <bool InTurn>
struct CommonOf<Fast<float, InTurn>> {
  using type = FastFactor<Fast<float, InTurn>>;
};

template <>
inline constexpr bool in_turn<Fast<float, true>> = true;
template <>
struct OfFewLanes<Fast<float>> {
  using type = Fast<float, true>;
};

// exp is a power of two.
template <class LossT, bool InTurn>
inline constexpr bool holds_bits<LossT, Fast<float, InTurn>> = LossT::normalized;

template <bool InTurn>
struct RealOf<Fast<float, InTurn>> {
  using type = float;
};

}  // namespace softreg
