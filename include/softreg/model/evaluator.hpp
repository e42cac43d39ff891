// Evaluator: one evaluation of an instance and what it writes, once for every placement; updates
// and tests are its base's (descent.hpp). A Placement owns the numbers of the instance and its
// loops over rows and coordinates (memory_placement.hpp; kernels/register_placement.hpp;
// src/tile_placement.hpp). One that cannot hold all logits at once brings them tile by tile; tiles
// hold whole segments, and different threads may pass them at the same time. What happens to a
// segment is in segment_pass.hpp.
//
//   Placement  describes (can take part in evaluate()), step_size, operator_norm, shifts and bounds
//              (summaries), load, tiles(f(tile, sums)), attended, set_shifts, row_count,
//              lane_count; of coordinates (coordinates.hpp has them all): parameters, serial,
//              update, visit, visit_gradient, add_to_gradient, keep, once, stops, extent; each
//              where it Watches. sums: to be added to
//   tile       describes, one_pass (its rows have passed by, at the lagged shift: terms() is what
//              the loss sums of them, and combine(head) makes the gradient), each_segment,
//              sum_rows, max_rows, rows, store, weighted, weights, shift, set_shift, once;
//              where logits are held in bits (held_logits.hpp) origin, set_factor
// T may be a pack of numbers, one for each of several instances (src/pack_placement.hpp): decisions
// are then taken by select, and `any` and `all` ask whether to bother.
#pragma once
#include "softreg/model/descent.hpp"
#include "softreg/model/segment_pass.hpp"

namespace softreg {

// Watches: can trace bounds, as a placement with Coordinates can. A: as of SegmentPass.
template <class Placement, class LossT, class T, bool Watches = false, class A = T>
struct Evaluator : Descent<Placement, T> {
  using Descent<Placement, T>::p;
  using Descent<Placement, T>::batch;
  using Descent<Placement, T>::instance;
  using Descent<Placement, T>::before;
  using Totals = PassTotals<T, Watches>;

  // Logits at the optimizer's point, then loss and gradient of the objective there. describing: f
  // and A^T f take the place of dL/dz and of the gradient, and are written down. tested: the loss
  // is asked for; else it may be left out.
  SR_HD void evaluate(Count<T> step, bool describing, bool tested = true) {
    conclude(step, describing, pass(step, describing, tested));
  }
  // Its two halves, for a placement that makes the gradients of several instances together in
  // between: what the loss makes of the logits, and what is made of the gradient.
  SR_HD Totals pass(Count<T> step, bool describing, bool tested) {
    if constexpr (Placement::describes)
      if (describing) write_gradient();
    const SegmentPass<LossT, Watches, T, A> pass{batch,      instance, before,
                                                 describing, tested,   step == 0};
    return p.template tiles<Totals>([&pass](auto& tile, Totals& t) {
      tile.each_segment([&](const Segment& s) { pass(tile, s, t); });
    });
  }
  SR_HD void conclude(Count<T> step, bool describing, const Totals& sum) {
    this->loss = sum[total_loss];
    this->penalty = sum[total_penalty];
    if constexpr (Placement::describes)
      if (describing) p.attended(batch.attended + batch.first_segment(instance) * batch.d2);
    if (!describing && batch.shifts) this->template note<LossT>(sum, step);
    if (!describing && batch.ridge > 0)
      p.add_to_gradient([this](T point) { return batch.ridge * point; });
  }

  // The point just measured, at a step, becomes the result so far: in memory, because in registers
  // its numbers cost the fullest kernels their last ones.
  SR_HD void keep(int step, const Measurement<T>& now) const {
    p.keep();
    p.once([this, step, now] {
      batch.outcome[instance] = {Status::not_run, step, now.loss, now.objective, now.gradient_norm};
      if (batch.losses)
        batch.losses[instance * batch.tests + batch.stop.tests(step) - 1] = now.loss;
    });
  }
  SR_HD void write_gradient() const {
    const std::int64_t x = instance * batch.parameters();
    p.visit_gradient([=, this](int j, T grad) { batch.gradient[x + j] = grad; });
  }
};

}  // namespace softreg
