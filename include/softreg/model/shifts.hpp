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
inline constexpr Real<T> log10_of_e = Real<T>(0.434294481903251827651128918916605082L);

// Of one segment at one step, what its bounds need at the next. top: the largest logit; f, c, b:
// |f|, |f - b|, |b|; rounding: what |f| may be off by; log_rows: log n; strays: 1 if b is not in
// the simplex.
template <class T>
struct SegmentState {
  T log_mass, q, top, f, c, rounding, b, log_rows, strays;
};

// What judging takes from the sizes alone, once.
template <class T>
struct SizeTerms {
  T log_rows, log_longest, root_segments, root_rank;  // rank: min(rows, parameters)
  static SR_HD SizeTerms of(int rows, int segments, int longest, int parameters) {
    return {log_(T(rows)), log_(T(longest)), sqrt_(T(segments)),
            sqrt_(T(rows < parameters ? rows : parameters))};
  }
};

// Where the step before is remembered: f (rows), z (rows), x (parameters), behind what the sizes
// give; for bounds also the gradient (parameters), the segments' states, |f - b| and the numbers to
// be judged.
template <class T>
struct ShiftWorkspace {
  T* data;
  int rows;                          // padded as the placement's
  int parameters = 0, segments = 0;  // for bounds
  static SR_HD ShiftWorkspace of(T* data, const Extent& e) {
    return {data, int(e.rows), int(e.parameters), int(e.segments)};
  }
  static constexpr int state_size = int(sizeof(SegmentState<T>) / sizeof(T));

  static SR_HD constexpr std::int64_t size(const Extent& e, Watched watched) {
    switch (watched) {
      case Watched::nothing:
        break;
      case Watched::shifts:
        return head + 2 * e.rows + e.parameters;
      case Watched::bounds:
        return head + 2 * e.rows + 2 * e.parameters + state_size * e.segments + 1 +
               4 * std::int64_t{bound_count};
    }
    return 0;
  }
  static constexpr int head = 16;  // as many as a vector has lanes: rows stay aligned

  SR_HD SizeTerms<T> sizes() const { return {data[0], data[1], data[2], data[3]}; }
  SR_HD void set_sizes(const SizeTerms<T>& is) const {
    data[0] = is.log_rows;
    data[1] = is.log_longest;
    data[2] = is.root_segments;
    data[3] = is.root_rank;
  }
  SR_HD T& f(int i) const { return data[head + i]; }
  SR_HD T& z(int i) const { return data[head + std::int64_t(rows) + i]; }
  SR_HD T& x(int j) const { return data[head + 2 * std::int64_t(rows) + j]; }

  SR_HD T& gradient(int j) const { return (&x(parameters))[j]; }
  SR_HD SegmentState<T> state(int s) const {
    const T* const v = states() + std::int64_t(s) * state_size;
    return {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]};
  }
  SR_HD void set_state(int s, const SegmentState<T>& is) const {
    T* const v = states() + std::int64_t(s) * state_size;
    v[0] = is.log_mass;
    v[1] = is.q;
    v[2] = is.top;
    v[3] = is.f;
    v[4] = is.c;
    v[5] = is.rounding;
    v[6] = is.b;
    v[7] = is.log_rows;
    v[8] = is.strays;
  }
  SR_HD T& error() const { return states()[std::int64_t(segments) * state_size]; }
  // Of bound k: what was measured, what rounding may add to it, and the bound itself as factor
  // 10^exponent.
  SR_HD T& measured(int k) const { return (&error())[1 + k]; }
  SR_HD T& slack(int k) const { return measured(bound_count + k); }
  SR_HD T& factor(int k) const { return measured(2 * bound_count + k); }
  SR_HD T& exponent(int k) const { return measured(3 * bound_count + k); }

 private:
  SR_HD T* states() const { return &gradient(parameters); }
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
  SizeTerms<T> sizes;

  SR_HD ShiftScale(int n, int softmaxes, int most, int d, int l, T norm, const SizeTerms<T>& terms)
      : rows(n),
        segments(softmaxes),
        longest(most),
        parameters(d),
        lanes(l),
        operator_norm(norm),
        sizes(terms) {}
  SR_HD ShiftScale(int n, int softmaxes, int most, int d, int l, T norm)
      : ShiftScale(n, softmaxes, most, d, l, norm, SizeTerms<T>::of(n, softmaxes, most, d)) {}
};

// Half the spacing of numbers near 1.
template <class T>
SR_HD constexpr Real<T> rounding_unit() {
  return sizeof(Real<T>) == 4 ? Real<T>(5.9604644775390625e-8) : Real<T>(1.1102230246251565e-16);
}

// How many roundings a term of a sum over a segment can pass (group.hpp: a lane's rows, then
// lanes).
SR_HD inline int sum_depth(int rows, int lanes) {
  int depth = (rows + lanes - 1) / lanes;
  for (int l = lanes; l > 1; l /= 2) ++depth;
  return depth;
}
template <class T>
SR_HD int sum_depth(const ShiftScale<T>& c) {
  return sum_depth(c.longest, c.lanes);
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
  constexpr Real<T> unit = rounding_unit<T>();
  const T log_rows = c.sizes.log_longest;
  const T coarse = T(2) * unit * (c.operator_norm * reach + log_rows);
  return T(2) * unit * (T(sum_depth(c)) + T(9) + log_rows + coarse) * c.sizes.root_segments;
}

