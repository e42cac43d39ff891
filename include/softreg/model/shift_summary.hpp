// What traces of shifts and of bounds keep of one trajectory.
#pragma once
#include <cmath>

#include "softreg/model/math.hpp"

namespace softreg {

// What is noted of every update: nothing; how far f, z and x moved, with the bounds on f (trace
// `shifts`); or all quantities of the theorems with their bounds (trace `bounds`).
enum class Watched { nothing, shifts, bounds };

// What was seen of one bound over the updates of one instance, as reports have it.
template <class T>
struct BoundWatch {
  // Of the update that came closest: log10(bound / (measured - slack)); measured: 0 if all drowned
  // in rounding.
  T margin, measured, log10_bound;
  int judged;           // updates of which the bound speaks
  int hypotheses_hold;  // updates of these whose hypotheses hold
  int violations;       // updates beyond the bound plus the rounding slack, hypotheses or not

  T log10_ratio() const { return measured > T(0) ? margin : quiet_nan<T>(); }
};

// Of a bound that is a number, and has no hypotheses that fail.
template <class T>
struct RatioWatch {
  T ratio, measured, bound;  // of the update that came closest; ratio: (measured - slack) / bound
  Count<T> judged, violations;

  BoundWatch<T> seen() const {
    return {-log10_of(ratio), measured, log10_of(bound), judged, judged, violations};
  }
  static T log10_of(T v) { return static_cast<T>(std::log10(static_cast<double>(v))); }
};
// Of a bound factor 10^exponent that may be no number.
template <class T>
struct LogWatch {
  T margin, measured, factor, exponent;
  Count<T> judged, hypotheses_hold, violations;

  BoundWatch<T> seen() const {
    const T log10_bound = RatioWatch<T>::log10_of(factor) + exponent;
    return {margin, measured, log10_bound, judged, hypotheses_hold, violations};
  }
};

// Shifts of one trajectory: f, x (the evaluation point) and z = A x over all updates t -> t + 1.
template <class T>
struct ShiftSummary {
  Count<T> updates;        // updates measured (all of them unless something was not finite)
  T f_max, f_sum;          // |f(x_{t+1}) - f(x_t)|
  T x_max, x_sum;          // |x_{t+1} - x_t|
  T z_max;                 // |A dx|
  T ratio_max;             // |f(x_{t+1}) - f(x_t)| / |x_{t+1} - x_t|, updates that moved x
  RatioWatch<T> sharp;     // D8: |df| <= 1/2 |A dx|
  LogWatch<T> paper;       // P6: |df| <= M |dx|, M = n^1.5 exp(10 R^2), R as measured
  LogWatch<T> paper_at_4;  // P6 with R >= 4, as the paper asks
};

// The bounds of the trace `bounds` besides the three above; src/bound_catalog.hpp says what they
// state. At most 32: the lanes of a warp judge one each. Those that may be no number come last.
enum BoundIndex {
  bound_u,
  bound_mass,
  bound_inverse_mass,
  bound_h,
  bound_q,
  bound_dlogit,
  bound_error,
  bound_loss,
  bound_gradient,
  bound_rescaled_error,
  bound_rescaled_loss,
  number_bounds,
  bound_rescaled_gradient = number_bounds,
  bound_paper_u,
  bound_paper_mass,
  bound_paper_inverse_mass,
  bound_paper_f,
  bound_count,
};

template <class T>
struct BoundSummary {
  RatioWatch<T> number[number_bounds];
  LogWatch<T> large[bound_count - number_bounds];
  Count<T> updates;  // judged
  Count<T>
      small_steps;  // of them with |A dx|_2 < 0.01, so that |A dx|_inf is (the papers' smallness)
  // The in-context theorem, the most over all updates. With the target b~ the residual at the old x
  // is what b leaves at the new one; the same f comes of the old x on A + dA.
  T target_shift;  // |b~ - b|
  T identity;      // |(f' - b) - (f - b~)|, rescaled |e' - (u - a b~)| / max(a, a'): rounding
  T data_shift;    // |dA| = |A dx| / |x|
  T error_change;  // | |f' - b| - |f - b| |

  BoundWatch<T> seen(int k) const {
    return k < number_bounds ? number[k].seen() : large[k - number_bounds].seen();
  }
};

// f(member of a, member of b) of all numbers of two summaries, whose numbers may be of different
// kinds.
template <class T, class U, class F>
void each_member(RatioWatch<T>& a, RatioWatch<U>& b, F f) {
  f(a.ratio, b.ratio);
  f(a.measured, b.measured);
  f(a.bound, b.bound);
  f(a.judged, b.judged);
  f(a.violations, b.violations);
}
template <class T, class U, class F>
void each_member(LogWatch<T>& a, LogWatch<U>& b, F f) {
  f(a.margin, b.margin);
  f(a.measured, b.measured);
  f(a.factor, b.factor);
  f(a.exponent, b.exponent);
  f(a.judged, b.judged);
  f(a.hypotheses_hold, b.hypotheses_hold);
  f(a.violations, b.violations);
}
template <class T, class U, class F>
void each_member(ShiftSummary<T>& a, ShiftSummary<U>& b, F f) {
  f(a.updates, b.updates);
  f(a.f_max, b.f_max);
  f(a.f_sum, b.f_sum);
  f(a.x_max, b.x_max);
  f(a.x_sum, b.x_sum);
  f(a.z_max, b.z_max);
  f(a.ratio_max, b.ratio_max);
  each_member(a.sharp, b.sharp, f);
  each_member(a.paper, b.paper, f);
  each_member(a.paper_at_4, b.paper_at_4, f);
}
template <class T, class U, class F>
void each_member(BoundSummary<T>& a, BoundSummary<U>& b, F f) {
  for (int k = 0; k < number_bounds; ++k) each_member(a.number[k], b.number[k], f);
  for (int k = 0; k < bound_count - number_bounds; ++k) each_member(a.large[k], b.large[k], f);
  f(a.updates, b.updates);
  f(a.small_steps, b.small_steps);
  f(a.target_shift, b.target_shift);
  f(a.identity, b.identity);
  f(a.data_shift, b.data_shift);
  f(a.error_change, b.error_change);
}

}  // namespace softreg
