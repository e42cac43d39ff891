// L = 1/2 |z - b|^2.   dL/dz = z - b.   (in-context linear regression)
#pragma once
#include "softreg/model/losses/elementwise_l2.hpp"

namespace softreg {

struct LeastSquares : ElementwiseL2<LeastSquares> {
  static constexpr std::string_view name = "least_squares";
  template <class T>
  SR_HD static T phi(T v) {
    return v;
  }
  template <class T>
  SR_HD static T slope(T, T) {
    return T(1);
  }
};
static_assert(Loss<LeastSquares>);

}  // namespace softreg
