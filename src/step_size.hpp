// What options say about step sizes, judged before there is any problem.
#pragma once
#include "softreg/options.hpp"

namespace softreg {

// Throws Error (usage) if the step size is automatic and the loss has no proven constant, if the
// option's step size or its multiple is not a positive finite number, or if there is a multiple of
// a step size that is not automatic.
void check_step_size(const Options& options, bool problem_has_step_sizes);

// That the option's step size is still positive and finite when it is a number of T. Throws as
// above.
template <class T>
void check_rounded_step_size(const Options& options);

}  // namespace softreg
