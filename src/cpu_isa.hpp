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

// The best first.
std::span<const CpuIsa> cpu_isas();

// A core of this machine, whose registers are those of the packs of an instruction set; 0: none.
CpuCore this_core(int register_bytes);

}  // namespace softreg
