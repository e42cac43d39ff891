// L = 1/2 |cosh(z) - b|^2.   dL/dz = sinh(z) * (cosh(z) - b).   (Li-Song-Zhou, arXiv 2303.15725)
#pragma once
#include "softreg/model/losses/elementwise_l2.hpp"

namespace softreg {

struct CoshL2 : ElementwiseL2<CoshL2> {
  static constexpr std::string_view name = "cosh_l2";
  template <class T>
  SR_HD static T phi(T v) {
    return cosh_(v);
  }
  template <class T>
  SR_HD static T slope(T v, T) {
    return sinh_(v);
  }
};
static_assert(Loss<CoshL2>);

}  // namespace softreg
