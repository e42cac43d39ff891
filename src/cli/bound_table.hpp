// Bound reports as `check` shows them: for --json, for people, and as a verdict.
#pragma once
#include <string>
#include <vector>

#include "document.hpp"
#include "softreg/bounds.hpp"
#include "softreg/options.hpp"

namespace softreg {

// The updates that were tried, whether or not their shifts were finite: what a report's `updates`
// is to be compared with.
template <class T>
std::int64_t updates_tried(const Result<T>& result, const Stop& stop);

Json bounds_json(const std::vector<BoundReport>& reports);
// The same after an attack: how close to 1 measured / bound was driven.
std::string attack_table(const std::vector<BoundReport>& reports);
std::string bounds_table(const std::vector<BoundReport>& reports);
Json context_json(const ContextReport& report);
std::string context_table(const ContextReport& report);
Json sequence_json(const SequenceReport& report);
std::string sequence_table(const SequenceReport& report);

// A bound that is derived or found was exceeded where its hypotheses hold; and the exit code then.
// Those that were violated and do not stand on memory alone, "D8, D12"; empty: none.
std::string violated_bounds(const std::vector<BoundReport>& reports);
// What is said of these.
std::string violation_text(const std::string& bounds);
inline constexpr int bound_violated = 7;

}  // namespace softreg
