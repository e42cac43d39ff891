// The reference backend: one lane, plain memory, one instance after another, any size.
#include <algorithm>
#include <variant>

#include "backend.hpp"
#include "softreg/model/catalog.hpp"
#include "softreg/model/memory_solve.hpp"

namespace softreg {
namespace {

template <class LossT, class T>
void solve_one(const Batch<T>& batch, std::int64_t i, std::vector<T>& workspace) {
  const LaneGroup<1> lane;
  workspace.resize(
      static_cast<std::size_t>(memory_solve_values<T>(extent_of(batch, i), batch.watched())));
  batch.outcome[i] =
      batch.matrix ? solve_in_memory<Kronecker<T>, LossT, true>(lane, batch, i, workspace.data())
                   : solve_in_memory<Dense<Matrix<const T>, T>, LossT, true>(lane, batch, i,
                                                                             workspace.data());
}

template <class T>
void plan(const Run<T>& run, PlanSummary& summary) {
  const CpuPlan p = plan_reference(run.shape, run.memory_limit);
  summary.road = "reference";
  summary.size_class = "lanes1";
  summary.workspace_bytes = p.bytes;
}

template <class T>
void run_all(Run<T>& run, PlanSummary& summary) {
  plan(run, summary);
  std::vector<T> workspace;
  for (const std::int64_t i : run.fit) {
    if (run.cancelled()) return;
    visit_alternative<AnyLoss>(run.loss,
                               [&]<class LossT>() { solve_one<LossT>(run.batch, i, workspace); });
    run.publish(i);
  }
}

}  // namespace

const Backend reference_backend{"reference",
                                [] { return std::string(); },
                                [] { return std::string("one lane, one thread, any size"); },
                                plan<float>,
                                plan<double>,
                                run_all<float>,
                                run_all<double>};

}  // namespace softreg
