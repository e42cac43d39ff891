// The iteration, and what decides how one ends. (src/pack_solver.hpp has the loop once more, for
// several instances in step, and judges with what is here.)
// Statuses without one come from screening and step sizes (src/screening.cpp, src/prepare.cpp),
// from the device (src/cuda.cpp) and from what was left undone (src/solve.cpp).
#pragma once
#include <cstdint>

#include "softreg/model/math.hpp"

namespace softreg {

// The values are part of the contract (README, status codes).
enum class Status : std::int32_t {
  converged = 0,
  stalled = 1,  // an update left x and the point bitwise unchanged
  max_steps = 10,
  diverged = 12,       // x not finite
  bad_input = 20,      // a non-finite number in the data
  bad_target = 21,     // the loss does not allow this b
  bad_parameter = 22,  // the step size is not a positive finite number
  overflow = 30,       // loss or gradient not finite at a finite x
  singular = 31,       // reserved for second-order optimizers
  not_run = 40,        // not finished: interrupted, out of time
  device_error = 41,
};

// Refused before the start, for what it holds.
constexpr bool is_bad(Status s) {
  return s == Status::bad_input || s == Status::bad_target || s == Status::bad_parameter;
}

struct Stop {
  int max_steps = 1000;
  double gradient_norm = 1e-6;  // 0: never stop early
  int check_every = 8;          // loss, norm and finiteness are tested at steps 0, K, 2K, ..., end

  // Tests of a trajectory that ends with `steps`.
  SR_HD constexpr int tests(int steps) const {
    return steps / check_every + (steps % check_every != 0 ? 2 : 1);
  }
};

template <class T>
struct Outcome {
  Status status = Status::not_run;
  int steps = 0;  // updates that led to the returned x
  T loss = quiet_nan<T>(), objective = quiet_nan<T>(), gradient_norm = quiet_nan<T>();
};

// What an evaluator reports at a test.
template <class T>
struct Measurement {
  T loss, objective, gradient_norm;
  Truth<T> finite_point;
};

// What a test makes of a trajectory.
struct Verdict {
  Status status;  // max_steps: it does not end here
  bool kept;      // the point just measured becomes the result so far
};
template <class T>
SR_HD Verdict judge(const Measurement<T>& now, int step, const Stop& stop) {
  const bool finite = is_finite(now.objective) && is_finite(now.gradient_norm);
  const bool kept = step == 0 || (now.finite_point && finite);
  if (!now.finite_point) return {Status::diverged, kept};
  if (!finite) return {Status::overflow, kept};
  const bool converged = stop.gradient_norm > 0 && now.gradient_norm <= T(stop.gradient_norm);
  return {converged ? Status::converged : Status::max_steps, kept};
}

// One solve, turn by turn, after e.init(). Ends as not_run if the batch is cancelled meanwhile. On
// non-finite values the last x that passed a test is the result, with that test's numbers; if not
// even the start passed, x0 with the start's numbers.
struct Trajectory {
  int step = 0, next_test = 0;
  Status status = Status::max_steps;
  bool describing = false;  // one more evaluation, of the point that is returned

  SR_HD bool tests() const { return step == next_test; }

  // An evaluation, and the test and the update that follow it; returns whether there is more.
  template <class Evaluator>
  SR_HD bool advance(Evaluator& e, const Stop& stop) {
    e.evaluate(step, describing, tests());
    return go_on(e, stop);
  }
  // Without the evaluation, which has been made.
  template <class Evaluator>
  SR_HD bool go_on(Evaluator& e, const Stop& stop) {
    if (describing) return ended(e);
    if (!tests()) {  // an update of its own, which asks for nothing: it saves instructions
      e.update(step, false);
      ++step;
      return true;
    }
    if (e.cancelled()) {
      status = Status::not_run;
      return ended(e);
    }
    const auto now = e.measure();
    const Verdict verdict = judge(now, step, stop);
    if (verdict.kept) e.keep(step, now);
    status = verdict.status;
    if (status != Status::max_steps || step == stop.max_steps) return described(e);
    // Tests are check_every steps apart, but for the last.
    next_test = step + min_(stop.check_every, stop.max_steps - step);
    if (!e.update(step, true) && stop.gradient_norm > 0) {
      status = Status::stalled;
      return described(e);
    }
    ++step;
    return true;
  }

 private:
  template <class Evaluator>
  SR_HD bool described(Evaluator& e) {
    describing = e.describes();
    return describing || ended(e);
  }
  template <class Evaluator>
  SR_HD bool ended(Evaluator& e) const {
    e.end(status);
    return false;
  }
};

template <class Evaluator>
SR_HD void trajectory(Evaluator& e, const Stop& stop) {
  Trajectory turns;
  e.init();
  while (turns.advance(e, stop)) {
  }
}

}  // namespace softreg
