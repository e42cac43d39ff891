#include "document.hpp"

#include <algorithm>
#include <numeric>
#include <span>

#include "common_flags.hpp"
#include "softreg/version.hpp"

namespace softreg {

Json document_head(std::string_view verb) {
  return {{"schema_version", 1}, {"version", version}, {"verb", verb}};
}

std::string document_text(const Json& document) {
  // File names may hold any bytes; JSON may not.
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

namespace {

// The rows between offsets: a number, or [min, max] of them.
Json rows_between(std::span<const std::int64_t> offsets, std::int64_t most) {
  if (offsets.empty()) return most;
  std::int64_t least = most;
  for (std::size_t i = 1; i < offsets.size(); ++i)
    least = std::min(least, offsets[i] - offsets[i - 1]);
  return Json::array({least, most});
}

}  // namespace

template <class T>
void describe_rows(Json& document, const ProblemArrays<T>& problem) {
  if (problem.segments.empty()) {
    document["n"] = rows_between(problem.offsets, problem.n);
  } else {
    std::vector<std::int64_t> offsets;
    for (const std::int64_t first : problem.instances)
      offsets.push_back(problem.segments[static_cast<std::size_t>(first)]);
    document["n"] = rows_between(offsets, problem.n);
    document["softmaxes"] = static_cast<std::int64_t>(problem.segments.size()) - 1;
  }
  if (!problem.matrix) {
    document["d"] = problem.d;
    return;
  }
  document["m"] = rows_between(problem.a2.empty() ? problem.offsets : problem.offsets2, problem.m);
  document["d1"] = problem.d1;
  document["d2"] = problem.d2;
  if (!problem.offsets.empty())
    document["blocks"] = static_cast<std::int64_t>(problem.offsets.size()) - 1;
}

Json plan_json(const PlanSummary& plan) {
  Json json = {{"road", plan.road},       {"class", plan.size_class},
               {"lanes", plan.lanes},     {"padding", plan.padding},
               {"chunks", plan.chunks},   {"bytes", plan.workspace_bytes},
               {"threads", plan.threads}, {"sequence", plan.sequence}};
  if (plan.waves > 0) {  // of a GPU
    json["kernels"] = plan.kernels;
    json["occupancy"] = plan.occupancy;
    json["waves"] = plan.waves;
    json["batch_invariant"] = plan.batch_invariant;
  }
  return json;
}

Json messages_json(const std::vector<Message>& messages) {
  Json result = Json::array();
  for (const Message& message : messages) {
    const Json row = message.row < 0 ? Json() : Json(message.row);
    result.push_back({{"instance", message.instance}, {"row", row}, {"text", message.text}});
  }
  return result;
}

Json warnings_json(const ProblemFile& file, const std::vector<std::string>& warnings) {
  Json result = file.warnings;
  for (const std::string& warning : warnings) result.push_back(warning);
  return result;
}

Json status_counts(const std::vector<Status>& statuses) {
  StatusTally tally{};
  for (const Status status : statuses) ++tally.at(static_cast<std::size_t>(status));
  return status_counts(tally);
}

Json status_counts(const StatusTally& tally) {
  Json result = Json::object();
  for (std::size_t code = 0; code < tally.size(); ++code) {
    if (tally[code] > 0) result[std::string(status_name(static_cast<Status>(code)))] = tally[code];
  }
  return result;
}

template <class T>
void describe_batch(Json& document, const ProblemArrays<T>& problem, const PlanSummary& plan,
                    const Options& options, std::uint64_t seed) {
  document["device"] = plan.road;
  document["isa"] = plan.isa;
  document["dtype"] = dtype_name<T>();
  document["seed"] = seed;
  document["loss"] = loss_name(options.loss);
  document["count"] = problem.count;
  describe_rows(document, problem);
  document["result_bytes"] = plan.result_bytes;
}

template <class T>
Json solve_document(std::string_view verb, const ProblemArrays<T>& problem, const Options& options,
                    const Result<T>& result, std::uint64_t seed) {
  Json document = document_head(verb);
  describe_batch(document, problem, result.plan, options, seed);
  const std::int64_t steps =
      std::accumulate(result.steps.begin(), result.steps.end(), std::int64_t{0});
  document["optimizer"] = optimizer_name(options.optimizer);
  document["status"] = status_counts(result.status);
  document["interrupted"] = result.interrupted;
  document["steps_total"] = steps;
  document["solve_seconds"] = result.solve_seconds;
  document["step_size_seconds"] = result.step_size_seconds;
  document["instance_steps_per_second"] =
      result.solve_seconds > 0 ? static_cast<double>(steps) / result.solve_seconds : 0.0;
  document["workspace_bytes"] = result.plan.workspace_bytes;
  document["plan"] = plan_json(result.plan);
  document["messages"] = messages_json(result.messages);
  return document;
}

template void describe_batch(Json&, const ProblemArrays<float>&, const PlanSummary&, const Options&,
                             std::uint64_t);
template void describe_batch(Json&, const ProblemArrays<double>&, const PlanSummary&,
                             const Options&, std::uint64_t);
template Json solve_document(std::string_view, const ProblemArrays<float>&, const Options&,
                             const Result<float>&, std::uint64_t);
template Json solve_document(std::string_view, const ProblemArrays<double>&, const Options&,
                             const Result<double>&, std::uint64_t);

}  // namespace softreg
