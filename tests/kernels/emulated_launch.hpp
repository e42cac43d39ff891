// Runs a launch on the emulator: the same dispatch as launcher.cuh, with emulate() in place of
// <<< >>>.
#pragma once
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels/emulator.hpp"
#include "launch.hpp"

namespace softreg {

// Leaves NaN on the stack of every thread: a kernel's local arrays begin there, as its registers do
// on a device, with whatever was left behind.
inline void stain_stacks(int threads) {
  simt::emulate({1, threads, 0}, [] {
    unsigned char stain[8192];
    std::memset(stain, 0xff, sizeof stain);
    asm volatile("" : : "r"(stain) : "memory");  // keeps the stores
  });
}

template <class T, int L = 0>
void emulate_kernel(int loss, const Launch& launch, const Batch<T>& batch, simt::Order order,
                    unsigned seed) {
  if constexpr (L < std::variant_size_v<AnyLoss>) {
    if (loss != L) return emulate_kernel<T, L + 1>(loss, launch, batch, order, seed);
    using LossT = std::variant_alternative_t<L, AnyLoss>;
    bool ran = false;
    visit_kernel<LossT, T>(launch, batch.optimizer, [&]<class PolicyT, class Opt>(bool resident) {
      constexpr KernelPolicy p = PolicyT::policy;
      stain_stacks(p.threads);
      simt::emulate(
          {launch.blocks, p.threads, static_cast<std::size_t>(launch.shared_bytes), order, seed},
          [&] {
            solve_kernel<PolicyT, LossT, Opt, T>(batch, static_cast<T*>(launch.workspace),
                                                 launch.workspace_stride, shared_values<T>(launch),
                                                 resident);
          });
      ran = true;
    });
    if (!ran)
      throw std::logic_error("policy " + std::to_string(launch.policy) +
                             " has no kernel for numbers of " + std::to_string(sizeof(T)) +
                             " bytes");
  } else {
    throw std::logic_error("there is no loss " + std::to_string(loss));
  }
}

}  // namespace softreg
