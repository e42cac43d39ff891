// What a first-order optimizer is: what happens to one coordinate, in three short
// functions, or four.
//
//   init(x, m)                  the optimizer's memory at the start
//   point(x, m)                 where loss and gradient are evaluated
//   advance(step, next, x, m)   next = point - t * gradient (projected on the ball if there is one)
//   move_point(factor, x, m)    brings an evaluation point outside the ball back, where
//                               looks_ahead
//
// The caller forms next, because the descent from the point is the same for every member.
#pragma once
#include <concepts>
#include <string_view>

#include "softreg/model/math.hpp"

namespace softreg {

// The step size that stands for "auto": 1 / the proven curvature (src/prepare.cpp).
inline constexpr double automatic_step_size = 0;

template <class O>
concept FirstOrder = requires(double x, double* m, const double* cm) {
  { O::name } -> std::convertible_to<std::string_view>;
  { O::memory } -> std::convertible_to<int>;
  { O::looks_ahead } -> std::convertible_to<bool>;
  O::init(x, m);
  { O::point(x, cm) } -> std::same_as<double>;
  O::advance(1, x, x, m);
}
&&(!O::looks_ahead || requires(double x, double* m) { O::move_point(x, x, m); });

}  // namespace softreg
