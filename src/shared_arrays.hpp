// The arrays that all instances share, on the device: copied in once, before the first chunk. Of an
// A that is reduced it is what is left of it.
#pragma once
#include <fmt/format.h>

#include "transfer.hpp"

namespace softreg {

template <class T>
class SharedArrays {
 public:
  SharedArrays(Gpu& gpu, const Batch<T>& from, const CudaPlan& plan, const DeviceInfo& device)
      : gpu_(gpu), memory_(gpu), batch_(from) {
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
                  "free device memory or use --device cpu");
    }
  }

  const Batch<T>& batch() const { return batch_; }
  // Has taken the A that all share; null where it is not reduced.
  const Reduction<T>* reduction() const { return reduction_ ? &*reduction_ : nullptr; }

 private:
  // any: chunk; where all share A, all classes read it alike.
  void copy_in(const Batch<T>& from, const Chunk& any, HostMemory& columns) {
    const int reduced = any.columns;
    const bool as_it_is = from.matrix || reads_by_rows(policies[any.policy]);
    const std::int64_t logits = from.n * from.m;
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
    if (from.start && from.start_shared) send(&Batch<T>::start, from.start, from.parameters());
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
  DeviceMemory memory_;
  Batch<T> batch_;
  std::optional<Reduction<T>> reduction_;
  std::int64_t used_ = 0;
};

}  // namespace softreg
