// The drift of target and minimiser along a sequence of contexts, beside what bounds it.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "bound_fold.hpp"
#include "minimiser_bound.hpp"
#include "parallel.hpp"
#include "sequence.hpp"
#include "shift_probe.hpp"
#include "softreg/bounds.hpp"
#include "softreg/error.hpp"
#include "softreg/model/catalog.hpp"
#include "subscript.hpp"
#include "validate.hpp"

namespace softreg {
namespace {

constexpr BoundEntry drift_entry{
    "D8S", "f",
    "|f' - f| <= 1/2 (|A'| |x' - x| + |A' - A| |x|), in a matrix problem 1/2 (a1 |A2'| |X' - X| + "
    "(|A1' - A1| |A2'| + a1 |A2' - A2|) |X|), a1 = max(|A1|, |A1'|), and never above sqrt(2 "
    "softmaxes); several blocks add up as squares",
    "derived", Speaks::softmax};
constexpr BoundEntry drift_z_entry{"D8Sz", "f", "|f' - f| <= 1/2 |z' - z| from context to context",
                                   "derived", Speaks::softmax};
constexpr BoundEntry total_entry{
    "D8ST", "f", "|f_T - f_0| <= min(the sum of D8S, 1/2 |z_T - z_0|, sqrt(2 softmaxes))",
    "derived", Speaks::softmax};
constexpr BoundEntry minimiser_entry{
    "D17S", "x",
    "|x' - x| <= (1/l) (sqrt(1/2) + (3/4 + 2 max w^2) R^2) |A' - A| + (|grad| + |grad'|) / l, with "
    "what rounding can take from |grad|; Hessians >= l, R = max(|A|, |x*|)",
    "derived", Speaks::softmax_l2};

enum ReportIndex { by_norms, by_z, in_all, of_minimisers };

// One transition.
struct Step {
  double drift = quiet_nan<double>(), bound = drift, bound_z = drift, x_shift = drift;
  double change = drift;  // |A' - A| of the first block
  double identity = 0;
  bool measured = false, simplex = false;
  BoundWatch<double> by_norms{}, by_z{};
  MinimiserBound minimiser;
};

// f is the same softmax whatever is made of it.
ShiftProbe<double> new_probe() {
  return ShiftProbe<double>(static_cast<int>(AnyLoss(SoftmaxL2{}).index()));
}

template <class T>
class Sequence {
 public:
  Sequence(const Batch<T>& batch, const Result<T>& result, const Options& options)
      : batch_(batch),
        options_(options),
        contexts_(batch, result),
        minimisers_(batch, result, contexts_),
        norms_(at(contexts_.count())),
        minima_(norms_.size()),
        steps_(norms_.size()) {}
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  SequenceReport report(double factor) {
    const std::int64_t count = contexts_.count();
    const std::string_view left_out = minimisers_.left_out(options_.loss);
    std::atomic<bool> stopped{false};
    const auto goes_on = [&](int slot) {
      if (!stopped && slot == 0 && options_.cancel && options_.cancel()) stopped = true;
      return !stopped;
    };
    parallel_for(count, options_.threads, [&](std::int64_t k, int slot) {
      if (!goes_on(slot)) return;
      norms_[at(k)] = norms_of(contexts_(k).batch(contexts_.alone()));
      if (left_out.empty()) minima_[at(k)] = minimisers_.minimum(k, norms_[at(k)][0].a2);
    });
    std::vector<ShiftProbe<double>> probes(at(worker_slots(options_.threads)), new_probe());
    parallel_for(count - 1, options_.threads, [&](std::int64_t k, int slot) {
      if (!goes_on(slot)) return;
      Step& step = steps_[at(k + 1)];
      step = measure(k, k + 1, probes[at(slot)]);
      step.minimiser.why = left_out;
      if (left_out.empty())
        step.minimiser =
            minimisers_.judge(k, minima_[at(k)], minima_[at(k + 1)], larger_norm(k, k + 1),
                              step.change, step.x_shift, step.simplex);
    });
    if (stopped) {
      SequenceReport r;
      r.interrupted = true;
      return r;
    }
    return fold_all(factor, count > 1 ? measure(0, count - 1, probes[0]) : Step{});
  }

