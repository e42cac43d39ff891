// SegmentPass: what happens to one segment at one step, whatever the optimizer: the lagged shift
// and its guard, the loss and dL/dz, logit weights, what traces measure. A tile owns the segment's
// numbers and the loops over them.
#pragma once
#include "softreg/model/bound_pass.hpp"
#include "softreg/model/held_logits.hpp"

namespace softreg {

// Watches: can trace bounds. A: the numbers that the formula of the loss computes with, T or one
// that converts to and from T (kernels/fast.hpp).
template <class LossT, bool Watches, class T, class A>
struct SegmentPass {
  static_assert(!Watches || std::is_same_v<A, T>, "bounds allow for the rounding of T");
  using Totals = PassTotals<T, Watches>;
  using F = Formula<LossT>;
  using Head = typename F::template Head<A>;
  using Tested = typename F::template Tested<A>;
  using Held = HeldLogits<LossT, T, A>;

  const Batch<Real<T>>& batch;
  std::int64_t instance;
  ShiftWorkspace<T> before;  // of shift traces
  bool describing;           // f takes the place of dL/dz
  bool tested;               // the loss is wanted
  Truth<T> first;            // nothing was measured before

  // The logits become dL/dz of the objective, or f; what the segment adds is added to t.
  template <class Tile>
  SR_HD void operator()(Tile& tile, const Segment& s, Totals& t) const {
    const T lagged = LossT::normalized ? tile.shift(s) : T(0);
    T shift = lagged;
    Head h = open(tile, s, shift);
    static_assert(SumsInTurn<F, A> || !in_turn<A> || !requires { &F::template rest<A>; });
    if constexpr (SumsInTurn<F, A>)
      h = F::complete(
          h, tile.template sum_rows<Sums<A, 1>>(s, [h](int, T, T u, T b, const Sums<A, 1>& sum) {
            return F::rest(A(u), A(b), h, sum);
          }));
    if (tested) t.v[total_loss] = t[total_loss] + loss(tile, s, shift, h);
    T log_mass = T(0);
    if constexpr (LossT::normalized) log_mass = Held::log_mass(shift, h.mass);
    if (tile.weighted()) t.v[total_penalty] = t[total_penalty] + weigh(tile, s);
    if constexpr (Held::traced)
      if (batch.shifts && !describing) {
        const auto moved = [&] {
          if constexpr (LossT::normalized && Watches)
            if (batch.bounds)
              return BoundPass<LossT, T>{before, tile.lane_count()}(tile, s, h, log_mass, first, t);
          return watch(tile, s, h);
        }();
        t.v[total_df] = t[total_df] + moved[0];
        t.v[total_dz] = t[total_dz] + moved[1];
      }
    // Three loops, so that each vectorises: nothing is decided row by row.
    if (combined(tile, h, shift, lagged)) {
      // Nothing is left to do with the rows.
    } else if (describing) {
      tile.rows(s, [h](int, T& z, T u, T) { z = T(F::output(A(u), h)); });
    } else if (tile.weighted()) {
      const auto weight = tile.weights(s);
      const Held held(tile, s);
      Held::take_no_factor(tile);
      tile.rows(s, [=](int i, T& z, T u, T b) {
        const T w = weight(i);
        z = fma_(w * w, held.logit(z), T(dlogit(z, u, b, shift, h)));
      });
    } else {
      Held::take_factor(tile, dlogit(T(0), T(0), T(0), T(0), h));
      tile.rows(s,
                [=](int, T& z, T u, T b) { z = Held::without_factor(dlogit(z, u, b, shift, h)); });
    }
    if constexpr (LossT::normalized) tile.set_shift(s, log_mass);
    if constexpr (Tile::describes)
      if (batch.output) {
        tile.store(s, (describing ? batch.output : batch.dlogits) + batch.first_row(instance));
        if (describing)
          tile.once(
              [=, this] { batch.log_mass[batch.first_segment(instance) + s.index] = log_mass; });
      }
  }

