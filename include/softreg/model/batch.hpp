// Batch: the instances of one launch as plain arrays, the same struct for the reference, the CPU
// lanes and the kernels. A solver takes its instance with the item functions and never sees the
// rest.
#pragma once
#include <cstdint>

#include "softreg/model/layout.hpp"
#include "softreg/model/matrix.hpp"
#include "softreg/model/shift_summary.hpp"
#include "softreg/model/trajectory.hpp"

namespace softreg {

template <class T>
struct Batch : Layout {
  const T* a1 = nullptr;       // (n, d1) per block; null in a vector problem
  const T* a2 = nullptr;       // (m, d2) per block: A of a vector problem
  const T* target = nullptr;   // like the logits
  const T* weights = nullptr;  // like the logits, or null:
  T weight = T(0);             // of every logit; 0: no logit weights
  const T* start = nullptr;    // (d1, d2) or null: zeros
  bool a1_shared = false, a2_shared = false;
  bool target_shared = false, weights_shared = false, start_shared = false;
  bool column_major = false;     // a vector problem's A, within each instance
  int a2_stride = 0;             // of a matrix problem, from row to row; 0: d2
  const T* step_size = nullptr;  // (count)
  T ridge = T(0), ball = T(0);
  int optimizer = 0;  // index into AnyOptimizer
  Stop stop;
  const int* cancelled = nullptr;  // set by another thread to end the solve; null: cannot

  int* taken = nullptr;  // CUDA: instances taken beyond the first of each group; 0 at the start

  T* x = nullptr;                 // (count, parameters)
  Outcome<T>* outcome = nullptr;  // (count)

  int tests = 0;                             // length of one instance's losses
  T* losses = nullptr;                       // (count, tests)
  ShiftSummary<T>* shifts = nullptr;         // (count)
  BoundSummary<T>* bounds = nullptr;         // (count) or null; with shifts
  const T* operator_norm = nullptr;          // (count), with shifts
  T *shift_f = nullptr, *shift_x = nullptr;  // (count, max_steps)

  T *output = nullptr, *dlogits = nullptr;  // like the logits; all five or none
  T* gradient = nullptr;                    // (count, parameters)
  T* attended = nullptr;  // (segments, d2): f A2, which is A^T f segment by segment
  T* log_mass = nullptr;  // (segments)

  // Rows of a block.
  SR_HD Matrix<const T> a1_of(std::int64_t k) const {
    return {a1 + (a1_shared ? 0 : this->first1(k) * this->d1), this->rows1(k), this->d1, this->d1,
            1};
  }
  SR_HD Matrix<const T> a2_of(std::int64_t k) const {
    return {a2 + (a2_shared ? 0 : this->first2(k) * this->d2), this->rows2(k), this->d2,
            a2_stride > 0 ? a2_stride : this->d2, 1};
  }
  // A of a vector problem: the rows of all its segments.
  SR_HD Matrix<const T> a_of(std::int64_t i) const {
    const int rows = this->rows_of(i);
    const T* const data = a2 + (a2_shared ? 0 : this->first_row(i) * this->d2);
    if (column_major) return {data, rows, this->d2, 1, rows};
    return {data, rows, this->d2, this->d2, 1};
  }
  SR_HD const T* target_of(std::int64_t i) const {
    return target + (target_shared ? 0 : this->first_row(i));
  }
  SR_HD const T* weights_of(std::int64_t i) const {
    return weights ? weights + (weights_shared ? 0 : this->first_row(i)) : nullptr;
  }
  SR_HD Watched watched() const {
    return bounds ? Watched::bounds : shifts ? Watched::shifts : Watched::nothing;
  }
  SR_HD bool weighted() const { return weights != nullptr || weight != T(0); }
  SR_HD const T* start_of(std::int64_t i) const {
    return start ? start + (start_shared ? 0 : i * this->parameters()) : nullptr;
  }
  SR_HD T* x_of(std::int64_t i) const { return x + i * this->parameters(); }

  // Becomes its instance i alone, which must be one block.
  SR_HD void narrow(std::int64_t i) {
    const std::int64_t k = this->first_block(i), segment = this->first_segment(i),
                       row = this->first_row(i), parameter = i * this->parameters();
    const int rows1 = this->rows1(k), rows2 = this->rows2(k);
    if (this->matrix) a1 = a1_of(k).data;
    a2 = a2_of(k).data;
    target = target_of(i);
    weights = weights_of(i);
    start = start_of(i);
    step_size += i;
    x += parameter;
    outcome += i;
    if (losses) losses += i * tests;
    if (shifts) {
      shifts += i;
      operator_norm += i;
    }
    if (bounds) bounds += i;
    if (shift_f) {
      shift_f += i * stop.max_steps;
      shift_x += i * stop.max_steps;
    }
    if (output) {
      output += row;
      dlogits += row;
      gradient += parameter;
      attended += segment * this->d2;
      log_mass += segment;
    }
    this->n = rows1;
    this->m = rows2;
    this->count = 1;
    this->blocks = this->begin1 = this->begin2 = this->begin_z = nullptr;
  }
};

}  // namespace softreg
