// L = 1/2 |sinh(z) - b|^2.   dL/dz = cosh(z) * (sinh(z) - b).   (Li-Song-Zhou, arXiv 2303.15725)
#pragma once
#include "softreg/model/elementwise_l2.hpp"

namespace softreg {

template <>
struct Formula<SinhL2> : ElementwiseL2<Formula<SinhL2>> {
  static constexpr bool long_rows = true;  // two exponentials each
  template <class T>
  SR_HD static T phi(T v) {
    return sinh_(v);
  }
  template <class T>
  SR_HD static T slope(T v, T) {
    return cosh_(v);
  }
};
static_assert(LossFormula<Formula<SinhL2>>);

}  // namespace softreg
