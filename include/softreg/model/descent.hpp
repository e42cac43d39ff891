// Descent: what of an evaluator does not depend on the loss: tests, updates, the ball, the record
// of a trace. (What writes results is the Evaluator's, because a pack, whose Descent is compiled as
// a whole, writes its own.) All lanes of the group run this code together and hold equal values.
#pragma once
#include "softreg/model/bound_judge.hpp"
#include "softreg/model/length.hpp"
#include "softreg/model/optimizers/any_optimizer.hpp"
#include "softreg/model/trajectory.hpp"

namespace softreg {

template <class Placement, class T>
struct Descent {
  Placement p;
  const Batch<Real<T>>& batch;
  std::int64_t instance;     // of a pack: not used
  ShiftWorkspace<T> before;  // of shift traces
  T loss = T(0), penalty = T(0);

  SR_HD void init() {
    p.set_shifts(infinity<T>());  // the guard acts at step 0
    if (batch.shifts)
      p.once([this] {
        const Extent e = p.extent(batch, instance);
        before.set_sizes(SizeTerms<T>::of(p.row_count(), static_cast<int>(e.segments),
                                          static_cast<int>(e.longest), p.parameters()));
        p.shifts(batch, instance) = {};
        if (batch.bounds) p.bounds(batch, instance) = {};
      });
  }

  SR_HD bool cancelled() const { return p.stops(batch.cancelled); }
  SR_HD bool describes() const { return batch.output != nullptr; }

  SR_APART Measurement<T> measure() const {
    const T t = p.step_size(batch, instance), factor = projection(t);
    // With a ball: the gradient mapping |x - P(x - t g)| / t; where nothing is projected that is
    // the gradient, and not a difference of nearby numbers.
    const T norm = length([=](int, T point, T grad) {
      return either(
          factor == T(1), [=] { return grad; },
          [=] { return (point - factor * fma_(-t, grad, point)) / t; });
    });
    T objective = loss + penalty;
    if (batch.ridge > 0) {
      const T reach = point_length();
      objective = fma_(batch.ridge / T(2) * reach, reach, objective);
    }
    const auto finite = p.template serial<T>([](int, T point, T, T s) {
      return s + select(is_finite(point), T(0), T(1));
    }) == T(0);
    return {loss, objective, norm, finite};
  }

  SR_HD void end(Status status) const {
    p.once([this, status] {
      if (status == Status::not_run)
        batch.outcome[instance] = {};
      else
        batch.outcome[instance].status = status;
    });
  }

  // Returns whether anything moved; looks only if asked, and says yes otherwise.
  SR_APART Truth<T> update(Count<T> step, bool ask) {
    const T t = p.step_size(batch, instance), factor = projection(t);
    const AnyFirstOrder optimizer{batch.optimizer};
    Truth<T> moved = yes<T>();
    optimizer.visit([&]<class One>() {
      moved = p.update(
          [=](T& x, T& point, T grad) {
            const T old = x, there = point;
            One::advance(step, factor * fma_(-t, grad, there), x, point);
            return !(x == old && point == there);
          },
          ask);
    });
    if (optimizer.looks_ahead() && batch.ball > 0) {  // y stays on the ball too: it is returned
      const T reach = point_length();
      const T back = projection_of(reach);
      p.update([back](T&, T& point, T) {
        point = back * point;
        return true;
      });
    }
    return moved;
  }

  // What brings point - t grad back on the ball; 1 inside it or without one.
  SR_HD T projection(T t) const {
    if (!(batch.ball > 0)) return T(1);
    return projection_of(length([t](int, T point, T grad) { return fma_(-t, grad, point); }));
  }
  SR_HD T projection_of(T reach) const {
    return select(reach > T(batch.ball), batch.ball / reach, T(1));
  }

