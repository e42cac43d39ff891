// MemoryPlacement: every number of the instance in plain memory, any size, any group. With
// LaneGroup<1> it is the reference; with LaneGroup<32> it runs on the CPU; with SimtGroup it is the
// kernel that streams A from global memory. All other placements must give its bits.
#pragma once
#include <cstdint>

#include "softreg/model/evaluator.hpp"
#include "softreg/model/operators.hpp"

namespace softreg {

// The arrays behind a MemoryPlacement, one allocation. Rows are padded by the caller if G asks.
template <class T>
struct MemoryWorkspace {
  T *z, *u, *x, *point, *grad, *memory, *shift;
  static SR_HD std::int64_t size(std::int64_t rows, std::int64_t parameters, std::int64_t memory) {
    return 2 * rows + (3 + memory) * parameters + 1;
  }
  static SR_HD MemoryWorkspace carve(T* p, std::int64_t rows, std::int64_t parameters,
                                     std::int64_t memory) {
    T* const x = p + 2 * rows;
    return {p,
            p + rows,
            x,
            x + parameters,
            x + 2 * parameters,
            x + 3 * parameters,
            x + (3 + memory) * parameters};
  }
};

template <class G, class Op, int Memory, class T>
struct MemoryPlacement {
  static constexpr int lanes = G::lanes;
  G g;
  Op op;
  const T* target;   // b (n)
  const T* weights;  // w (n) or null
  const T* start;    // x0 (d) or null: zeros
  T* result;         // x (d)
  MemoryWorkspace<T> w;

  // Rows that an array must have: what the group touches beyond the last row never counts.
  static SR_HD constexpr int padded_rows(int n) {
    return G::padded ? (n + lanes - 1) / lanes * lanes : n;
  }

  SR_HD void load() const {
    g.exact().for_each(op.parameters(), [=, *this](int j) { w.x[j] = start ? start[j] : T(0); });
  }

  SR_HD int segments() const { return 1; }
  SR_HD int row_count() const { return op.rows(); }
  SR_HD int row_stride() const { return padded_rows(op.rows()); }
  SR_HD int parameters() const { return op.parameters(); }
  SR_HD bool weighted() const { return weights != nullptr; }
  SR_HD T weight(int i) const { return weights[i]; }
  SR_HD T shift(int s) const { return w.shift[s]; }
  SR_HD void set_shift(int s, T value) const {
    g.once([=, *this] { w.shift[s] = value; });
  }
  SR_HD bool stops(const int* cancelled) const { return g.stops(cancelled); }

  template <class Point>
  SR_HD void logits(Point at) const {
    g.exact().for_each(op.parameters(),
                       [=, *this](int j) { w.point[j] = at(w.x[j], w.memory + j * Memory); });
    op.apply(g, w.point, w.z);
  }
  SR_HD void transpose() const { op.apply_transpose(g, w.z, w.grad); }

  // f(i, z, u, b, s) -> s, rows of one segment
  template <class S, class F>
  SR_HD S sum_rows(int, F f) const {
    return g.template sum<S>(
        op.rows(), [=, *this](int i, const S& s) { return f(i, w.z[i], w.u[i], target[i], s); });
  }
  SR_HD T max_rows(int) const {
    return g.template max<T>(op.rows(), [=, *this](int i) { return w.z[i]; });
  }
  template <class F>
  SR_HD void rows(int, F f) const {
    g.for_each(op.rows(), [=, *this](int i) { f(i, w.z[i], w.u[i], target[i]); });
  }

  // f(j, x, m, grad, s) -> s in the order of j, the same on every lane
  template <class S, class F>
  SR_HD S serial(F f) const {
    return g.template serial<S>(op.parameters(), [=, *this](int j, const S& s) {
      return f(j, w.x[j], w.memory + j * Memory, w.grad[j], s);
    });
  }
  // Returns whether f said of any coordinate that it moved; looks only if asked.
  template <class F>
  SR_HD bool update(F f, bool ask = false) const {
    const auto change = [=, *this](int j) { return f(w.x[j], w.memory + j * Memory, w.grad[j]); };
    if (!ask) {
      g.exact().for_each(op.parameters(), change);
      return true;
    }
    return g.exact().template sum<T>(op.parameters(), [=](int j, T moved) {
      return moved + (change(j) ? T(1) : T(0));
    }) > T(0);
  }
  template <class F>
  SR_HD void add_to_gradient(F f) const {
    g.exact().for_each(op.parameters(), [=, *this](int j) {
      w.grad[j] = w.grad[j] + f(w.x[j], w.memory + j * Memory);
    });
  }
  template <class F>
  SR_HD void visit(F f) const {
    g.exact().for_each(op.parameters(), [=, *this](int j) { f(j, w.x[j], w.memory + j * Memory); });
  }
  template <class F>
  SR_HD void visit_gradient(F f) const {
    g.exact().for_each(op.parameters(), [=, *this](int j) { f(j, w.grad[j]); });
  }
  template <class Point>
  SR_HD void keep(Point at) const {
    g.exact().for_each(op.parameters(),
                       [=, *this](int j) { result[j] = at(w.x[j], w.memory + j * Memory); });
  }
  template <class F>
  SR_HD void once(F f) const {
    g.once(f);
  }
};

}  // namespace softreg
