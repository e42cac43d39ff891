// Alone: instances of the CPU backend one after another, each on 16 lanes or in tiles, perhaps in
// fewer parameters (src/reduction.hpp).
#pragma once
#include <algorithm>
#include <cstdint>

#include "aligned.hpp"
#include "cpu_isa.hpp"
#include "reduction.hpp"
#include "run.hpp"
#include "team.hpp"

namespace softreg {

// What a first attempt at instance i may have written and a second one may not.
template <class T>
void clear_traces(const Batch<T>& batch, std::int64_t i) {
  const auto clear = [i](T* trace, std::int64_t values) {
    if (trace) std::fill_n(trace + i * values, values, quiet_nan<T>());
  };
  clear(batch.losses, batch.tests);
  clear(batch.shift_f, batch.stop.max_steps);
  clear(batch.shift_x, batch.stop.max_steps);
}

template <class T>
class Alone {
 public:
  // workspace_values: of the plan.
  Alone(const CpuIsa& isa, Run<T>& run, std::int64_t workspace_values)
      : isa_(isa), run_(run), values_(static_cast<std::size_t>(workspace_values)) {}

  // Solves instance i and publishes it.
  void solve(std::int64_t i, const Team& team = {}) {
    const Batch<T>* const reduced =
        reduces(run_.shape, i) ? reduction_.take(run_.batch, i) : nullptr;
    if (reduced)
      call(*reduced, 0, team);
    else
      call(run_.batch, i, team);
    if (reduced && run_.batch.outcome[i].status != Status::not_run && !reduction_.lift())
      return solve_unreduced(i, team);
    run_.publish(i);
  }
  // The same where a reduction was tried and gained nothing.
  void solve_unreduced(std::int64_t i, const Team& team = {}) {
    clear_traces(run_.batch, i);
    call(run_.batch, i, team);
    run_.publish(i);
  }

 private:
  void call(const Batch<T>& batch, std::int64_t i, const Team& team) {
    if (workspace_.empty()) workspace_.resize(values_);
    isa_.solve(int(sizeof(T)), run_.loss, &batch, i, workspace_.data(), &team);
  }

  const CpuIsa& isa_;
  Run<T>& run_;
  std::size_t values_;
  AlignedVector<T> workspace_;
  Reduction<T> reduction_;
};

}  // namespace softreg
