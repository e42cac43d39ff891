// The theorems' bounds between two problems: the same parameters and other data, or both changed.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "described.hpp"
#include "matrix_norm.hpp"
#include "parallel.hpp"
#include "prepare.hpp"
#include "shift_probe.hpp"
#include "softreg/bounds.hpp"
#include "softreg/error.hpp"
#include "validate.hpp"

namespace softreg {
namespace {

[[noreturn]] void refuse(const std::string& what, std::int64_t changed, std::int64_t has) {
  throw Error(ErrorKind::usage, what + " is " + std::to_string(changed) +
                                    " in the changed problem but " + std::to_string(has) +
                                    " in the problem");
}
void demand_equal(const std::string& what, std::int64_t changed, std::int64_t has) {
  if (changed != has) refuse(what, changed, has);
}

// What stands at the same place must be the same softmax.
void check_shapes(const Layout& to, const Layout& from) {
  demand_equal("the number of instances", to.count, from.count);
  demand_equal("d1", to.d1, from.d1);
  demand_equal("d2", to.d2, from.d2);
  for (std::int64_t i = 0; i < from.count; ++i)
    demand_equal("the end of instance " + std::to_string(i), to.first_block(i + 1),
                 from.first_block(i + 1));
  for (std::int64_t k = 0; k < from.first_block(from.count); ++k) {
    demand_equal("the number of softmaxes of block " + std::to_string(k), to.rows1(k),
                 from.rows1(k));
    demand_equal("the length of the softmaxes of block " + std::to_string(k), to.rows2(k),
                 from.rows2(k));
  }
}

template <class T>
void probe_all(int loss, Batch<T> from, Batch<T> to, const std::vector<T>& norms, int threads,
               Result<T>& r) {
  from.shifts = to.shifts = r.shifts.data();
  from.bounds = to.bounds = r.bounds.data();
  from.operator_norm = to.operator_norm = norms.data();
  std::vector<ShiftProbe<T>> probes(static_cast<std::size_t>(worker_slots(threads)),
                                    ShiftProbe<T>(loss));
  parallel_for(from.count, threads, [&](std::int64_t i, int slot) {
    const auto at = static_cast<std::size_t>(i);
    if (std::isnan(norms[at])) return;
    probes[static_cast<std::size_t>(slot)].compare(from, to, i);
    // A bound in |x' - x|, or of A^T g for one A, says nothing of changed data.
    r.shifts[at].paper = r.shifts[at].paper_at_4 = {};
    r.bounds[at].number[bound_gradient] = {};
    for (LogWatch<T>& watch : r.bounds[at].large) watch = {};
  });
}

// The larger of both; NaN where one of the instances cannot be measured.
template <class T>
std::vector<T> larger_norms(const Described<T>& from, const Described<T>& to,
                            const Options& options) {
  const std::vector<double> one = prepare(from, options, true).operator_norm;
  const std::vector<double> two = prepare(to, options, true).operator_norm;
  std::vector<T> norms;
  for (std::size_t i = 0; i < one.size(); ++i)
    norms.push_back(std::isnan(one[i] + two[i]) ? quiet_nan<T>()
                                                : rounded_up<T>(std::max(one[i], two[i])));
  return norms;
}

template <class T, class Problem>
Result<T> measure(const Problem& problem, const Problem& changed, const Options& options) {
  validate(problem);
  validate(changed);
  validate(options);
  validate_softmax(options.loss);
  const Options plain = without_steps(options);
  const Described<T> from(problem, plain), to(changed, plain);
  validate(from.batch);
  validate(to.batch);
  check_shapes(to.batch, from.batch);
  const std::vector<T> norms = larger_norms(from, to, plain);
  Result<T> r;
  r.count = problem.count;
  r.shifts.resize(static_cast<std::size_t>(r.count));
  r.bounds.resize(r.shifts.size());
  probe_all(static_cast<int>(options.loss.index()), from.batch, to.batch, norms, options.threads,
            r);
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
