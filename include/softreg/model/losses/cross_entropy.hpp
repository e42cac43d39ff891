// L = -<b, log f>,  f = u / <u, 1>,  u = exp(z).   dL/dz = <b, 1> f - b.
#pragma once
#include "softreg/model/loss.hpp"

namespace softreg {

template <>
struct Formula<CrossEntropy> {
  template <class T>
  using Terms = Sums<T, 2>;  // mass, <b, 1>
  template <class T>
  using Tested = Sums<T, 1>;  // <b, v>
  template <class T>
  struct Head {
    T mass;
    Common<T> r;
    T total;
  };

  template <class T>
  SR_HD static Terms<T> terms(T u, T b, const Terms<T>& s) {
    return {{s[0] + u, s[1] + b}};
  }
  template <class T>
  SR_HD static Head<T> finish(const Terms<T>& s, T) {
    return {s[0], Common<T>(T(1) / s[0]), s[1]};
  }
  template <class T>
  SR_HD static Tested<T> tested(T v, T, T b, const Tested<T>& s) {
    return {{fma_(b, v, s[0])}};
  }
  template <class T>
  SR_HD static T loss(const Tested<T>& s, const Head<T>& h) {
    return h.total * log_(h.mass) - s[0];
  }
  template <class T>
  SR_HD static T output(T u, const Head<T>& h) {
    return T(h.r * u);
  }
  template <class T>
  SR_HD static T dlogit(T, T u, T b, const Head<T>& h) {
    return fma_(h.total, h.r * u, -b);
  }
  template <class T>
  SR_HD static Sums<T, 2> basis(T, T u, T b) {
    return {{b, u}};
  }
  template <class T>
  SR_HD static T combine(const Sums<T, 2>& t, const Head<T>& h) {
    return fma_(h.total * h.r, t[1], -t[0]);
  }
};
static_assert(LossFormula<Formula<CrossEntropy>>);

}  // namespace softreg
