// MemoryPlacement: every number of the instance in plain memory, any size, any group. With
// LaneGroup<1> it is the reference; with LaneGroup<16> it runs on the CPU; with SimtGroup it is the
// kernels whose A is in global or shared memory. The kernels' other placements must give its bits
// on lanes that add in the same order; the CPU's tiles (src/tile_placement.hpp) agree within
// rounding.
#pragma once
#include <cstdint>

#include "softreg/model/coordinates.hpp"
#include "softreg/model/evaluator.hpp"
#include "softreg/model/operators.hpp"

namespace softreg {

// The arrays behind a MemoryPlacement: those of a tile, and those that are kept from step to step.
// Rows are padded by the caller if G asks.
template <class T>
struct MemoryWorkspace {
  T *z, *u, *x, *point, *grad, *shift, *attended;
  static SR_HD constexpr std::int64_t tile_size(const Extent& e) { return 2 * e.held(); }
  static SR_HD constexpr std::int64_t kept_size(const Extent& e) {
    return 3 * e.parameters + e.segments + e.attended;
  }
  static SR_HD constexpr std::int64_t size(const Extent& e) { return tile_size(e) + kept_size(e); }
  static SR_HD MemoryWorkspace carve(T* tile, T* kept, const Extent& e) {
    MemoryWorkspace w;
    w.z = tile;
    w.u = w.z + e.held();
    w.x = kept;
    w.point = w.x + e.parameters;
    w.grad = w.point + e.parameters;
    w.shift = w.grad + e.parameters;
    w.attended = w.shift + e.segments;
    return w;
  }
  // One allocation.
  static SR_HD MemoryWorkspace carve(T* all, const Extent& e) {
    return carve(all, all + tile_size(e), e);
  }
};

// Whether the warps of a group, so many, take the segments of an instance in turn, each alone,
// instead of one after the other together. A tile of longer segments than 512 may have fewer of
// them than there are warps; else it is where no lane has more rows to go through, the barriers of
// a segment counted as one.
inline constexpr std::int64_t longest_of_a_warp = 512;
SR_HD constexpr bool are_taken_apart(std::int64_t segments, std::int64_t longest, int warps) {
  const auto rounds = [](std::int64_t n, std::int64_t at_once) {
    return (n + at_once - 1) / at_once;
  };
  return longest <= longest_of_a_warp &&
         rounds(segments, warps) * rounds(longest, warp_lanes) <=
             segments * (rounds(longest, std::int64_t{warps} * warp_lanes) + 1);
}

template <class G, class Op, class T>
struct MemoryPlacement : Coordinates<G, T> {
  using Base = Coordinates<G, T>;
  using Base::g;
  static constexpr bool one_pass = false;
  static constexpr bool can_part = G::part_count > 1 && !requires { Op::segments_together; };
  Op op;
  const T* target;       // b, like the logits
  const T* each_weight;  // w, likewise, or null:
  T constant_weight;     // of every logit
  MemoryWorkspace<T> w;
  RowTile here{};           // whose logits are in w.z
  bool apart = false;       // the parts of the group take segments in turn:
  int part = 0, parts = 1;  // which of how many this is

  // x0 (parameters) or null: zeros; to (parameters): the result.
  SR_HD MemoryPlacement(G group, const Op& of, const T* b, const T* w_of, T w_all, const T* x0,
                        T* to, const MemoryWorkspace<T>& arrays)
      : Base{group, of.parameters(), x0, to, arrays.x, arrays.point, arrays.grad},
        op(of),
        target(b),
        each_weight(w_of),
        constant_weight(w_all),
        w(arrays) {
    if constexpr (can_part)
      apart = op.segments() > 1 && are_taken_apart(op.segments(), op.longest(), G::part_count);
  }

  // Rows that an array must have: what the group touches beyond the last row never counts.
  static SR_HD constexpr int padded_rows(int n) {
    if constexpr (G::padded) return (n + G::lanes - 1) / G::lanes * G::lanes;
    return n;
  }
  // Of those that sum a segment.
  SR_HD int lane_count() const { return apart ? warp_lanes : g.lanes; }

