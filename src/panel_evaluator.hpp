// PanelEvaluator: an instance alone on the lanes whose rows go register by register between the
// products of its Panel, with the bits of LaneGroup<cpu_lanes>. What traces or is described goes
// number by number, as the Evaluator does it.
#pragma once
#include "panel.hpp"
#include "softreg/model/evaluator.hpp"
#include "softreg/model/memory_placement.hpp"

namespace softreg {

// The one segment of a panel. f's row i is the number of a register.
template <class T>
struct PanelTile {
  static constexpr int width = pack_width<T>, classes = cpu_lanes / width;
  static constexpr bool describes = false, one_pass = false;
  using P = Pack<T, width>;

  int n;
  T *z, *u, *lagged_shift;
  const T *target, *each_weight;
  T constant_weight;

  SR_HD static constexpr int lane_count() { return cpu_lanes; }
  SR_PACK bool weighted() const { return each_weight != nullptr || constant_weight != T(0); }
  struct Weights {
    const T* each;
    T constant;
    SR_PACK P operator()(int i) const { return each ? P::load(each + i * width) : P(constant); }
  };
  SR_PACK Weights weights(const Segment&) const { return {each_weight, constant_weight}; }
  SR_PACK P shift(const Segment&) const { return *lagged_shift; }
  SR_PACK void set_shift(const Segment&, P value) const { *lagged_shift = value[0]; }

  // Every lane of the result holds the sum.
  template <class S, class F>
  SR_PACK S sum_rows(const Segment&, F f) const {
    S lanes[classes];
    for (S& s : lanes) s = S{};
    const auto add = [&](int i, const S& s) {
      P us = P::load(u + i * width);
      return f(i, P::load(z + i * width), us, P::load(target + i * width), s);
    };
    const int whole = n / cpu_lanes * classes;
    for (int i = 0; i < whole; i += classes)
      for (int c = 0; c < classes; ++c) lanes[c] = add(i + c, lanes[c]);
    if (n % cpu_lanes != 0)
      for (int c = 0; c < classes; ++c)
        lanes[c] = select(owned(whole + c), add(whole + c, lanes[c]), lanes[c]);
    for (int o = classes / 2; o > 0; o /= 2)
      for (int c = 0; c < o; ++c) lanes[c] = lanes[c] + lanes[c + o];
    return fold_lanes<width>(lanes[0], [](const S& a, const S& b) { return a + b; });
  }
  SR_PACK P max_rows(const Segment&) const {
    P lanes[classes];
    for (P& most : lanes) most = -infinity<P>();
    for (int i = 0; i * width < n; i += classes)
      for (int c = 0; c < classes; ++c)
        lanes[c] = select(owned(i + c), max_(lanes[c], P::load(z + (i + c) * width)), lanes[c]);
    for (int o = classes / 2; o > 0; o /= 2)
      for (int c = 0; c < o; ++c) lanes[c] = max_(lanes[c], lanes[c + o]);
    return fold_lanes<width>(lanes[0], [](P a, P b) { return max_(a, b); })[0];
  }
  template <class F>
  SR_PACK void rows(const Segment&, F f) const {
    const int registers_of_rows = static_cast<int>(on_lanes(n)) / width;
    for (int i = 0; i < registers_of_rows; ++i) {
      P zs = P::load(z + i * width), us = P::load(u + i * width);
      f(i, zs, us, P::load(target + i * width));
      zs.store(z + i * width);
      us.store(u + i * width);
    }
  }

 private:
  SR_PACK Mask<T, width> owned(int i) const {
    Pack<T, width> row;
    for (int k = 0; k < width; ++k) row.set(k, T(k));
    return row < P(T(n - i * width));
  }
};

template <class LossT, class T>
struct PanelEvaluator
    : Evaluator<MemoryPlacement<LaneGroup<cpu_lanes, true>, Panel<T>, T>, LossT, T, true> {
  using Base = Evaluator<MemoryPlacement<LaneGroup<cpu_lanes, true>, Panel<T>, T>, LossT, T, true>;
  using Tile = PanelTile<T>;
  using P = typename Tile::P;
  using Base::batch;
  using Base::p;

  void evaluate(int step, bool describing, bool tested) {
    if (batch.shifts || batch.output) return Base::evaluate(step, describing, tested);
    p.op.apply(p.g, {}, p.w.point, p.w.z);
    const SegmentPass<LossT, false, P, P> pass{batch, this->instance, {}, false, tested, {}};
    const Tile tile{p.row_count(),    p.w.z, p.w.u, p.w.shift, p.target, p.each_weight,
                    p.constant_weight};
    PassTotals<P, false> sum{};
    pass(tile, {0, 0, p.row_count(), 0}, sum);
    p.op.attend(p.g, {}, p.w.z, p.w.grad);
    this->loss = sum[total_loss][0];
    this->penalty = sum[total_penalty][0];
    if (batch.ridge > 0) p.add_to_gradient([this](T point) { return batch.ridge * point; });
  }
};

}  // namespace softreg
