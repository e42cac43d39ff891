// What the emulated machines of all losses share is compiled once (emulated_parts.cpp).
#pragma once
#include "solve_kernel.hpp"

namespace softreg {

// kind: as of SR_MEMORY_PARTS.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define SR_EMULATED_LANES_PARTS(kind)                \
  SR_MEMORY_PARTS(kind, LaneGroup<32>, DenseMatrix)  \
  SR_MEMORY_PARTS(kind, LaneGroup<256>, DenseMatrix) \
  SR_MEMORY_PARTS(kind, LaneGroup<256>, Kronecker)

#define SR_EMULATED_LAUNCHER_PARTS(kind)              \
  SR_MEMORY_PARTS(kind, SimtGroup<256>, DenseMatrix)  \
  SR_MEMORY_PARTS(kind, SimtGroup<256>, Kronecker)    \
  SR_REGISTER_PARTS(kind, WarpRegisters32x8, float)   \
  SR_REGISTER_PARTS(kind, WarpRegisters32x8, double)  \
  SR_REGISTER_PARTS(kind, WarpRegisters64x16, float)  \
  SR_REGISTER_PARTS(kind, WarpRegisters64x16, double) \
  SR_REGISTER_PARTS(kind, WarpRegisters128x8, float)  \
  SR_REGISTER_PARTS(kind, WarpRegisters128x8, double) \
  SR_REGISTER_PARTS(kind, WarpRegisters256x8, float)  \
  SR_REGISTER_PARTS(kind, WarpRegisters64x32, float)
// Not of the whole class: it could judge bounds, which no kernel with registers does.
#define SR_REGISTER_PARTS(kind, Policy, T)                                         \
  kind template Measurement<T> Descent<Registers<Policy, T>, T>::measure() const;  \
  kind template bool Descent<Registers<Policy, T>, T>::update(int, bool);          \
  kind template Shift<T> Descent<Registers<Policy, T>, T>::take_shift(T, T) const; \
  kind template void Descent<Registers<Policy, T>, T>::record(const Shift<T>&, bool, int) const;
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace softreg
