// What a first-order optimizer is: one function of a coordinate, which has the point y where loss
// and gradient are evaluated, and x, what the optimizer needs beside it: the iterate, if it looks
// ahead; else x stays at the start, and nobody reads it.
//
//   advance(step, next, x, y)   next = y - t * gradient (projected on the ball if there is one)
//
// step: a number, or for a pack of instances (src/pack.hpp) a pack of numbers.
// looks_ahead: y is not the iterate. The caller forms next, because the descent from y is the same
// for every member, and begins with y = x.
#pragma once
#include <concepts>
#include <string_view>

#include "softreg/model/math.hpp"

namespace softreg {

// The step size that stands for "auto": 1 / the proven curvature (src/prepare.cpp).
inline constexpr double automatic_step_size = 0;

template <class O>
concept FirstOrder = requires(double x) {
  { O::name } -> std::convertible_to<std::string_view>;
  { O::looks_ahead } -> std::convertible_to<bool>;
  O::advance(1, x, x, x);
};

}  // namespace softreg
