// Judging one update against the bounds of the trace `bounds`: the lengths that it measured become
// a measured number, its rounding slack and a bound for each. bound_pass.hpp proves those in z. In
// x: the gradient A^T g moves by at most |A| |g' - g|; of the rescaled problem, whose Hessian in z
// is at most (2 n + 2 sqrt(n) + 2) max(u)^2, by that times |A| |z' - z|. The papers' constants
// (Deng-Li-Song, arXiv 2304.10411, lemma 7.2; that of u found, the others recalled) take R =
// max(|A|, |x|, |x'|) and exp(-R^2) <= a.
#pragma once
#include <type_traits>

#include "softreg/model/bound_pass.hpp"

namespace softreg {

struct SoftmaxL2;

// Of one update, beside its Shift.
template <class T>
struct BoundLengths {
  const PassTotals<T, true>& sum;
  Shift<T> shift;
  T gradient;             // |grad' - grad|
  T error, error_before;  // |f' - b|, |f - b|
  bool weighted;          // the gradient is of more than the loss
};

// Writes what bound after bound is judged by. One that does not speak of this update has NaN.
template <class LossT, class T>
struct BoundRows {
  const BoundLengths<T>& m;
  const ShiftScale<T>& c;
  const ShiftWorkspace<T>& to;

  SR_HD void write() const {
    const T c_moved = abs_(m.error - m.error_before);
    row(bound_u, total_du, slack_u, T(1));
    row(bound_mass, total_dmass, slack_mass, T(1));
    row(bound_inverse_mass, total_dinverse, slack_inverse, T(1));
    row(bound_h, total_dh, slack_h, T(1));
    row(bound_q, total_dq, slack_q, T(1.1180339887498949));  // sqrt(5) / 2
    row(bound_dlogit, total_dg, slack_g, T(0.75));
    put(bound_error, c_moved, error_slack(), m.shift.z / T(2));
    of_loss(c_moved);
    of_rescaled_loss();
    of_papers(max_(m.shift.before, m.shift.after));
  }

 private:
  SR_HD T root_of(int total) const { return sqrt_(m.sum[total]); }
  SR_HD void put(int k, T measured, T slack, T bound) const {
    to.measured(k) = measured;
    to.slack(k) = slack;
    to.factor(k) = bound;
  }
  SR_HD void put(int k, T measured, T slack, T factor, T exponent) const {
    put(k, measured, slack, factor);
    to.exponent(k) = exponent;
  }
  // At most `times` |z' - z|.
  SR_HD void row(int k, int total, int slack, T times) const {
    put(k, root_of(total), root_of(slack), times * m.shift.z);
  }
  SR_HD void no_row(int k) const { put(k, T(0), T(0), quiet_nan<T>()); }

  // Of A^T g from both ends: each a product and its sum, serial at worst; |A|_F <= sqrt(rank) |A|.
  SR_HD T gradient_slack() const {
    const T sum = T(2) * rounding_unit<T>() * T(c.longest + c.segments + 8) * c.sizes.root_rank;
    return c.operator_norm * (root_of(slack_g) + sum * root_of(total_g));
  }

  // Of |f - b| at both ends: from f, and from the difference, its square, their sum and its root.
  SR_HD T error_slack() const {
    const T units = T(sum_depth(c) + c.segments + 6) / T(2);
    return root_of(slack_f) + units * rounding_unit<T>() * (m.error + m.error_before);
  }
  SR_HD void of_loss(T c_moved) const {
    if constexpr (std::is_same_v<LossT, SoftmaxL2>) {
      const T both = m.error + m.error_before;
      put(bound_loss, c_moved * both / T(2), both * error_slack(), m.shift.z * both / T(4));
      if (!m.weighted)
        return put(bound_gradient, m.gradient, gradient_slack(),
                   T(0.75) * c.operator_norm * m.shift.z);
    } else {
      no_row(bound_loss);
    }
    no_row(bound_gradient);
  }

