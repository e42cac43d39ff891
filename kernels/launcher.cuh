// The only header that contains <<< >>>: for the sources that instantiate Launcher, one per loss
// and type of numbers (cmake/losses.cmake).
#pragma once
#include "launcher_declaration.cuh"

namespace softreg {

template <class LossT, class T>
cudaError_t Launcher<LossT, T>::run(const Launch& launch, const Batch<T>& batch) {
  cudaError_t allowed = cudaSuccess;
  visit_kernel<LossT, T>(launch, [&]<class PolicyT>(bool resident) {
    const auto kernel = solve_kernel<PolicyT, LossT, T>;
    if (launch.shared_bytes > 48 * 1024) {  // CUDA wants to be asked first
      allowed = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(max_shared_bytes));
      if (allowed != cudaSuccess) return;
    }
    kernel<<<static_cast<unsigned>(launch.blocks), PolicyT::policy.threads(),
             static_cast<std::size_t>(launch.shared_bytes),
             static_cast<cudaStream_t>(launch.stream)>>>(batch, static_cast<T*>(launch.workspace),
                                                         launch.workspace_stride,
                                                         shared_values<T>(launch), resident);
  });
  const cudaError_t launched = cudaGetLastError();
  return allowed != cudaSuccess ? allowed : launched;
}

}  // namespace softreg
