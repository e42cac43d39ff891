// From names known at run time to a compiled kernel: the one place below which nothing tests a
// kind. The emulator of the tests and launcher.cuh share this dispatch.
#pragma once
#include <cstdint>

#include "softreg/model/catalog.hpp"
#include "solve_kernel.hpp"

namespace softreg {

// Everything about a launch but the batch.
struct Launch {
  int policy = 0;     // index into policies
  int optimizer = 0;  // index into AnyOptimizer
  int blocks = 1;
  void* workspace = nullptr;
  std::int64_t workspace_stride = 0;  // in numbers of T
  void* stream = nullptr;
};

// Calls f.operator()<Policy, Opt>() for the launch's policy and optimizer; a policy that cannot
// hold numbers of T does not exist for T.
template <class T, class F>
void visit_kernel(const Launch& launch, F&& f) {
  visit_policy(launch.policy, [&]<class PolicyT>() {
    if constexpr (sizeof(T) <= PolicyT::policy.max_value_bytes)
      visit_alternative<AnyOptimizer>(launch.optimizer,
                                      [&]<class Opt>() { f.template operator()<PolicyT, Opt>(); });
  });
}

}  // namespace softreg
