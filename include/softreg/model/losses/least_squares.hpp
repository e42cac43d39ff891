// L = 1/2 |z - b|^2.   dL/dz = z - b.   (in-context linear regression)
#pragma once
#include "softreg/model/elementwise_l2.hpp"

namespace softreg {

template <>
struct Formula<LeastSquares> : ElementwiseL2<Formula<LeastSquares>> {
  template <class T>
  SR_HD static T phi(T v) {
    return v;
  }
  template <class T>
  SR_HD static T slope(T, T) {
    return T(1);
  }
};
static_assert(LossFormula<Formula<LeastSquares>>);

}  // namespace softreg
