// The instruction sets for which the CPU's lanes were compiled (cmake/cpu_isa.cmake).
#pragma once
#include <span>

#include "cpu_lanes.hpp"

namespace softreg {

struct CpuIsa {
  const char* name;
  CpuSolve* solve;
  CpuPacks* packs;     // null: none
  int register_bytes;  // of packs
  bool usable;         // on this processor
};

// The best first; the last is usable on every x86-64 processor.
std::span<const CpuIsa> cpu_isas();

}  // namespace softreg
