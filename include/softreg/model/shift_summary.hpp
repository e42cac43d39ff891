// What a shift trace keeps of one trajectory.
#pragma once
#include "softreg/model/math.hpp"

namespace softreg {

// One bound, watched over the updates of one instance. margin is log10(bound / (measured - slack))
// of the update that came closest to its bound; measured and log10_bound belong to that update.
template <class T>
struct BoundWatch {
  T margin, measured, log10_bound;
  int hypotheses_hold;  // updates whose hypotheses hold
  int violations;       // updates beyond the bound plus the rounding slack, hypotheses or not
};

// Shifts of one trajectory: f, x (the evaluation point) and z = A x over all updates t -> t + 1.
template <class T>
struct ShiftSummary {
  int updates;               // updates measured (all of them unless something was not finite)
  T f_max, f_sum;            // |f(x_{t+1}) - f(x_t)|
  T x_max, x_sum;            // |x_{t+1} - x_t|
  T ratio_max;               // |f(x_{t+1}) - f(x_t)| / |x_{t+1} - x_t|, updates that moved x
  BoundWatch<T> sharp;       // D8: |df| <= 1/2 |A dx|
  BoundWatch<T> paper;       // P6: |df| <= M |dx|, M = n^1.5 exp(10 R^2), R as measured
  BoundWatch<T> paper_at_4;  // P6 with R >= 4, as the paper asks
};

}  // namespace softreg
