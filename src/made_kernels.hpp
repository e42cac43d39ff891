// The kernels that a plan wants made at run time.
#pragma once
#include <array>

#include "device.hpp"

namespace softreg {

// Per policy of the catalogue; null: its own kernel serves.
using MadeKernels = std::array<const void*, policy_count>;

// loss: index into AnyLoss. What cannot be made leaves the plan, to the catalogue. Throws Error: a
// device that is lost, a fast kernel that cannot be made.
MadeKernels make_kernels(Gpu& gpu, int loss, int value_bytes, CudaPlan& plan);

}  // namespace softreg
