// What the trace `bounds` measures of one segment at one step. Every bound here is a statement
// about z alone, between the step before (primes mark this one): with a = <exp z, 1>, f = exp(z) /
// a, c = f - b, h = f o c, q = <f, c>, g = h - q f = dL/dz, e = a c, and D = |z' - z| of the
// segment,
//   |u' - u| <= max(u, u') D          each entry: the mean value of exp
//   |a' - a| <= max(|u|, |u'|) D      da = <u, dz>; |u|^2 is convex along dz: largest at an end
//   |1/a' - 1/a| <= max(1/a, 1/a') D  1 - exp(-t) <= t with t = |log a' - log a| <= max |dz|
//   |h' - h| <= D,  |q' - q| <= sqrt(5)/2 D,  |g' - g| <= 3/4 D      b in the simplex
//   | |c'| - |c| | <= |f' - f| <= D/2
//   |e' - e| <= max(u, u') (1 + sqrt(n) |b|) D,  | |e'| - |e| | likewise: the rescaled problem
// (h and q are our definitions: the papers' could not be read.) What depends on the size of u is
// divided by its factor here, so that nothing overflows; several segments add up as squares, as D
// does.
#pragma once
#include <type_traits>

#include "softreg/model/loss.hpp"
#include "softreg/model/operators.hpp"
#include "softreg/model/shifts.hpp"
#include "softreg/model/sums.hpp"

namespace softreg {

struct RescaledL2;

// Over segments: the loss of a test, three more of every evaluation, the rest of the trace
// `bounds`.
enum TotalIndex {
  total_loss,
  total_penalty,
  total_df,  // |f' - f|^2
  total_dz,  // |z' - z|^2
  plain_totals,
  total_du = plain_totals,  // (|u' - u| / max(u, u'))^2
  total_dmass,              // (|a' - a| / max(|u|, |u'|))^2
  total_dinverse,           // (|1/a' - 1/a| / max(1/a, 1/a'))^2
  total_dh,
  total_dq,
  total_dg,
  total_error,           // |c|^2
  total_de,              // (|e' - e| / (max(u, u') (1 + sqrt(n) |b|)))^2
  total_rescaled_error,  // (| |e'| - |e| | / the same)^2
  total_rescaled_shift,  // (|e' - e| / a)^2: |b~ - b|^2 of the rescaled problem
  total_identity,        // |(f' - b) - (f - b~)|^2; rescaled |e' - (u - a b~)|^2 / max(a, a')^2
  total_g,               // a bound on |g|^2 and |g'|^2
  total_strays,          // segments whose b is not in the simplex
  // Squares of what rounding can add to the measured u, a, 1/a, f, h, q, g, e:
  slack_u,
  slack_mass,
  slack_inverse,
  slack_f,
  slack_h,
  slack_q,
  slack_g,
  slack_e,
  // Of use where there is one segment:
  total_high,  // max(log a, log a')
  total_low,   // min
  total_top,   // max(z, z')
  all_totals,
};
template <class T, bool Watches>
using PassTotals = Sums<T, Watches ? int(all_totals) : int(plain_totals)>;

template <class LossT, class T>
struct BoundPass {
  using F = Formula<LossT>;
  using Head = typename F::template Head<T>;
  const ShiftWorkspace<T>& before;
  int lanes;

  // Adds to t what has changed since the step before; |f' - f|^2 and |z' - z|^2. This step's f and
  // z take the place of that step's.
  template <class Tile>
  SR_HD Sums<T, 2> operator()(Tile& tile, const Segment& s, const Head& h, T log_mass,
                              Truth<T> first, PassTotals<T, true>& t) const {
    const SegmentState<T> was = before.state(s.index);
    const SegmentState<T> now = state(tile, s, h, log_mass, first, was);
    const T high = max_(now.log_mass, was.log_mass), top = max_(now.top, was.top);
    const T a = exp_(now.log_mass - high), a_was = exp_(was.log_mass - high);  // by exp(high)
    const T dmass = abs_(a - a_was), most = exp_(top - high);
    const Sums<T, 7> d = changes(tile, s, h, {a, a_was, now.q, was.q});

    const T factor = most * (T(1) + sqrt_(T(s.rows)) * now.b);
    const T norm = max_(a * now.f, a_was * was.f);
    const T error = (a * now.c - a_was * was.c) / factor, shift = sqrt_(d[3]) / a_was;
    add(t, total_du, d[2] / (most * most));
    add(t, total_dmass, square(dmass / norm));
    add(t, total_dinverse, square(dmass));
    add(t, total_dh, d[0]);
    add(t, total_dq, square(now.q - was.q));
    add(t, total_dg, d[1]);
    add(t, total_error, square(now.c));
    add(t, total_de, d[3] / (factor * factor));
    add(t, total_rescaled_error, square(error));
    add(t, total_rescaled_shift, square(shift));
    add(t, total_identity, d[4]);
    add(t, total_strays, now.strays);
    add(t, total_high, high);
    add(t, total_low, min_(now.log_mass, was.log_mass));
    add(t, total_top, top);
    slacks(now, was, s.rows, {most, factor, norm}, t);
    tile.once([=, to = before] { to.set_state(s.index, now); });
    return {{d[5], d[6]}};
  }

 private:
  struct Scales {
    T a, a_was, q, q_was;
  };
  struct Divisors {
    T u, e, mass;
  };
  SR_HD static T square(T v) { return v * v; }
  SR_HD static void add(PassTotals<T, true>& t, int k, T value) { t.v[k] = t[k] + value; }

