// Screening: what is wrong with an instance before it runs. Where several things are, the lowest
// status wins: bad_input, then bad_target, then bad_parameter; within bad_input the order is A (A1,
// A2), b, x0, w.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "described.hpp"
#include "instance_view.hpp"
#include "softreg/options.hpp"
#include "softreg/result.hpp"

namespace softreg {

enum class Defect { none, a1, a2, b, x0, w, b_negative, b_sum, step_size };

struct Finding {
  Defect defect = Defect::none;
  std::int64_t position = -1;  // in the instance's array; b_sum: the segment

  Status status() const;  // not_run if nothing is wrong
};

// The step size that the options give; automatic_step_size if none.
double option_step_size(const Options& options);

template <class T>
class Screening {
 public:
  Screening(const Described<T>& problem, const Options& options);

  // From any thread.
  Finding find(std::int64_t i) const;
  Message explain(std::int64_t i) const;  // find(i) must have found something

 private:
  Finding find_in_target(std::int64_t i) const;
  void explain_sum(std::int64_t i, std::int64_t segment, std::string_view who, Message& m) const;
  double step_size(std::int64_t i) const;

  // "b[7]", or "B[2,7]" of a matrix problem; with the row of the message.
  std::string name_of_logit(const char* vector, const char* matrix, std::int64_t i,
                            std::int64_t position, std::int64_t& row) const;
  std::string name_of_entry(const Finding& f, std::int64_t& row) const;

  const Described<T>& p_;
  const Options& options_;
  InstanceView<T> view_;
  bool automatic_;
  std::int64_t in_shared_a1_ = -1, in_shared_a2_ = -1;  // where they are not finite; found once
};

}  // namespace softreg
