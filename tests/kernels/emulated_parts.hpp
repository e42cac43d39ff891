// What the emulated machines of all losses share is compiled once (emulated_parts.cpp).
#pragma once
#include "cpu_lanes.hpp"
#include "kernels/grid_group.hpp"
#include "solve_kernel.hpp"

namespace softreg {

// kind: as of SR_MEMORY_PARTS.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define SR_EMULATED_LANES_PARTS(kind)                      \
  SR_MEMORY_PARTS(kind, LaneGroup<cpu_lanes>, DenseMatrix) \
  SR_MEMORY_PARTS(kind, LaneGroup<256>, DenseMatrix)       \
  SR_MEMORY_PARTS(kind, LaneGroup<256>, DenseTogether)     \
  SR_MEMORY_PARTS(kind, LaneGroup<256>, Kronecker)         \
  SR_MEMORY_PARTS(kind, LaneGroup<256>, KroneckerTogether) \
  SR_MEMORY_PARTS(kind, GridGroup, DenseMatrix)

#define SR_EMULATED_LAUNCHER_PARTS(kind)                   \
  SR_MEMORY_PARTS(kind, SimtGroup<256>, StreamOfOne)       \
  SR_MEMORY_PARTS(kind, SimtGroup<256>, StreamTogether)    \
  SR_MEMORY_PARTS(kind, SimtGroup<256>, OneOfMany)         \
  SR_MEMORY_PARTS(kind, SimtGroup<256>, Kronecker)         \
  SR_MEMORY_PARTS(kind, SimtGroup<256>, KroneckerTogether) \
  SR_REGISTER_PARTS(kind, Float16x4, float)                \
  SR_REGISTER_PARTS(kind, Float32x8, float)                \
  SR_REGISTER_PARTS(kind, Float64x16, float)               \
  SR_REGISTER_PARTS(kind, Float128x32, float)              \
  SR_REGISTER_PARTS(kind, Float256x16, float)              \
  SR_REGISTER_PARTS(kind, Float256x64, float)              \
  SR_REGISTER_PARTS(kind, Float512x32, float)              \
  SR_REGISTER_PARTS(kind, Float1024x64, float)             \
  SR_REGISTER_PARTS(kind, Float4096x128, float)            \
  SR_REGISTER_PARTS(kind, Double16x4, double)              \
  SR_REGISTER_PARTS(kind, Double32x8, double)              \
  SR_REGISTER_PARTS(kind, Double64x16, double)             \
  SR_REGISTER_PARTS(kind, Double128x32, double)            \
  SR_REGISTER_PARTS(kind, Double256x8, double)             \
  SR_REGISTER_PARTS(kind, Double256x64, double)            \
  SR_REGISTER_PARTS(kind, Double2048x128, double)
// Not of the whole class: it could judge bounds, which no kernel with registers does.
#define SR_REGISTER_PARTS(kind, Policy, T)                                         \
  SR_REGISTER_PARTS_OF(kind, SR_ARGUMENTS(RegisterPlacement<Policy, T, false>), T) \
  SR_REGISTER_PARTS_OF(kind, SR_ARGUMENTS(RegisterPlacement<Policy, T, true>), T)
#define SR_ARGUMENTS(...) __VA_ARGS__
#define SR_REGISTER_PARTS_OF(kind, Placement, T)                        \
  kind template Measurement<T> Descent<Placement, T>::measure() const;  \
  kind template bool Descent<Placement, T>::update(int, bool);          \
  kind template Shift<T> Descent<Placement, T>::take_shift(T, T) const; \
  kind template void Descent<Placement, T>::record(const Shift<T>&, bool, int) const;
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace softreg
