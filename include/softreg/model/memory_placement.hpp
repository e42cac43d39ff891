// MemoryPlacement: every number of the instance in plain memory, any size, any group. With
// LaneGroup<1> it is the reference; with LaneGroup<32> it runs on the CPU; with SimtGroup it is the
// kernel that streams A from global memory. The kernels' other placements must give its bits on as
// many lanes; the CPU's tiles (src/tile_placement.hpp) agree within rounding.
#pragma once
#include <cstdint>

#include "softreg/model/coordinates.hpp"
#include "softreg/model/evaluator.hpp"
#include "softreg/model/operators.hpp"

namespace softreg {

// The arrays behind a MemoryPlacement, one allocation. Rows are padded by the caller if G asks.
template <class T>
struct MemoryWorkspace {
  T *z, *u, *x, *point, *grad, *memory, *shift, *projected;
  static SR_HD constexpr std::int64_t size(const Extent& e, std::int64_t memory) {
    return 2 * e.rows + (3 + memory) * e.parameters + e.segments + e.projected;
  }
  static SR_HD MemoryWorkspace carve(T* p, const Extent& e, std::int64_t memory) {
    MemoryWorkspace w;
    w.z = p;
    w.u = w.z + e.rows;
    w.x = w.u + e.rows;
    w.point = w.x + e.parameters;
    w.grad = w.point + e.parameters;
    w.memory = w.grad + e.parameters;
    w.shift = w.memory + memory * e.parameters;
    w.projected = w.shift + e.segments;
    return w;
  }
};

template <class G, class Op, int Memory, class T>
struct MemoryPlacement : Coordinates<G, Memory, T> {
  using Base = Coordinates<G, Memory, T>;
  using Base::g;
  static constexpr int lanes = G::lanes;
  Op op;
  const T* target;       // b, like the logits
  const T* each_weight;  // w, likewise, or null:
  T constant_weight;     // of every logit
  MemoryWorkspace<T> w;

  // x0 (parameters) or null: zeros; to (parameters): the result.
  SR_HD MemoryPlacement(G group, const Op& of, const T* b, const T* w_of, T w_all, const T* x0,
                        T* to, const MemoryWorkspace<T>& arrays)
      : Base{group, of.parameters(), x0, to, arrays.x, arrays.point, arrays.grad, arrays.memory},
        op(of),
        target(b),
        each_weight(w_of),
        constant_weight(w_all),
        w(arrays) {}

  // Rows that an array must have: what the group touches beyond the last row never counts.
  static SR_HD constexpr int padded_rows(int n) {
    return G::padded ? (n + lanes - 1) / lanes * lanes : n;
  }

  SR_HD int row_count() const { return op.rows(); }
  SR_HD bool weighted() const { return each_weight != nullptr || constant_weight != T(0); }
  SR_HD LogitWeights<T> weights(const Segment&) const { return {each_weight, constant_weight}; }
  SR_HD T shift(const Segment& s) const { return w.shift[s.index]; }
  SR_HD void set_shift(const Segment& s, T value) const {
    g.once([=, *this] { w.shift[s.index] = value; });
  }
  SR_HD void set_shifts(T value) const {
    op.each_segment([=, *this](const Segment& s) { set_shift(s, value); });
  }

  // The logits at the point; then f(tile), which may rewrite them; then the gradient from what it
  // left. One tile holds everything.
  template <class S, class Point, class F>
  SR_HD S tiles(Point at, F f) const {
    this->place(at);
    op.apply(g, w.point, w.z);
    const S total = f(*this);
    op.apply_transpose(g, w.z, w.grad);
    return total;
  }
  template <class F>
  SR_HD void each_segment(F f) const {
    op.each_segment(f);
  }

  // f(i, z, u, b, s) -> s, rows of one segment
  template <class S, class F>
  SR_HD S sum_rows(const Segment& s, F f) const {
    return g.template sum<S>(s.rows, [=, *this, first = s.first](int r, const S& sum) {
      const int i = first + r;
      return f(i, w.z[i], w.u[i], target[i], sum);
    });
  }
  SR_HD T max_rows(const Segment& s) const {
    return g.template max<T>(s.rows, [=, *this, first = s.first](int r) { return w.z[first + r]; });
  }
  template <class F>
  SR_HD void rows(const Segment& s, F f) const {
    g.for_each(s.rows, [=, *this, first = s.first](int r) {
      const int i = first + r;
      f(i, w.z[i], w.u[i], target[i]);
    });
  }
  // The segment's z go to the same places of `to`.
  SR_HD void store(const Segment& s, T* to) const {
    g.exact().for_each(s.rows,
                       [=, *this, first = s.first](int r) { to[first + r] = w.z[first + r]; });
  }
  // After a pass that left f in place of dL/dz: f A2 of every segment, (segments, d2).
  SR_HD void attended(T* to) const {
    op.each_segment([=, *this](const Segment& s) {
      op.attend(g, s, w.z, to + s.index * static_cast<std::int64_t>(op.columns()));
    });
  }
};

}  // namespace softreg
