// The CUDA device of a build without CUDA: there is none, and it says so.
#include "device.hpp"
#include "kernel_sources.hpp"
#include "softreg/error.hpp"

namespace softreg {

std::string cuda_unavailable() {
  return "this build has no CUDA (nvcc was not found when it was configured)";
}

std::unique_ptr<Gpu> open_cuda() { throw Error(ErrorKind::device_unavailable, cuda_unavailable()); }

std::span<const SourceFile> kernel_sources() { return {}; }

}  // namespace softreg
