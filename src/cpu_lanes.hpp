// The boundary to the objects compiled per instruction set: plain C, because each of them has
// renamed the namespace and with it every type (cmake/cpu_isa.cmake).
#pragma once
#include <cstdint>

namespace softreg {

inline constexpr int cpu_lanes = 32;  // as many as a warp: the same bits as the warp kernels

extern "C" {
// Solves instance i of the Batch<float or double> at batch; the workspace holds the numbers that
// plan_cpu counts. loss, optimizer: indexes into AnyLoss, AnyOptimizer. team: the Team of threads
// that share the instance.
using CpuSolve = void(int value_bytes, int loss, int optimizer, const void* batch, std::int64_t i,
                      void* workspace, const void* team);
CpuSolve softreg_cpu_solve_x86_64, softreg_cpu_solve_x86_64_v3, softreg_cpu_solve_x86_64_v4;
}

}  // namespace softreg