  SR_HD void of_rescaled_loss() const {
    if constexpr (std::is_same_v<LossT, RescaledL2>) {
      row(bound_rescaled_error, total_de, slack_e, T(1));
      row(bound_rescaled_loss, total_rescaled_error, slack_e, T(1));
      if (!m.weighted && c.segments == 1) {
        // g = u o (e - <b, e>), |g| <= 4 n max(u)^2, errs by as many units as f and the sums.
        const T n = T(c.longest), twice_top = T(2) * m.sum[total_top];
        const T units = T(8) * (T(c.longest + 16) * rounding_unit<T>() + root_of(slack_u));
        const T slack = units * n * sqrt_(n) * c.operator_norm;
        return put(bound_rescaled_gradient, m.gradient, scale_by_exp(slack, twice_top),
                   T(2) * (n + sqrt_(n) + T(1)) * c.operator_norm * m.shift.z,
                   twice_top * log10_of_e<T>);
      }
    } else {
      no_row(bound_rescaled_error);
      no_row(bound_rescaled_loss);
    }
    no_row(bound_rescaled_gradient);
  }

  // Of one softmax. Divided by max(u, u') or by 1 / min(a, a'), as the rows above.
  SR_HD void of_papers(T reach) const {
    if (c.segments != 1) {
      no_row(bound_paper_u);
      no_row(bound_paper_mass);
      no_row(bound_paper_inverse_mass);
      no_row(bound_paper_f);
      return;
    }
    const T n = T(c.rows), radius = max_(c.operator_norm, reach), r2 = radius * radius;
    const T z = z_slack(c, reach), du = root_of(total_du);
    const T dmass = root_of(total_dinverse);  // |a' - a| by exp(high)
    const T high = m.sum[total_high], low = m.sum[total_low], top = m.sum[total_top];
    const T by_top = exp_(high - top);
    put(bound_paper_u, du, root_of(slack_u) + z, T(2) * sqrt_(n) * radius * m.shift.x,
        (r2 - top) * log10_of_e<T>);
    put(bound_paper_mass, dmass * by_top,
        root_of(slack_inverse) * by_top + sqrt_(n) * root_of(slack_u), sqrt_(n) * du, T(0));
    put(bound_paper_inverse_mass, dmass, root_of(slack_inverse), dmass,
        (T(2) * r2 + high + low) * log10_of_e<T>);
    put(bound_paper_f, m.shift.f, root_of(slack_f) + z, n * sqrt_(n) * m.shift.x,
        T(5) * r2 * log10_of_e<T>);
  }
};

// The in-context theorem: with b~ = b + f - f', or b + (e - e') / a, the old x has the residual
// that the new one has with b; and with A + dA, dA = (A dx) x^T / |x|^2, it has the new one's f.
template <class LossT, class T>
SR_HD void note_context(BoundSummary<T>& s, const BoundLengths<T>& m, Truth<T> judged) {
  const auto raise = [judged](T& most, T value) { most = select(judged, max_(value, most), most); };
  s.updates = s.updates + one_if<T>(judged);
  s.small_steps = s.small_steps + one_if<T>(judged && m.shift.z < T(0.01));
  const T rescaled = sqrt_(m.sum[total_rescaled_shift]);
  raise(s.target_shift, std::is_same_v<LossT, RescaledL2> ? rescaled : m.shift.f);
  raise(s.identity, sqrt_(m.sum[total_identity]));
  raise(s.data_shift, select(m.shift.before > T(0), m.shift.z / m.shift.before, s.data_shift));
  raise(s.error_change, abs_(m.error - m.error_before));
}

// Those whose proof takes b >= 0 with sum b <= 1.
SR_HD constexpr bool needs_simplex(int k) {
  return k == bound_h || k == bound_q || k == bound_dlogit || k == bound_gradient ||
         k == bound_rescaled_gradient;
}

// simplex: every b is in it; large: R >= 4, as the papers ask.
template <class T>
SR_HD void judge_bound(BoundSummary<T>& s, const ShiftWorkspace<T>& of, int k, int depth,
                       Truth<T> simplex, Truth<T> large, Truth<T> judged) {
  const T measured = of.measured(k), slack = of.slack(k), factor = of.factor(k);
  const Truth<T> spoken = judged && factor == factor && is_finite(measured) &&
                          select(needs_simplex(k), simplex, yes<T>());
  if (!any(spoken)) return;
  if (k < number_bounds) return watch_ratio(s.number[k], measured, slack, factor, depth, spoken);
  // Their quotient may be no number where D19 divides by max(u)^2.
  const T log10_measured = log_(measured - slack) * log10_of_e<T>, exponent = of.exponent(k);
  const T margin = fma_(log_(factor), log10_of_e<T>, exponent) - log10_measured;
  watch_log(s.large[k - number_bounds], measured, slack, factor, exponent, margin,
            abs_(exponent) + abs_(log10_measured), depth,
            select(k < bound_paper_u, yes<T>(), large), spoken);
}

}  // namespace softreg
