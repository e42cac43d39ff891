#include "bound_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "progress.hpp"
#include "summary.hpp"

namespace softreg {

namespace {

// No update that could be held against the bound: no number.
std::string number_text(double value, const char* format) {
  return std::isnan(value) ? "-" : fmt::format(fmt::runtime(format), value);
}

std::string bound_text(const BoundReport& report) {
  if (std::isinf(report.bound))
    return report.log10_bound < 1e6 ? fmt::format("10^{:.1f}", report.log10_bound)
                                    : fmt::format("10^({:.3g})", report.log10_bound);
  return number_text(report.bound, "{:.4g}");
}

std::string statements_text(const std::vector<BoundReport>& reports) {
  std::string text;
  for (const BoundReport& report : reports)
    text += fmt::format("  {}: {} ({})\n", report.id, report.statement, report.provenance);
  return text;
}

}  // namespace

template <class T>
std::int64_t updates_tried(const Result<T>& result, const Stop& stop) {
  std::int64_t tried = 0;
  for (std::size_t i = 0; i < result.status.size(); ++i) {
    const Status status = result.status[i];
    // The last test that was passed is returned; the next one, of which the numbers were not
    // finite, ended the instance. Not finite numbers here are those of the start.
    const bool failed_later = (status == Status::diverged || status == Status::overflow) &&
                              std::isfinite(result.objective[i]) &&
                              std::isfinite(result.gradient_norm[i]);
    const std::int64_t steps = result.steps[i];
    tried +=
        failed_later ? std::min<std::int64_t>(steps + stop.check_every, stop.max_steps) : steps;
  }
  return tried;
}
template std::int64_t updates_tried(const Result<float>&, const Stop&);
template std::int64_t updates_tried(const Result<double>&, const Stop&);

Json bounds_json(const std::vector<BoundReport>& reports) {
  Json result = Json::array();
  for (const BoundReport& report : reports) {
    result.push_back({{"id", report.id},
                      {"quantity", report.quantity},
                      {"statement", report.statement},
                      {"provenance", report.provenance},
                      {"measured", report.measured},
                      {"bound", report.bound},
                      {"log10_bound", report.log10_bound},
                      {"log10_ratio", report.log10_ratio},
                      {"instances", report.instances},
                      {"updates", report.updates},
                      {"hypotheses_hold", report.hypotheses_hold},
                      {"violations", report.violations}});
  }
  return result;
}

std::string bounds_table(const std::vector<BoundReport>& reports) {
  std::vector<std::vector<std::string>> rows{
      {"", "of", "measured", "bound", "log10 ratio", "updates", "hypotheses hold", "violations"}};
  for (const BoundReport& report : reports) {
    rows.push_back({report.id, report.quantity, number_text(report.measured, "{:.4g}"),
                    bound_text(report), number_text(report.log10_ratio, "{:.2f}"),
                    count_text(report.updates), count_text(report.hypotheses_hold),
                    report.violations > 0         ? count_text(report.violations)
                    : std::isnan(report.measured) ? "not judged"
                                                  : "none"});
  }
  return table_text(rows) + statements_text(reports);
}

std::string attack_table(const std::vector<BoundReport>& reports) {
  std::vector<std::vector<std::string>> rows{
      {"", "of", "measured / bound", "measured", "bound", "exceeded"}};
  for (const BoundReport& report : reports) {
    const double ratio = std::pow(10, -report.log10_ratio);
    rows.push_back({report.id, report.quantity,
                    number_text(ratio, ratio > 0.001 ? "{:.6f}" : "{:.1e}"),
                    number_text(report.measured, "{:.4g}"), bound_text(report),
                    report.violations > 0 ? count_text(report.violations) : "never"});
  }
  return table_text(rows) + statements_text(reports);
}

Json context_json(const ContextReport& report) {
  return {{"updates", report.updates},           {"small_steps", report.small_steps},
          {"target_shift", report.target_shift}, {"identity", report.identity},
          {"weight_shift", report.weight_shift}, {"data_shift", report.data_shift},
          {"error_change", report.error_change}};
}

std::string context_table(const ContextReport& report) {
  if (report.updates == 0) return "";
  return fmt::format(
      "In context, the most over {} updates (in {} of them |A dx| < 0.01):\n"
      "  a step is the target shift |b~ - b|    {:.4g}   (residuals agree within {:.1g})\n"
      "  the step itself |x' - x|               {:.4g}\n"
      "  the data shift of the same effect |dA| {:.4g}\n"
      "  change of the error |f - b|            {:.4g}\n",
      count_text(report.updates), count_text(report.small_steps), report.target_shift,
      report.identity, report.weight_shift, report.data_shift, report.error_change);
}

Json sequence_json(const SequenceReport& report) {
  Json left_out = Json::array();
  for (const auto& [why, transitions] : report.without_minimiser_bound)
    left_out.push_back({{"why", why}, {"transitions", transitions}});
  return {{"contexts", report.contexts},           {"transitions", report.transitions},
          {"bounds", bounds_json(report.bounds)},  {"total_drift", report.total_drift},
          {"summed_bound", report.summed_bound},   {"total_bound_z", report.total_bound_z},
          {"largest_drift", report.largest_drift}, {"identity", report.identity},
          {"without_minimiser_bound", left_out}};
}

std::string sequence_table(const SequenceReport& report) {
  if (report.transitions == 0)
    return fmt::format("Along the sequence: no transition, as {} of the contexts ran\n",
                       count_text(report.contexts));
  std::string text = fmt::format("Along the sequence, {} transitions from context to context:\n",
                                 count_text(report.transitions));
  text += bounds_table(report.bounds);
  text += fmt::format(
      "  the target drifts by |f_T - f_0| = {} in all (residuals of f agree within {:.1g})\n"
      "  at most: the sum of D8S {}, 1/2 |z_T - z_0| {}, ever {:.4g}\n",
      number_text(report.total_drift, "{:.4g}"), report.identity,
      number_text(report.summed_bound, "{:.4g}"), number_text(report.total_bound_z, "{:.4g}"),
      report.largest_drift);
  for (const auto& [why, transitions] : report.without_minimiser_bound)
    text +=
        fmt::format("  D17S is left out for {} transitions: {}\n", count_text(transitions), why);
  return text;
}

std::string violated_bounds(const std::vector<BoundReport>& reports) {
  std::vector<std::string_view> ids;
  for (const BoundReport& report : reports)
    if (report.provenance != "recalled" && report.hypotheses_hold > 0 && report.violations > 0)
      ids.push_back(report.id);
  return fmt::format("{}", fmt::join(ids, ", "));
}

std::string violation_text(const std::string& bounds) {
  return fmt::format("what was measured exceeds the bound of {}", bounds);
}

}  // namespace softreg
