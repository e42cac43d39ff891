// What exists: the lists from which names, typed tests, CPU lanes and kernels are made.
#pragma once
#include <variant>

#include "softreg/model/losses/cosh_l2.hpp"
#include "softreg/model/losses/cross_entropy.hpp"
#include "softreg/model/losses/exp_l2.hpp"
#include "softreg/model/losses/least_squares.hpp"
#include "softreg/model/losses/rescaled_l2.hpp"
#include "softreg/model/losses/sinh_l2.hpp"
#include "softreg/model/losses/softmax_l2.hpp"
#include "softreg/model/optimizers/any_optimizer.hpp"

namespace softreg {

using AnyLoss =
    std::variant<SoftmaxL2, RescaledL2, CrossEntropy, LeastSquares, ExpL2, CoshL2, SinhL2>;

// Calls f.operator()<A>() for alternative number k of the variant: from a number known at run time
// to a type. Nothing is called if there is no such alternative.
template <class Variant, int K = 0, class F>
void visit_alternative(int k, F&& f) {
  if constexpr (K < static_cast<int>(std::variant_size_v<Variant>)) {
    if (k == K)
      f.template operator()<std::variant_alternative_t<K, Variant>>();
    else
      visit_alternative<Variant, K + 1>(k, f);
  }
}

}  // namespace softreg
