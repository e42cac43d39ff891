#include "cpu_isa.hpp"

#include <unistd.h>

#include <vector>

namespace softreg {

std::span<const CpuIsa> cpu_isas() {
  static const std::vector<CpuIsa> all = [] {
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    [[maybe_unused]] const bool v4 =
        v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl");
    return std::vector<CpuIsa> {
#if defined(SOFTREG_HAS_x86_64_v4)
      {"x86-64-v4", softreg_cpu_solve_x86_64_v4, softreg_cpu_packs_x86_64_v4, 64, v4},
#endif
#if defined(SOFTREG_HAS_x86_64_v3)
          {"x86-64-v3", softreg_cpu_solve_x86_64_v3, softreg_cpu_packs_x86_64_v3, 32, v3},
#endif
#if defined(SOFTREG_HAS_x86_64)
          {"x86-64", softreg_cpu_solve_x86_64, nullptr, 0, true},
#endif
    };
  }();
  return all;
}

CpuCore this_core(int register_bytes) {
  static const CpuCore caches = [] {  // asked for once: each context of a sequence is planned
    CpuCore core;
#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE)
    if (const long bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE); bytes > 0) core.first_cache = bytes;
    if (const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); bytes > 0) core.second_cache = bytes;
#endif
    return core;
  }();
  CpuCore core = caches;
  core.register_bytes = register_bytes;
  return core;
}

}  // namespace softreg
