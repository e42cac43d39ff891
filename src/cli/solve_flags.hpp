// The flags that `solve` and `check` share, and what they ask of the library.
#pragma once
#include <cstdint>
#include <string>

#include "common_flags.hpp"

namespace softreg {

// Which statuses make the program exit with code 3.
enum class FailOn { nothing, not_converged, bad_input, any };

bool fails(FailOn fail_on, Status status);

// What the settings of a descent say; step_multiple may be one that nobody has given. Throw Error
// (usage).
void parse_optimizer(const Setting& optimizer, const Setting& step_size,
                     const Setting& step_multiple, Options& options);
Stop parse_stop(const Setting& max_steps, const Setting& tol, const Setting& check_every);

class SolveFlags {
 public:
  // can_trace: --trace is free and --trace-full exists; otherwise bounds or shifts are traced.
  SolveFlags(Flags& flags, const std::string& verb, bool can_trace);

  // Throws Error (usage).
  Options options() const;
  FailOn fail_on() const;
  std::uint64_t seed() const { return parse_seed(seed_); }
  bool dry_run() const { return dry_run_; }
  bool sequence() const { return sequence_; }

  // One that is given and says how to solve, or null.
  const Setting* given_for_solving() const;

  // The files that are read, for OutputFlags::check.
  std::vector<const Setting*> inputs() const { return problem_.inputs(); }

  // Reads the problem and settles what file and flags say about the same thing. Throws Error.
  ProblemFile read_problem(Terminal& terminal) const;

 private:
  void fill_trace(Options& options) const;

  ProblemFlags problem_;
  ModelFlags model_;
  const Setting& optimizer_;
  const Setting& step_size_;
  const Setting& step_multiple_;
  const Setting& max_steps_;
  const Setting& tol_;
  const Setting& check_every_;
  const Setting& ball_;
  const Setting& time_limit_;
  const Setting& fail_on_;
  const Setting& seed_;
  const Setting& trace_;
  const bool* trace_full_ = nullptr;
  const bool& sequence_;
  const bool& dry_run_;
};

}  // namespace softreg
