// parallel_for: the only header through which the project starts threads. oneTBB by default;
// -DSOFTREG_STD_THREADS=1 puts std::thread there, which ThreadSanitizer understands (Debian's TBB
// is not instrumented). Items are handed out in ascending order as workers become free, so that a
// slow item holds nobody else; calls may be nested and made from any number of threads at once.
#pragma once
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if !SOFTREG_STD_THREADS
#include <tbb/info.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#endif

namespace softreg {

// The cores this process may run on, as found at the first call.
inline int core_count() {
  static const int cores = [] {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }();
  return cores;
}

// How many threads a caller of parallel_for(count, threads, f) gets at most, and so how many
// workspaces it needs; 0 = all cores. TBB runs no more threads than there are cores.
inline int worker_slots(int threads) {
#if SOFTREG_STD_THREADS
  constexpr int most = 1024;  // more threads than this is a typing error, not a machine
#else
  const int most = core_count();
#endif
  return std::min(threads > 0 ? threads : core_count(), most);
}

namespace parallel_detail {

// The work of one call, shared by its workers.
template <class F>
class Items {
 public:
  Items(std::int64_t count, int slots, F& f) : count_(count), slots_(slots), f_(f) {}

  // Takes and does items until none is left. Never throws.
  void work(int slot) {
    for (std::int64_t first = 0, last = 0; take(first, last);)
      for (std::int64_t i = first; i < last; ++i) {
        if (i >= failed_.load(std::memory_order_relaxed)) return;
        try {
          f_(i, slot);
        } catch (...) {
          note_failure(i);
          return;
        }
      }
  }

  void rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  // Handing out is a few nanoseconds; chunks matter only for tiny items, and shrink to single items
  // towards the end so that the last workers finish together.
  bool take(std::int64_t& first, std::int64_t& last) {
    constexpr std::int64_t largest_chunk = 16;
    first = next_.load(std::memory_order_relaxed);
    do {
      if (first >= count_) return false;
      last = first + std::clamp<std::int64_t>((count_ - first) / (std::int64_t{8} * slots_), 1,
                                              largest_chunk);
    } while (!next_.compare_exchange_weak(first, last, std::memory_order_relaxed));
    return true;
  }

  // Everything below a failed item was handed out before it and is still done, so the lowest
  // failing item is the same whatever the number of threads.
  void note_failure(std::int64_t i) {
    const std::lock_guard lock(mutex_);
    if (i >= failed_.load(std::memory_order_relaxed)) return;
    failed_.store(i, std::memory_order_relaxed);
    error_ = std::current_exception();
  }

  const std::int64_t count_;
  const int slots_;
  F& f_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> failed_{std::numeric_limits<std::int64_t>::max()};
  std::mutex mutex_;
  std::exception_ptr error_;
};

// Calls work(0), ..., work(slots - 1), each once, at the same time as far as the machine allows.
template <class Work>
void run_workers(int slots, const Work& work) {
#if SOFTREG_STD_THREADS
  std::vector<std::thread> others;
  others.reserve(static_cast<std::size_t>(slots - 1));
  try {
    for (int slot = 1; slot < slots; ++slot) others.emplace_back(work, slot);
  } catch (const std::system_error&) {
    // The machine has no more threads: those that started, or this one alone, do all the work.
  }
  work(0);
  for (std::thread& t : others) t.join();
#else
  // Isolated: a caller's own TBB task group that is cancelled must not leave items undone.
  tbb::task_group_context context(tbb::task_group_context::isolated,
                                  tbb::task_group_context::fp_settings);
  // An arena wider than the machine makes TBB print a warning.
  tbb::task_arena(std::min(slots, tbb::info::default_concurrency())).execute([&] {
    tbb::parallel_for(0, slots, 1, work, tbb::simple_partitioner(), context);
  });
#endif
}

}  // namespace parallel_detail

// Calls f(i, slot) once for every i in [0, count), from at most worker_slots(threads) threads, and
// returns when all have returned. slot < worker_slots(threads) names a workspace that no other call
// of f uses meanwhile. If f throws, items above the failed one may be left out and the exception of
// the lowest failing item is rethrown.
template <class F>
void parallel_for(std::int64_t count, int threads, F f) {
  if (count <= 0) return;
  const int slots = static_cast<int>(std::min<std::int64_t>(worker_slots(threads), count));
  parallel_detail::Items<F> items(count, slots, f);
  if (slots == 1)
    items.work(0);
  else
    parallel_detail::run_workers(slots, [&items](int slot) { items.work(slot); });
  items.rethrow();
}

// Calls tick() about every period from a thread of its own, until it is destroyed. tick must
// not throw.
class Watcher {
 public:
  template <class Tick>
  Watcher(std::chrono::milliseconds period, Tick tick)
      : thread_([this, period, tick] {
          std::unique_lock lock(mutex_);
          while (!wake_.wait_for(lock, period, [this] { return done_; })) tick();
        }) {}
  ~Watcher() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace softreg
