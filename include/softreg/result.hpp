// What solve() and evaluate() return: flat arrays over instances, and how the work was done.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "softreg/model/shift_summary.hpp"
#include "softreg/model/trajectory.hpp"

namespace softreg {

// The contract's name of a status: "converged", "max_steps", ...
std::string_view status_name(Status status);

// Whether descent was begun: then x is where it ended, and finite.
inline bool has_begun(Status status) {
  return !is_bad(status) && status != Status::not_run && status != Status::device_error;
}

// Where and how a batch was placed; texts for people and for --json.
struct PlanSummary {
  std::string road;        // "reference", "cpu", "cuda"
  std::string isa;         // of the CPU lanes: "x86-64", "x86-64-v3", "x86-64-v4"; else ""
  std::string size_class;  // "lanes16", "packs4", "lanes8_64x16_reduced", ..., with commas
  std::string kernels;     // CUDA, per class: "catalogue"; made at run time: "specialised", "fast"
  int lanes = 1;           // lanes that share one instance (the most, if classes differ)
  double padding = 0;    // share of the occupied rows (CUDA: of the places for A) that are padding
  double occupancy = 0;  // CUDA: share of a multiprocessor's threads that run
  double waves = 0;      // CUDA: instances that a group of lanes (or a place of one that solves
                         // several side by side) solves one after the other
  std::int64_t chunks = 1;
  std::int64_t workspace_bytes = 0;
  std::int64_t result_bytes = 0;  // of host memory, for what is returned
  int threads = 1;                // CPU
  bool sequence = false;          // all of this is of one instance at a time
  bool batch_invariant = true;    // false: not the bits that Options::batch_invariant gives
};

struct Message {
  std::int64_t instance, row;  // row: within the instance, -1 if none
  std::string text;
};

template <class T>
struct Result {
  std::int64_t count = 0, d = 0;                  // d: parameters; d1 d2 of a matrix problem
  std::vector<T> x;                               // (count, d), or (count, d1, d2)
  std::vector<Status> status;                     // (count)
  std::vector<std::int32_t> steps;                // (count) updates made
  std::vector<T> loss, objective, gradient_norm;  // (count), at x
  std::vector<T> trace_loss;                      // (count, tests), NaN after the end
  std::vector<std::int32_t> trace_step;           // (tests)
  std::vector<ShiftSummary<T>> shifts;            // (count)
  std::vector<BoundSummary<T>> bounds;            // (count), trace bounds
  std::vector<T> shift_f, shift_x;                // (count, max_steps), NaN after the end
  std::vector<Message> messages;                  // at most 100: what was wrong with which instance
  std::vector<std::string> warnings;              // about the call
  PlanSummary plan;
  double solve_seconds = 0, step_size_seconds = 0;
  bool interrupted = false;  // by cancel or the time limit: something is not_run
};

// At x0, no iteration.
template <class T>
struct Evaluation {
  Result<T> at;             // loss, objective, gradient_norm, status of every instance; x = x0
  std::vector<T> output;    // f, like b per instance
  std::vector<T> dlogits;   // d objective / dz, like output
  std::vector<T> gradient;  // (count, d), of the objective
  std::vector<T> attended;  // (softmaxes, d), A^T f of each; matrix problem: f A2, (rows of A1, d2)
  std::vector<T> log_mass;  // (softmaxes): log <exp z, 1>; empty for losses without a softmax
};

}  // namespace softreg
