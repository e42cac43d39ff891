// Memory of the CUDA backend, given back whatever happens, and the arena in which a stream has its
// chunks one after the other.
#pragma once
#include <algorithm>
#include <vector>

#include "device.hpp"

namespace softreg {

template <void* (Gpu::*Allocate)(std::size_t), void (Gpu::*Release)(void*) noexcept>
class MemoryBlock {
 public:
  explicit MemoryBlock(Gpu& gpu) : gpu_(gpu) {}
  ~MemoryBlock() { release(); }
  MemoryBlock(const MemoryBlock&) = delete;
  MemoryBlock& operator=(const MemoryBlock&) = delete;

  // At least so many bytes; what was in it is lost if there were fewer.
  void reserve(std::int64_t bytes) {
    if (bytes <= bytes_) return;
    release();
    data_ = static_cast<char*>((gpu_.*Allocate)(static_cast<std::size_t>(bytes)));
    bytes_ = bytes;
  }
  void release() noexcept {
    if (data_) (gpu_.*Release)(data_);
    data_ = nullptr;
    bytes_ = 0;
  }
  char* data() const { return data_; }

 private:
  Gpu& gpu_;
  char* data_ = nullptr;
  std::int64_t bytes_ = 0;
};
using DeviceMemory = MemoryBlock<&Gpu::allocate, &Gpu::release>;
using HostMemory = MemoryBlock<&Gpu::allocate_host, &Gpu::release_host>;

// Before memory goes that the stream may still use, after a failure: nobody asks how it ended.
inline void drain(Gpu& gpu, int stream) noexcept {
  try {
    gpu.synchronize(stream);
  } catch (...) {
  }
}

// Numbers of the device, in host memory. They cross in pieces.
template <class T>
std::vector<T> fetched(Gpu& gpu, const T* from, std::int64_t values,
                       std::int64_t piece_bytes = std::int64_t{32} << 20) {
  std::vector<T> to(static_cast<std::size_t>(values));
  const std::int64_t most = piece_bytes / std::int64_t{sizeof(T)};
  HostMemory memory(gpu);
  memory.reserve(std::min(values, most) * std::int64_t{sizeof(T)});
  for (std::int64_t first = 0; first < values; first += most) {
    const std::int64_t n = std::min(most, values - first);
    gpu.copy_out(0, memory.data(), from + first, static_cast<std::size_t>(n) * sizeof(T));
    gpu.synchronize(0);
    std::copy_n(reinterpret_cast<const T*>(memory.data()), n, to.data() + first);
  }
  return to;
}

// An array of a chunk lies at the same place of both blocks, so that one copy takes them all.
struct Arena {
  explicit Arena(Gpu& gpu) : device(gpu), host(gpu) {}
  void reserve(const StreamMemory& memory) {
    device.reserve(memory.bytes);
    host.reserve(memory.staged_bytes);
  }
  void release() noexcept {
    device.release();
    host.release();
  }
  DeviceMemory device;
  HostMemory host;
};

}  // namespace softreg
