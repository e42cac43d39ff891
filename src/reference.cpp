// The reference backend: one lane, plain memory, one instance after another, any size.
#include <algorithm>
#include <variant>

#include "backend.hpp"
#include "softreg/model/catalog.hpp"
#include "softreg/model/memory_placement.hpp"

namespace softreg {
namespace {

template <class LossT, class Opt, class T>
void solve_one(const Batch<T>& batch, std::int64_t i, std::vector<T>& workspace) {
  const Matrix<const T> a = batch.matrix(i);
  const std::int64_t own = MemoryWorkspace<T>::size(a.rows, a.cols, Opt::memory);
  workspace.resize(
      static_cast<std::size_t>(own + (batch.shifts ? ShiftWorkspace<T>::size(a.rows, a.cols) : 0)));
  using Placement = MemoryPlacement<LaneGroup<1>, Dense<Matrix<const T>, T>, Opt::memory, T>;
  Evaluator<Placement, LossT, Opt, T> e{
      {{},
       {a},
       batch.target_of(i),
       batch.weights_of(i),
       batch.start_of(i),
       batch.x_of(i),
       MemoryWorkspace<T>::carve(workspace.data(), a.rows, a.cols, Opt::memory)},
      batch,
      i,
      {workspace.data() + own, a.rows}};
  e.p.load();
  batch.outcome[i] = trajectory<T>(e, batch.stop);
}

template <class T>
void plan(const Run<T>& run, PlanSummary& summary) {
  const CpuPlan p = plan_cpu(run.shape, 1, 1, run.memory_limit);
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
    visit_alternative<AnyLoss>(run.loss, [&]<class LossT>() {
      visit_alternative<AnyOptimizer>(
          run.optimizer, [&]<class Opt>() { solve_one<LossT, Opt>(run.batch, i, workspace); });
    });
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
