// SegmentPass: what happens to one segment at one step, whatever the optimizer: the lagged shift
// and its guard, the loss and dL/dz, logit weights, shift measurement. A tile owns the segment's
// numbers and the loops over them.
#pragma once
#include "softreg/model/operators.hpp"
#include "softreg/model/shifts.hpp"
#include "softreg/model/sums.hpp"

namespace softreg {

// Over segments: loss, penalty, |f' - f|^2, |z' - z|^2.
template <class T>
using PassTotals = Sums<T, 4>;

template <class LossT, class T>
struct SegmentPass {
  using Head = typename LossT::template Head<T>;
  using Terms = typename LossT::template Terms<T>;

  const Batch<T>& batch;
  std::int64_t instance;
  ShiftWorkspace<T> before;  // of shift traces
  bool describing;           // f takes the place of dL/dz

  // The logits become dL/dz of the objective, or f.
  template <class Tile>
  SR_HD PassTotals<T> operator()(Tile& tile, const Segment& s) const {
    T shift = LossT::normalized ? tile.shift(s) : T(0);
    const Head h = open(tile, s, shift);
    PassTotals<T> t{{h.loss, T(0), T(0), T(0)}};
    if (tile.weighted()) t.v[1] = weigh(tile, s);
    if (batch.shifts && !describing) {
      const Sums<T, 2> moved = watch(tile, s, h);
      t.v[2] = moved[0];
      t.v[3] = moved[1];
    }
    // Three loops, so that each vectorises: nothing is decided row by row.
    if (describing) {
      tile.rows(s, [h](int, T& z, T u, T) { z = LossT::output(u, h); });
    } else if (tile.weighted()) {
      const auto weight = tile.weights(s);
      tile.rows(s, [=](int i, T& z, T u, T b) {
        const T w = weight(i);
        z = fma_(w * w, z, LossT::dlogit(z - shift, u, b, h));
      });
    } else {
      tile.rows(s, [=](int, T& z, T u, T b) { z = LossT::dlogit(z - shift, u, b, h); });
    }
    if constexpr (LossT::normalized) {
      shift = shift + log_(h.mass);
      tile.set_shift(s, shift);
    }
    if (batch.output) {
      tile.store(s, (describing ? batch.output : batch.dlogits) + batch.first_row(instance));
      if (describing)
        tile.once([=, this] { batch.log_mass[batch.first_segment(instance) + s.index] = shift; });
    }
    return t;
  }

 private:
  // Reduces a segment at the shift of the step before, so that u is almost f: no maximum, no
  // overflow, accurate sums. Guard: if the mass has left (1/2, 2) the shift is taken afresh, first
  // as the maximum, then as the log of the mass.
  template <class Tile>
  SR_HD Head open(Tile& tile, const Segment& s, T& shift) const {
    for (int attempt = 0;; ++attempt) {
      const T at = shift;
      const Head h =
          LossT::finish(tile.template sum_rows<Terms>(s,
                                                      [at](int, T z, T& u, T b, const Terms& sum) {
                                                        u = LossT::activate(z - at);
                                                        return LossT::terms(z - at, u, b, sum);
                                                      }),
                        at);
      if constexpr (!LossT::normalized) {
        return h;
      } else {
        if (attempt == 2 || (h.mass > T(0.5) && h.mass < T(2))) return h;
        shift = attempt == 0 ? tile.max_rows(s) : shift + log_(h.mass);
      }
    }
  }

  template <class Tile>
  SR_HD T weigh(Tile& tile, const Segment& s) const {
    const auto weight = tile.weights(s);
    return tile.template sum_rows<T>(s, [weight](int i, T z, T&, T, T sum) {
      const T wz = weight(i) * z;
      return fma_(wz, wz, sum);
    }) / T(2);
  }

  // |f' - f|^2 and |z' - z|^2 since the step before, of one segment.
  template <class Tile>
  SR_HD Sums<T, 2> watch(Tile& tile, const Segment& s, const Head& h) const {
    const ShiftWorkspace<T> w = before;
    return tile.template sum_rows<Sums<T, 2>>(s, [=](int i, T z, T& u, T, const Sums<T, 2>& sum) {
      const T f = LossT::output(u, h), df = f - w.f(i), dz = z - w.z(i);
      w.f(i) = f;
      w.z(i) = z;
      return Sums<T, 2>{{fma_(df, df, sum[0]), fma_(dz, dz, sum[1])}};
    });
  }
};

}  // namespace softreg
