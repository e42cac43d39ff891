// The bodies of EmulatedLauncher: the same dispatch as launcher.cuh, with emulate() in place of
// <<< >>>.
#pragma once
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels/emulated_machines.hpp"
#include "kernels/emulated_parts.hpp"

namespace softreg {

SR_EMULATED_LAUNCHER_PARTS(extern)

// Leaves NaN on the stack of every thread: a kernel's local arrays begin there, as its registers do
// on a device, with whatever was left behind.
inline void stain_stacks(int threads, int cluster) {
  const simt::Emulation all{cluster, threads, 0, simt::Order::ascending, 0, cluster};
  simt::emulate(all, [] {
    unsigned char stain[8192];
    std::memset(stain, 0xff, sizeof stain);
    asm volatile("" : : "r"(stain) : "memory");  // keeps the stores
  });
}

template <class LossT, class T>
void emulate_kernel(const Launch& launch, const Batch<T>& batch, simt::Order order, unsigned seed) {
  bool ran = false;
  visit_kernel<LossT, T>(launch, [&]<class PolicyT>(bool resident) {
    constexpr KernelPolicy p = PolicyT::policy;
    stain_stacks(p.threads(), p.cluster());
    simt::emulate({launch.blocks, p.threads(), static_cast<std::size_t>(launch.shared_bytes), order,
                   seed, p.cluster()},
                  [&] {
                    constexpr auto kernel = kernel_of<PolicyT, LossT, T>();
                    kernel(batch, static_cast<T*>(launch.workspace), launch.workspace_stride,
                           shared_values<T>(launch), resident);
                  });
    ran = true;
  });
  if (!ran)
    throw std::logic_error("policy " + std::to_string(launch.policy) +
                           " has no kernel for numbers of " + std::to_string(sizeof(T)) + " bytes");
}

template <class LossT>
void EmulatedLauncher<LossT>::run(const Launch& launch, const Batch<float>& batch,
                                  simt::Order order, unsigned seed) {
  emulate_kernel<LossT>(launch, batch, order, seed);
}
template <class LossT>
void EmulatedLauncher<LossT>::run(const Launch& launch, const Batch<double>& batch,
                                  simt::Order order, unsigned seed) {
  emulate_kernel<LossT>(launch, batch, order, seed);
}

}  // namespace softreg
