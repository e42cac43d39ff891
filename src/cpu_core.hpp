#pragma once
#include <cstdint>

namespace softreg {

// What the choice of packs asks of a core. Caches: of data, in bytes.
struct CpuCore {
  int register_bytes = 0;  // of registers that may hold several instances; 0: none may
  std::int64_t first_cache = 1 << 15, second_cache = 1 << 20;
};

}  // namespace softreg
