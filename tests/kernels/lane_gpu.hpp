// LaneGpu: a Gpu of host memory whose launch is the memory evaluator, adding in the order of the
// policy's kernel: the yardstick of whole CUDA solves, on a device or on the emulator.
#pragma once
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include "device.hpp"
#include "kernels/emulated_gpu.hpp"

namespace softreg {

class LaneGpu final : public Gpu {
 public:
  std::string name() const override { return "lanes of the CPU"; }
  DeviceInfo info() override { return {132, 2048, std::int64_t{1} << 40, 15}; }
  void* allocate(std::size_t bytes) override { return std::malloc(bytes); }
  void release(void* memory) noexcept override { std::free(memory); }
  void* allocate_host(std::size_t bytes) override { return std::malloc(bytes); }
  void release_host(void* memory) noexcept override { std::free(memory); }
  void copy_in(int, void* device, const void* host, std::size_t bytes) override {
    std::memcpy(device, host, bytes);
  }
  void copy_out(int, void* host, const void* device, std::size_t bytes) override {
    std::memcpy(host, device, bytes);
  }
  void launch(int, int loss, const Launch& launch, const Batch<float>& batch) override {
    solve_like(policies[launch.policy], loss, batch);
  }
  void launch(int, int loss, const Launch& launch, const Batch<double>& batch) override {
    solve_like(policies[launch.policy], loss, batch);
  }
  void launch(int, const DataJob<float>&) override { throw std::logic_error("has no jobs"); }
  void launch(int, const DataJob<double>&) override { throw std::logic_error("has no jobs"); }
  std::string cannot_read(const void*) override { return "in host memory"; }
  void synchronize(int) override {}
};

// Runs f with LaneGpu in place of the device.
template <class F>
auto on_lanes(const F& f) {
  const GpuSource device = gpu_source();
  gpu_source().unavailable = [] { return std::string(); };
  gpu_source().open = []() -> std::unique_ptr<Gpu> { return std::make_unique<LaneGpu>(); };
  auto result = f();
  gpu_source() = device;
  return result;
}

}  // namespace softreg
