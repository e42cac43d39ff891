// NVRTC, NVIDIA's compiler of CUDA C++ for use at run time: opened when it is first needed, never
// linked.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace softreg {

struct SourceFile {
  std::string_view name, text;  // name: as #include has it
};

// One compiled kernel.
struct KernelImage {
  std::string code;    // a cubin: machine code of one architecture
  std::string symbol;  // the kernel's name in it
};

class Nvrtc {
 public:
  // Opens the first of these files that can be opened. Throws Error (device_unavailable), with the
  // loader's reason, where none can.
  explicit Nvrtc(std::span<const std::string> candidates);

  const std::string& path() const { return path_; }
  const std::string& version() const { return version_; }  // "13.0"

  // kernel: an expression that names it, such as "kernel<Policy, float>". Throws Error (internal)
  // with what the compiler says first. From any number of threads.
  KernelImage compile(const std::string& source, std::span<const SourceFile> headers,
                      const std::string& kernel, std::span<const char* const> options) const;

 private:
  struct Functions;
  const Functions* functions_;  // of a library that stays open
  std::string path_, version_;
};

// Where it is looked for: SOFTREG_NVRTC alone if that is set; else the loader's own places, the
// toolkit, and NVIDIA's PyPI packages in the Pythons that the environment names.
std::vector<std::string> nvrtc_candidates();

}  // namespace softreg