 private:
  double larger_norm(std::int64_t k, std::int64_t next) const {
    return std::max(whole_norm(norms_[at(k)]), whole_norm(norms_[at(next)]));
  }

  Step measure(std::int64_t k, std::int64_t next, ShiftProbe<double>& probe) const {
    const Context from = contexts_(k), to = contexts_(next);
    const double norm = larger_norm(k, next);
    const auto target = contexts_.b(next);
    const std::vector<double> b(target.begin(), target.end());
    ShiftSummary<double> shifts{};
    BoundSummary<double> bounds{};
    Batch<double> old = from.batch(contexts_.alone()), now = to.batch(contexts_.alone());
    for (Batch<double>* batch : {&old, &now}) {
      batch->target = b.data();
      batch->shifts = &shifts;
      batch->bounds = &bounds;
      batch->operator_norm = &norm;
    }
    probe.compare(old, now, 0);
    Step step;
    if (shifts.updates == 0) return step;
    step.measured = true;
    step.drift = shifts.f_max;
    step.identity = bounds.identity;
    step.simplex = bounds.number[bound_dlogit].judged > 0;
    step.bound_z = shifts.z_max / 2;
    step.by_z = shifts.sharp.seen();
    step.x_shift = shifts.x_max;
    const std::vector<Norms> change =
        norms_of(Context{difference(to.a1, from.a1), difference(to.a2, from.a2), {}}.batch(
            contexts_.alone()));
    step.change = change[0].a2;
    step.bound = norm_bound(change, length(from.x), k, next, step.x_shift);
    step.by_norms = judged(step.drift, step.bound, from, to, norm, contexts_.roundings());
    return step;
  }

  // In |A' - A| (change, block by block) and |x' - x|, x of the one before; the squares of the
  // blocks add up.
  double norm_bound(const std::vector<Norms>& change, double x, std::int64_t k, std::int64_t next,
                    double dx) const {
    const std::vector<Norms>&was = norms_[at(k)], &is = norms_[at(next)];
    const Layout& l = contexts_.alone();
    double squares = 0;
    for (std::size_t part = 0; part < change.size(); ++part) {
      const int softmaxes = l.matrix ? l.rows1(std::int64_t(part)) : l.segments_of(0);
      const double bound =
          softmaxes_shift(std::max(was[part].a1, is[part].a1), is[part].a2, x,
                          l.matrix ? change[part].a1 : 0, change[part].a2, dx, softmaxes);
      squares += bound * bound;
    }
    return std::sqrt(squares);
  }

  BoundWatch<double> judged(double drift, double bound, const Context& from, const Context& to,
                            double norm, int roundings) const {
    const ShiftScale<double> c = contexts_.scale(norm);
    const double reach = std::max(length(from.x), length(to.x));
    RatioWatch<double> watch{};
    watch_ratio(watch, drift, softmax_slack(c, reach) + z_slack(c, reach), bound, roundings, true);
    return watch.seen();
  }

  // all: from the first context to the last.
  SequenceReport fold_all(double factor, const Step& all) const {
    SequenceReport r;
    r.contexts = contexts_.count();
    r.transitions = std::max<std::int64_t>(r.contexts - 1, 0);
    for (auto* array : {&r.drift, &r.drift_bound, &r.drift_bound_z, &r.x_shift, &r.minimiser_bound})
      array->assign(at(batch_.count), quiet_nan<double>());
    for (const BoundEntry& entry : {drift_entry, drift_z_entry, total_entry, minimiser_entry})
      r.bounds.push_back(empty_report(entry));  // as ReportIndex
    for (std::int64_t k = 1; k < r.contexts; ++k)
      add(r, steps_[at(k)], contexts_.instance(k), factor);
    if (r.transitions > 0)
      add_total(r, all, factor);
    else
      r.summed_bound = quiet_nan<double>();
    return r;
  }