// Half of what rounding can add to a measured |z' - z|, which is as much as reaches f: z errs by at
// most (d + 2) units times |A|_F |x|, |A|_F <= sqrt(min(n, d)) |A|, twice. (Through A1 X it errs by
// d1 + d2 + 2 units, which is d1 d2 + 4 at most.)
template <class T>
SR_HD T z_slack(const ShiftScale<T>& c, T reach) {
  return T(c.parameters + 4) * rounding_unit<T>() * c.sizes.root_rank * c.operator_norm * reach;
}

// What of one update one bound is judged by. depth: of the sums behind the lengths, which err by
// (depth + 4) / 2 units of themselves each; the quotient by those of both and three of its own,
// what it is compared with by two. counted: whether there is an update to judge. What is not clear
// of rounding cannot violate, and has no ratio.
template <class T>
SR_HD void watch_ratio(RatioWatch<T>& w, T measured, T slack, T bound, int depth,
                       Truth<T> counted) {
  w.judged = w.judged + one_if<T>(counted);
  const Truth<T> clear = counted && measured > slack;
  const T ratio = (measured - slack) / bound;
  const Truth<T> closer = clear && (w.measured == T(0) || ratio > w.ratio);
  w.ratio = select(closer, ratio, w.ratio);
  w.measured = select(closer, measured, w.measured);
  w.bound = select(closer, bound, w.bound);
  const T most = T(1) + rounding_unit<T>() * T(depth + 9);
  w.violations = w.violations + one_if<T>(clear && ratio > most);
}

// margin: log10(bound / (measured - slack)); logs: half of what the logarithms that it is made of
// add up to near the bound, each taken as positive; they err by 4.4 units of themselves, with what
// is done to them.
template <class T>
SR_HD void watch_log(LogWatch<T>& w, T measured, T slack, T factor, T exponent, T margin, T logs,
                     int depth, Truth<T> hypotheses, Truth<T> counted) {
  w.judged = w.judged + one_if<T>(counted);
  w.hypotheses_hold = w.hypotheses_hold + one_if<T>(counted && hypotheses);
  const Truth<T> clear = counted && measured > slack;
  const Truth<T> closer = clear && (w.measured == T(0) || margin < w.margin);
  w.margin = select(closer, margin, w.margin);
  w.measured = select(closer, measured, w.measured);
  w.factor = select(closer, factor, w.factor);
  w.exponent = select(closer, exponent, w.exponent);
  const T rounding = rounding_unit<T>() * (T(depth + 8) + T(9) * logs);
  w.violations = w.violations + one_if<T>(clear && margin < -rounding);
}

// Against the bounds, which hold where f is a softmax.
template <class T>
SR_HD void judge_shift(ShiftSummary<T>& s, const Shift<T>& m, const ShiftScale<T>& c, T slack,
                       Truth<T> counted) {
  const int depth = sum_depth(c) + c.segments - 1;
  watch_ratio(s.sharp, m.f, slack, m.z / T(2), depth, counted);

  const T longest = max_(m.before, m.after);
  const T radius = max_(c.operator_norm, longest), wide = max_(radius, T(4));
  const T all_slack = slack + z_slack(c, longest);
  // Of the quotient, which is no larger than |A| where D8 holds; near the bound it is the exponent.
  const T log10_ratio = log_((m.f - all_slack) / m.x) * log10_of_e<T>;
  const auto watch = [&](LogWatch<T>& w, T r, Truth<T> hypotheses) {
    const T exponent = (T(1.5) * c.sizes.log_rows + T(10) * r * r) * log10_of_e<T>;
    watch_log(w, m.f, all_slack, m.x, exponent, exponent - log10_ratio, exponent, depth, hypotheses,
              counted);
  };
  watch(s.paper, radius, !(radius < T(4)));
  watch(s.paper_at_4, wide, yes<T>());
}

// One more update, where it is wanted. softmax: f is one, so that the bounds hold and ratios of
// noise can be told apart.
template <class T>
SR_HD void note_shift(ShiftSummary<T>& s, const Shift<T>& m, const ShiftScale<T>& c,
                      bool softmax = true, Truth<T> wanted = yes<T>()) {
  const Truth<T> counted = wanted && is_finite(m.f) && is_finite(m.z) && is_finite(m.x);
  if (!any(counted)) return;
  s.updates = s.updates + one_if<T>(counted);
  s.f_max = select(counted, max_(s.f_max, m.f), s.f_max);
  s.f_sum = select(counted, s.f_sum + m.f, s.f_sum);
  s.x_max = select(counted, max_(s.x_max, m.x), s.x_max);
  s.x_sum = select(counted, s.x_sum + m.x, s.x_sum);
  s.z_max = select(counted, max_(s.z_max, m.z), s.z_max);
  const T slack = softmax ? softmax_slack(c, max_(m.before, m.after)) : T(0);
  const Truth<T> ratio = counted && m.x > T(0) && m.f > slack;
  if (any(ratio)) s.ratio_max = select(ratio, max_(s.ratio_max, m.f / m.x), s.ratio_max);
  if (softmax) judge_shift(s, m, c, slack, counted);
}

}  // namespace softreg
