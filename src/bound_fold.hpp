// Folds what was judged, one instance or transition after another, into the report of a bound.
#pragma once
#include <cmath>

#include "bound_catalog.hpp"
#include "softreg/bounds.hpp"

namespace softreg {

inline BoundReport empty_report(const BoundEntry& b) {
  const double none = quiet_nan<double>();
  return {b.id, b.quantity, b.text, b.provenance, none, none, none, none, 0, 0, 0, 0};
}

// log10_factor: of the bound.
template <class T>
void fold(BoundReport& report, const BoundWatch<T>& watch, double log10_factor) {
  report.instances += watch.judged > 0 ? 1 : 0;
  report.updates += watch.judged;
  report.hypotheses_hold += watch.hypotheses_hold;
  if (log10_factor == 0) report.violations += watch.violations;
  if (!(watch.measured > T(0))) return;
  const double margin = static_cast<double>(watch.margin) + log10_factor;
  if (log10_factor != 0 && margin < 0) ++report.violations;
  if (margin >= report.log10_ratio) return;  // NaN: nothing seen yet
  report.log10_ratio = margin;
  report.measured = static_cast<double>(watch.measured);
  report.log10_bound = static_cast<double>(watch.log10_bound) + log10_factor;
  report.bound = std::pow(10.0, report.log10_bound);
}

}  // namespace softreg
