// Batch: the instances of one launch as plain arrays, the same struct for the reference, the CPU
// lanes and the kernels. A solver takes its instance with the item functions and never sees the
// rest.
#pragma once
#include <cstdint>

#include "softreg/model/matrix.hpp"
#include "softreg/model/shift_summary.hpp"
#include "softreg/model/trajectory.hpp"

namespace softreg {

template <class T>
struct Batch {
  std::int64_t count = 0;
  int parameters = 0;                     // d
  int rows = 0;                           // n of every instance, unless ragged:
  const std::int64_t* offsets = nullptr;  // (count + 1) where each instance's rows begin

  const T* a = nullptr;        // (n, d) per instance
  const T* target = nullptr;   // (n)
  const T* weights = nullptr;  // (n) or null
  const T* start = nullptr;    // (d) or null: zeros
  bool a_shared = false, target_shared = false, weights_shared = false, start_shared = false;
  bool column_major = false;     // of a, within each instance
  const T* step_size = nullptr;  // (count)
  T ridge = T(0), ball = T(0);
  Stop stop;
  const int* cancelled = nullptr;  // set by another thread to end the solve; null: cannot

  T* x = nullptr;                 // (count, d)
  Outcome<T>* outcome = nullptr;  // (count)

  int tests = 0;                             // length of one instance's losses
  T* losses = nullptr;                       // (count, tests)
  ShiftSummary<T>* shifts = nullptr;         // (count)
  const T* operator_norm = nullptr;          // (count), with shifts
  T *shift_f = nullptr, *shift_x = nullptr;  // (count, max_steps)

  T *output = nullptr, *dlogits = nullptr;     // (n) per instance; all five or none
  T *gradient = nullptr, *attended = nullptr;  // (count, d)
  T* log_mass = nullptr;                       // (count)

  SR_HD int rows_of(std::int64_t i) const {
    return offsets ? static_cast<int>(offsets[i + 1] - offsets[i]) : rows;
  }
  SR_HD std::int64_t first_row(std::int64_t i) const { return offsets ? offsets[i] : i * rows; }
  SR_HD Matrix<const T> matrix(std::int64_t i) const {
    const int n = rows_of(i);
    const T* const data = a + (a_shared ? 0 : first_row(i) * parameters);
    if (column_major) return {data, n, parameters, 1, n};
    return {data, n, parameters, parameters, 1};
  }
  SR_HD const T* target_of(std::int64_t i) const {
    return target + (target_shared ? 0 : first_row(i));
  }
  SR_HD const T* weights_of(std::int64_t i) const {
    return weights ? weights + (weights_shared ? 0 : first_row(i)) : nullptr;
  }
  SR_HD const T* start_of(std::int64_t i) const {
    return start ? start + (start_shared ? 0 : i * parameters) : nullptr;
  }
  SR_HD T* x_of(std::int64_t i) const { return x + i * parameters; }
  // A batch of which instance i is the only one; the arrays stay where they are.
  SR_HD Batch only(std::int64_t i) const {
    Batch one = *this;
    one.count = 1;
    one.rows = rows_of(i);
    one.offsets = nullptr;
    one.a = matrix(i).data;
    one.target = target_of(i);
    one.weights = weights_of(i);
    one.start = start_of(i);
    one.step_size = step_size + i;
    one.x = x_of(i);
    one.outcome = outcome + i;
    if (losses) one.losses = losses + i * tests;
    if (shifts) {
      one.shifts = shifts + i;
      one.operator_norm = operator_norm + i;
    }
    if (shift_f) {
      one.shift_f = shift_f + i * stop.max_steps;
      one.shift_x = shift_x + i * stop.max_steps;
    }
    if (output) {
      one.output = output + first_row(i);
      one.dlogits = dlogits + first_row(i);
      one.gradient = gradient + i * parameters;
      one.attended = attended + i * parameters;
      one.log_mass = log_mass + i;
    }
    return one;
  }
};

}  // namespace softreg
