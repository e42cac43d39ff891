// Descent: everything of an evaluator that does not depend on the loss: tests, updates, the ball,
// the record of a trace. All lanes of the group run this code together and hold equal values.
#pragma once
#include "softreg/model/length.hpp"
#include "softreg/model/segment_pass.hpp"
#include "softreg/model/trajectory.hpp"

namespace softreg {

template <class Placement, class Opt, class T>
struct Descent {
  Placement p;
  const Batch<T>& batch;
  std::int64_t instance;
  ShiftWorkspace<T> before;  // of shift traces
  T loss = T(0), penalty = T(0);

  SR_HD void init() {
    p.update([](T& x, T* m, T) {
      Opt::init(x, m);
      return false;
    });
    p.set_shifts(infinity<T>());  // the guard acts at step 0
    if (batch.shifts) p.once([this] { batch.shifts[instance] = {}; });
  }

  SR_HD bool cancelled() const { return p.stops(batch.cancelled); }
  SR_HD bool describes() const { return batch.output != nullptr; }

  SR_HD Measurement<T> measure() const {
    const T t = batch.step_size[instance], factor = projection(t);
    // With a ball: the gradient mapping |x - P(x - t g)| / t; where nothing is projected that is
    // the gradient, and not a difference of nearby numbers.
    const T norm = length([=](int, T point, T grad) {
      return factor == T(1) ? grad : (point - factor * fma_(-t, grad, point)) / t;
    });
    T objective = loss + penalty;
    if (batch.ridge > T(0)) {
      const T reach = point_length();
      objective = fma_(batch.ridge / T(2) * reach, reach, objective);
    }
    const bool finite = p.template serial<T>([](int, const T& x, const T* m, T, T s) {
      return s + (is_finite(Opt::point(x, m)) ? T(0) : T(1));
    }) == T(0);
    return {loss, objective, norm, finite};
  }

  // The point just measured becomes the result so far.
  SR_HD void keep(int test, const Measurement<T>& now) const {
    p.keep([](const T& x, const T* m) { return Opt::point(x, m); });
    if (batch.losses)
      p.once([this, test, now] { batch.losses[instance * batch.tests + test] = now.loss; });
  }

  // Returns whether anything moved; looks only if asked, and says yes otherwise.
  SR_HD bool update(int step, bool ask) {
    const T t = batch.step_size[instance], factor = projection(t);
    const auto advance = [=](T& x, T* m, T grad) {
      const T old = x, point = Opt::point(x, m);
      Opt::advance(step, factor * fma_(-t, grad, point), x, m);
      return !(x == old && Opt::point(x, m) == point);
    };
    const bool moved = p.update(advance, ask);
    if constexpr (Opt::looks_ahead) {
      if (batch.ball > T(0)) {  // the look-ahead point stays on the ball too: it may be returned
        const T reach = point_length();
        const T back = reach > batch.ball ? batch.ball / reach : T(1);
        p.update([back](T& x, T* m, T) {
          Opt::move_point(back, x, m);
          return true;
        });
      }
    }
    return moved;
  }

  // What brings point - t grad back on the ball; 1 inside it or without one.
  SR_HD T projection(T t) const {
    if (!(batch.ball > T(0))) return T(1);
    const T reach = length([t](int, T point, T grad) { return fma_(-t, grad, point); });
    return reach > batch.ball ? batch.ball / reach : T(1);
  }

  // |value(j, point, gradient)| over coordinates j.
  template <class F>
  SR_HD T length(F value) const {
    return p
        .template serial<Length<T>>([value](int j, const T& x, const T* m, T grad, Length<T> s) {
          s.add(value(j, Opt::point(x, m), grad));
          return s;
        })
        .value();
  }
  SR_HD T point_length() const {
    return length([](int, T point, T) { return point; });
  }

  // One more update of a shift trace, from the sums over segments. softmax: f is one.
  SR_HD void note(const PassTotals<T>& sum, int step, bool softmax) {
    const ShiftWorkspace<T> w = before;
    const T x_moved = length([=](int j, T point, T) { return point - w.x(j); });
    const T x_before = length([=](int j, T, T) { return w.x(j); });
    const T x_after = point_length();
    p.visit([=](int j, const T& v, const T* m) { w.x(j) = Opt::point(v, m); });
    if (step == 0) return;
    p.once([=, this] {
      const Shift<T> shift{sqrt_(sum[2]), sqrt_(sum[3]), x_moved, x_before, x_after};
      const Extent e = p.extent(batch, instance);
      note_shift(
          batch.shifts[instance], shift,
          ShiftScale<T>{p.row_count(), static_cast<int>(e.segments), static_cast<int>(e.longest),
                        p.parameters(), p.lanes, batch.operator_norm[instance]},
          softmax);
      if (batch.shift_f) {
        batch.shift_f[instance * batch.stop.max_steps + step - 1] = shift.f;
        batch.shift_x[instance * batch.stop.max_steps + step - 1] = shift.x;
      }
    });
  }

  SR_HD void write_gradient() {
    const std::int64_t x = instance * batch.parameters();
    p.visit_gradient([=, this](int j, T grad) { batch.gradient[x + j] = grad; });
  }
};

}  // namespace softreg
