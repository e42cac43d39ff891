// Screening: what is wrong with an instance before it runs. Where several things are, the lowest
// status wins: bad_input, then bad_target, then bad_parameter; within bad_input the order is A, b,
// x0, w.
#pragma once
#include <cstdint>

#include "instance_view.hpp"
#include "softreg/options.hpp"
#include "softreg/result.hpp"

namespace softreg {

enum class Defect { none, a, b, x0, w, b_negative, b_sum, step_size };

struct Finding {
  Defect defect = Defect::none;
  std::int64_t position = -1;  // in the instance's array

  Status status() const;  // not_run if nothing is wrong
};

// The step size that the options give; automatic_step_size if none.
double option_step_size(const Options& options);

template <class T>
class Screening {
 public:
  Screening(const VectorProblem<T>& problem, const Options& options);

  // From any thread.
  Finding find(std::int64_t i) const;
  Message explain(std::int64_t i) const;  // find(i) must have found something

 private:
  Finding find_in_target(std::int64_t i) const;
  double largest_sum(std::int64_t i) const;
  double step_size(std::int64_t i) const;

  const VectorProblem<T>& p_;
  const Options& options_;
  InstanceView<T> view_;
  bool automatic_;
  std::int64_t in_shared_a_ = -1;  // where a shared A is not finite; looked for once
};

}  // namespace softreg
