// Folds what the instances kept into one report per bound.
#include "softreg/bounds.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace softreg {
namespace {

struct Statement {
  const char *id, *quantity, *text, *provenance;
};

// P6's form follows from D8 (M >= R/2), so that it holds for any R; that the paper states it so,
// and asks R >= 4, is recalled.
constexpr Statement sharp{"D8", "f", "|f(x') - f(x)| <= 1/2 |A (x' - x)|", "derived"};
constexpr Statement paper{
    "P6", "f",
    "|f(x') - f(x)| <= M |x' - x|, M = n^1.5 exp(10 R^2) (M found, the form recalled), R = "
    "max(|A|, |x|, |x'|); hypothesis R >= 4",
    "recalled"};
constexpr Statement paper_at_4{
    "P6@4", "f",
    "|f(x') - f(x)| <= M |x' - x|, M = n^1.5 exp(10 R^2) (M found, the form recalled), R = "
    "max(4, |A|, |x|, |x'|)",
    "recalled"};

// In the order of BoundIndex. z = A x, D = |z' - z|; u = exp z, a = <u, 1>, f = u / a, c = f - b, h
// = f o c, q = <f, c>, g = dL/dz = h - q f, e = u - a b.
constexpr Statement statements[] = {
    {"D5", "u", "|u' - u| / max(u, u') <= |z' - z|", "derived"},
    {"D6", "a", "|a' - a| / max(|u|, |u'|) <= |z' - z|", "derived"},
    {"D7", "1/a", "|1/a' - 1/a| / max(1/a, 1/a') <= |z' - z|", "derived"},
    {"D9", "h", "|h' - h| <= |z' - z|, h = f o (f - b) (our definition)", "derived"},
    {"D10", "q", "|q' - q| <= sqrt(5)/2 |z' - z|, q = <f, f - b> (our definition)", "derived"},
    {"D12z", "dL/dz", "|g' - g| <= 3/4 |z' - z|, g = h - q f", "derived"},
    {"D8e", "|f - b|", "| |f' - b| - |f - b| | <= 1/2 |z' - z|", "derived"},
    {"D8l", "loss", "|L' - L| <= 1/4 (|f - b| + |f' - b|) |z' - z|", "derived"},
    {"D12", "gradient", "|grad L' - grad L| <= 3/4 |A| |z' - z|", "derived"},
    {"D18", "e", "|e' - e| / (max(u, u') (1 + sqrt(n) |b|)) <= |z' - z|, e = u - a b", "derived"},
    {"D18l", "loss", "| |e'| - |e| | / (max(u, u') (1 + sqrt(n) |b|)) <= |z' - z|, L = |e|^2 / 2",
     "derived"},
    {"D19", "gradient", "|grad L' - grad L| <= (2 n + 2 sqrt(n) + 2) max(u, u')^2 |A| |z' - z|",
     "derived"},
    {"P1", "u",
     "|u' - u| / max(u, u') <= 2 sqrt(n) R exp(R^2) |x' - x| / max(u, u'), R = max(|A|, |x|, "
     "|x'|); "
     "hypothesis R >= 4",
     "found"},
    {"P2", "a", "|a' - a| / max(u, u') <= sqrt(n) |u' - u| / max(u, u'); hypothesis R >= 4",
     "recalled"},
    {"P3", "1/a", "|1/a' - 1/a| min(a, a') <= exp(2 R^2) |a' - a| min(a, a'); hypothesis R >= 4",
     "recalled"},
    {"P4", "f", "|f' - f| <= n^1.5 exp(5 R^2) |x' - x|; hypothesis R >= 4", "recalled"},
};
static_assert(std::size(statements) == bound_count);

BoundReport empty_report(const Statement& s) {
  const double none = quiet_nan<double>();
  return {s.id, s.quantity, s.text, s.provenance, none, none, none, none, 0, 0, 0, 0};
}

// log10_factor: of the bound.
template <class T>
void fold(BoundReport& report, const BoundWatch<T>& watch, int updates, double log10_factor) {
  report.instances += updates > 0 ? 1 : 0;
  report.updates += updates;
  report.hypotheses_hold += watch.hypotheses_hold;
  report.violations += watch.violations;
  if (!(watch.measured > T(0))) return;
  const double margin = static_cast<double>(watch.margin) + log10_factor;
  // Of scaled bounds only the closest update is known, and it counts as one violation.
  if (log10_factor != 0 && margin < 0) report.violations += 1;
  if (margin >= report.log10_ratio) return;  // NaN: nothing seen yet
  report.log10_ratio = margin;
  report.measured = static_cast<double>(watch.measured);
  report.log10_bound = static_cast<double>(watch.log10_bound) + log10_factor;
  report.bound = std::pow(10.0, report.log10_bound);
}

}  // namespace

namespace {

// f(statement, watch of instance i, updates of instance i that it judged) of every bound.
template <class T, class F>
void each_bound(const Result<T>& result, F f) {
  if (result.shifts.empty()) return;
  const auto of_shifts = [&](const Statement& s, BoundWatch<T> ShiftSummary<T>::*watch) {
    f(s, [&result, watch](std::size_t i) {
      return std::pair{result.shifts[i].*watch, result.shifts[i].updates};
    });
  };
  of_shifts(sharp, &ShiftSummary<T>::sharp);
  of_shifts(paper, &ShiftSummary<T>::paper);
  of_shifts(paper_at_4, &ShiftSummary<T>::paper_at_4);
  for (int k = 0; k < bound_count && !result.bounds.empty(); ++k) {
    const auto judged = [k](const BoundSummary<T>& s) { return s.watch[k].judged > 0; };
    if (std::any_of(result.bounds.begin(), result.bounds.end(), judged))
      f(statements[k], [&result, k](std::size_t i) {
        const auto& watch = result.bounds[i].watch[k];
        return std::pair{BoundWatch<T>(watch), watch.judged};
      });
  }
}

}  // namespace

template <class T>
std::vector<BoundReport> bound_reports(const Result<T>& result, double factor) {
  std::vector<BoundReport> reports;
  each_bound(result, [&](const Statement& statement, auto of) {
    BoundReport report = empty_report(statement);
    for (std::size_t i = 0; i < result.shifts.size(); ++i) {
      const auto [watch, updates] = of(i);
      fold(report, watch, updates, std::log10(factor));
    }
    reports.push_back(report);
  });
  return reports;
}

template <class T>
std::vector<InstanceBound<T>> instance_bounds(const Result<T>& result) {
  std::vector<InstanceBound<T>> bounds;
  each_bound(result, [&](const Statement& statement, auto of) {
    InstanceBound<T> bound{statement.id, {}};
    for (std::size_t i = 0; i < result.shifts.size(); ++i) {
      const auto [watch, updates] = of(i);
      bound.log10_ratio.push_back(watch.measured > T(0) ? watch.margin : quiet_nan<T>());
    }
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
