// What the theorems promise about a solve, beside what was measured (traces `shifts` and `bounds`).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "softreg/bound_constants.hpp"
#include "softreg/options.hpp"
#include "softreg/problem.hpp"
#include "softreg/result.hpp"

namespace softreg {

// One bound over all updates of all instances. measured and bound are those of the update that came
// closest to its bound; NaN if no update moved the quantity by more than rounding can.
struct BoundReport {
  std::string id;          // "D8", "P6", "P6@4", ...
  std::string quantity;    // what it is about: "f", "u", "h", "gradient", ...
  std::string statement;   // for people
  std::string provenance;  // "derived" here, "found" in the paper, "recalled" of it
  double measured;         // the shift, divided by what the statement divides it by
  double bound;            // inf where log10_bound is above 308
  double log10_bound;
  double log10_ratio;            // log10(bound / measured): how loose; negative is a violation
  std::int64_t instances;        // with at least one measured update
  std::int64_t hypotheses_hold;  // updates whose hypotheses hold
  std::int64_t updates;
  // Updates beyond bound plus rounding slack, whether hypotheses hold or not; of scaled bounds the
  // instances that have one, as only their closest updates are known.
  std::int64_t violations;
};

// D8, P6 and P6@4, in this order, from result.shifts; then those of result.bounds that judged an
// update. Empty without a trace of either. factor: of every bound, to see what a violation looks
// like.
template <class T>
std::vector<BoundReport> bound_reports(const Result<T>& result, double factor = 1);

// One bound, instance by instance: log10(bound / measured) of the update that came closest, NaN
// where none was judged.
template <class T>
struct InstanceBound {
  std::string id;
  std::vector<T> log10_ratio;  // (count)
};

// In the order of bound_reports.
template <class T>
std::vector<InstanceBound<T>> instance_bounds(const Result<T>& result);

// Moves the data instead of x, or both: shifts from `problem` at its x0 to `changed` at its own,
// and their bounds in z, which hold for any change: |z' - z| <= |A' - A| |x| + |A'| |x' - x|. Only
// shifts and bounds of the result are filled, as by the trace `bounds`; instances with a number
// that is not finite are left out. Throws Error (usage) where the two have other shapes, and for a
// loss without a softmax.
template <class T>
Result<T> measure_data_shift(const VectorProblem<T>& problem, const VectorProblem<T>& changed,
                             const Options& options);
template <class T>
Result<T> measure_data_shift(const MatrixProblem<T>& problem, const MatrixProblem<T>& changed,
                             const Options& options);

// Adversarial search: from the A and x0 of every instance, and a random step dx (seed), up to
// `steps` steps of projected gradient ascent (finite differences) on measured / bound over A, x and
// dx, with |A|_F, |x| and |dx| at most max(1, |A|), of the loss alone: logit weights, ridge and
// ball are left out. Instance i climbs D8 or one of the trace `bounds`, in turn by i. Returns what
// every bound was where the climb ended, as measure_data_shift does. finished(i) is called from any
// thread after each instance; may be empty. Throws Error (usage) for a loss without a softmax or an
// instance of several.
Result<double> attack_bounds(const VectorProblem<double>& problem, const Options& options,
                             int steps, std::uint64_t seed,
                             const std::function<void(std::int64_t)>& finished = {});

// The in-context theorem (Li-Song-Xia-Yu-Zhou, arXiv 2304.13276), the most over all updates of all
// instances: a step from x to x' is a change of the target, or of the data.
struct ContextReport {
  std::int64_t updates = 0, small_steps = 0;  // small: |A (x' - x)| < 0.01
  double target_shift = 0;  // |b~ - b|: with b~ the residual at x is what b leaves at x'
  // |(f(x') - b) - (f(x) - b~)|, rescaled |e(x') - (u(x) - a(x) b~)| / max(a(x), a(x')): rounding
  double identity = 0;
  double weight_shift = 0;  // |x' - x|
  double data_shift = 0;    // |dA| of dA = A (x' - x) x^T / |x|^2, with which f(x) is f(x')
  double error_change = 0;  // | |f(x') - b| - |f(x) - b| |
};

// From result.bounds; nothing but zeros without that trace.
template <class T>
ContextReport context_report(const Result<T>& result);

// Of a sequence (Options::sequence), transition by transition: from the last context before
// instance i that ran to i, both at the x where their descent ended. The shifted target b~ = b + f
// - f' leaves at the old x the residual that b leaves at the new one, whatever has changed; so |b~
// - b| = |f' - f| is the drift of the target. All is measured in float64 but the gradient norms,
// which are the result's.
struct SequenceReport {
  bool interrupted = false;      // options.cancel said so: the rest is empty
  std::int64_t contexts = 0;     // that ran
  std::int64_t transitions = 0;  // between them, one less
  // (count), NaN where i has no transition: the first context, and one that did not run.
  std::vector<double> drift;            // |f' - f|
  std::vector<double> drift_bound;      // of D8S
  std::vector<double> drift_bound_z;    // of D8Sz
  std::vector<double> x_shift;          // |x' - x|
  std::vector<double> minimiser_bound;  // of D17S; NaN where its hypotheses do not hold
  // From the first context that ran to the last; NaN without a transition, and where f is not
  // finite.
  double total_drift = std::nan("");    // |f_T - f_0|
  double summed_bound = 0;              // of all D8S
  double total_bound_z = std::nan("");  // 1/2 |z_T - z_0|
  double largest_drift = std::nan("");  // sqrt(2 softmaxes)
  double identity = 0;                  // the most of |(f' - b) - (f - b~)|: rounding
  // D8S, D8Sz, the total D8ST and D17S, whose measured is |x' - x|; `updates` are transitions.
  std::vector<BoundReport> bounds;
  struct LeftOut {
    std::string why;
    std::int64_t transitions;
  };
  std::vector<LeftOut> without_minimiser_bound;
};

// result: of solving the problem with these options; its x and status count, and for the minimisers
// its gradient_norm. The minimiser x* of one context is within |grad| / l of x where the Hessian is
// at least l > 0 everywhere (strong_convexity), wherever descent ended; D17S adds that of both
// ends, with what rounding can take from |grad|, to minimiser_lipschitz |A' - A|. It is stated for
// softmax_l2, one softmax with b in the simplex, the same b and w before and after, and no ball;
// without_minimiser_bound says why it was left out. x0 of the problem is not looked at. factor: of
// what `bounds` judges, not of the arrays. options.cancel is asked between contexts. Throws Error:
// usage (a loss without a softmax, a result of another shape, with both numbers), invalid_input
// (contexts of different shapes, with both numbers).
template <class T>
SequenceReport sequence_report(const VectorProblem<T>& problem, const Result<T>& result,
                               const Options& options, double factor = 1);
template <class T>
SequenceReport sequence_report(const MatrixProblem<T>& problem, const Result<T>& result,
                               const Options& options, double factor = 1);

}  // namespace softreg
