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
  if (std::isinf(report.bound)) return fmt::format("10^{:.1f}", report.log10_bound);
  return number_text(report.bound, "{:.4g}");
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
      {"", "measured", "bound", "log10 ratio", "updates", "hypotheses hold", "violations"}};
  for (const BoundReport& report : reports) {
    rows.push_back({report.id, number_text(report.measured, "{:.4g}"), bound_text(report),
                    number_text(report.log10_ratio, "{:.2f}"), count_text(report.updates),
                    count_text(report.hypotheses_hold),
                    report.violations > 0         ? count_text(report.violations)
                    : std::isnan(report.measured) ? "not judged"
                                                  : "none"});
  }
  std::string text = table_text(rows);
  for (const BoundReport& report : reports) {
    text += fmt::format("  {}: {} ({})\n", report.id, report.statement, report.provenance);
  }
  return text;
}

bool any_violation(const std::vector<BoundReport>& reports) {
  return std::any_of(reports.begin(), reports.end(), [](const BoundReport& report) {
    return report.provenance != "recalled" && report.hypotheses_hold > 0 && report.violations > 0;
  });
}

}  // namespace softreg
