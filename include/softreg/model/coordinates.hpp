// Coordinates: the parameters of one instance in plain memory, and the loops over them that every
// placement with such parameters shares.
#pragma once
#include <cstdint>

#include "softreg/model/batch.hpp"
#include "softreg/model/group.hpp"
#include "softreg/model/layout.hpp"

namespace softreg {

template <class G, class T>
struct Coordinates {
  G g;
  int count;
  const T* start;  // x0 or null: zeros
  T* result;
  T *x, *point, *grad;  // point: where loss and gradient are taken

  static constexpr bool describes = true;
  SR_HD int parameters() const { return count; }
  SR_HD static T step_size(const Batch<T>& batch, std::int64_t instance) {
    return batch.step_size[instance];
  }
  SR_HD static T operator_norm(const Batch<T>& batch, std::int64_t instance) {
    return batch.operator_norm[instance];
  }
  SR_HD static ShiftSummary<T>& shifts(const Batch<T>& batch, std::int64_t instance) {
    return batch.shifts[instance];
  }
  SR_HD static BoundSummary<T>& bounds(const Batch<T>& batch, std::int64_t instance) {
    return batch.bounds[instance];
  }
  SR_HD static Extent extent(const Layout& layout, std::int64_t instance) {
    return extent_of(layout, instance);
  }

  SR_HD void load() const {
    g.exact().for_each(count, [=, *this](int j) {
      x[j] = start ? start[j] : T(0);
      point[j] = x[j];
    });
  }

  // f(j, point, grad, s) -> s in the order of j, the same on every lane
  template <class S, class F>
  SR_HD S serial(F f) const {
    return g.template serial<S>(
        count, [=, *this](int j, const S& s) { return f(j, point[j], grad[j], s); });
  }
  // f(x, point, grad) may change the first two; returns whether it said of any coordinate that it
  // moved; looks only if asked.
  template <class F>
  SR_HD bool update(F f, bool ask = false) const {
    const auto change = [=, *this](int j) { return f(x[j], point[j], grad[j]); };
    if (!ask) {
      g.exact().for_each(count, change);
      return true;
    }
    return g.exact().template sum<T>(
               count, [=](int j, T moved) { return moved + (change(j) ? T(1) : T(0)); }) > T(0);
  }
  template <class F>
  SR_HD void add_to_gradient(F f) const {
    g.exact().for_each(count, [=, *this](int j) { grad[j] = grad[j] + f(point[j]); });
  }
  // f(j, point)
  template <class F>
  SR_HD void visit(F f) const {
    g.exact().for_each(count, [=, *this](int j) { f(j, point[j]); });
  }
  template <class F>
  SR_HD void visit_gradient(F f) const {
    g.exact().for_each(count, [=, *this](int j) { f(j, grad[j]); });
  }
  // The point becomes the result.
  SR_HD void keep() const {
    g.exact().for_each(count, [=, *this](int j) { result[j] = point[j]; });
  }
  // f(k) for k < n, shared by the lanes
  template <class F>
  SR_HD void each(int n, F f) const {
    g.exact().for_each(n, f);
  }
  template <class F>
  SR_HD void once(F f) const {
    g.once(f);
  }
  SR_HD bool stops(const int* cancelled) const { return g.stops(cancelled); }
};

}  // namespace softreg
