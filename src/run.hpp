// Run: one solve in flight, shared by the conductor and a backend. The backend takes the batch,
// solves the instances it is told to and publishes each as it finishes.
#pragma once
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "plan.hpp"
#include "softreg/model/batch.hpp"
#include "softreg/options.hpp"

namespace softreg {

template <class T>
struct Run {
  // Row-major, in host memory; where shape.data_on_device says so A, b and w are not. outcome and x
  // are written here.
  Batch<T> batch;
  BatchShape shape;
  int loss = 0;                   // index into AnyLoss
  std::vector<std::int64_t> fit;  // the instances to solve, ascending
  int threads = 1;
  std::int64_t memory_limit = 0;

  int cancel = 0;                      // set to 1 from any thread
  std::vector<std::uint8_t> finished;  // (count) 1: the instance's outcome, x and traces are final
  std::atomic<std::int64_t> finished_count{0}, steps{0};

  bool cancelled() const { return __atomic_load_n(&cancel, __ATOMIC_RELAXED) != 0; }
  void publish(std::int64_t i) {
    if (batch.outcome[i].status == Status::not_run) return;
    steps.fetch_add(batch.outcome[i].steps, std::memory_order_relaxed);
    finished_count.fetch_add(1, std::memory_order_relaxed);
    __atomic_store_n(&finished[static_cast<std::size_t>(i)], std::uint8_t{1}, __ATOMIC_RELEASE);
  }
  // What was not fetched when the device failed.
  void mark_lost() {
    for (const std::int64_t i : fit) {
      if (is_finished(i)) continue;
      batch.outcome[i] = {};
      batch.outcome[i].status = Status::device_error;
      publish(i);
    }
  }
  bool is_finished(std::int64_t i) const {
    return __atomic_load_n(&finished[static_cast<std::size_t>(i)], __ATOMIC_ACQUIRE) != 0;
  }
};

}  // namespace softreg
