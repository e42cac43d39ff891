// Bound reports as `check` shows them: for --json, for people, and as a verdict.
#pragma once
#include <string>
#include <vector>

#include "document.hpp"
#include "softreg/bounds.hpp"

namespace softreg {

Json bounds_json(const std::vector<BoundReport>& reports);
std::string bounds_table(const std::vector<BoundReport>& reports);

// A bound that is derived or found was exceeded where its hypotheses hold.
bool any_violation(const std::vector<BoundReport>& reports);

}  // namespace softreg
