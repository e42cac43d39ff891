// L = 1/2 |phi(z) - b|^2 for a function phi of one number.   dL/dz = phi'(z) * (phi(z) - b).
// The formula of such a loss derives from ElementwiseL2<itself> and says phi(v) and slope(v, u) =
// phi'(v), u = phi(v).
#pragma once
#include "softreg/model/loss.hpp"

namespace softreg {

template <class Self>
struct ElementwiseL2 {
  template <class T>
  using Tested = Sums<T, 1>;  // |u - b|^2
  template <class T>
  struct Head {};

  template <class T>
  SR_HD static T activate(T v) {
    return Self::phi(v);
  }
  template <class T>
  SR_HD static Tested<T> tested(T, T u, T b, const Tested<T>& s) {
    const T c = u - b;
    return {{fma_(c, c, s[0])}};
  }
  template <class T>
  SR_HD static T loss(const Tested<T>& s, const Head<T>&) {
    return s[0] / T(2);
  }
  template <class T>
  SR_HD static T output(T u, const Head<T>&) {
    return u;
  }
  template <class T>
  SR_HD static T dlogit(T v, T u, T b, const Head<T>& h) {
    return combine(basis(v, u, b), h);
  }
  template <class T>
  SR_HD static Sums<T, 1> basis(T v, T u, T b) {
    return {{Self::slope(v, u) * (u - b)}};
  }
  template <class T>
  SR_HD static T combine(const Sums<T, 1>& t, const Head<T>&) {
    return t[0];
  }
};

}  // namespace softreg