  template <class Tile>
  SR_HD SegmentState<T> state(Tile& tile, const Segment& s, const Head& h, T log_mass,
                              Truth<T> first, const SegmentState<T>& was) const {
    const auto sums =
        tile.template sum_rows<Sums<T, 4>>(s, [=](int, T z, T& u, T b, const Sums<T, 4>& t) {
          const T f = F::output(u, h), c = f - b, flog = f * (z - log_mass);
          return Sums<T, 4>{
              {fma_(f, c, t[0]), fma_(f, f, t[1]), fma_(c, c, t[2]), fma_(flog, flog, t[3])}};
        });
    SegmentState<T> now{log_mass, sums[0], tile.max_rows(s), sqrt_(sums[1]), sqrt_(sums[2]),
                        T(0),     was.b,   was.log_rows,     was.strays};
    if (any(first)) {
      now.log_rows = log_(T(s.rows));
      const auto of_b =
          tile.template sum_rows<Sums<T, 3>>(s, [](int, T, T&, T b, const Sums<T, 3>& t) {
            return Sums<T, 3>{{fma_(b, b, t[0]), t[1] + b, t[2] + abs_(b)}};
          });
      // As for the automatic step size: shares are often rounded in float32.
      const T most = T(1) + T(s.rows) * T(1.1920928955078125e-7);
      const Truth<T> simplex = of_b[2] <= most && of_b[1] == of_b[2];
      now.b = select(first, sqrt_(of_b[0]), was.b);
      now.strays = select(first, select(simplex, T(0), T(1)), was.strays);
    }
    now.rounding = rounding(now, sqrt_(sums[3]), s.rows);
    return now;
  }

  // |h' - h|^2, |g' - g|^2, |u' - u|^2 and |e' - e|^2 by exp(2 high), that of the identity of the
  // context (bound_judge.hpp), |f' - f|^2, |z' - z|^2.
  template <class Tile>
  SR_HD Sums<T, 7> changes(Tile& tile, const Segment& s, const Head& h, const Scales& k) const {
    return tile.template sum_rows<Sums<T, 7>>(
        s, [=, w = before, by_a = T(1) / k.a_was](int i, T z, T& u, T b, const Sums<T, 7>& sum) {
          const T f = F::output(u, h), f_was = w.f(i), c = f - b, c_was = f_was - b;
          const T df = f - f_was, dz = z - w.z(i);
          const T dh = f * c - f_was * c_was, dg = f * (c - k.q) - f_was * (c_was - k.q_was);
          const T du = k.a * f - k.a_was * f_was, de = k.a * c - k.a_was * c_was;
          const T rest = residual_of_identity(k, b, f, f_was, de * by_a);
          w.f(i) = f;
          w.z(i) = z;
          return Sums<T, 7>{{fma_(dh, dh, sum[0]), fma_(dg, dg, sum[1]), fma_(du, du, sum[2]),
                             fma_(de, de, sum[3]), fma_(rest, rest, sum[4]), fma_(df, df, sum[5]),
                             fma_(dz, dz, sum[6])}};
        });
  }

  // (f' - b) - (f - b~) with b~ = b - df; of the rescaled problem e' - (u - a b~) with b~ = b - de
  // / a, by exp(high). Rounding.
  SR_HD static T residual_of_identity(const Scales& k, T b, T f, T f_was, T de_by_a) {
    if constexpr (std::is_same_v<LossT, RescaledL2>)
      return k.a * (f - b) - k.a_was * (f_was - (b - de_by_a));
    else
      return (f - b) - (f_was - (b + (f_was - f)));
  }

  // |error of f| of one evaluation, as in softmax_slack, here with the segment's own |f| and |f log
  // f| in place of their largest values: |f e| + |f| (sum f_i e_i + depth) + 2 |f|, e_i <= 2 + m +
  // |log f_i|, sum f_i |log f_i| <= log n.
  SR_HD T rounding(const SegmentState<T>& is, T flog, int rows) const {
    const T coarse = rounding_unit<T>() * abs_(is.log_mass);
    return rounding_unit<T>() *
           (flog + is.f * (T(sum_depth(rows, lanes)) + T(8) + is.log_rows + coarse));
  }

  // From |df|: dh = (2 f - b) o df; dq = <2 f - b, df>; dg = dh - dq f - q df, |q| <= |f| |c|. Of
  // log a = shift + log(mass): a unit of itself, twice, and the sum's.
  SR_HD void slacks(const SegmentState<T>& now, const SegmentState<T>& was, int rows,
                    const Divisors& by, PassTotals<T, true>& t) const {
    const T f = max_(now.f, was.f), c = max_(now.c, was.c), b = now.b;
    const T largest = exp_(max_(now.top - now.log_mass, was.top - was.log_mass));  // of all f
    const T df = now.rounding + was.rounding;
    const T log_a = max_(abs_(now.log_mass), abs_(was.log_mass));
    const T da = T(2) * rounding_unit<T>() *
                 (T(2) * log_a + T(sum_depth(rows, lanes)) + T(8) + now.log_rows);
    const T dh = (T(2) * largest + b) * df, dq = (T(2) * f + b) * df;
    add(t, slack_u, square((df + f * da) / by.u));
    add(t, slack_mass, square(da / by.mass));
    add(t, slack_inverse, square(da));
    add(t, slack_f, square(df));
    add(t, slack_h, square(dh));
    add(t, slack_q, square(dq));
    add(t, slack_g, square(dh + f * dq + f * c * df));
    add(t, slack_e, square((df + c * da) / by.e));
    add(t, total_g, square(min_(T(0.5), T(2) * largest) * c));  // |J| <= 2 max f
  }
};

}  // namespace softreg
