// What the host does once per instance before any backend runs: screening of the data, the
// certified bound on |A| and the automatic step size. One f64 function for all backends.
#pragma once
#include <cstdint>
#include <vector>

#include "described.hpp"
#include "softreg/options.hpp"
#include "softreg/result.hpp"
#include "step_size.hpp"

namespace softreg {

template <class T>
struct Prepared {
  // (count) not_run: fit to run; else bad_input, bad_target or bad_parameter, the lowest that
  // applies.
  std::vector<Status> status;
  std::vector<T> step_size;  // (count) rounded to T; NaN unless fit
  std::vector<double>
      operator_norm;  // (count) upper bound on |A| or |A1 (x) A2|, NaN unless fit; or empty
  std::vector<Message> messages;  // at most 100, in the order of the instances
  double step_size_seconds = 0;
};

// The same for any number of threads. Throws Error (usage) as check_step_size does, and when the
// option's step size is not positive and finite in T. need_operator_norm: shift traces want |A|
// even when the step size is given. threads: 0 = all.
template <class T>
Prepared<T> prepare(const Described<T>& problem, const Options& options, bool need_operator_norm);

// What of the options holds where no step is made, so that no step size need be proven.
Options without_steps(Options options);

}  // namespace softreg
