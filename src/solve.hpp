// The conductor's own view of a solve: validated and planned first, then run, readable meanwhile.
// softreg::solve() is construct, run, snapshot; the program keeps the object so that a signal can
// save what is finished while workers are still busy.
#pragma once
#include <memory>

#include "softreg/softreg.hpp"

namespace softreg {

template <class T>
class LiveSolve {
 public:
  // Validates every shape and option and plans; throws Error. The problem's arrays must outlive
  // *this.
  LiveSolve(const VectorProblem<T>& problem, const Options& options);
  LiveSolve(const MatrixProblem<T>& problem, const Options& options);
  ~LiveSolve();
  LiveSolve(const LiveSolve&) = delete;
  LiveSolve& operator=(const LiveSolve&) = delete;

  const PlanSummary& plan() const;

  // Blocks until every instance is finished, cancelled or out of time. Call once. Throws Error.
  void run();

  // From any thread at any time: finished instances as they are, the others as not_run.
  Result<T> snapshot() const;

  // At x0, no iteration.
  static Evaluation<T> evaluate(const VectorProblem<T>& problem, const Options& options);
  static Evaluation<T> evaluate(const MatrixProblem<T>& problem, const Options& options);
  static PlanSummary evaluation_plan(const VectorProblem<T>& problem, const Options& options);
  static PlanSummary evaluation_plan(const MatrixProblem<T>& problem, const Options& options);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace softreg
