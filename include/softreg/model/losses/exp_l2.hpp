// L = 1/2 |exp(z) - b|^2.   dL/dz = u * (u - b),  u = exp(z).   (Li-Song-Zhou, arXiv 2303.15725)
#pragma once
#include "softreg/model/elementwise_l2.hpp"

namespace softreg {

template <>
struct Formula<ExpL2> : ElementwiseL2<Formula<ExpL2>> {
  template <class T>
  SR_HD static T phi(T v) {
    return exp_(v);
  }
  template <class T>
  SR_HD static T slope(T, T u) {
    return u;
  }
};
static_assert(LossFormula<Formula<ExpL2>>);

}  // namespace softreg