  void add(SequenceReport& r, const Step& step, std::int64_t i, double factor) const {
    const double log10_factor = std::log10(factor);
    r.drift[at(i)] = step.drift;
    r.drift_bound[at(i)] = step.bound;
    r.drift_bound_z[at(i)] = step.bound_z;
    r.x_shift[at(i)] = step.x_shift;
    r.minimiser_bound[at(i)] = step.minimiser.bound;
    r.summed_bound += step.bound;
    r.identity = std::max(r.identity, step.identity);
    fold(r.bounds[by_norms], step.by_norms, log10_factor);
    fold(r.bounds[by_z], step.by_z, log10_factor);
    const std::string_view why = step.minimiser.why;
    if (why.empty()) return fold(r.bounds[of_minimisers], step.minimiser.watch, log10_factor);
    auto& reasons = r.without_minimiser_bound;
    const auto known =
        std::find_if(reasons.begin(), reasons.end(),
                     [&](const SequenceReport::LeftOut& reason) { return reason.why == why; });
    if (known == reasons.end())
      reasons.push_back({std::string(why), 1});
    else
      ++known->transitions;
  }

  void add_total(SequenceReport& r, const Step& all, double factor) const {
    r.total_drift = all.drift;
    r.total_bound_z = all.bound_z;
    r.largest_drift = std::sqrt(2 * double(contexts_.alone().first_segment(1)));
    if (!all.measured) return;
    const double least = std::fmin(r.summed_bound, r.largest_drift);
    if (r.total_bound_z < least) return fold(r.bounds[in_all], all.by_z, std::log10(factor));
    const std::int64_t last = r.contexts - 1;
    const int sums = int(std::min<std::int64_t>(r.transitions, 1 << 30));
    fold(r.bounds[in_all],
         judged(all.drift, least, contexts_(0), contexts_(last), larger_norm(0, last),
                contexts_.roundings() + sums),
         std::log10(factor));
  }

  const Batch<T>& batch_;
  const Options& options_;
  const Contexts<T> contexts_;
  const MinimiserBounds<T> minimisers_;
  std::vector<std::vector<Norms>> norms_;  // of every context that ran
  std::vector<Minimum> minima_;
  std::vector<Step> steps_;  // into it
};

void demand_length(const char* array, std::int64_t has, std::int64_t needs) {
  if (has != needs)
    throw Error(ErrorKind::usage,
                fmt::format("{} of the result has {} numbers but needs {}", array, has, needs));
}

template <class T, class Problem>
SequenceReport report_of(const Problem& problem, const Result<T>& result, const Options& options,
                         double factor) {
  validate(problem);
  validate(options);
  validate_softmax(options.loss);
  const Described<T> described(problem, options);
  validate(described.batch);
  validate_contexts(described.batch);
  const std::int64_t d = described.batch.parameters();
  if (result.count != problem.count || result.d != d)
    throw Error(
        ErrorKind::usage,
        fmt::format("the result has {} instances of {} parameters but the problem has {} of "
                    "{}",
                    result.count, result.d, problem.count, d));
  demand_length("status", std::ssize(result.status), problem.count);
  demand_length("gradient_norm", std::ssize(result.gradient_norm), problem.count);
  demand_length("x", std::ssize(result.x), problem.count * d);
  return Sequence<T>(described.batch, result, options).report(factor);
}

}  // namespace

template <class T>
SequenceReport sequence_report(const VectorProblem<T>& problem, const Result<T>& result,
                               const Options& options, double factor) {
  return report_of(problem, result, options, factor);
}
template <class T>
SequenceReport sequence_report(const MatrixProblem<T>& problem, const Result<T>& result,
                               const Options& options, double factor) {
  return report_of(problem, result, options, factor);
}

template SequenceReport sequence_report(const VectorProblem<float>&, const Result<float>&,
                                        const Options&, double);
template SequenceReport sequence_report(const VectorProblem<double>&, const Result<double>&,
                                        const Options&, double);
template SequenceReport sequence_report(const MatrixProblem<float>&, const Result<float>&,
                                        const Options&, double);
template SequenceReport sequence_report(const MatrixProblem<double>&, const Result<double>&,
                                        const Options&, double);

}  // namespace softreg
