// The reference backend: one lane, plain memory, one instance after another, any size.
#include "backend.hpp"
#include "memory_solver_declaration.hpp"
#include "softreg/model/catalog.hpp"

namespace softreg {
namespace {

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
  SolverMemory<T> memory;
  for (const std::int64_t i : run.fit) {
    if (run.cancelled()) return;
    visit_alternative<AnyLoss>(
        run.loss, [&]<class LossT>() { MemorySolver<LossT>::solve(run.batch, i, memory); });
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
