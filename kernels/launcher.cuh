// The only header that contains <<< >>>: for the sources that instantiate Launcher, one per loss
// and type of numbers (cmake/losses.cmake).
#pragma once
#include "launcher_declaration.cuh"

namespace softreg {

// CUDA wants to be asked for more than 48 KB.
template <class Kernel>
cudaError_t allow_shared(Kernel kernel, const Launch& launch) {
  if (launch.shared_bytes <= 48 * 1024) return cudaSuccess;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(max_shared_bytes));
}

template <class LossT, class T>
cudaError_t Launcher<LossT, T>::run(const Launch& launch, const Batch<T>& batch) {
  cudaError_t allowed = cudaSuccess;
  visit_kernel<LossT, T>(launch, [&]<class PolicyT>(bool resident) {
    const auto kernel = kernel_of<PolicyT, LossT, T>();
    allowed = allow_shared(kernel, launch);
    if (allowed != cudaSuccess) return;
    kernel<<<static_cast<unsigned>(launch.blocks), PolicyT::policy.threads(),
             static_cast<std::size_t>(launch.shared_bytes),
             static_cast<cudaStream_t>(launch.stream)>>>(batch, static_cast<T*>(launch.workspace),
                                                         launch.workspace_stride,
                                                         shared_values<T>(launch), resident);
  });
  const cudaError_t launched = cudaGetLastError();
  return allowed != cudaSuccess ? allowed : launched;
}

template <class LossT, class T>
cudaError_t Launcher<LossT, T>::clusters_at_once(const Launch& launch, int& clusters) {
  cudaError_t told = cudaErrorInvalidValue;
  visit_kernel<LossT, T>(launch, [&]<class PolicyT>(bool) {
    if constexpr (PolicyT::policy.cluster() > 1) {
      const auto kernel = kernel_of<PolicyT, LossT, T>();
      told = allow_shared(kernel, launch);
      if (told != cudaSuccess) return;
      cudaLaunchConfig_t config{};
      config.gridDim = static_cast<unsigned>(PolicyT::policy.cluster());
      config.blockDim = static_cast<unsigned>(PolicyT::policy.threads());
      config.dynamicSmemBytes = static_cast<std::size_t>(launch.shared_bytes);
      told = cudaOccupancyMaxActiveClusters(&clusters, kernel, &config);
    }
  });
  return told;
}

}  // namespace softreg
