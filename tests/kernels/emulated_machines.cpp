#include "kernels/emulated_machines.hpp"

#include <stdexcept>
#include <string>

#include "kernels/emulated_gpu.hpp"
#include "softreg/model/catalog.hpp"

namespace softreg {
namespace {

template <class F>
void visit_loss(int loss, F f) {
  if (loss < 0 || loss >= static_cast<int>(std::variant_size_v<AnyLoss>))
    throw std::logic_error("there is no loss " + std::to_string(loss));
  visit_alternative<AnyLoss>(loss, f);
}

}  // namespace

void emulate_launch(int loss, const Launch& launch, const Batch<float>& batch, simt::Order order,
                    unsigned seed) {
  visit_loss(loss,
             [&]<class LossT>() { EmulatedLauncher<LossT>::run(launch, batch, order, seed); });
}
void emulate_launch(int loss, const Launch& launch, const Batch<double>& batch, simt::Order order,
                    unsigned seed) {
  visit_loss(loss,
             [&]<class LossT>() { EmulatedLauncher<LossT>::run(launch, batch, order, seed); });
}
void solve_on_lanes(int loss, int lanes, const Batch<float>& batch) {
  visit_loss(loss, [&]<class LossT>() { EmulatedLanes<LossT>::solve(lanes, batch); });
}
void solve_on_lanes(int loss, int lanes, const Batch<double>& batch) {
  visit_loss(loss, [&]<class LossT>() { EmulatedLanes<LossT>::solve(lanes, batch); });
}

namespace {
template <class T>
void solve_with_order_of(const KernelPolicy& p, int loss, const Batch<T>& batch) {
  if (!is_of_one_softmax(p)) return solve_on_lanes(loss, p.lanes(), batch);
  visit_loss(loss, [&]<class LossT>() {
    if (p.placement == Placement::one_pass)
      EmulatedLanes<LossT>::solve_in_one_pass(p.grid, batch);
    else
      EmulatedLanes<LossT>::solve(p.grid, batch);
  });
}
}  // namespace
void solve_like(const KernelPolicy& policy, int loss, const Batch<float>& batch) {
  solve_with_order_of(policy, loss, batch);
}
void solve_like(const KernelPolicy& policy, int loss, const Batch<double>& batch) {
  solve_with_order_of(policy, loss, batch);
}

}  // namespace softreg
