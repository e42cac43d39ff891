// Names and shapes of the arrays are the contract.
#include "result_file.hpp"

#include <cstdint>
#include <limits>
#include <span>

#include "npz.hpp"
#include "softreg/bounds.hpp"
#include "softreg/gradients.hpp"

namespace softreg {
namespace {

using Shape = std::vector<std::int64_t>;

template <class T>
std::int64_t extent(const std::vector<T>& values) {
  return static_cast<std::int64_t>(values.size());
}

template <class T>
void add(NpzWriter& writer, const std::string& name, const std::vector<T>& values,
         const Shape& shape) {
  writer.add<T>(name, std::span<const T>(values), shape);
}

template <class T>
void add_statuses(NpzWriter& writer, const Result<T>& result) {
  std::vector<std::int32_t> codes;
  codes.reserve(result.status.size());
  for (const Status status : result.status) codes.push_back(static_cast<std::int32_t>(status));
  add(writer, "status", codes, {result.count});
}

template <class T>
void add_loss_trace(NpzWriter& writer, const Result<T>& result) {
  if (result.trace_step.empty()) return;
  add(writer, "trace_loss", result.trace_loss, {result.count, extent(result.trace_step)});
  add(writer, "trace_step", result.trace_step, {extent(result.trace_step)});
}

// value(i) of every instance i, NaN where it never began.
template <class T, class F>
void add_where_begun(NpzWriter& writer, const char* name, const Result<T>& result, F value) {
  std::vector<T> values;
  values.reserve(result.status.size());
  for (std::size_t i = 0; i < result.status.size(); ++i)
    values.push_back(has_begun(result.status[i]) ? value(i) : std::numeric_limits<T>::quiet_NaN());
  add(writer, name, values, {result.count});
}

template <class T>
void add_shifts(NpzWriter& writer, const Result<T>& result, bool full) {
  if (result.shifts.empty()) return;
  const auto column = [&](const char* name, T ShiftSummary<T>::*member) {
    add_where_begun(writer, name, result, [&](std::size_t i) { return result.shifts[i].*member; });
  };
  column("shift_f_max", &ShiftSummary<T>::f_max);
  column("shift_f_sum", &ShiftSummary<T>::f_sum);
  column("shift_x_max", &ShiftSummary<T>::x_max);
  column("shift_x_sum", &ShiftSummary<T>::x_sum);
  column("shift_ratio_max", &ShiftSummary<T>::ratio_max);
  if (!full) return;
  const Shape per_step{result.count, extent(result.shift_f) / result.count};
  add(writer, "shift_f", result.shift_f, per_step);
  add(writer, "shift_x", result.shift_x, per_step);
}

// One column for each bound that was judged for any instance.
template <class T>
void add_bounds(NpzWriter& writer, const Result<T>& result) {
  if (result.bounds.empty()) return;
  std::vector<std::string> ids;
  std::vector<T> ratios;
  const std::vector<InstanceBound<T>> bounds = instance_bounds(result);
  for (const InstanceBound<T>& bound : bounds) ids.push_back(bound.id);
  for (std::size_t i = 0; i < result.bounds.size(); ++i)
    for (const InstanceBound<T>& bound : bounds) ratios.push_back(bound.log10_ratio[i]);
  writer.add_strings("bound_id", ids);
  add(writer, "bound_log10_ratio", ratios, {result.count, extent(ids)});
  const auto column = [&](const char* name, T BoundSummary<T>::*member) {
    add_where_begun(writer, name, result, [&](std::size_t i) { return result.bounds[i].*member; });
  };
  column("target_shift_max", &BoundSummary<T>::target_shift);
  column("data_shift_max", &BoundSummary<T>::data_shift);
  column("error_change_max", &BoundSummary<T>::error_change);
}

// Measured in float64 whatever the arithmetic.
void add_sequence(NpzWriter& writer, const SequenceReport* report) {
  if (!report) return;
  const Shape shape{extent(report->drift)};
  add(writer, "sequence_drift", report->drift, shape);
  add(writer, "sequence_drift_bound", report->drift_bound, shape);
  add(writer, "sequence_drift_bound_z", report->drift_bound_z, shape);
  add(writer, "sequence_x_shift", report->x_shift, shape);
  add(writer, "sequence_minimiser_bound", report->minimiser_bound, shape);
}

void finish(NpzWriter& writer, const ResultFile& file) {
  if (!file.groups.empty()) writer.add_strings("group", file.groups);
  writer.add_text("meta", file.meta);
  writer.finish();
}

}  // namespace

template <class T>
void write_result(const ResultFile& file, const Result<T>& result) {
  NpzWriter writer(file.path, file.force);
  if (file.d2 > 0)
    add(writer, "X", result.x, {result.count, result.d / file.d2, file.d2});
  else
    add(writer, "x", result.x, {result.count, result.d});
  add_statuses(writer, result);
  add(writer, "steps", result.steps, {result.count});
  add(writer, "loss", result.loss, {result.count});
  add(writer, "objective", result.objective, {result.count});
  add(writer, "grad_norm", result.gradient_norm, {result.count});
  add_loss_trace(writer, result);
  add_shifts(writer, result, file.trace_full);
  add_bounds(writer, result);
  add_sequence(writer, file.sequence);
  finish(writer, file);
}

template <class T>
void write_evaluation(const ResultFile& file, const ProblemArrays<T>& problem,
                      const Evaluation<T>& evaluation, bool with_gradient_a) {
  const Result<T>& at = evaluation.at;
  const std::int64_t rows = extent(evaluation.output);
  const bool ragged = !problem.offsets.empty() || !problem.segments.empty();
  // Per logit; per softmax, of which a matrix problem has one per row of A1.
  const std::int64_t d2 = problem.matrix ? problem.d2 : problem.d;
  const std::int64_t softmaxes = extent(evaluation.attended) / d2;
  Shape logits{rows}, each{softmaxes}, parameters{problem.count, problem.d};
  if (problem.matrix) parameters = {problem.count, problem.d1, problem.d2};
  if (!ragged && problem.matrix) {
    logits = {problem.count, problem.n, problem.m};
    each = {problem.count, problem.n};
  } else if (!ragged) {
    logits = {problem.count, problem.n};
  }
  const auto with = [](Shape shape, std::int64_t columns) {
    shape.push_back(columns);
    return shape;
  };
  NpzWriter writer(file.path, file.force);
  add(writer, problem.matrix ? "X" : "x", at.x, parameters);
  add_statuses(writer, at);
  add(writer, "loss", at.loss, {problem.count});
  add(writer, "objective", at.objective, {problem.count});
  add(writer, "grad_norm", at.gradient_norm, {problem.count});
  add(writer, "grad", evaluation.gradient, parameters);
  add(writer, "f", evaluation.output, logits);
  add(writer, "attended", evaluation.attended, with(each, d2));
  if (!evaluation.log_mass.empty()) add(writer, "log_mass", evaluation.log_mass, each);
  if (with_gradient_a && problem.matrix) {
    const MatrixGradients<T> g = gradients(problem.matrix_view(), evaluation);
    add(writer, "grad_A1", g.a1, with(each, problem.d1));
    const std::int64_t rows2 = extent(g.a2) / problem.d2;
    if (!g.a2.empty())
      add(writer, "grad_A2", g.a2,
          ragged ? Shape{rows2, problem.d2} : Shape{problem.count, problem.m, problem.d2});
  } else if (with_gradient_a) {
    add(writer, "grad_A", gradient_a(problem.vector_view(), evaluation), with(logits, problem.d));
  }
  finish(writer, file);
}

template void write_result(const ResultFile&, const Result<float>&);
template void write_result(const ResultFile&, const Result<double>&);
template void write_evaluation(const ResultFile&, const ProblemArrays<float>&,
                               const Evaluation<float>&, bool);
template void write_evaluation(const ResultFile&, const ProblemArrays<double>&,
                               const Evaluation<double>&, bool);

}  // namespace softreg
