// What a loss is: seven short functions of numbers, and nothing about loops, memory or threads.
//
//   u = activate(v)       the row's activation; v = z - shift, and shift is 0 unless normalized
//   terms(v, u, b, s)     s plus the row's contribution to a handful of sums
//   h = finish(s, shift)  the loss of one segment and what its rows need back
//   output(u, h)          the prediction f of a row
//   dlogit(v, u, b, h)    dL/dz of a row
//   basis(v, u, b)        what is known of dL/dz before the sums: a handful of numbers t, of which
//   combine(t, h)         makes dL/dz; linear in t, so that it may come after a sum over rows
//
// Where the loss is normalized, Head has a member `mass` = <u, 1>, and the evaluator keeps shift
// close to log <exp z, 1>, so that u is close to f and mass close to 1.
#pragma once
#include <concepts>

#include "softreg/model/catalog.hpp"
#include "softreg/model/sums.hpp"

namespace softreg {

// The mathematics of a loss of the catalogue. Each has a header of its own (losses/), which only
// what evaluates this loss includes.
template <class LossT>
struct Formula;

template <class F>
concept LossFormula = requires(double v, typename F::template Terms<double> s,
                               typename F::template Head<double> h) {
  { F::activate(v) } -> std::same_as<double>;
  { F::terms(v, v, v, s) } -> std::same_as<typename F::template Terms<double>>;
  { F::finish(s, v) } -> std::same_as<typename F::template Head<double>>;
  { h.loss } -> std::convertible_to<double>;
  { F::output(v, h) } -> std::same_as<double>;
  { F::dlogit(v, v, v, h) } -> std::same_as<double>;
  { F::combine(F::basis(v, v, v), h) } -> std::same_as<double>;
};

}  // namespace softreg
