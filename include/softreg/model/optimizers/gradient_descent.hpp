// Gradient descent: x <- P(x - t g).
#pragma once
#include "softreg/model/optimizers/optimizer.hpp"

namespace softreg {

struct GradientDescent {
  static constexpr std::string_view name = "gradient_descent";
  static constexpr bool looks_ahead = false;
  double step_size = automatic_step_size;  // for every instance without a step size of its own

  template <class Step, class T>
  SR_HD static void advance(Step, T next, T&, T& y) {
    y = next;
  }
};
static_assert(FirstOrder<GradientDescent>);

}  // namespace softreg
