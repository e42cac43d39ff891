// Names and shapes of the arrays are the contract; nothing is computed here but grad_A.
#include "result_file.hpp"

#include <cstdint>
#include <limits>
#include <span>

#include "npz.hpp"

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

bool has_begun(Status status) {
  return status != Status::not_run && status != Status::bad_input && status != Status::bad_target &&
         status != Status::bad_parameter && status != Status::device_error;
}

template <class T>
void add_shifts(NpzWriter& writer, const Result<T>& result, bool full) {
  if (result.shifts.empty()) return;
  const auto column = [&](const char* name, T ShiftSummary<T>::*member) {
    std::vector<T> values;
    values.reserve(result.shifts.size());
    for (std::size_t i = 0; i < result.shifts.size(); ++i) {
      values.push_back(has_begun(result.status[i]) ? result.shifts[i].*member
                                                   : std::numeric_limits<T>::quiet_NaN());
    }
    add(writer, name, values, {result.count});
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

void finish(NpzWriter& writer, const ResultFile& file) {
  if (!file.groups.empty()) writer.add_strings("group", file.groups);
  writer.add_text("meta", file.meta);
  writer.finish();
}

}  // namespace

template <class T>
void write_result(const ResultFile& file, const Result<T>& result) {
  NpzWriter writer(file.path, file.force);
  add(writer, "x", result.x, {result.count, result.d});
  add_statuses(writer, result);
  add(writer, "steps", result.steps, {result.count});
  add(writer, "loss", result.loss, {result.count});
  add(writer, "objective", result.objective, {result.count});
  add(writer, "grad_norm", result.gradient_norm, {result.count});
  add_loss_trace(writer, result);
  add_shifts(writer, result, file.trace_full);
  finish(writer, file);
}

template <class T>
std::vector<T> gradient_a(const VectorProblem<T>& problem, const Evaluation<T>& evaluation) {
  const auto d = static_cast<std::size_t>(problem.d);
  std::vector<T> result(evaluation.dlogits.size() * d);
  std::size_t row = 0;
  for (std::int64_t i = 0; i < problem.count; ++i) {
    const auto index = static_cast<std::size_t>(i);
    const std::int64_t rows =
        problem.offsets.empty() ? problem.n : problem.offsets[index + 1] - problem.offsets[index];
    const T* x = evaluation.at.x.data() + index * d;
    for (std::int64_t r = 0; r < rows; ++r, ++row) {
      for (std::size_t j = 0; j < d; ++j) result[row * d + j] = evaluation.dlogits[row] * x[j];
    }
  }
  return result;
}

template <class T>
void write_evaluation(const ResultFile& file, const VectorProblem<T>& problem,
                      const Evaluation<T>& evaluation, bool with_gradient_a) {
  const Result<T>& at = evaluation.at;
  const bool ragged = !problem.offsets.empty();
  const Shape per_row = ragged ? Shape{extent(evaluation.output)} : Shape{problem.count, problem.n};
  NpzWriter writer(file.path, file.force);
  add(writer, "x", at.x, {problem.count, problem.d});
  add_statuses(writer, at);
  add(writer, "loss", at.loss, {problem.count});
  add(writer, "objective", at.objective, {problem.count});
  add(writer, "grad_norm", at.gradient_norm, {problem.count});
  add(writer, "grad", evaluation.gradient, {problem.count, problem.d});
  add(writer, "f", evaluation.output, per_row);
  add(writer, "attended", evaluation.attended, {problem.count, problem.d});
  if (!evaluation.log_mass.empty()) add(writer, "log_mass", evaluation.log_mass, {problem.count});
  if (with_gradient_a) {
    Shape shape = per_row;
    shape.push_back(problem.d);
    add(writer, "grad_A", gradient_a(problem, evaluation), shape);
  }
  finish(writer, file);
}

template void write_result(const ResultFile&, const Result<float>&);
template void write_result(const ResultFile&, const Result<double>&);
template void write_evaluation(const ResultFile&, const VectorProblem<float>&,
                               const Evaluation<float>&, bool);
template void write_evaluation(const ResultFile&, const VectorProblem<double>&,
                               const Evaluation<double>&, bool);
template std::vector<float> gradient_a(const VectorProblem<float>&, const Evaluation<float>&);
template std::vector<double> gradient_a(const VectorProblem<double>&, const Evaluation<double>&);

}  // namespace softreg
