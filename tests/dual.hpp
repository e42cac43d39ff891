// Dual<T>: a number with a derivative, v + d epsilon, epsilon^2 = 0. Whatever is written for a
// scalar type T of the model (losses, operators, the whole evaluator) gives exact derivatives with
// it.
#pragma once
#include <type_traits>

#include "softreg/model/math.hpp"

namespace softreg {

template <class T>
struct Dual {
  T v = T(0), d = T(0);
  constexpr Dual() = default;
  template <class S, class = std::enable_if_t<std::is_arithmetic_v<S>>>
  constexpr Dual(S value) : v(static_cast<T>(value)) {}
  constexpr Dual(T value, T derivative) : v(value), d(derivative) {}

  friend constexpr Dual operator-(Dual a) { return {-a.v, -a.d}; }
  friend constexpr Dual operator+(Dual a, Dual b) { return {a.v + b.v, a.d + b.d}; }
  friend constexpr Dual operator-(Dual a, Dual b) { return {a.v - b.v, a.d - b.d}; }
  friend constexpr Dual operator*(Dual a, Dual b) { return {a.v * b.v, a.d * b.v + a.v * b.d}; }
  friend constexpr Dual operator/(Dual a, Dual b) {
    return {a.v / b.v, (a.d - a.v / b.v * b.d) / b.v};
  }
  friend constexpr bool operator<(Dual a, Dual b) { return a.v < b.v; }
  friend constexpr bool operator>(Dual a, Dual b) { return a.v > b.v; }
  friend constexpr bool operator<=(Dual a, Dual b) { return a.v <= b.v; }
  friend constexpr bool operator>=(Dual a, Dual b) { return a.v >= b.v; }
  friend constexpr bool operator==(Dual a, Dual b) { return a.v == b.v; }

  friend Dual fma_(Dual a, Dual b, Dual c) {
    return {fma_(a.v, b.v, c.v), fma_(a.v, b.d, fma_(a.d, b.v, c.d))};
  }
  friend Dual sqrt_(Dual x) {
    const T root = sqrt_(x.v);
    return {root, x.d / (2 * root)};
  }
  friend Dual abs_(Dual x) { return x.v < 0 ? -x : x; }
  friend Dual exp_(Dual x) {
    const T e = exp_(x.v);
    return {e, e * x.d};
  }
  friend Dual log_(Dual x) { return {log_(x.v), x.d / x.v}; }
  friend Dual sinh_(Dual x) { return {sinh_(x.v), cosh_(x.v) * x.d}; }
  friend Dual cosh_(Dual x) { return {cosh_(x.v), sinh_(x.v) * x.d}; }
  friend Dual scale_by_exp(Dual value, Dual s) {
    return {scale_by_exp(value.v, s.v), scale_by_exp(value.d + value.v * s.d, s.v)};
  }
  friend bool is_finite(Dual x) { return is_finite(x.v) && is_finite(x.d); }
};

}  // namespace softreg
