#include "summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "progress.hpp"
#include "text.hpp"

namespace softreg {
namespace {

constexpr std::size_t messages_shown = 5;

std::string rows_text(const Json& n) {
  const Json least = n.is_array() ? n[0] : n, most = n.is_array() ? n[1] : n;
  if (least == most) return fmt::format("{}", least.get<std::int64_t>());
  return fmt::format("{} to {}", least.get<std::int64_t>(), most.get<std::int64_t>());
}

// "median 1.2e-06, largest 0.31" of the finite values.
template <class T>
std::string spread_text(std::vector<T> values) {
  values.erase(std::remove_if(values.begin(), values.end(), [](T v) { return !std::isfinite(v); }),
               values.end());
  if (values.empty()) return "none is finite";
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  const T median = *middle;
  return fmt::format("median {:.4g}, largest {:.4g}", median,
                     *std::max_element(values.begin(), values.end()));
}

template <class T>
std::string loss_lines(const Result<T>& result) {
  return labelled("loss", spread_text(result.loss)) +
         labelled("gradient norm", spread_text(result.gradient_norm));
}

// "1,000 instances, n = 64, d = 16"
std::string shape_line(const Json& document) {
  const std::int64_t count = document["count"].get<std::int64_t>();
  std::string shape = fmt::format("{} instance{}, n = {}", count_text(count), count == 1 ? "" : "s",
                                  rows_text(document["n"]));
  if (document.contains("d")) {
    shape += fmt::format(", d = {}", document["d"].get<std::int64_t>());
  } else {
    shape += fmt::format(", m = {}, X {} x {}", rows_text(document["m"]),
                         document["d1"].get<std::int64_t>(), document["d2"].get<std::int64_t>());
  }
  for (const char* parts : {"softmaxes", "blocks"})
    if (document.contains(parts))
      shape += fmt::format(", {} {}", count_text(document[parts].get<std::int64_t>()), parts);
  return shape;
}

}  // namespace

std::string labelled(const std::string& name, const std::string& text) {
  return fmt::format("  {:<16}{}\n", name, text);
}

std::string status_lines(const Json& document, const std::string& left_out) {
  std::string text;
  for (const auto& [name, count] : document["status"].items()) {
    if (name != left_out) text += labelled(name, count_text(count.get<std::int64_t>()));
  }
  return text;
}

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string result;
  for (const auto& row : rows) {
    std::string line = "  ";
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i == 0 ? fmt::format("{:<{}}", row[i], widths[i])
                     : fmt::format("  {:>{}}", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + "\n";
  }
  return result;
}

std::string batch_line(const Json& document) {
  return fmt::format("{}, {}, {}\n", shape_line(document), document["loss"].get<std::string>(),
                     document["dtype"].get<std::string>());
}

std::string place_text(const PlanSummary& plan) {
  if (plan.isa.empty()) return plan.road;
  return fmt::format("{} ({}, {} thread{})", plan.road, plan.isa, plan.threads,
                     plan.threads == 1 ? "" : "s");
}

std::string device_lines(const PlanSummary& plan) {
  if (plan.waves == 0) return "";  // not of a GPU
  return labelled("waves", fmt::format("{:.1f} instances per group of lanes", plan.waves)) +
         labelled("occupancy",
                  fmt::format("{:.1f} % of a multiprocessor's threads", 100 * plan.occupancy)) +
         (plan.batch_invariant ? "" : labelled("bits", "depend on the number of instances"));
}

std::string plan_table(const Json& document, const PlanSummary& plan) {
  return batch_line(document) + labelled("device", place_text(plan)) +
         (plan.sequence ? labelled("sequence", "one instance at a time") : "") +
         labelled("class", plan.size_class) +
         (plan.kernels.empty() ? "" : labelled("kernels", plan.kernels)) +
         labelled("lanes", fmt::format("{} per instance", plan.lanes)) +
         labelled("padding", fmt::format("{:.1f} % of the {}", 100 * plan.padding,
                                         plan.waves > 0 ? "places for A" : "rows")) +
         device_lines(plan) + labelled("chunks", count_text(plan.chunks)) +
         labelled("workspace", fmt::format("{} bytes", count_text(plan.workspace_bytes))) +
         labelled("results", fmt::format("{} bytes", count_text(plan.result_bytes)));
}

template <class T>
std::string solve_table(const Json& document, const Result<T>& result, const std::string& saved) {
  const double rate = document["instance_steps_per_second"].template get<double>();
  const std::int64_t steps = document["steps_total"].template get<std::int64_t>();
  return batch_line(document) + status_lines(document, "") + loss_lines(result) +
         labelled("steps",
                  fmt::format("{} in {:.3g} s on {}: {} instance-steps/s", count_text(steps),
                              result.solve_seconds, place_text(result.plan), amount_text(rate))) +
         (saved.empty() ? "" : labelled("written", printable(saved)));
}

template <class T>
std::string evaluation_table(const Json& document, const Result<T>& at, const std::string& saved) {
  // No step is allowed, so `max_steps` is what an instance in order ends with.
  return batch_line(document) + status_lines(document, "max_steps") + loss_lines(at) +
         labelled("written", printable(saved));
}

std::string generation_table(const Json& document, const std::string& saved) {
  std::string text =
      fmt::format("{}, {}, {}\n", shape_line(document), document["family"].get<std::string>(),
                  document["dtype"].get<std::string>());
  text += labelled("arrays",
                   fmt::format("{} bytes", count_text(document["bytes"].get<std::int64_t>())));
  return text + (saved.empty() ? "" : labelled("written", printable(saved)));
}

void show_warnings(Terminal& terminal, const std::vector<std::string>& warnings,
                   const std::vector<Message>& messages) {
  for (const std::string& warning : warnings) terminal.warn(warning);
  std::size_t shown = 0;
  for (const auto& [instance, row, text] : messages) {
    if (shown++ == messages_shown && !terminal.verbose()) {
      terminal.warn("more of this kind: see --verbose or the messages of --json");
      return;
    }
    terminal.warn(row < 0 ? fmt::format("instance {}: {}", instance, text)
                          : fmt::format("instance {}, row {}: {}", instance, row, text));
  }
}

template std::string solve_table(const Json&, const Result<float>&, const std::string&);
template std::string solve_table(const Json&, const Result<double>&, const std::string&);
template std::string evaluation_table(const Json&, const Result<float>&, const std::string&);
template std::string evaluation_table(const Json&, const Result<double>&, const std::string&);

}  // namespace softreg
