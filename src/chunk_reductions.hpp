// ChunkReductions: what a chunk of reduced instances (src/reduction.hpp) keeps while the device has
// it: a reduction for each of them or, where all share A, whose decomposition there is once, for
// each thread.
#pragma once
#include <cstdint>
#include <vector>

#include "parallel.hpp"
#include "reduction.hpp"

namespace softreg {

template <class T>
class ChunkReductions {
 public:
  // of_shared: has taken the A that all share; null: each has its own.
  ChunkReductions(const Batch<T>& whole, const Reduction<T>* of_shared, std::int64_t count,
                  int threads)
      : whole_(whole),
        shared_(of_shared != nullptr),
        reductions_(shared_ ? List(static_cast<std::size_t>(worker_slots(threads)), *of_shared)
                            : List(static_cast<std::size_t>(count))),
        taken_(static_cast<std::size_t>(count)) {}

  // Instance i of the batch, the k-th of the chunk, reduced; null if its numbers forbid it.
  const Batch<T>* take(std::int64_t k, std::int64_t i, int slot) {
    const Batch<T>* const one = of(k, slot).take(whole_, i);
    taken_[static_cast<std::size_t>(k)] = one != nullptr;
    return one;
  }
  // y: its parameters at the end, which become x in the batch. Whether that helped.
  bool lift(std::int64_t k, std::int64_t i, int slot, const T* y) {
    if (!taken_[static_cast<std::size_t>(k)]) return false;
    if (shared_) (void)of(k, slot).take(whole_, i);
    return of(k, slot).lift(y);
  }

 private:
  using List = std::vector<Reduction<T>>;

  Reduction<T>& of(std::int64_t k, int slot) {
    return reductions_[static_cast<std::size_t>(shared_ ? slot : k)];
  }

  const Batch<T>& whole_;
  const bool shared_;
  List reductions_;
  std::vector<std::uint8_t> taken_;
};

}  // namespace softreg
