// What a loss is: five short functions of numbers, and nothing about loops, memory or threads.
//
//   u = activate(v)       the row's activation; v = z - shift, and shift is 0 unless normalized
//   terms(v, u, b, s)     s plus the row's contribution to a handful of sums
//   h = finish(s, shift)  the loss of one segment and what its rows need back
//   output(u, h)          the prediction f of a row
//   dlogit(v, u, b, h)    dL/dz of a row
//
// normalized: the prediction is a distribution, f = u / <u, 1>; Head has a member `mass` = <u, 1>,
// and the evaluator keeps shift close to log <exp z, 1>, so that u is close to f and mass close
// to 1. invariant: loss and dL/dz do not change when every logit of a segment moves by the same
// amount.
#pragma once
#include <concepts>
#include <string_view>

#include "softreg/model/sums.hpp"

namespace softreg {

template <class L>
concept Loss = requires(double v, typename L::template Terms<double> s,
                        typename L::template Head<double> h) {
  { L::name } -> std::convertible_to<std::string_view>;
  { L::normalized } -> std::convertible_to<bool>;
  { L::invariant } -> std::convertible_to<bool>;
  { L::activate(v) } -> std::same_as<double>;
  { L::terms(v, v, v, s) } -> std::same_as<typename L::template Terms<double>>;
  { L::finish(s, v) } -> std::same_as<typename L::template Head<double>>;
  { h.loss } -> std::convertible_to<double>;
  { L::output(v, h) } -> std::same_as<double>;
  { L::dlogit(v, v, v, h) } -> std::same_as<double>;
};

}  // namespace softreg
