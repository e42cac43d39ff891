// L = 1/2 |u - a b|^2,  u = exp(z), a = <u, 1>.   dL/dz = u * (u - a b - q),  q = <b, u - a b>.
// (Gao-Song-Yin, arXiv 2305.00660; math of the rescaled problem.) Not shift invariant: with u = e^s
// u', L = e^(2s) L' and dL/dz = e^(2s) g'. L' and g' are formed from u', and the factor is applied
// last, so that the result overflows only where the true value does.
#pragma once
#include "softreg/model/loss.hpp"

namespace softreg {

template <>
struct Formula<RescaledL2> {
  template <class T>
  using Terms = Sums<T, 3>;  // mass, <u - b, b>, |b|^2
  template <class T>
  using Tested = Sums<T, 1>;  // |u - b|^2
  template <class T>
  struct Head {
    T mass, q, shift, along, square;  // <u - b, b>, |b|^2
  };

  template <class T>
  SR_HD static Terms<T> terms(T u, T b, const Terms<T>& s) {
    return {{s[0] + u, fma_(u - b, b, s[1]), fma_(b, b, s[2])}};
  }
  template <class T>
  SR_HD static Head<T> finish(const Terms<T>& s, T shift) {
    const T e = s[0] - T(1);  // u - a b = (u - b) - e b
    return {s[0], s[1] - e * s[2], shift, s[1], s[2]};
  }
  template <class T>
  SR_HD static Tested<T> tested(T, T u, T b, const Tested<T>& s) {
    const T c = u - b;
    return {{fma_(c, c, s[0])}};
  }
  template <class T>
  SR_HD static T loss(const Tested<T>& s, const Head<T>& h) {
    const T e = h.mass - T(1);
    const T loss = (s[0] - T(2) * e * h.along + e * e * h.square) / T(2);
    return scale_by_exp(loss, T(2) * h.shift);
  }
  template <class T>
  SR_HD static T output(T u, const Head<T>& h) {
    return u / h.mass;
  }
  template <class T>
  SR_HD static T dlogit(T, T u, T b, const Head<T>& h) {
    return scale_by_exp(u * (u - h.mass * b - h.q), T(2) * h.shift);
  }
  // u (u - b - e b - q), e = mass - 1
  template <class T>
  SR_HD static Sums<T, 3> basis(T, T u, T b) {
    return {{u * (u - b), u * b, u}};
  }
  template <class T>
  SR_HD static T combine(const Sums<T, 3>& t, const Head<T>& h) {
    return scale_by_exp(fma_(T(1) - h.mass, t[1], t[0]) - h.q * t[2], T(2) * h.shift);
  }
};
static_assert(LossFormula<Formula<RescaledL2>>);

}  // namespace softreg
