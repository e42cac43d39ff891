// What exists: the lists from which names, typed tests, CPU lanes and kernels are made. The formula
// of a loss stands in losses/.
#pragma once
#include <string_view>
#include <variant>

#include "softreg/model/optimizers/any_optimizer.hpp"

namespace softreg {

// name: for people. normalized: the prediction is a distribution, f = u / <u, 1>. invariant: loss
// and dL/dz do not change when every logit of a segment moves by the same amount.
struct SoftmaxL2 {
  static constexpr std::string_view name = "softmax_l2";
  static constexpr bool normalized = true, invariant = true;
};
struct RescaledL2 {
  static constexpr std::string_view name = "rescaled_l2";
  static constexpr bool normalized = true, invariant = false;
};
struct CrossEntropy {
  static constexpr std::string_view name = "cross_entropy";
  static constexpr bool normalized = true, invariant = true;
};
struct LeastSquares {
  static constexpr std::string_view name = "least_squares";
  static constexpr bool normalized = false, invariant = false;
};
struct ExpL2 {
  static constexpr std::string_view name = "exp_l2";
  static constexpr bool normalized = false, invariant = false;
};
struct CoshL2 {
  static constexpr std::string_view name = "cosh_l2";
  static constexpr bool normalized = false, invariant = false;
};
struct SinhL2 {
  static constexpr std::string_view name = "sinh_l2";
  static constexpr bool normalized = false, invariant = false;
};

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
