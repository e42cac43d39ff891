// What a loss is: a few short functions of numbers, and nothing about loops, memory or threads.
//
//   tested(v, u, b, s)  s plus the row's contribution to the sums that only the loss needs; u: the
//                       row's activation
//   loss(s, h)          the loss of one segment, from those
//   output(u, h)        the prediction f of a row
//   dlogit(v, u, b, h)  dL/dz of a row
//   basis(v, u, b)      what is known of dL/dz before the sums: a handful of numbers t, of which
//   combine(t, h)       makes dL/dz; linear in t, so that it may come after a sum over rows
//
// Where the loss is normalized, v = z - shift and u = exp(v), and it has
//
//   terms(u, b, s)        likewise, of the sums that every step needs
//   h = finish(s, shift)  what the rows of one segment need back; `mass` of it is <u, 1>
//
// The evaluator keeps shift close to log <exp z, 1>, so that u is close to f and mass close to 1.
// Where it is not normalized, rows need nothing of each other: Head is empty, v = z, and it has
//
//   u = activate(v)
#pragma once
#include <concepts>

#include "softreg/model/catalog.hpp"
#include "softreg/model/sums.hpp"

namespace softreg {

// A factor that all rows of a segment have in common: a number as any other, unless the numbers of
// the formula keep it apart and let dlogit return it beside the rest (kernels/fast.hpp).
template <class T>
struct CommonOf {
  using type = T;
};
template <class T>
using Common = typename CommonOf<T>::type;
template <class T>
SR_HD T factor_of(T) {
  return T(1);
}
template <class T>
SR_HD T rest_of(T slope) {
  return slope;
}

// How <u - b, u> is summed where |u|^2 is too: row by row as it stands; numbers of which nobody
// expects the last bits may leave u - b to the end (kernels/fast.hpp).
template <class T>
SR_HD T centred(T u, T b) {
  return u - b;
}
template <class T>
SR_HD T sum_of_centred(T sum, T) {
  return sum;
}
// <r u - b, u>, of the same sums.
template <class T>
SR_HD T scaled_sum_of_centred(T r, T sum, T square) {
  return sum + (r - T(1)) * square;
}

// Whether a formula that can (SumsInTurn) takes its sums one after the other: first the mass, then
// the rest, around f. Less is done in every row, but lanes meet once more. OfFewLanes: the numbers
// that take the place of A where they meet easily.
template <class A>
inline constexpr bool in_turn = false;
template <class A>
struct OfFewLanes {
  using type = A;
};

// The mathematics of a loss of the catalogue. Each has a header of its own (losses/), which only
// what evaluates this loss includes.
template <class LossT>
struct Formula;

// u of a row; v: its logit less the shift, which is 0 where the loss is not normalized.
template <class LossT, class T>
SR_MATH T activation(T v) {
  if constexpr (LossT::normalized)
    return exp_(v);
  else
    return Formula<LossT>::activate(v);
}

template <class F>
concept ActivatedFormula = requires(double v) {
  { F::activate(v) } -> std::same_as<double>;
};
template <class F>
concept NormalizedFormula = requires(double v, typename F::template Terms<double> s,
                                     typename F::template Head<double> h) {
  { F::terms(v, v, s) } -> std::same_as<typename F::template Terms<double>>;
  { F::finish(s, v) } -> std::same_as<typename F::template Head<double>>;
  { h.mass } -> std::convertible_to<double>;
};
// A formula that has also
//
//   rest(u, b, h, s)  s plus what the row adds to the one sum for which the mass must be known
//   complete(h, s)    the head with that sum
//
// terms() is then of the mass alone, the head of finish() is enough for rest() and output(), and
// tested() is given f in place of u, so that loss() is of f.
template <class F, class A>
concept SumsInTurn = in_turn<A> && requires(A u, typename F::template Head<A> h, Sums<A, 1> s) {
  { F::complete(h, F::rest(u, u, h, s)) } -> std::same_as<typename F::template Head<A>>;
};
template <class F>
concept LossFormula = (ActivatedFormula<F> || NormalizedFormula<F>)&&requires(
    double v, typename F::template Tested<double> s, typename F::template Head<double> h) {
  { F::tested(v, v, v, s) } -> std::same_as<typename F::template Tested<double>>;
  { F::loss(s, h) } -> std::same_as<double>;
  { F::output(v, h) } -> std::same_as<double>;
  { F::dlogit(v, v, v, h) } -> std::same_as<double>;
  { F::combine(F::basis(v, v, v), h) } -> std::same_as<double>;
};

}  // namespace softreg
