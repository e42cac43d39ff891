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
  using Terms = Sums<T, in_turn<T> ? 1 : 3>;  // mass, <centred, u>, |u|^2
  template <class T>
  using Tested = Sums<T, 1>;  // |u - b|^2
  template <class T>
  struct Head {
    T mass;
    Common<T> r;
    T q, along, square;  // <f - b, f>; in turn neither: <u - b, u>, |u|^2
  };

  template <class T>
  SR_HD static Terms<T> terms(T u, T b, const Terms<T>& s) {
    if constexpr (in_turn<T>)
      return {{s[0] + u}};
    else
      return {{s[0] + u, fma_(centred(u, b), u, s[1]), fma_(u, u, s[2])}};
  }
  template <class T>
  SR_HD static Head<T> finish(const Terms<T>& s, T) {
    const T r = T(1) / s[0];
    if constexpr (in_turn<T>)
      return {s[0], Common<T>(r), T(0), T(0), T(0)};
    else
      return {s[0], Common<T>(r), r * scaled_sum_of_centred(r, s[1], s[2]),
              sum_of_centred(s[1], s[2]), s[2]};
  }
  template <class T>
  SR_HD static Sums<T, 1> rest(T u, T b, const Head<T>& h, const Sums<T, 1>& s) {
    return {{fma_(T(h.r * u - b), u, s[0])}};
  }
  template <class T>
  SR_HD static Head<T> complete(Head<T> h, const Sums<T, 1>& s) {
    h.q = T(h.r) * s[0];
    return h;
  }
  template <class T>
  SR_HD static Tested<T> tested(T, T u, T b, const Tested<T>& s) {
    const T c = u - b;
    return {{fma_(c, c, s[0])}};
  }
  template <class T>
  SR_HD static T loss(const Tested<T>& s, const Head<T>& h) {
    if constexpr (in_turn<T>) return s[0] / T(2);
    const T e = T(h.r) - T(1);
    return (s[0] + T(2) * e * h.along + e * e * h.square) / T(2);
  }
  template <class T>
  SR_HD static T output(T u, const Head<T>& h) {
    return T(h.r * u);
  }
  template <class T>
  SR_HD static auto dlogit(T, T u, T b, const Head<T>& h) {
    const auto f = h.r * u;
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
