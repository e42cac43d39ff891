// Folds what the instances kept into one report per bound.
#include "softreg/bounds.hpp"

#include <algorithm>
#include <cmath>

#include "bound_fold.hpp"

namespace softreg {
namespace {

// f(k) of every bound_catalog[k] that is to be reported.
template <class T, class F>
void each_bound(const Result<T>& result, F f) {
  if (result.shifts.empty()) return;
  for (std::size_t k = 0; k < shift_bounds; ++k) f(k);
  for (std::size_t k = shift_bounds; k < std::size(bound_catalog); ++k)
    if (std::any_of(result.bounds.begin(), result.bounds.end(), [k](const BoundSummary<T>& s) {
          return s.seen(static_cast<int>(k - shift_bounds)).judged > 0;
        }))
      f(k);
}

}  // namespace

template <class T>
std::vector<BoundReport> bound_reports(const Result<T>& result, double factor) {
  std::vector<BoundReport> reports;
  each_bound(result, [&](std::size_t k) {
    BoundReport report = empty_report(bound_catalog[k]);
    for (std::size_t i = 0; i < result.shifts.size(); ++i)
      fold(report, seen_of(result, k, i), std::log10(factor));
    reports.push_back(report);
  });
  return reports;
}

template <class T>
std::vector<InstanceBound<T>> instance_bounds(const Result<T>& result) {
  std::vector<InstanceBound<T>> bounds;
  each_bound(result, [&](std::size_t k) {
    InstanceBound<T> bound{bound_catalog[k].id, {}};
    for (std::size_t i = 0; i < result.shifts.size(); ++i)
      bound.log10_ratio.push_back(seen_of(result, k, i).log10_ratio());
    bounds.push_back(bound);
  });
  return bounds;
}

template <class T>
ContextReport context_report(const Result<T>& result) {
  ContextReport report;
  const auto most = [](double& so_far, T value) {
    so_far = std::max(so_far, static_cast<double>(value));
  };
  for (std::size_t i = 0; i < result.bounds.size(); ++i) {
    const BoundSummary<T>& s = result.bounds[i];
    report.updates += s.updates;
    report.small_steps += s.small_steps;
    most(report.target_shift, s.target_shift);
    most(report.identity, s.identity);
    most(report.weight_shift, result.shifts[i].x_max);
    most(report.data_shift, s.data_shift);
    most(report.error_change, s.error_change);
  }
  return report;
}

template std::vector<BoundReport> bound_reports(const Result<float>&, double);
template std::vector<BoundReport> bound_reports(const Result<double>&, double);
template std::vector<InstanceBound<float>> instance_bounds(const Result<float>&);
template std::vector<InstanceBound<double>> instance_bounds(const Result<double>&);
template ContextReport context_report(const Result<float>&);
template ContextReport context_report(const Result<double>&);

}  // namespace softreg
