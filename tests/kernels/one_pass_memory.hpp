// OnePassMemory: the yardstick of OnePassPlacement: a MemoryPlacement whose gradient is, as there,
// combined from sums of the loss's basis, each lane's own first.
#pragma once
#include "kernels/grid_group.hpp"
#include "softreg/model/loss.hpp"
#include "softreg/model/memory_placement.hpp"

namespace softreg {

template <class LossT, class T>
struct OnePassMemory : MemoryPlacement<GridGroup, DenseMatrix<T>, T> {
  using Base = MemoryPlacement<GridGroup, DenseMatrix<T>, T>;
  using Base::Base;
  using Base::g;
  using Base::op;
  using Base::target;
  using Base::w;
  using F = Formula<LossT>;
  using Basis = decltype(F::basis(T(0), T(0), T(0)));
  static constexpr bool one_pass = true;
  bool combined = false;

  template <class S, class Pass>
  S tiles(Pass pass) {
    combined = false;
    op.apply(g, {}, w.point, w.z);
    this->rows(whole(), [at = lagged()](int, T z, T& u, T) { u = activation<LossT>(z - at); });
    S total{};
    pass(*this, total);
    if (!combined) op.attend(g, {}, w.z, w.grad);
    return total;
  }
  Segment whole() const { return {0, 0, op.rows(), 0}; }
  T lagged() const { return LossT::normalized ? w.shift[0] : T(0); }
  auto terms() {
    using Terms = typename F::template Terms<T>;
    return this->template sum_rows<Terms>(
        whole(), [](int, T, T u, T b, const Terms& s) { return F::terms(u, b, s); });
  }
  void combine(const typename F::template Head<T>& h) {
    combined = true;
    for (int j = 0; j < op.parameters(); ++j) {
      const auto add = [this, j, at = lagged()](int i, Basis sum) {
        const Basis t = F::basis(w.z[i] - at, w.u[i], target[i]);
        for (int k = 0; k < basis_size; ++k) sum.v[k] = fma_(op.a(i, j), t[k], sum[k]);
        return sum;
      };
      w.grad[j] = g.template sum_down<Basis>(op.rows(), j, add,
                                             [&h](const Basis& own) { return F::combine(own, h); });
    }
  }

 private:
  static constexpr int basis_size = int(sizeof(Basis) / sizeof(T));
};

}  // namespace softreg
