// The real CUDA device: every runtime call of the project, each one checked.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "device.hpp"
#include "launcher_declaration.cuh"
#include "plan_parts.hpp"
#include "softreg/error.hpp"
#include "specialise.hpp"

namespace softreg {

namespace {

ErrorKind kind_of(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return ErrorKind::out_of_memory;
    case cudaErrorInvalidKernelImage:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorSymbolNotFound:
    case cudaErrorInvalidSource:
      return ErrorKind::internal;
    default:
      return ErrorKind::device_lost;
  }
}

void check(cudaError_t status, SourceLocation where = SourceLocation::current()) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // or the next launch would be told of it once more
  const ErrorKind kind = kind_of(status);
  throw Error(
      kind,
      std::string("CUDA: ") + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ")",
      "", where);
}

std::string version(int v) {
  return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10);
}

// Of a kernel made at run time. It stays loaded, like those of the catalogue, until the process
// ends.
const void* loaded(const KernelImage& image) {
  static std::mutex mutex;
  static std::unordered_map<const KernelImage*, cudaKernel_t> kernels;
  const std::lock_guard lock(mutex);
  cudaKernel_t& kernel = kernels[&image];
  if (kernel == nullptr) {
    cudaLibrary_t library = nullptr;
    cudaKernel_t found = nullptr;
    check(
        cudaLibraryLoadData(&library, image.code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
    check(cudaLibraryGetKernel(&found, library, image.symbol.c_str()));
    check(cudaFuncSetAttribute(static_cast<const void*>(found),
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(max_shared_bytes)));
    kernel = found;
  }
  return kernel;
}

struct Stream {
  ~Stream() {
    if (handle) (void)cudaStreamDestroy(handle);
  }
  cudaStream_t handle = nullptr;
};

class CudaGpu final : public Gpu {
 public:
  CudaGpu() {
    check(cudaGetDevice(&callers_device_));
    check(cudaSetDevice(0));
    check(cudaGetDeviceProperties(&properties_, 0));
    for (Stream& stream : streams_)
      check(cudaStreamCreateWithFlags(&stream.handle, cudaStreamNonBlocking));
  }

  ~CudaGpu() override { (void)cudaSetDevice(callers_device_); }

  std::string name() const override { return properties_.name; }
  DeviceInfo info() override {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total));
    static const int clusters = clusters_at_once();  // loads their kernels: once
    return {properties_.multiProcessorCount, properties_.maxThreadsPerMultiProcessor,
            static_cast<std::int64_t>(free), clusters};
  }
  void* allocate(std::size_t bytes) override {
    void* p = nullptr;
    check(cudaMalloc(&p, bytes));
    return p;
  }
  void release(void* memory) noexcept override { (void)cudaFree(memory); }
  void* allocate_host(std::size_t bytes) override {
    void* p = nullptr;
    check(cudaMallocHost(&p, bytes));
    return p;
  }
  void release_host(void* memory) noexcept override { (void)cudaFreeHost(memory); }
  void copy_in(int stream, void* device, const void* host, std::size_t bytes) override {
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, streams_[stream].handle));
  }
  void copy_out(int stream, void* host, const void* device, std::size_t bytes) override {
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, streams_[stream].handle));
  }
  std::string cannot_specialise() override { return specialiser().unavailable(); }
  const void* specialise(const KernelRequest& request) override {
    return loaded(specialiser().kernel(request));
  }
  void launch(int stream, int loss, const Launch& launch, const Batch<float>& batch) override {
    start(stream, loss, launch, batch);
  }
  void launch(int stream, int loss, const Launch& launch, const Batch<double>& batch) override {
    start(stream, loss, launch, batch);
  }
  void launch(int stream, const DataJob<float>& job) override { start(stream, job); }
  void launch(int stream, const DataJob<double>& job) override { start(stream, job); }
  std::string cannot_read(const void* memory) override {
    cudaPointerAttributes is{};
    check(cudaPointerGetAttributes(&is, memory));
    if (is.type == cudaMemoryTypeUnregistered) return "in host memory";
    if (is.type == cudaMemoryTypeDevice && is.device != 0)
      return "in memory of device " + std::to_string(is.device);
    return "";
  }
  void synchronize(int stream) override { check(cudaStreamSynchronize(streams_[stream].handle)); }

 private:
  template <class T>
  void start(int stream, int loss, Launch launch, const Batch<T>& batch) {
    launch.stream = streams_[stream].handle;
    if (launch.specialised != nullptr) return start_specialised(launch, batch);
    visit_alternative<AnyLoss>(
        loss, [&]<class LossT>() { check(Launcher<LossT, T>::run(launch, batch)); });
  }

  template <class T>
  void start(int stream, const DataJob<T>& job) {
    const auto blocks = static_cast<unsigned>(blocks_of(job, properties_.multiProcessorCount));
    std::visit(
        [&](const auto& j) {
          run_job<<<blocks, job_lanes, SimtGroup<job_lanes>::scratch_bytes(),
                    streams_[stream].handle>>>(j);
        },
        job);
    check(cudaGetLastError());
  }

  // The arguments of solve_kernel.
  template <class T>
  void start_specialised(const Launch& launch, Batch<T> batch) {
    T* workspace = static_cast<T*>(launch.workspace);
    std::int64_t stride = launch.workspace_stride, values = shared_values<T>(launch);
    bool resident = false;
    void* arguments[] = {&batch, &workspace, &stride, &values, &resident};
    check(cudaLaunchKernel(launch.specialised, static_cast<unsigned>(launch.blocks),
                           static_cast<unsigned>(policies[launch.policy].threads()), arguments,
                           static_cast<std::size_t>(launch.shared_bytes),
                           static_cast<cudaStream_t>(launch.stream)));
  }

  // The least of any class; 0 where the device (a part of one, say) has room for none, which CUDA
  // may call an error.
  static int clusters_at_once() {
    int least = std::numeric_limits<int>::max();
    for (int k = 0; k < policy_count; ++k) {
      const KernelPolicy& p = policies[k];
      if (p.cluster() > 1)
        with_type(p.value_bytes, [&](auto t) {
          using T = decltype(t);
          Launch launch;
          launch.policy = k;
          launch.shared_bytes =
              static_cast<int>(kernel_shared_bytes<T>(p, Extent{}, Layout{}, false));
          int clusters = 0;
          if (Launcher<SoftmaxL2, T>::clusters_at_once(launch, clusters) != cudaSuccess) {
            (void)cudaGetLastError();
            clusters = 0;
          }
          least = std::min(least, clusters);
        });
    }
    return least;
  }

  cudaDeviceProp properties_{};
  int callers_device_ = 0;  // of this thread
  Stream streams_[most_streams];
};

}  // namespace

std::string cuda_unavailable() {
  int driver = 0, runtime = 0, count = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  const cudaError_t status = cudaGetDeviceCount(&count);
  (void)cudaGetLastError();
  if (driver == 0) return "no NVIDIA driver is installed";
  if (status == cudaErrorInsufficientDriver)
    return "the NVIDIA driver supports CUDA " + version(driver) + " but this build needs " +
           version(runtime);
  if (status != cudaSuccess) return std::string("CUDA says: ") + cudaGetErrorString(status);
  if (count == 0) return "the NVIDIA driver sees no device (is CUDA_VISIBLE_DEVICES empty?)";
  cudaDeviceProp p{};
  if (cudaGetDeviceProperties(&p, 0) != cudaSuccess) return "device 0 cannot be queried";
  if (p.major != 9)
    return std::string(p.name) + " has compute capability " + std::to_string(p.major) + "." +
           std::to_string(p.minor) + " but this build has kernels for 9.0";
  return "";
}

std::unique_ptr<Gpu> open_cuda() {
  const std::string reason = cuda_unavailable();
  if (!reason.empty()) throw Error(ErrorKind::device_unavailable, "CUDA cannot be used: " + reason);
  return std::make_unique<CudaGpu>();
}

}  // namespace softreg
