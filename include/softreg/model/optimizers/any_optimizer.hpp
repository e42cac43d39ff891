// Every optimizer, and all of them behind one type that asks at run time: every machine is compiled
// once for all optimizers.
#pragma once
#include <type_traits>
#include <variant>

#include "softreg/model/optimizers/gradient_descent.hpp"
#include "softreg/model/optimizers/nesterov.hpp"

namespace softreg {

using AnyOptimizer = std::variant<GradientDescent, Nesterov>;

struct AnyFirstOrder {
  int index;  // into AnyOptimizer

  SR_HD constexpr bool looks_ahead() const {
    return index == 1 ? Nesterov::looks_ahead : GradientDescent::looks_ahead;
  }
  template <class Step, class T>
  SR_HD void advance(Step step, T next, T& x, T& y) const {
    if (index == 1)
      Nesterov::advance(step, next, x, y);
    else
      GradientDescent::advance(step, next, x, y);
  }
};
static_assert(std::is_same_v<AnyOptimizer, std::variant<GradientDescent, Nesterov>>,
              "AnyFirstOrder must know them all");

}  // namespace softreg
