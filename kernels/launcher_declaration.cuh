// Launcher<Loss, T>: what starts the kernels of one loss for numbers of T; instantiated one by one
// (cmake/losses.cmake).
#pragma once
#include <cuda_runtime.h>

#include "launch.hpp"

namespace softreg {

template <class LossT, class T>
struct Launcher {
  // Asynchronous; the status of the launch itself is returned.
  static cudaError_t run(const Launch& launch, const Batch<T>& batch);
  // How many clusters of such a launch run at once.
  static cudaError_t clusters_at_once(const Launch& launch, int& clusters);
};

}  // namespace softreg
