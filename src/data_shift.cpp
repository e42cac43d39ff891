// The theorems' bounds between two problems: the same parameters and other data, or both changed.
#include <algorithm>
#include <cmath>
#include <variant>

#include "described.hpp"
#include "matrix_norm.hpp"
#include "parallel.hpp"
#include "prepare.hpp"
#include "shift_probe.hpp"
#include "softreg/bounds.hpp"
#include "softreg/error.hpp"
#include "softreg/model/catalog.hpp"
#include "validate.hpp"

namespace softreg {
namespace {

// A bound in |x' - x| says nothing of changed data.
bool speaks_of_data(int k) {
  return k < bound_paper_u && k != bound_gradient && k != bound_rescaled_gradient;
}

template <class T>
T larger_norm(double a, double b) {
  const double most = std::max(a, b);
  const T rounded = static_cast<T>(most);
  return static_cast<double>(rounded) < most ? std::nextafter(rounded, infinity<T>()) : rounded;
}

template <class Op, class LossT, class T>
void probe_all(const Batch<T>& from, const Batch<T>& to, const std::vector<double>& norms_from,
               const std::vector<double>& norms_to, int threads, Result<T>& r) {
  std::vector<ShiftProbe<Op, LossT, T>> probes(static_cast<std::size_t>(worker_slots(threads)));
  parallel_for(from.count, threads, [&](std::int64_t i, int slot) {
    const auto at = static_cast<std::size_t>(i);
    if (std::isnan(norms_from[at]) || std::isnan(norms_to[at])) return;
    const T norm = larger_norm<T>(norms_from[at], norms_to[at]);
    Batch<T> a = from, b = to;
    a.operator_norm = b.operator_norm = &norm - i;
    ShiftProbe<Op, LossT, T>& probe = probes[static_cast<std::size_t>(slot)];
    probe.compare(a, i, b, i);
    r.shifts[at] = probe.shifts();
    r.bounds[at] = probe.bounds();
    r.shifts[at].paper = r.shifts[at].paper_at_4 = {};
    for (int k = 0; k < bound_count; ++k)
      if (!speaks_of_data(k)) r.bounds[at].watch[k] = {};
  });
}

template <class T, class Problem>
Result<T> measure(const Problem& problem, const Problem& changed, const Options& options) {
  validate(problem);
  validate(changed);
  validate(options);
  Options plain = options;
  std::visit([](auto& o) { o.step_size = 1; }, plain.optimizer);
  plain.stop.max_steps = 0;
  const Described<T> from(problem, plain), to(changed, plain);
  validate(from.batch);
  validate(to.batch);
  if (problem.count != changed.count)
    throw Error(ErrorKind::usage, "the changed problem has " + std::to_string(changed.count) +
                                      " instances but the problem has " +
                                      std::to_string(problem.count));
  const auto norms_from = prepare(from, plain, true).operator_norm;
  const auto norms_to = prepare(to, plain, true).operator_norm;
  Result<T> r;
  r.count = problem.count;
  r.shifts.resize(static_cast<std::size_t>(r.count));
  r.bounds.resize(r.shifts.size());
  visit_alternative<AnyLoss>(static_cast<int>(options.loss.index()), [&]<class LossT>() {
    if constexpr (!LossT::normalized)
      throw Error(ErrorKind::usage, "the bounds speak of a softmax, which the loss '" +
                                        std::string(LossT::name) + "' does not have");
    else if (from.batch.matrix)
      probe_all<Kronecker<T>, LossT>(from.batch, to.batch, norms_from, norms_to, options.threads,
                                     r);
    else
      probe_all<Dense<Matrix<const T>, T>, LossT>(from.batch, to.batch, norms_from, norms_to,
                                                  options.threads, r);
  });
  return r;
}

}  // namespace

template <class T>
Result<T> measure_data_shift(const VectorProblem<T>& problem, const VectorProblem<T>& changed,
                             const Options& options) {
  return measure<T>(problem, changed, options);
}
template <class T>
Result<T> measure_data_shift(const MatrixProblem<T>& problem, const MatrixProblem<T>& changed,
                             const Options& options) {
  return measure<T>(problem, changed, options);
}

template Result<float> measure_data_shift(const VectorProblem<float>&, const VectorProblem<float>&,
                                          const Options&);
template Result<double> measure_data_shift(const VectorProblem<double>&,
                                           const VectorProblem<double>&, const Options&);
template Result<float> measure_data_shift(const MatrixProblem<float>&, const MatrixProblem<float>&,
                                          const Options&);
template Result<double> measure_data_shift(const MatrixProblem<double>&,
                                           const MatrixProblem<double>&, const Options&);

}  // namespace softreg
