// Sequences: the instances of a batch as consecutive contexts, solved one at a time, each from the
// x at which the one before ended. The bits are those of as many solves of one instance.
#pragma once
#include "backend.hpp"
#include "described.hpp"
#include "softreg/options.hpp"

namespace softreg {

// That the instances can be contexts of one sequence: all of one shape. Throws Error
// (invalid_input) with both numbers.
void validate_contexts(const Layout& layout);
// And that they have one start.
template <class T>
void validate_sequence(const Batch<T>& batch);

// Plans run.shape for one context at a time, which it then describes: a count of one; the summary
// is of the one that needs the most. Throws as Backend::plan.
template <class T>
void plan_sequence(const Backend& backend, Run<T>& run, PlanSummary& summary);

// Solves run.fit in order, until run.cancel. An instance that is not in it is passed over: the next
// one starts where the last that ran has ended. x always is a point that passed a test and finite.
// Throws as Backend::run.
template <class T>
void run_sequence(const Backend& backend, Run<T>& run, PlanSummary& summary);

}  // namespace softreg
