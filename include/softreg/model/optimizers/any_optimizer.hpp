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
  // Calls f.operator()<the optimizer>().
  template <class F>
  SR_HD void visit(F f) const {
    if (index == 1)
      f.template operator()<Nesterov>();
    else
      f.template operator()<GradientDescent>();
  }
};
static_assert(std::is_same_v<AnyOptimizer, std::variant<GradientDescent, Nesterov>>,
              "AnyFirstOrder must know them all");

}  // namespace softreg
