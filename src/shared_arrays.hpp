// The arrays that all instances share, on the device: copied in once, before the first chunk, or
// left where the caller has them there. Of an A that is reduced it is what is left of it.
#pragma once
#include <fmt/format.h>

#include "transfer.hpp"

namespace softreg {

template <class T>
class SharedArrays {
 public:
  SharedArrays(Gpu& gpu, const Batch<T>& from, const BatchShape& shape, const CudaPlan& plan,
               const DeviceInfo& device)
      : gpu_(gpu), on_device_(shape.data_on_device), memory_(gpu), batch_(from) {
    const std::int64_t bytes = plan.shared_bytes;
    batch_.cancelled = nullptr;  // a kernel is not interrupted; the conductor stops between chunks
    if (bytes == 0) return;
    HostMemory columns(gpu);
    try {
      memory_.reserve(bytes);
      copy_in(from, plan.chunks.front(), columns);
      gpu.synchronize(0);  // before another stream reads them
    } catch (const Error& e) {
      drain(gpu, 0);
      if (e.kind() != ErrorKind::out_of_memory) throw;
      throw Error(ErrorKind::out_of_memory,
                  fmt::format("the arrays that all instances share need {} bytes of device memory "
                              "and the device ran out of it, though {} were available when the "
                              "batch was planned",
                              bytes, device.memory_bytes),
                  std::string("free device memory or ") + without_device(shape));
    }
  }

  const Batch<T>& batch() const { return batch_; }
  // Has taken the A that all share; null where it is not reduced.
  const Reduction<T>* reduction() const { return reduction_ ? &*reduction_ : nullptr; }

 private:
  // any: chunk; where all share A, all classes read it alike.
  void copy_in(const Batch<T>& from, const Chunk& any, HostMemory& columns) {
    const int reduced = any.columns;
    const bool as_it_is = !lies_by_columns(policies[any.policy]);
    const std::int64_t logits = from.n * from.m;
    if (from.start && from.start_shared) send(&Batch<T>::start, from.start, from.parameters());
    if (on_device_) {
      if (from.a2_shared && !from.matrix) bring(from, !as_it_is);
      return;
    }
    if (from.a1_shared) send(&Batch<T>::a1, from.a1, from.n * from.d1);
    if (from.a2_shared) {
      const std::int64_t values = from.m * (reduced > 0 ? reduced : from.d2);
      if (!as_it_is) columns.reserve(values * std::int64_t{sizeof(T)});
      T* const by_columns = reinterpret_cast<T*>(columns.data());
      if (reduced > 0)
        copy_reduced_columns(reduce(from), from.rows_of(0), reduced, by_columns);
      else if (!as_it_is)
        copy_columns(from.a_of(0), by_columns);
      send(&Batch<T>::a2, as_it_is ? from.a2 : by_columns, values);
    }
    if (from.target_shared) send(&Batch<T>::target, from.target, logits);
    if (from.weights && from.weights_shared) send(&Batch<T>::weights, from.weights, logits);
  }
  // A of the caller, which the device has: by columns, or aligned as kernels want their tiles.
  void bring(const Batch<T>& from, bool by_columns) {
    const std::int64_t values = from.m * from.d2;
    T* const to = reinterpret_cast<T*>(memory_.data() + used_);
    used_ += aligned(values * std::int64_t{sizeof(T)});
    Gather<T> gather;
    gather.to = from;
    gather.to.count = 1;
    gather.a2 = {from.a2, to};
    gather.by_columns = by_columns;
    gather.slices = slices_of(values);
    gpu_.launch(0, DataJob<T>(gather));
    batch_.a2 = to;
  }
  const Batch<T>* reduce(Batch<T> any) {
    any.start = nullptr;
    return reduction_.emplace().take(any, 0);
  }
  void send(const T* Batch<T>::*array, const T* from, std::int64_t values) {
    const std::int64_t bytes = values * std::int64_t{sizeof(T)};
    char* const to = memory_.data() + used_;
    used_ += aligned(bytes);
    gpu_.copy_in(0, to, from, static_cast<std::size_t>(bytes));
    batch_.*array = reinterpret_cast<const T*>(to);
  }

  Gpu& gpu_;
  const bool on_device_;
  DeviceMemory memory_;
  Batch<T> batch_;
  std::optional<Reduction<T>> reduction_;
  std::int64_t used_ = 0;
};

}  // namespace softreg
