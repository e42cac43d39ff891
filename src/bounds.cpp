// Folds the shift summaries of the instances into one report per bound.
#include "softreg/bounds.hpp"

#include <cmath>

namespace softreg {
namespace {

BoundReport empty_report(const char* id, const char* statement, const char* provenance) {
  const double none = quiet_nan<double>();
  return {id, statement, provenance, none, none, none, none, 0, 0, 0, 0};
}

template <class T>
void fold(BoundReport& report, const BoundWatch<T>& watch, int updates) {
  report.instances += updates > 0 ? 1 : 0;
  report.updates += updates;
  report.hypotheses_hold += watch.hypotheses_hold;
  report.violations += watch.violations;
  if (!(watch.measured > T(0))) return;
  const double margin = static_cast<double>(watch.margin);
  if (margin >= report.log10_ratio) return;  // NaN: nothing seen yet
  report.log10_ratio = margin;
  report.measured = static_cast<double>(watch.measured);
  report.log10_bound = static_cast<double>(watch.log10_bound);
  report.bound = std::pow(10.0, report.log10_bound);
}

}  // namespace

double log10_paper_constant(std::int64_t n, double radius) {
  constexpr double log10_of_e = 0.43429448190325182765;
  return 1.5 * std::log10(static_cast<double>(n)) + 10 * radius * radius * log10_of_e;
}

template <class T>
std::vector<BoundReport> bound_reports(const Result<T>& result) {
  if (result.shifts.empty()) return {};
  // The form of P6 follows from D8 (M >= R/2), so that it holds for any R; that the paper states it
  // so, and asks R >= 4, is recalled.
  BoundReport sharp = empty_report("D8", "|f(x') - f(x)| <= 1/2 |A (x' - x)|", "derived");
  BoundReport paper = empty_report(
      "P6",
      "|f(x') - f(x)| <= M |x' - x|, M = n^1.5 exp(10 R^2) (M found, the form recalled), R = "
      "max(|A|, |x|, |x'|); hypothesis R >= 4",
      "recalled");
  BoundReport paper_at_4 = empty_report(
      "P6@4",
      "|f(x') - f(x)| <= M |x' - x|, M = n^1.5 exp(10 R^2) (M found, the form recalled), R = "
      "max(4, |A|, |x|, |x'|)",
      "recalled");
  for (const ShiftSummary<T>& s : result.shifts) {
    fold(sharp, s.sharp, s.updates);
    fold(paper, s.paper, s.updates);
    fold(paper_at_4, s.paper_at_4, s.updates);
  }
  return {sharp, paper, paper_at_4};
}

template std::vector<BoundReport> bound_reports(const Result<float>&);
template std::vector<BoundReport> bound_reports(const Result<double>&);

}  // namespace softreg
