// Kernels made at run time for what instances have in common: the headers of the catalogue's,
// compiled by NVRTC for a policy that the catalogue does not have. No GPU is needed to make one.
#pragma once
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel_cache.hpp"
#include "runtime_compiler.hpp"
#include "specialised_policy.hpp"

namespace softreg {

struct KernelRequest {
  SpecialisedPolicy kernel;
  std::string_view loss;  // its name in the catalogue
  int value_bytes;
};

// What NVRTC is given: a policy as a type, and the expression that names the kernel.
struct KernelSource {
  std::string text, kernel;
};
KernelSource kernel_source(const KernelRequest& request);

class Specialiser {
 public:
  // candidates: files that may be NVRTC; the first that can be opened is used, when it is needed.
  Specialiser(std::vector<std::string> candidates, KernelCache cache);

  // Why no kernel can be made, in one sentence; empty: they can.
  std::string unavailable();
  // Throws Error (device_unavailable) with that sentence.
  const Nvrtc& compiler();
  const KernelCache& cache() const { return cache_; }

  // From memory, the disk or the compiler; stays valid as long as *this. From any number of
  // threads. Throws Error: device_unavailable, internal.
  const KernelImage& kernel(const KernelRequest& request);

 private:
  void open();
  KernelImage make(const KernelSource& source) const;

  std::mutex mutex_;
  std::vector<std::string> candidates_;
  KernelCache cache_;
  std::optional<Nvrtc> compiler_;
  std::string unavailable_;
  std::string basis_;  // a hash of all that kernels have in common
  std::map<std::string, std::shared_future<KernelImage>> kernels_;  // by source
};

// The one of this process.
Specialiser& specialiser();

// SOFTREG_SPECIALISE: never (unless it is set), auto or always. Throws Error (usage).
Specialise specialise_setting();

}  // namespace softreg
