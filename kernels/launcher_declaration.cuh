// Launcher<Loss>: what starts the kernels of one loss; instantiated by kernels/losses/*.cu.
#pragma once
#include <cuda_runtime.h>

#include "launch.hpp"

namespace softreg {

template <class LossT>
struct Launcher {
  // Asynchronous; the status of the launch itself is returned.
  static cudaError_t run(const Launch& launch, const Batch<float>& batch);
  static cudaError_t run(const Launch& launch, const Batch<double>& batch);
};

}  // namespace softreg
