// The kernels that a plan wants made at run time.
#pragma once
#include <array>
#include <functional>

#include "device.hpp"

namespace softreg {

// Per policy of the catalogue; null: its own kernel serves.
using SpecialisedKernels = std::array<const void*, policy_count>;

// loss: index into AnyLoss; cancelled: asked between two kernels, of which each takes seconds. What
// cannot be made leaves the plan, to the catalogue. Throws Error: a device that is lost, a fast
// kernel that cannot be made.
SpecialisedKernels specialised_kernels(Gpu& gpu, int loss, int value_bytes,
                                       const std::function<bool()>& cancelled, CudaPlan& plan);

}  // namespace softreg
