// Launcher<Loss>: the only header that contains <<< >>>. One losses/*.cu instantiates it per loss.
#pragma once
#include <cuda_runtime.h>

#include "launch.hpp"

namespace softreg {

template <class LossT>
struct Launcher {
  // Asynchronous; the status of the launch itself is returned.
  static cudaError_t run(const Launch& launch, const Batch<float>& batch) {
    return start(launch, batch);
  }
  static cudaError_t run(const Launch& launch, const Batch<double>& batch) {
    return start(launch, batch);
  }

 private:
  template <class T>
  static cudaError_t start(const Launch& launch, const Batch<T>& batch) {
    visit_kernel<T>(launch, [&]<class PolicyT, class Opt>() {
      solve_kernel<PolicyT, LossT, Opt, T>
          <<<static_cast<unsigned>(launch.blocks), PolicyT::policy.threads,
             kernel_shared_bytes<PolicyT>(), static_cast<cudaStream_t>(launch.stream)>>>(
              batch, static_cast<T*>(launch.workspace), launch.workspace_stride);
    });
    return cudaGetLastError();
  }
};

}  // namespace softreg