 private:
  // Whether the gradient is there already, for a tile that has read its rows at the lagged shift.
  template <class Tile>
  SR_HD bool combined(Tile& tile, const Head& h, T shift, T lagged) const {
    if constexpr (Tile::one_pass) {
      if (batch.output || tile.weighted() || !(shift == lagged)) return false;
      if constexpr (LossT::normalized)
        if (!is_close(T(h.mass))) return false;  // a shift too large to move
      tile.combine(h);
      return true;
    }
    return false;
  }
  // Perhaps beside a factor (CommonOf). Inlined whatever its size: called, loops over rows in
  // memory are no vectors.
  SR_MATH static auto dlogit(T z, T u, T b, T shift, const Head& h) {
    return F::dlogit(A(Held::distance(z, shift)), A(u), A(b), h);
  }
  template <class Tile>
  SR_HD T loss(Tile& tile, const Segment& s, T at, const Head& h) const {
    const auto sums = tile.template sum_rows<Tested>(s, [&](int, T z, T u, T b, const Tested& sum) {
      if constexpr (Tile::one_pass) u = Held::activate(z, at);  // perhaps not kept
      if constexpr (SumsInTurn<F, A>) u = T(F::output(A(u), h));
      return F::tested(A(Held::distance(z, at)), A(u), A(b), sum);
    });
    return T(F::loss(sums, h));
  }

  // Reduces a segment at the shift of the step before, so that u is almost f: no maximum, no
  // overflow, accurate sums. Guard: if the mass has left (1/2, 2) the shift is taken afresh, first
  // as the maximum, then as the log of the mass.
  template <class Tile>
  SR_HD Head open(Tile& tile, const Segment& s, T& shift) const {
    if constexpr (!Tile::one_pass) {
      return reduce<0>(tile, s, shift);
    } else if constexpr (!LossT::normalized) {
      return {};
    } else {
      const Head h = F::finish(tile.terms(), A(shift));
      if (is_close(T(h.mass))) return h;
      shift = tile.max_rows(s);
      return reduce<1>(tile, s, shift);
    }
  }
  SR_HD static Truth<T> is_close(T mass) { return mass > T(0.5) && mass < T(2); }
  template <int First, class Tile>
  SR_HD Head reduce(Tile& tile, const Segment& s, T& shift) const {
    for (int attempt = First;; ++attempt) {
      const T at = shift;
      tile.rows(s, [at](int, T z, T& u, T) { u = Held::activate(z, at); });
      if constexpr (!LossT::normalized) {
        return {};
      } else {
        using Terms = typename F::template Terms<A>;
        const Head h = F::finish(
            tile.template sum_rows<Terms>(
                s, [](int, T, T u, T b, const Terms& sum) { return F::terms(A(u), A(b), sum); }),
            A(Held(tile, s).logit(shift)));
        const auto good = is_close(T(h.mass));
        if (attempt == 2 || all(good)) return h;
        shift = Held::move(
            tile, s,
            select(good, shift, attempt == 0 ? tile.max_rows(s) : Held::log_mass(shift, h.mass)));
      }
    }
  }

  template <class Tile>
  SR_HD T weigh(Tile& tile, const Segment& s) const {
    const auto weight = tile.weights(s);
    const Held held(tile, s);
    return tile.template sum_rows<Sums<T, 1>>(s, [weight, held](int i, T z, T&, T,
                                                                const Sums<T, 1>& sum) {
      const T wz = weight(i) * held.logit(z);
      return Sums<T, 1>{{fma_(wz, wz, sum[0])}};
    })[0] / T(2);
  }

  // |f' - f|^2 and |z' - z|^2 since the step before, of one segment.
  template <class Tile>
  SR_HD Sums<T, 2> watch(Tile& tile, const Segment& s, const Head& h) const {
    const ShiftWorkspace<T> w = before;
    return tile.template sum_rows<Sums<T, 2>>(s, [=](int i, T z, T& u, T, const Sums<T, 2>& sum) {
      const T f = T(F::output(A(u), h)), df = f - w.f(i), dz = z - w.z(i);
      w.f(i) = f;
      w.z(i) = z;
      return Sums<T, 2>{{fma_(df, df, sum[0]), fma_(dz, dz, sum[1])}};
    });
  }
};

}  // namespace softreg
