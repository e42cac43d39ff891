// The arrays that all instances share, on the device: copied in once, before the first chunk.
#pragma once
#include <fmt/format.h>

#include "transfer.hpp"

namespace softreg {

template <class T>
class SharedArrays {
 public:
  // bytes: of CudaPlan.
  SharedArrays(Gpu& gpu, const Batch<T>& from, std::int64_t bytes, const DeviceInfo& device)
      : gpu_(gpu), memory_(gpu), batch_(from) {
    batch_.cancelled = nullptr;  // a kernel is not interrupted; the conductor stops between chunks
    batch_.column_major = !from.matrix;
    if (bytes == 0) return;
    HostMemory columns(gpu);
    try {
      memory_.reserve(bytes);
      copy_in(from, columns);
      gpu.synchronize(0);  // before another stream reads them
    } catch (const Error& e) {
      drain(gpu, 0);
      if (e.kind() != ErrorKind::out_of_memory) throw;
      throw Error(ErrorKind::out_of_memory,
                  fmt::format("the arrays that all instances share need {} bytes of device memory "
                              "and the device ran out of it, though {} were available when the "
                              "batch was planned",
                              bytes, device.memory_bytes),
                  "free device memory or use --device cpu");
    }
  }

  const Batch<T>& batch() const { return batch_; }

 private:
  void copy_in(const Batch<T>& from, HostMemory& columns) {
    const std::int64_t logits = from.n * from.m;
    if (from.a1_shared) send(&Batch<T>::a1, from.a1, from.n * from.d1);
    if (from.a2_shared) {
      const T* a2 = from.a2;
      if (!from.matrix) {
        columns.reserve(from.m * from.d2 * std::int64_t{sizeof(T)});
        copy_columns(from.a_of(0), reinterpret_cast<T*>(columns.data()));
        a2 = reinterpret_cast<T*>(columns.data());
      }
      send(&Batch<T>::a2, a2, from.m * from.d2);
    }
    if (from.target_shared) send(&Batch<T>::target, from.target, logits);
    if (from.weights && from.weights_shared) send(&Batch<T>::weights, from.weights, logits);
    if (from.start && from.start_shared) send(&Batch<T>::start, from.start, from.parameters());
  }
  void send(const T* Batch<T>::*array, const T* from, std::int64_t values) {
    const std::int64_t bytes = values * std::int64_t{sizeof(T)};
    char* const to = memory_.data() + used_;
    used_ += aligned(bytes);
    gpu_.copy_in(0, to, from, static_cast<std::size_t>(bytes));
    batch_.*array = reinterpret_cast<const T*>(to);
  }

  Gpu& gpu_;
  DeviceMemory memory_;
  Batch<T> batch_;
  std::int64_t used_ = 0;
};

}  // namespace softreg
