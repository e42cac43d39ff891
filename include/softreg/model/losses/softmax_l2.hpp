// L = 1/2 |f - b|^2,  f = u / <u, 1>,  u = exp(z).   dL/dz = f * (f - b - q),  q = <f, f - b>.
// (Deng-Li-Song, arXiv 2304.10411, definitions 5.1-5.5; the gradient's sign as derived, not as
// printed.) The sums are taken around u because the evaluator keeps u close to f: L stays accurate
// near its minimum, where |u - b|^2 is small and the plain form is a difference of numbers of order
// one.
#pragma once
#include "softreg/model/loss.hpp"

namespace softreg {

template <>
struct Formula<SoftmaxL2> {
  template <class T>
  using Terms = Sums<T, 4>;  // mass, |u - b|^2, <u - b, u>, |u|^2
  template <class T>
  struct Head {
    T loss, mass, r, q;
  };

  template <class T>
  SR_HD static T activate(T v) {
    return exp_(v);
  }
  template <class T>
  SR_HD static Terms<T> terms(T, T u, T b, const Terms<T>& s) {
    const T c = u - b;
    return {{s[0] + u, fma_(c, c, s[1]), fma_(c, u, s[2]), fma_(u, u, s[3])}};
  }
  template <class T>
  SR_HD static Head<T> finish(const Terms<T>& s, T) {
    const T r = T(1) / s[0], e = r - T(1);
    return {(s[1] + T(2) * e * s[2] + e * e * s[3]) / T(2), s[0], r, r * (s[2] + e * s[3])};
  }
  template <class T>
  SR_HD static T output(T u, const Head<T>& h) {
    return h.r * u;
  }
  template <class T>
  SR_HD static T dlogit(T, T u, T b, const Head<T>& h) {
    const T f = h.r * u;
    return f * (f - b - h.q);
  }
  // r u (r u - b - q) with r = 1 + e: e and q are small near the minimum.
  template <class T>
  SR_HD static Sums<T, 3> basis(T, T u, T b) {
    return {{u * (u - b), u * u, u}};
  }
  template <class T>
  SR_HD static T combine(const Sums<T, 3>& t, const Head<T>& h) {
    return h.r * (fma_(h.r - T(1), t[1], t[0]) - h.q * t[2]);
  }
};
static_assert(LossFormula<Formula<SoftmaxL2>>);

}  // namespace softreg
