// How far the minimiser of the regularised problem moves from context to context (math in
// bound_constants.hpp), and with it the x where a descent ended that converged.
#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include "context.hpp"
#include "softreg/bound_constants.hpp"
#include "softreg/options.hpp"

namespace softreg {

// What is known of the minimiser of one context: the Hessian is at least l, and x within `reach`,
// wherever descent ended.
struct Minimum {
  double l = 0, reach = 0;
  double weight = 0;  // max w^2
  double mass = 1;    // of b: its sum, at least 1
};

// The bound on |x' - x| of one transition, or why there is none.
struct MinimiserBound {
  std::string_view why;
  double bound = quiet_nan<double>();
  BoundWatch<double> watch{};
};

template <class T>
class MinimiserBounds {
 public:
  // All must outlive *this.
  MinimiserBounds(const Batch<T>& batch, const Result<T>& result, const Contexts<T>& contexts)
      : batch_(batch), result_(result), contexts_(contexts) {}

  // Why there is none at all; empty: there may be.
  std::string_view left_out(const AnyLoss& loss) const {
    if (!std::holds_alternative<SoftmaxL2>(loss)) return "it is stated for the loss softmax_l2";
    if (batch_.matrix) return "it is not stated for the matrix problem";
    if (batch_.count > 0 && batch_.segments_of(0) > 1) return "it is stated for one softmax";
    if (batch_.ball > T(0)) return "it is stated without a ball";
    return "";
  }

  // Of context k, |A| <= norm.
  Minimum minimum(std::int64_t k, double norm) const {
    const Context c = contexts_(k);
    const auto [least, most] = square_weights(k);
    const double ridge = double(batch_.ridge), mass = mass_of(k);
    const bool convex_in_z = least > -curvature_least_of(mass);
    const double least_singular =
        convex_in_z ? least_singular_bound(c.batch(contexts_.alone()).a_of(0)) : 0;
    // Eight roundings of terms that are no larger.
    const double l = strong_convexity(ridge, least, norm, least_singular, mass) -
                     8 * rounding_unit<double>() * (ridge + (1 + least) * norm * norm);
    if (!(l > 0)) return {};
    const double gradient = double(result_.gradient_norm[at(contexts_.instance(k))]);
    const double rounding = gradient_rounding(norm, length(c.x), most, gradient);
    return {l, (gradient + rounding) / l, most, mass};
  }

  // From context k to the next, of which A moved by `da` and x by `moved`; norm: at least |A| and
  // |A'|. simplex: b is in it.
  MinimiserBound judge(std::int64_t k, const Minimum& one, const Minimum& two, double norm,
                       double da, double moved, bool simplex) const {
    MinimiserBound result{why_not(k, one, two, simplex)};
    if (!result.why.empty()) return result;
    const Context from = contexts_(k), to = contexts_(k + 1);
    const double radius = std::max({norm, length(from.x) + one.reach, length(to.x) + two.reach});
    const double weight = std::max(one.weight, two.weight);
    // Both constants of D17 grow by less than the mass of b does.
    result.bound = minimiser_lipschitz(std::max(one.l, two.l), radius, weight) * one.mass * da +
                   one.reach + two.reach;
    if (!std::isfinite(result.bound)) return {"the bound is no finite number"};
    RatioWatch<double> watch{};
    watch_ratio(watch, moved, 0.0, result.bound, contexts_.roundings(), true);
    result.watch = watch.seen();
    return result;
  }

 private:
  static std::size_t at(std::int64_t n) { return static_cast<std::size_t>(n); }

  std::string_view why_not(std::int64_t k, const Minimum& one, const Minimum& two,
                           bool simplex) const {
    if (!(one.l > 0) || !(two.l > 0))
      return "no ridge or logit weight proves the objective strongly convex";
    if (!equal(contexts_.b(k), contexts_.b(k + 1)) || !equal(contexts_.w(k), contexts_.w(k + 1)))
      return "b or w changes between the contexts";
    if (!simplex) return "b is not in the simplex, or f is not finite";
    if (!std::isfinite(one.reach + two.reach)) return "the gradient is not finite";
    return "";
  }
  static bool equal(std::span<const T> v, std::span<const T> w) {
    return std::equal(v.begin(), v.end(), w.begin(), w.end());
  }

  // The sum of b, at least 1: a b may leave the simplex by rounding in float32.
  double mass_of(std::int64_t k) const {
    double sum = 0;
    for (const T v : contexts_.b(k)) sum += double(v);
    return std::max(1.0, sum * (1 + double(contexts_.b(k).size()) * rounding_unit<double>()));
  }
  // Of w_i^2: least and most.
  std::pair<double, double> square_weights(std::int64_t k) const {
    const std::span<const T> w = contexts_.w(k);
    const double all = double(batch_.weight) * double(batch_.weight);
    if (w.empty()) return {all, all};
    double least = infinity<double>(), most = 0;
    for (const T v : w) {
      const double square = double(v) * double(v);
      least = std::min(least, square);
      most = std::max(most, square);
    }
    return {least, most};
  }

  // What rounding in T can take from the |grad| of one softmax, to first order, n rows, d columns.
  // z errs by z_slack, f by df: half of both ends' softmax_slack and half of that. Then h = f o (f
  // - b), q = <f, f - b> and g = h - q f err by 6 df, as |2 f - b| <= 2 and |q| <= 1, and by 2 n +
  // 16 units of their own; w^2 z by w^2 times the error of z and 4 units of itself; A^T of these by
  // n + 2 units of |A|_F times their length, |g| <= sqrt(1/2); the ridge's part by 3 units, the
  // length by d + 6 of itself.
  double gradient_rounding(double norm, double x, double weight, double gradient) const {
    const ShiftScale<double> s = contexts_.scale(norm);
    const ShiftScale<T> c{s.rows, 1, s.rows, s.parameters, 1, rounded_up<T>(norm)};
    const T reach = rounded_up<T>(x);
    const double unit = double(rounding_unit<T>()), z = double(z_slack(c, reach));
    const double df = (double(softmax_slack(c, reach)) + z) / 2;
    const double of_g = 6 * df + (2 * s.rows + 16) * unit + weight * (z + 4 * unit * norm * x);
    const double products = (s.rows + 2) * unit * std::sqrt(std::min(s.rows, s.parameters)) *
                            (std::sqrt(0.5) + weight * norm * x);
    return norm * (of_g + products) + 3 * unit * double(batch_.ridge) * x +
           (s.parameters + 6) * unit * gradient;
  }

  const Batch<T>& batch_;
  const Result<T>& result_;
  const Contexts<T>& contexts_;
};

}  // namespace softreg
