// Judging one update against the bounds on the shift of f. D8, derived here: |f(z') - f(z)| <= 1/2
// |z' - z|, because the Jacobian diag(f) - f f^T of softmax has norm at most 1/2 (row k adds up to
// 2 f_k (1 - f_k) in absolute value: Gershgorin). P6: Li-Song-Xia-Yu-Zhou, arXiv 2304.13276, M =
// n^1.5 exp(10 R^2). Plain arithmetic on the lengths that an evaluator measured.
#pragma once
#include <cstdint>

#include "softreg/model/layout.hpp"
#include "softreg/model/shift_summary.hpp"

namespace softreg {

template <class T>
inline constexpr T log10_of_e = T(0.434294481903251827651128918916605082L);

// Where the step before is remembered: f (rows), z (rows), x (parameters).
template <class T>
struct ShiftWorkspace {
  T* data;
  int rows;  // padded as the placement's
  static SR_HD constexpr std::int64_t size(const Extent& e) { return 2 * e.rows + e.parameters; }
  SR_HD T& f(int i) const { return data[i]; }
  SR_HD T& z(int i) const { return data[std::int64_t(rows) + i]; }
  SR_HD T& x(int j) const { return data[2 * std::int64_t(rows) + j]; }
};

// Lengths of one update.
template <class T>
struct Shift {
  T f, z, x;        // |f' - f|, |z' - z|, |x' - x|
  T before, after;  // |x|, |x'|
};
template <class T>
struct ShiftScale {
  int rows, segments, longest;  // longest: rows of the longest segment
  int parameters, lanes;
  T operator_norm;  // certified upper bound on |A|, or on |A1 (x) A2|
};

// Half the spacing of numbers near 1.
template <class T>
SR_HD constexpr T rounding_unit() {
  return sizeof(T) == 4 ? T(5.9604644775390625e-8) : T(1.1102230246251565e-16);
}

// How many roundings a term of a sum over a segment can pass (group.hpp: a lane's rows, then
// lanes).
template <class T>
SR_HD int sum_depth(const ShiftScale<T>& c) {
  int depth = (c.longest + c.lanes - 1) / c.lanes;
  for (int l = c.lanes; l > 1; l /= 2) ++depth;
  return depth;
}

// What rounding alone can add to a measured |f' - f|. One evaluation computes f_i = u_i / mass with
// u_i = exp(v_i), v_i = z_i - shift. exp errs by an ulp (2 units), the difference by |v_i| units:
// e_i <= 2 + |v_i|, |v_i| <= |log f_i| + m with m = |log mass| <= log 2 (the guard), or |shift|
// units where the spacing of the shift exceeds that. In units and to first order,
//   |f^ - f| <= |f e| + |f| (sum f_i e_i + depth) + 2 |f|      (mass, division, product)
//            <= (2 + 2/e + m) + (2 + log n + m + depth) + 2,
// by |f log f| <= 2/e (t log^2 t <= 4/e^2), entropy <= log n and |f| <= 1. Two evaluations; the
// segments are orthogonal.
template <class T>
SR_HD T softmax_slack(const ShiftScale<T>& c, T reach) {
  const T unit = rounding_unit<T>(), log_rows = log_(T(c.longest));
  const T coarse = T(2) * unit * (c.operator_norm * reach + log_rows);
  return T(2) * unit * (T(sum_depth(c)) + T(9) + log_rows + coarse) * sqrt_(T(c.segments));
}

// depth: of the sums behind the lengths. A length errs by (depth + 4) / 2 units of itself, and each
// of the two logarithms by 4.4 of its own, with what is done to it; near the bound they are equal.
template <class T>
SR_HD void watch_bound(BoundWatch<T>& w, T measured, T log10_bound, T slack, int depth,
                       bool hypotheses) {
  w.hypotheses_hold += hypotheses ? 1 : 0;
  if (!(measured > slack)) return;  // indistinguishable from rounding: cannot violate, has no ratio
  const T log10_measured = log_(measured - slack) * log10_of_e<T>;
  const T margin = log10_bound - log10_measured;
  if (w.measured == T(0) || margin < w.margin) {
    w.margin = margin;
    w.measured = measured;
    w.log10_bound = log10_bound;
  }
  if (margin < -rounding_unit<T>() * (T(depth + 4) + T(9) * abs_(log10_measured))) ++w.violations;
}

// Against the bounds, which hold where f is a softmax.
template <class T>
SR_HD void judge_shift(ShiftSummary<T>& s, const Shift<T>& m, const ShiftScale<T>& c, T slack) {
  const int depth = sum_depth(c) + c.segments - 1;
  watch_bound(s.sharp, m.f, (log_(m.z) - log_(T(2))) * log10_of_e<T>, slack, depth, true);

  // z itself errs by at most (d + 2) units times |A|_F |x|, |A|_F <= sqrt(min(n, d)) |A|, twice;
  // half of it reaches f. (Through A1 X it errs by d1 + d2 + 2 units, which is d1 d2 + 4 at most.)
  const T longest = max_(m.before, m.after);
  const T rank = T(c.rows < c.parameters ? c.rows : c.parameters);
  const T z_slack =
      T(c.parameters + 4) * rounding_unit<T>() * sqrt_(rank) * c.operator_norm * longest;
  const T radius = max_(c.operator_norm, longest);
  const T log10_rows = T(1.5) * log_(T(c.rows)) * log10_of_e<T>;
  const T log10_dx = log_(m.x) * log10_of_e<T>;
  const T wide = max_(radius, T(4));
  const bool large = !(radius < T(4));
  watch_bound(s.paper, m.f, log10_rows + T(10) * radius * radius * log10_of_e<T> + log10_dx,
              slack + z_slack, depth, large);
  watch_bound(s.paper_at_4, m.f, log10_rows + T(10) * wide * wide * log10_of_e<T> + log10_dx,
              slack + z_slack, depth, true);
}

// One more update. softmax: f is one, so that the bounds hold and ratios of noise can be told
// apart.
template <class T>
SR_HD void note_shift(ShiftSummary<T>& s, const Shift<T>& m, const ShiftScale<T>& c,
                      bool softmax = true) {
  if (!is_finite(m.f) || !is_finite(m.z) || !is_finite(m.x)) return;
  ++s.updates;
  s.f_max = max_(s.f_max, m.f);
  s.f_sum = s.f_sum + m.f;
  s.x_max = max_(s.x_max, m.x);
  s.x_sum = s.x_sum + m.x;
  const T slack = softmax ? softmax_slack(c, max_(m.before, m.after)) : T(0);
  if (m.x > T(0) && m.f > slack) s.ratio_max = max_(s.ratio_max, m.f / m.x);
  if (softmax) judge_shift(s, m, c, slack);
}

}  // namespace softreg
