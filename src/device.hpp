// Gpu: the one interface to a CUDA device. The real one is cuda_device.cu; the tests put host
// memory and the emulator behind it, and let the N-th call fail. Work is queued on one of
// most_streams streams: in order within each, in no order between them.
#pragma once
#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <variant>

#include "data_jobs.hpp"
#include "launch.hpp"
#include "plan.hpp"

namespace softreg {

struct KernelRequest;  // specialise.hpp

// What is done to data that lie on the device (data_jobs.hpp).
template <class T>
using DataJob = std::variant<LargestEntries<T>, TargetSummaries<T>, Grams<T>, Gather<T>>;

// Blocks for a job on a device with so many multiprocessors: no more than its items fill.
template <class T>
int blocks_of(const DataJob<T>& job, int multiprocessors) {
  return std::visit(
      [=](const auto& j) {
        const std::int64_t wanted = (j.items() + j.items_per_block - 1) / j.items_per_block;
        return static_cast<int>(
            std::clamp<std::int64_t>(wanted, 1, std::int64_t{multiprocessors} * 8));
      },
      job);
}

class Gpu {
 public:
  virtual ~Gpu() = default;

  virtual std::string name() const = 0;
  virtual DeviceInfo info() = 0;  // memory_bytes: free now

  // Device memory; throws Error out_of_memory if there is none left.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;
  // Host memory that copies fast; throws likewise.
  virtual void* allocate_host(std::size_t bytes) = 0;
  virtual void release_host(void* memory) noexcept = 0;

  // Memory of either side is left alone until the stream is synchronised.
  virtual void copy_in(int stream, void* device, const void* host, std::size_t bytes) = 0;
  virtual void copy_out(int stream, void* host, const void* device, std::size_t bytes) = 0;

  // Why no kernel can be made at run time, in one sentence; empty: they can.
  virtual std::string cannot_specialise() { return "this device takes no other kernels"; }
  // A kernel made for this request, for Launch::specialised; lives as long as the device. Throws
  // Error.
  virtual const void* specialise(const KernelRequest&) { return nullptr; }

  // loss: index into AnyLoss. Throws Error if the launch fails.
  virtual void launch(int stream, int loss, const Launch& launch, const Batch<float>& batch) = 0;
  virtual void launch(int stream, int loss, const Launch& launch, const Batch<double>& batch) = 0;

  virtual void launch(int stream, const DataJob<float>& job) = 0;
  virtual void launch(int stream, const DataJob<double>& job) = 0;

  // Why the device cannot read what the caller says is there, in words that go on "... is"; empty:
  // it can.
  virtual std::string cannot_read(const void* memory) = 0;

  // Until everything queued on the stream is done; throws Error device_lost if some of it failed.
  virtual void synchronize(int stream) = 0;
};

// Why no CUDA device can be used, in one sentence; empty: one can.
std::string cuda_unavailable();
// Throws Error device_unavailable with that sentence.
std::unique_ptr<Gpu> open_cuda();

// What the library calls; the tests replace it.
struct GpuSource {
  std::string (*unavailable)() = cuda_unavailable;
  std::unique_ptr<Gpu> (*open)() = open_cuda;
};
GpuSource& gpu_source();

}  // namespace softreg
