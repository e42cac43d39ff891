// What traces of shifts and of bounds keep of one trajectory.
#pragma once
#include "softreg/model/math.hpp"

namespace softreg {

// What is noted of every update: nothing; how far f, z and x moved, with the bounds on f (trace
// `shifts`); or all quantities of the theorems with their bounds (trace `bounds`).
enum class Watched { nothing, shifts, bounds };

// One bound, watched over the updates of one instance. margin is log10(bound / (measured - slack))
// of the update that came closest to its bound; measured and log10_bound belong to that update.
template <class T>
struct BoundWatch {
  T margin, measured, log10_bound;
  Count<T> hypotheses_hold;  // updates whose hypotheses hold
  Count<T> violations;       // updates beyond the bound plus the rounding slack, hypotheses or not
};

// Shifts of one trajectory: f, x (the evaluation point) and z = A x over all updates t -> t + 1.
template <class T>
struct ShiftSummary {
  Count<T> updates;          // updates measured (all of them unless something was not finite)
  T f_max, f_sum;            // |f(x_{t+1}) - f(x_t)|
  T x_max, x_sum;            // |x_{t+1} - x_t|
  T z_max;                   // |A dx|
  T ratio_max;               // |f(x_{t+1}) - f(x_t)| / |x_{t+1} - x_t|, updates that moved x
  BoundWatch<T> sharp;       // D8: |df| <= 1/2 |A dx|
  BoundWatch<T> paper;       // P6: |df| <= M |dx|, M = n^1.5 exp(10 R^2), R as measured
  BoundWatch<T> paper_at_4;  // P6 with R >= 4, as the paper asks
};

// The bounds of the trace `bounds` besides the three above; src/bound_catalog.hpp says what they
// state. At most 32: the lanes of a warp judge one each.
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
  bound_rescaled_gradient,
  bound_paper_u,
  bound_paper_mass,
  bound_paper_inverse_mass,
  bound_paper_f,
  bound_count,
};

template <class T>
struct BoundSummary {
  struct Watch : BoundWatch<T> {
    Count<T> judged;  // updates of which the bound speaks
  };
  Watch watch[bound_count];
  Count<T> updates;  // judged
  Count<T>
      small_steps;  // of them with |A dx|_2 < 0.01, so that |A dx|_inf is (the papers' smallness)
  // The in-context theorem, the most over all updates. With the target b~ the residual at the old x
  // is what b leaves at the new one; the same f comes of the old x on A + dA.
  T target_shift;  // |b~ - b|
  T identity;      // |(f' - b) - (f - b~)|: rounding
  T data_shift;    // |dA| = |A dx| / |x|
  T error_change;  // | |f' - b| - |f - b| |
};

// f(member of a, member of b) of all numbers of two summaries, whose numbers may be of different
// kinds.
template <class A, class B, class F>
void each_member_of_watch(A& a, B& b, F f) {
  f(a.margin, b.margin);
  f(a.measured, b.measured);
  f(a.log10_bound, b.log10_bound);
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
  each_member_of_watch(a.sharp, b.sharp, f);
  each_member_of_watch(a.paper, b.paper, f);
  each_member_of_watch(a.paper_at_4, b.paper_at_4, f);
}
template <class T, class U, class F>
void each_member(BoundSummary<T>& a, BoundSummary<U>& b, F f) {
  for (int k = 0; k < bound_count; ++k) {
    each_member_of_watch(a.watch[k], b.watch[k], f);
    f(a.watch[k].judged, b.watch[k].judged);
  }
  f(a.updates, b.updates);
  f(a.small_steps, b.small_steps);
  f(a.target_shift, b.target_shift);
  f(a.identity, b.identity);
  f(a.data_shift, b.data_shift);
  f(a.error_change, b.error_change);
}

}  // namespace softreg
