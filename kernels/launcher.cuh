// The only header that contains <<< >>>: included by kernels/losses/*.cu alone, one per loss.
#pragma once
#include "launcher_declaration.cuh"

namespace softreg {

template <class LossT, class T>
cudaError_t start(const Launch& launch, const Batch<T>& batch) {
  visit_kernel<T>(launch, [&]<class PolicyT, class Opt>() {
    solve_kernel<PolicyT, LossT, Opt, T>
        <<<static_cast<unsigned>(launch.blocks), PolicyT::policy.threads,
           kernel_shared_bytes<PolicyT>(), static_cast<cudaStream_t>(launch.stream)>>>(
            batch, static_cast<T*>(launch.workspace), launch.workspace_stride);
  });
  return cudaGetLastError();
}

template <class LossT>
cudaError_t Launcher<LossT>::run(const Launch& launch, const Batch<float>& batch) {
  return start<LossT>(launch, batch);
}
template <class LossT>
cudaError_t Launcher<LossT>::run(const Launch& launch, const Batch<double>& batch) {
  return start<LossT>(launch, batch);
}

}  // namespace softreg
