#include "sequence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "softreg/error.hpp"

namespace softreg {
namespace {

void demand_equal(std::int64_t i, const std::string& what, std::int64_t has, std::int64_t first) {
  if (has == first) return;
  throw Error(ErrorKind::invalid_input,
              fmt::format("instance {} has {} {} but instance 0 has {}: the contexts of a sequence "
                          "have one shape",
                          i, has, what, first));
}

void check_context(const Layout& l, std::int64_t i) {
  const std::int64_t first = l.first_block(i), blocks = l.first_block(i + 1) - first;
  demand_equal(i, l.matrix ? "blocks" : "softmaxes", blocks, l.first_block(1));
  for (std::int64_t k = 0; k < blocks; ++k) {
    const std::string where = blocks == 1 ? ""
                              : l.matrix  ? fmt::format(" in block {}", k)
                                          : fmt::format(" in softmax {}", k);
    if (l.matrix) demand_equal(i, "rows of A1" + where, l.rows1(first + k), l.rows1(k));
    demand_equal(i, (l.matrix ? "rows of A2" : "rows") + where, l.rows2(first + k), l.rows2(k));
  }
}

// The start of the next context, or null.
template <class T>
void set_start(Run<T>& run, const T* start) {
  run.batch.start = start;
  run.batch.start_shared = run.shape.start_shared = run.shape.started = start != nullptr;
}

}  // namespace

void validate_contexts(const Layout& layout) {
  for (std::int64_t i = 1; layout.begin2 && i < layout.count; ++i) check_context(layout, i);
}

template <class T>
void validate_sequence(const Batch<T>& batch) {
  validate_contexts(batch);
  if (batch.start && !batch.start_shared && batch.count > 1)
    throw Error(
        ErrorKind::invalid_input,
        fmt::format("argument '{}' has {} numbers but a sequence needs {}: the start of its "
                    "first context",
                    batch.matrix ? "X0" : "x0", batch.count * batch.parameters(),
                    batch.parameters()));
}

template <class T>
void plan_sequence(const Backend& backend, Run<T>& run, PlanSummary& summary) {
  const std::int64_t count = run.batch.count;
  run.shape.layout.count = std::min<std::int64_t>(count, 1);  // all are like the first
  run.fit.resize(static_cast<std::size_t>(run.shape.layout.count));
  backend.plan(run, summary);
  summary.sequence = true;
  if (count < 2 || run.shape.started) return;
  PlanSummary later = summary;
  run.shape.started = run.shape.start_shared = true;
  backend.plan(run, later);
  run.shape.started = run.shape.start_shared = false;
  if (later.workspace_bytes > summary.workspace_bytes) summary = later;
}

template <class T>
void run_sequence(const Backend& backend, Run<T>& run, PlanSummary& summary) {
  std::vector<std::int64_t> contexts = std::exchange(run.fit, {});
  try {
    for (const std::int64_t i : contexts) {
      if (run.cancelled()) break;
      run.fit = {i};
      backend.run(run, summary);
      if (run.is_finished(i)) set_start<T>(run, run.batch.x_of(i));
    }
  } catch (const Error& e) {
    run.fit = std::move(contexts);
    if (e.kind() == ErrorKind::device_lost) run.mark_lost();
    throw;
  }
  run.fit = std::move(contexts);
}

template void validate_sequence(const Batch<float>&);
template void validate_sequence(const Batch<double>&);
template void plan_sequence(const Backend&, Run<float>&, PlanSummary&);
template void plan_sequence(const Backend&, Run<double>&, PlanSummary&);
template void run_sequence(const Backend&, Run<float>&, PlanSummary&);
template void run_sequence(const Backend&, Run<double>&, PlanSummary&);

}  // namespace softreg
