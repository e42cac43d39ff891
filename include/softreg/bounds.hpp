// What the theorems promise about a solve, beside what was measured (trace `shifts`).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "softreg/result.hpp"

namespace softreg {

// log10 of M = n^1.5 exp(10 R^2), the constant into which Li-Song-Xia-Yu-Zhou (arXiv 2304.13276)
// absorb every Lipschitz constant of f. M itself overflows double beyond R = 8.42.
double log10_paper_constant(std::int64_t n, double radius);

// One bound over all updates of all instances. measured and bound are those of the update that came
// closest to its bound; NaN if no update moved f by more than rounding can.
struct BoundReport {
  std::string id;          // "D8", "P6", "P6@4"
  std::string statement;   // for people
  std::string provenance;  // "derived" here, "found" in the paper, "recalled" of it
  double measured;         // |f(x') - f(x)|
  double bound;            // inf where log10_bound is above 308
  double log10_bound;
  double log10_ratio;            // log10(bound / measured): how loose; negative is a violation
  std::int64_t instances;        // with at least one measured update
  std::int64_t hypotheses_hold;  // updates whose hypotheses hold
  std::int64_t updates;
  // Updates beyond bound plus rounding slack, whether hypotheses hold or not.
  std::int64_t violations;
};

// D8, P6 and P6@4, in this order, from result.shifts; empty without a shift trace.
template <class T>
std::vector<BoundReport> bound_reports(const Result<T>& result);

}  // namespace softreg
