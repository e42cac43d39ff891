// Evaluator: one evaluation and one update of an instance, written once for every placement.
// A Placement owns the numbers of the instance and its loops over rows and coordinates
// (memory_placement.hpp; kernels/register_placement.hpp); the evaluator owns everything between:
// the lagged shift and its guard, regularisers, the ball, tests, shift measurement. Losses and
// optimizers are arithmetic on single numbers. All lanes of the group run this code together and
// hold equal values.
#pragma once
#include "softreg/model/batch.hpp"
#include "softreg/model/length.hpp"
#include "softreg/model/shifts.hpp"
#include "softreg/model/sums.hpp"
#include "softreg/model/trajectory.hpp"

namespace softreg {

template <class Placement, class LossT, class Opt, class T>
struct Evaluator {
  using Head = typename LossT::template Head<T>;
  using Terms = typename LossT::template Terms<T>;

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
    for (int s = 0; s < p.segments(); ++s)
      p.set_shift(s, infinity<T>());  // the guard acts at step 0
    if (batch.shifts) p.once([this] { batch.shifts[instance] = {}; });
  }

  // Logits at the optimizer's point, then loss and gradient of the objective there. describing: f
  // and A^T f take the place of dL/dz and of the gradient, and are written down.
  SR_HD void evaluate(int step, bool describing) {
    if (describing) write_gradient();
    p.logits([](const T& x, const T* m) { return Opt::point(x, m); });
    loss = penalty = T(0);
    for (int s = 0; s < p.segments(); ++s) {
      T shift = LossT::normalized ? p.shift(s) : T(0);
      const Head h = open(s, shift);
      loss = loss + h.loss;
      if (p.weighted()) penalty = penalty + weigh(s);
      if (batch.shifts && !describing) watch(s, h, step);
      p.rows(s, [=, this](int i, T& z, T u, T b) {
        const T slope = LossT::dlogit(z - shift, u, b, h);
        const T w = p.weighted() ? p.weight(i) : T(0);
        z = describing ? LossT::output(u, h) : p.weighted() ? fma_(w * w, z, slope) : slope;
      });
      if constexpr (LossT::normalized) p.set_shift(s, shift + log_(h.mass));
    }
    p.transpose();
    if (describing)
      write_output();
    else if (batch.ridge > T(0))
      p.add_to_gradient([this](const T& x, const T* m) { return batch.ridge * Opt::point(x, m); });
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

 private:
  // Reduces a segment at the shift of the step before, so that u is almost f: no maximum, no
  // overflow, accurate sums. Guard: if the mass has left (1/2, 2) the shift is taken afresh, first
  // as the maximum, then as the log of the mass.
  SR_HD Head open(int s, T& shift) {
    for (int attempt = 0;; ++attempt) {
      const T at = shift;
      const Head h =
          LossT::finish(p.template sum_rows<Terms>(s,
                                                   [at](int, T z, T& u, T b, const Terms& sum) {
                                                     u = LossT::activate(z - at);
                                                     return LossT::terms(z - at, u, b, sum);
                                                   }),
                        at);
      if constexpr (!LossT::normalized) {
        return h;
      } else {
        if (attempt == 2 || (h.mass > T(0.5) && h.mass < T(2))) return h;
        shift = attempt == 0 ? p.max_rows(s) : shift + log_(h.mass);
      }
    }
  }

  SR_HD T weigh(int s) {
    return p.template sum_rows<T>(s, [this](int i, T z, T&, T, T sum) {
      const T wz = p.weight(i) * z;
      return fma_(wz, wz, sum);
    }) / T(2);
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

  SR_HD void watch(int s, const Head& h, int step) {
    const ShiftWorkspace<T> w = before;
    const auto moved =
        p.template sum_rows<Sums<T, 2>>(s, [=](int i, T z, T& u, T, const Sums<T, 2>& sum) {
          const T f = LossT::output(u, h), df = f - w.f(i), dz = z - w.z(i);
          w.f(i) = f;
          w.z(i) = z;
          return Sums<T, 2>{{fma_(df, df, sum[0]), fma_(dz, dz, sum[1])}};
        });
    const T x_moved = length([=](int j, T point, T) { return point - w.x(j); });
    const T x_before = length([=](int j, T, T) { return w.x(j); });
    const T x_after = point_length();
    p.visit([=](int j, const T& v, const T* m) { w.x(j) = Opt::point(v, m); });
    if (step == 0) return;
    p.once([=, this] {
      const Shift<T> shift{sqrt_(moved[0]), sqrt_(moved[1]), x_moved, x_before, x_after};
      note_shift(
          batch.shifts[instance], shift,
          ShiftScale<T>{p.row_count(), p.parameters(), p.lanes, batch.operator_norm[instance]},
          LossT::normalized);
      if (batch.shift_f) {
        batch.shift_f[instance * batch.stop.max_steps + step - 1] = shift.f;
        batch.shift_x[instance * batch.stop.max_steps + step - 1] = shift.x;
      }
    });
  }

  SR_HD void write_gradient() {
    const std::int64_t first = batch.first_row(instance), x = instance * batch.parameters;
    p.visit_gradient([=, this](int j, T grad) { batch.gradient[x + j] = grad; });
    for (int s = 0; s < p.segments(); ++s)
      p.rows(s, [=, this](int i, T& z, T, T) { batch.dlogits[first + i] = z; });
  }
  SR_HD void write_output() {
    const std::int64_t first = batch.first_row(instance), x = instance * batch.parameters;
    p.visit_gradient([=, this](int j, T grad) { batch.attended[x + j] = grad; });
    for (int s = 0; s < p.segments(); ++s) {
      p.rows(s, [=, this](int i, T& z, T, T) { batch.output[first + i] = z; });
      const T log_mass = p.shift(s);  // after an evaluation the shift is log <exp z, 1>
      p.once([=, this] { batch.log_mass[instance] = log_mass; });
    }
  }
};

}  // namespace softreg