  // |v| over coordinates j of each of the K numbers v = values(j, point, gradient).
  template <int K, class F>
  SR_HD Sums<T, K> lengths(F values) const {
    return lengths_of<T, K>([=, this](const Sums<T, K>& scale) {
      return p.template serial<Sums<T, K>>([=](int j, T point, T grad, Sums<T, K> s) {
        const Sums<T, K> v = values(j, point, grad);
        SR_UNROLL
        for (int k = 0; k < K; ++k) s.v[k] = fma_(v[k] * scale[k], v[k] * scale[k], s[k]);
        return s;
      });
    });
  }
  template <class F>
  SR_HD T length(F value) const {
    return lengths<1>(
        [=](int j, T point, T grad) { return Sums<T, 1>{{value(j, point, grad)}}; })[0];
  }
  SR_HD T point_length() const {
    return length([](int, T point, T) { return point; });
  }

  // One more update of a trace, from the sums over segments.
  template <class LossT, class Totals>
  SR_HD void note(const Totals& sum, Count<T> step) {
    const Shift<T> shift = take_shift(sqrt_(sum[total_df]), sqrt_(sum[total_dz]));
    if constexpr (LossT::normalized && std::is_same_v<Totals, PassTotals<T, true>>)
      if (batch.bounds) note_bounds<LossT>(sum, shift, step > 0);
    record(shift, LossT::normalized, step);
  }
  // The point takes the place of the one before.
  SR_APART Shift<T> take_shift(T df, T dz) const {
    const ShiftWorkspace<T> w = before;
    const Sums<T, 3> x = lengths<3>([=](int j, T point, T) {
      return Sums<T, 3>{{point - w.x(j), w.x(j), point}};
    });
    p.visit([=](int j, T point) { w.x(j) = point; });
    return {df, dz, x[0], x[1], x[2]};
  }
  SR_APART void record(const Shift<T>& shift, bool normalized, Count<T> step) const {
    const Truth<T> begun = step > 0;
    if (!any(begun)) return;
    p.once([=, this] {
      note_shift(p.shifts(batch, instance), shift, scale(), normalized, begun);
      if constexpr (std::is_same_v<Count<T>, int>)
        if (batch.shift_f) {
          batch.shift_f[instance * batch.stop.max_steps + step - 1] = shift.f;
          batch.shift_x[instance * batch.stop.max_steps + step - 1] = shift.x;
        }
    });
  }

  SR_HD ShiftScale<T> scale() const {
    const Extent e = p.extent(batch, instance);
    return {p.row_count(),
            static_cast<int>(e.segments),
            static_cast<int>(e.longest),
            p.parameters(),
            p.lane_count(),
            p.operator_norm(batch, instance),
            before.sizes()};
  }

  // The same for the other quantities of the theorems.
  template <class LossT>
  SR_HD void note_bounds(const PassTotals<T, true>& sum, const Shift<T>& shift, Truth<T> begun) {
    const ShiftWorkspace<T> w = before;
    const T error = sqrt_(sum[total_error]), error_before = w.error(), moved = take_gradient();
    const Truth<T> judged = begun && is_finite(shift.f) && is_finite(shift.z) && is_finite(shift.x);
    p.once([=, this, &sum, c = scale()] {
      w.error() = error;
      if (!any(judged)) return;
      const BoundLengths<T> lengths{sum, shift, moved, error, error_before, batch.weighted()};
      BoundRows<LossT, T>{lengths, c, w}.write();
      note_context<LossT>(p.bounds(batch, instance), lengths, judged);
    });
    if (any(judged)) judge_bounds(shift, sum[total_strays] == T(0), judged);
  }
  // How far the gradient moved; it takes the place of the one before.
  SR_APART T take_gradient() const {
    const ShiftWorkspace<T> w = before;
    const T moved = length([=](int j, T, T grad) { return grad - w.gradient(j); });
    p.visit_gradient([=](int j, T grad) { w.gradient(j) = grad; });
    return moved;
  }
  // What note_bounds has written down of an update; simplex: every b is in it.
  SR_APART void judge_bounds(const Shift<T>& shift, Truth<T> simplex, Truth<T> judged) const {
    const ShiftWorkspace<T> w = before;
    const ShiftScale<T> c = scale();
    const Truth<T> large = !(max_(c.operator_norm, max_(shift.before, shift.after)) < T(4));
    p.each(bound_count, [=, this](int k) {
      judge_bound(p.bounds(batch, instance), w, k, sum_depth(c) + c.segments - 1, simplex, large,
                  judged);
    });
  }
};

}  // namespace softreg
