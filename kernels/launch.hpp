// From names known at run time to a compiled kernel: the one place below which nothing tests a
// kind. The emulator of the tests and launcher.cuh share this dispatch.
#pragma once
#include <cstdint>

#include "softreg/model/catalog.hpp"
#include "solve_kernel.hpp"

namespace softreg {

// Everything about a launch but the batch.
struct Launch {
  int policy = 0;  // index into policies
  int blocks = 1;
  int shared_bytes = 0;  // of each block
  void* workspace = nullptr;
  std::int64_t workspace_stride = 0;  // in numbers of T
  void* stream = nullptr;
  const void* specialised = nullptr;  // a kernel that takes the place of the policy's own
};

template <class T>
constexpr bool is_of_numbers(const KernelPolicy& p) {
  return p.value_bytes == 0 || p.value_bytes == int(sizeof(T));
}

// Calls f.operator()<Policy>(resident) for the launch's policy; one for other
// numbers does not exist for T, nor one for bounds for a loss without a softmax.
template <class LossT, class T, class F>
void visit_kernel(const Launch& launch, F&& f) {
  visit_policy(launch.policy, [&]<class PolicyT>() {
    if constexpr (is_of_numbers<T>(PolicyT::policy) &&
                  (LossT::normalized || !PolicyT::policy.watches_bounds)) {
      f.template operator()<typename KernelOf<PolicyT>::Policy>(PolicyT::policy.placement ==
                                                                Placement::resident);
    }
  });
}

// Numbers of T that a block of a matrix problem's kernel has in shared memory.
template <class T>
std::int64_t shared_values(const Launch& launch) {
  return (launch.shared_bytes - matrix_shared_bytes<T>(0)) / std::int64_t{sizeof(T)};
}

}  // namespace softreg