  SR_HD int row_count() const { return op.rows(); }
  SR_HD bool weighted() const { return each_weight != nullptr || constant_weight != T(0); }
  SR_HD LogitWeights<T> weights(const Segment&) const { return {each_weight, constant_weight}; }
  SR_HD T shift(const Segment& s) const { return w.shift[s.index]; }
  SR_HD void set_shift(const Segment& s, T value) const {
    g.once([=, *this] { w.shift[s.index] = value; });
  }
  SR_HD void set_shifts(T value) const {
    g.exact().for_each(op.segments(), [=, to = w.shift](int s) { to[s] = value; });
  }

  // The logits at the point; then f(tile), which may rewrite them; then what the gradient needs of
  // what it left. The sums run on from tile to tile: how many there are changes no bit.
  template <class S, class F>
  SR_HD S tiles(F f) {
    if constexpr (!can_part) {
      S total{};
      pass_tiles([&] { f(*this, total); });
      return total;
    } else {
      typename G::template OfParts<S> totals;  // or the one of all
      pass_tiles([&] {
        if (apart)
          g.each_part([&](const auto& group, int k) {
            auto mine = taken_by(group, k);
            f(mine, totals[k]);
          });
        else
          f(*this, totals[0]);
      });
      return apart ? g.over_parts(totals) : totals[0];
    }
  }
  template <class F>
  SR_HD void each_segment(F f) const {
    op.each_segment(here, f, part, parts);
  }

  // f(i, z, u, b, s) -> s, rows of one segment
  template <class S, class F>
  SR_HD S sum_rows(const Segment& s, F f) const {
    T *const z = w.z + place_of(s), *const u = w.u + place_of(s);
    return g.template sum<S>(s.rows, [=, b = target, first = s.first](int r, const S& sum) {
      return f(first + r, z[r], u[r], b[first + r], sum);
    });
  }
  SR_HD T max_rows(const Segment& s) const {
    return g.template max<T>(s.rows, [z = w.z + place_of(s)](int r) { return z[r]; });
  }
  template <class F>
  SR_HD void rows(const Segment& s, F f) const {
    T *const z = w.z + place_of(s), *const u = w.u + place_of(s);
    g.for_each(s.rows,
               [=, b = target, first = s.first](int r) { f(first + r, z[r], u[r], b[first + r]); });
  }
  // The segment's z go to their places in the instance.
  SR_HD void store(const Segment& s, T* to) const {
    g.exact().for_each(s.rows, [z = w.z + place_of(s), to = to + s.first](int r) { to[r] = z[r]; });
  }
  // After a pass that left f in place of dL/dz: f A2 of every segment, (segments, d2).
  SR_HD void attended(T* to) const { op.attended(g, w.z, to); }

 private:
  template <class F>
  SR_HD void pass_tiles(F between) {
    op.each_tile([&](const RowTile& tile) {
      here = tile;
      op.apply(g, tile, w.point, w.z);
      between();
      op.attend(g, tile, w.z, w.grad);
    });
    op.gather(g, w.grad);
  }
  // The same arrays for a part of the group.
  template <class Part>
  SR_HD auto taken_by(const Part& group, int k) const {
    MemoryPlacement<Part, Op, T> p{group,           op,          target,       each_weight,
                                   constant_weight, this->start, this->result, w};
    p.here = here;
    p.part = k;
    p.parts = G::part_count;
    return p;
  }
  SR_HD int place_of(const Segment& s) const { return s.first - here.first; }
};

// What of a solve in memory does not depend on the loss: compiled once, not with each of them. Op:
// a template of T. kind: `extern`, or nothing where it is compiled. (No argument is an expression.)
// NOLINTBEGIN(bugprone-macro-parentheses)
#define SR_MEMORY_PARTS(kind, G, Op)     \
  SR_MEMORY_PARTS_OF(kind, G, Op, float) \
  SR_MEMORY_PARTS_OF(kind, G, Op, double)
#define SR_MEMORY_PARTS_OF(kind, G, Op, T)           \
  kind template struct MemoryPlacement<G, Op<T>, T>; \
  kind template struct Descent<MemoryPlacement<G, Op<T>, T>, T>;
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace softreg
