// L = 1/2 |cosh(z) - b|^2.   dL/dz = sinh(z) * (cosh(z) - b).   (Li-Song-Zhou, arXiv 2303.15725)
#pragma once
#include "softreg/model/elementwise_l2.hpp"

namespace softreg {

template <>
struct Formula<CoshL2> : ElementwiseL2<Formula<CoshL2>> {
  static constexpr bool long_rows = true;  // two exponentials each
  template <class T>
  SR_HD static T phi(T v) {
    return cosh_(v);
  }
  template <class T>
  SR_HD static T slope(T v, T) {
    return sinh_(v);
  }
};
static_assert(LossFormula<Formula<CoshL2>>);

}  // namespace softreg
