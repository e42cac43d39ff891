// Every optimizer, and all of them behind one type that asks at run time. What runs in memory is
// compiled once, for AnyFirstOrder; what runs in registers once per optimizer, because a number per
// coordinate more is dear there.
#pragma once
#include <type_traits>
#include <variant>

#include "softreg/model/optimizers/gradient_descent.hpp"
#include "softreg/model/optimizers/nesterov.hpp"

namespace softreg {

using AnyOptimizer = std::variant<GradientDescent, Nesterov>;

struct AnyFirstOrder {
  bool looks_ahead;

  SR_HD explicit AnyFirstOrder(int index_into_any_optimizer)
      : looks_ahead(index_into_any_optimizer == 1) {}

  template <class Step, class T>
  SR_HD void advance(Step step, T next, T& x, T& y) const {
    if (looks_ahead)
      Nesterov::advance(step, next, x, y);
    else
      GradientDescent::advance(step, next, x, y);
  }
};
static_assert(std::is_same_v<AnyOptimizer, std::variant<GradientDescent, Nesterov>>,
              "AnyFirstOrder must know them all");

}  // namespace softreg
