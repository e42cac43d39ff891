// What makes kernels at run time on this machine, for people.
#pragma once
#include <string>

namespace softreg {

struct KernelCompiler {
  std::string unavailable;    // in one sentence why there is none; empty: there is
  std::string path, version;  // of NVRTC
  std::string cache;          // folder in which kernels are kept; empty: none
  std::string asked;          // SOFTREG_SPECIALISE
};
// Throws Error (usage) if the variable is none of its words.
KernelCompiler kernel_compiler();

}  // namespace softreg
