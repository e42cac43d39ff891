// softreg: batches of softmax-regression problems solved by gradient trajectories.
//
//   softreg::Result<float> r = softreg::solve(problem, {.loss = softreg::RescaledL2{}, .stop =
//   {.max_steps = 200}});
//
// Thread safety: solve(), evaluate() and devices() may be called from any number of threads at
// once; calls share nothing but the worker threads. The problem's arrays must stay unchanged
// meanwhile. Errors: Error, before any work, when the call is wrong; Error when the machine fails.
// An instance that does not converge is a Status in the result, and its neighbours' bits do not
// depend on it.
#pragma once
#include "softreg/error.hpp"
#include "softreg/gradients.hpp"
#include "softreg/options.hpp"
#include "softreg/problem.hpp"
#include "softreg/result.hpp"
#include "softreg/version.hpp"

namespace softreg {

// T is float or double.
template <class T>
Result<T> solve(const VectorProblem<T>& problem, const Options& options = {});

template <class T>
Result<T> solve(const MatrixProblem<T>& problem, const Options& options = {});

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
