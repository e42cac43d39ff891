// Nesterov's accelerated gradient: next = P(y - t g(y)), y <- next + k/(k+3) (next - x), x <- next.
// Loss, norm and result belong to the look-ahead point y.
#pragma once
#include "softreg/model/optimizers/optimizer.hpp"

namespace softreg {

struct Nesterov {
  static constexpr std::string_view name = "nesterov";
  static constexpr bool looks_ahead = true;
  double step_size = automatic_step_size;  // for every instance without a step size of its own

  template <class Step, class T>
  SR_HD static void advance(Step step, T next, T& x, T& y) {
    y = fma_(T(step) / T(step + 3), next - x, next);
    x = next;
  }
};
static_assert(FirstOrder<Nesterov>);

}  // namespace softreg
