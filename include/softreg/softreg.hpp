// softreg: batches of softmax-regression problems solved by gradient trajectories.
//
//   softreg::Result<float> r = softreg::solve(problem, {.loss = softreg::CrossEntropy{},
//                                                       .stop = {.max_steps = 200}});
//
// Thread safety: solve(), evaluate() and devices() may be called from any number of threads at
// once; calls share nothing but the worker threads. The problem's arrays must stay unchanged
// meanwhile. Errors: Error, before any work, when the call is wrong; Error when the machine fails.
// An instance that does not converge is a Status in the result, and its neighbours' bits do not
// depend on it.
#pragma once
#include "softreg/bounds.hpp"
#include "softreg/error.hpp"
#include "softreg/gradients.hpp"
#include "softreg/options.hpp"
#include "softreg/problem.hpp"
#include "softreg/result.hpp"
#include "softreg/version.hpp"

namespace softreg {

// Descends on every instance; T is float or double. Throws Error: invalid_input (shapes that
// disagree, with both numbers), usage (options), out_of_memory, device_unavailable, device_lost.
// Instances that did not end, because the callback or the time limit said so, are Status::not_run.
template <class T>
Result<T> solve(const VectorProblem<T>& problem, const Options& options = {});
template <class T>
Result<T> solve(const MatrixProblem<T>& problem, const Options& options = {});

// Loss, gradient, f, log mass and A^T f at the starts, without a step: of the options, stop and
// trace do not count, nor do step sizes without a ball. On a ball the gradient norm is that of the
// gradient mapping, whose step size is the given one, and 1 for an automatic one. Throws as solve.
template <class T>
Evaluation<T> evaluate(const VectorProblem<T>& problem, const Options& options = {});
template <class T>
Evaluation<T> evaluate(const MatrixProblem<T>& problem, const Options& options = {});

// One per backend, best last; `unavailable` is empty or says in one sentence why it cannot be used.
struct DeviceReport {
  std::string name;         // "reference", "cpu", "cuda"
  std::string description;  // "x86-64-v4, 2 threads"; "NVIDIA H200, 132 multiprocessors"
  std::string unavailable;
};
std::vector<DeviceReport> devices();

}  // namespace softreg
