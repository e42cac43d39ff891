#include "theory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "bound_table.hpp"
#include "common_flags.hpp"
#include "philox.hpp"
#include "progress.hpp"
#include "softreg/error.hpp"
#include "summary.hpp"

namespace softreg {
namespace {

// v + delta |v| e: e is normal numbers of about the length of 1.
void perturb(AlignedVector<double>& v, double delta, std::uint64_t seed, std::uint8_t array) {
  double squares = 0;
  for (const double e : v)
    if (std::isfinite(e)) squares += e * e;
  const double size = delta * std::sqrt(squares / std::max<double>(1, double(v.size())));
  const RandomArray random{seed, 0, array};
  for (std::size_t i = 0; i < v.size(); ++i) v[i] += size * normal(random.bits(i));
}

// In float64, where rounding hides less.
template <class T>
ProblemArrays<double> widened(const ProblemArrays<T>& p, const std::vector<T>& x) {
  const auto wide = [](const auto& v) { return AlignedVector<double>(v.begin(), v.end()); };
  return {p.matrix,   p.count,     p.n,        p.d,       p.m,        p.d1,
          p.d2,       wide(p.a),   wide(p.a2), wide(p.b), p.offsets,  p.offsets2,
          p.segments, p.instances, wide(x),    wide(p.w), p.step_size};
}

// What a reader finds beside the rows of the solve.
void rename(std::vector<BoundReport>& reports) {
  std::erase_if(reports, [](const BoundReport& r) { return r.updates == 0 || r.id[0] == 'P'; });
  for (BoundReport& r : reports) {
    if (r.id == "D8") r.statement = "|f' - f| <= 1/2 |z' - z|";
    r.id += "A";
    r.statement += " as A changes, z' = A' x";
  }
}

// sharp: the bound on f.
std::vector<std::string> unjudged(const Result<double>& result, const BoundReport& sharp) {
  const auto silent = result.count - sharp.instances;
  std::vector<std::string> warnings;
  if (silent > 0)
    warnings.push_back(fmt::format(
        "{} of {} instances were not judged: their numbers, or how far they move, are not finite",
        count_text(silent), count_text(result.count)));
  if (silent < result.count && std::isnan(sharp.measured))
    warnings.push_back(
        "no climb moved f by more than rounding in float64 can: no bound on that was put to the "
        "test");
  return warnings;
}

}  // namespace

template <class T>
std::vector<BoundReport> perturbed_reports(const ProblemArrays<T>& problem, const std::vector<T>& x,
                                           const Options& options, double delta, std::uint64_t seed,
                                           double bound_factor) {
  const ProblemArrays<double> from = widened(problem, x);
  ProblemArrays<double> to = from;
  perturb(to.a, delta, seed, 16);  // gen's arrays have the numbers below
  perturb(to.a2, delta, seed, 17);
  const Result<double> moved =
      problem.matrix ? measure_data_shift(from.matrix_view(), to.matrix_view(), options)
                     : measure_data_shift(from.vector_view(), to.vector_view(), options);
  std::vector<BoundReport> reports = bound_reports(moved, bound_factor);
  rename(reports);
  return reports;
}
template std::vector<BoundReport> perturbed_reports(const ProblemArrays<float>&,
                                                    const std::vector<float>&, const Options&,
                                                    double, std::uint64_t, double);
template std::vector<BoundReport> perturbed_reports(const ProblemArrays<double>&,
                                                    const std::vector<double>&, const Options&,
                                                    double, std::uint64_t, double);

int run_attack(const AttackJob& job, const ProblemFile& file, Session& session) {
  const auto* const problem = std::get_if<ProblemArrays<double>>(&file.problem);
  if (problem == nullptr)
    throw Error(ErrorKind::usage, "an attack is in float64 but the problem is in float32",
                "add --dtype f64");
  if (problem->matrix)
    throw Error(ErrorKind::usage, "an attack is on a vector problem but this is a matrix problem");
  ProgressLine progress(session.terminal, "check", "climbs");
  std::atomic<std::int64_t> finished{0};
  const Result<double> result =
      attack_bounds(problem->vector_view(), job.options, job.steps, job.seed, [&](std::int64_t) {
        progress.update({.finished = ++finished, .count = problem->count, .steps = 0});
      });
  progress.end();
  std::vector<BoundReport> reports = bound_reports(result, job.bound_factor);
  const std::vector<std::string> warnings = unjudged(result, reports.front());
  show_warnings(session.terminal, warnings, {});
  std::erase_if(reports, [](const BoundReport& r) { return r.id == "P6" || r.id == "P6@4"; });
  if (job.json) {
    Json document = document_head("check");
    document["attack_steps"] = job.steps;
    document["count"] = problem->count;
    document["loss"] = loss_name(job.options.loss);
    document["seed"] = job.seed;
    document["bounds"] = bounds_json(reports);
    document["warnings"] = warnings_json(file, warnings);
    document["arguments"] = job.flags->arguments();
    session.terminal.print(document_text(document));
  } else {
    session.terminal.print(fmt::format("{} climbs of at most {} steps\n",
                                       count_text(problem->count), count_text(job.steps)) +
                           attack_table(reports));
  }
  const std::string violated = violated_bounds(reports);
  if (violated.empty()) return 0;
  session.terminal.failed(violation_text(violated));
  return bound_violated;
}

}  // namespace softreg
