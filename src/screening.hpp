// Screening: what is wrong with an instance before it runs. Where several things are, the lowest
// status wins: bad_input, then bad_target, then bad_parameter; within bad_input the order is A (A1,
// A2), b, x0, w.
#pragma once
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

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

// What b of a softmax must be, with these options: not below zero; with a sum of at most
// allowed_sum(rows).
struct TargetDemands {
  bool nonnegative, bounded;
};
TargetDemands target_demands(const Options& options, bool automatic);

// 1 and its rounding, in float32 whatever the arithmetic, because that may be where b comes from.
double allowed_sum(std::int64_t rows);

template <class T>
bool is_positive_finite(T v) {
  return v > T(0) && std::isfinite(v);
}

// The step size that the options give; automatic_step_size if none.
double option_step_size(const Options& options);
// Whether steps are proven ones. given: the problem's, (count) or empty.
bool is_automatic(const Options& options, std::span<const double> given);
// Of instance i; automatic_step_size if none is given.
double step_size_of(const Options& options, std::span<const double> given, std::int64_t i);

template <class T>
class Screening {
 public:
  // step_size: (count) or empty: the optimizer's. All three stay.
  Screening(const Batch<T>& batch, std::span<const double> step_size, const Options& options);

  // From any thread.
  Finding find(std::int64_t i) const;
  Message explain(std::int64_t i) const;  // find(i) must have found something

 private:
  Finding find_in_target(std::int64_t i) const;
  void explain_sum(std::int64_t i, std::int64_t segment, std::string_view who, Message& m) const;

  // "b[7]", or "B[2,7]" of a matrix problem; with the row of the message.
  std::string name_of_logit(const char* vector, const char* matrix, std::int64_t i,
                            std::int64_t position, std::int64_t& row) const;
  std::string name_of_entry(const Finding& f, std::int64_t& row) const;

  const Batch<T>& batch_;
  const std::span<const double> step_size_;
  const Options& options_;
  InstanceView<T> view_;
  bool automatic_;
  TargetDemands demands_;
  std::int64_t in_shared_a1_ = -1, in_shared_a2_ = -1;  // where they are not finite; found once
};

}  // namespace softreg
