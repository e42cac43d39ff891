// solve_packs: instances of one shape on a PackPlacement. A place whose instance has ended takes
// the next one, so that none waits for another.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>

#include "pack_placement.hpp"
#include "softreg/model/evaluator.hpp"

namespace softreg {

// Watches: traces bounds.
template <class LossT, int Lanes, bool Watches, class T>
void solve_packs(const Batch<T>& batch, const PackQueue& queue, T* workspace) {
  using Placement = PackPlacement<T, Lanes, !Watches>;
  using P = typename Placement::P;
  constexpr int places = Placement::places;
  const int rows = queue.rows;
  P* const memory = reinterpret_cast<P*>(workspace);
  const Extent in_registers{pack_rows(rows, Lanes), 1, batch.parameters(), 0, rows};
  P* const before = memory + pack_size(in_registers.rows, batch.parameters(),
                                       held_columns(batch.parameters(), Lanes, batch.a2_shared));
  Evaluator<Placement, LossT, P, Watches> e{
      {{batch, rows, memory}, batch, 0, ShiftWorkspace<P>::of(before, in_registers)}};
  if (batch.shifts) {
    for (std::int64_t k = 0; k < ShiftWorkspace<P>::size(in_registers, batch.watched()); ++k)
      before[k] = P(T(0));
    e.before.set_sizes(SizeTerms<P>::of(rows, 1, rows, batch.parameters()));
  }
  std::int64_t instance[places];  // -1: none is left for this place
  std::int64_t began[places];     // when, in updates of the pack
  std::int64_t due[places];       // its next test, likewise
  Status status[places];
  P steps;  // of each place
  constexpr auto never = std::numeric_limits<std::int64_t>::max();
  std::int64_t now = 0, next_test = 0;
  int busy = 0;
  const auto step = [&](int k) { return static_cast<int>(now - began[k]); };
  const auto take = [&](int k, std::int64_t at) {
    began[k] = due[k] = at;
    for (int l = k * Lanes; l < (k + 1) * Lanes; ++l) steps.set(l, T(0));
    instance[k] = queue.next(queue.context);
    if (instance[k] < 0) {
      due[k] = never;
      return e.p.clear(k);
    }
    e.p.load(k, instance[k]);
    ++busy;
  };

  for (int k = 0; k < places; ++k) take(k, 0);
  for (; busy > 0; ++now) {
    const bool test = now == next_test;
    e.evaluate(steps, false, test);
    if (test) {
      if (e.cancelled()) {
        for (const std::int64_t i : instance)
          if (i >= 0) batch.outcome[i] = {};
        return;
      }
      const Measurement<P> all = e.measure();
      for (int k = 0; k < places; ++k) {
        if (now != due[k]) continue;
        const int lane = k * Lanes;
        const Measurement<T> mine{all.loss[lane], all.objective[lane], all.gradient_norm[lane],
                                  all.finite_point[lane]};
        const Verdict verdict = judge(mine, step(k), batch.stop);
        status[k] = verdict.status;
        if (!verdict.kept) continue;
        batch.outcome[instance[k]] = {Status::not_run, step(k), mine.loss, mine.objective,
                                      mine.gradient_norm};
        e.p.keep(k, batch.x_of(instance[k]));
        if (batch.losses)
          batch.losses[instance[k] * batch.tests + batch.stop.tests(step(k)) - 1] = mine.loss;
      }
    }
    const auto moved = e.update(steps, test);
    steps = steps + T(1);
    if (!test) continue;
    next_test = never;
    for (int k = 0; k < places; ++k) {
      if (now == due[k]) {
        // Tests are check_every steps apart, but for the last.
        due[k] = now + std::min(batch.stop.check_every, batch.stop.max_steps - step(k));
        bool ended = status[k] != Status::max_steps || step(k) == batch.stop.max_steps;
        if (!ended && !moved[k * Lanes] && batch.stop.gradient_norm > 0) {
          status[k] = Status::stalled;
          ended = true;
        }
        if (ended) {
          batch.outcome[instance[k]].status = status[k];
          e.p.keep_traces(k, instance[k]);
          queue.publish(queue.context, instance[k]);
          --busy;
          take(k, now + 1);
        }
      }
      next_test = std::min(next_test, due[k]);
    }
  }
}

}  // namespace softreg
