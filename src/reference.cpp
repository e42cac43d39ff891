// The reference backend: one lane, plain memory, one instance after another, any size.
#include <algorithm>
#include <variant>

#include "backend.hpp"
#include "softreg/model/catalog.hpp"
#include "softreg/model/memory_placement.hpp"

namespace softreg {
namespace {

template <class LossT, class Opt, class Op, class T>
void solve_one(const Batch<T>& batch, std::int64_t i, const Op& op, const Extent& e,
               const MemoryWorkspace<T>& arrays, T* before) {
  using Placement = MemoryPlacement<LaneGroup<1>, Op, Opt::memory, T>;
  Evaluator<Placement, LossT, Opt, T> evaluator{{{},
                                                 op,
                                                 batch.target_of(i),
                                                 batch.weights_of(i),
                                                 batch.weight,
                                                 batch.start_of(i),
                                                 batch.x_of(i),
                                                 arrays},
                                                batch,
                                                i,
                                                {before, static_cast<int>(e.rows)}};
  evaluator.p.load();
  batch.outcome[i] = trajectory<T>(evaluator, batch.stop);
}

template <class LossT, class Opt, class T>
void solve_one(const Batch<T>& batch, std::int64_t i, std::vector<T>& workspace) {
  const Extent e = extent_of(batch, i);
  const std::int64_t own = MemoryWorkspace<T>::size(e, Opt::memory);
  workspace.resize(static_cast<std::size_t>(own + (batch.shifts ? ShiftWorkspace<T>::size(e) : 0)));
  const auto arrays = MemoryWorkspace<T>::carve(workspace.data(), e, Opt::memory);
  T* const before = workspace.data() + own;
  if (batch.matrix)
    solve_one<LossT, Opt>(batch, i, Kronecker<T>{batch, i, arrays.projected}, e, arrays, before);
  else
    solve_one<LossT, Opt>(batch, i, Dense<Matrix<const T>, T>{batch.a_of(i), &batch, i}, e, arrays,
                          before);
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
