// DeviceSweep: items go to the device, a job makes something of each, and that comes back; chunk
// after chunk, so that the host is busy with one while the device is with the next.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "device_memory.hpp"
#include "plan_parts.hpp"
#include "softreg/error.hpp"

namespace softreg {

// T: of the job's numbers. memory_limit: 0: none.
template <class T, class In, class Out>
class DeviceSweep {
 public:
  DeviceSweep(Gpu& gpu, std::int64_t memory_limit) : gpu_(gpu) {
    if (memory_limit > 0) most_bytes_ = std::min(most_bytes_, memory_limit / std::int64_t{streams});
  }
  ~DeviceSweep() {
    for (Slot& slot : slots_)
      if (slot.busy) drain(gpu_, slot.stream);
  }
  DeviceSweep(const DeviceSweep&) = delete;
  DeviceSweep& operator=(const DeviceSweep&) = delete;

  // Of device memory for so many items and results.
  static std::int64_t bytes(std::int64_t count, std::int64_t values) {
    return in_bytes(count) + aligned(values * std::int64_t{sizeof(Out)});
  }

  // results(item): how many values of Out it becomes. prepare(item, at): told where they are in its
  // chunk's. job(items, count, out), of device pointers. take(first, last, out): of items[first]
  // ... items[last - 1], in the order of the items.
  template <class Results, class Prepare, class MakeJob, class Take>
  void run(std::span<const In> items, Results results, Prepare prepare, MakeJob job, Take take) {
    const std::int64_t count = std::ssize(items);
    int turn = 0;
    for (std::int64_t first = 0; first < count;) {
      std::int64_t values = results(item(items, first)), last = first + 1;
      for (; last < count; ++last) {
        const std::int64_t more = values + results(item(items, last));
        if (bytes(last + 1 - first, more) > most_bytes_) break;
        values = more;
      }
      if (!reserve(slots_[turn].arena, bytes(last - first, values))) {
        make_room(bytes(last - first, values), last - first, take);
        continue;
      }
      start(slots_[turn], items, first, last, values, results, prepare, job);
      first = last;
      turn = (turn + 1) % streams;
      finish(slots_[turn], take);
    }
    for (int k = 0; k < streams; ++k) finish(slots_[(turn + k) % streams], take);
  }

 private:
  static constexpr int streams = 2;
  static std::int64_t in_bytes(std::int64_t count) {
    return aligned(count * std::int64_t{sizeof(In)});
  }
  struct Slot {
    int stream;
    Arena arena;
    std::int64_t first = 0, last = 0;
    bool busy = false;
  };

  static const In& item(std::span<const In> items, std::int64_t k) {
    return items[static_cast<std::size_t>(k)];
  }
  template <class Results, class Prepare, class MakeJob>
  void start(Slot& slot, std::span<const In> items, std::int64_t first, std::int64_t last,
             std::int64_t values, Results results, Prepare prepare, MakeJob job) {
    const std::int64_t count = last - first;
    In* const in = reinterpret_cast<In*>(slot.arena.host.data());
    for (std::int64_t k = 0, at = 0; k < count; ++k) {
      in[k] = item(items, first + k);
      prepare(in[k], at);
      at += results(in[k]);
    }
    char* const device = slot.arena.device.data();
    const std::int64_t behind = in_bytes(count);
    slot.first = first;
    slot.last = last;
    slot.busy = true;
    gpu_.copy_in(slot.stream, device, slot.arena.host.data(), static_cast<std::size_t>(behind));
    gpu_.launch(slot.stream, DataJob<T>(job(reinterpret_cast<const In*>(device), count,
                                            reinterpret_cast<Out*>(device + behind))));
    gpu_.copy_out(slot.stream, slot.arena.host.data() + behind, device + behind,
                  static_cast<std::size_t>(values) * sizeof(Out));
  }
  template <class Take>
  void finish(Slot& slot, Take take) {
    if (!slot.busy) return;
    gpu_.synchronize(slot.stream);
    slot.busy = false;
    take(slot.first, slot.last,
         reinterpret_cast<const Out*>(slot.arena.host.data() + in_bytes(slot.last - slot.first)));
  }
  // Whether there was memory.
  static bool reserve(Arena& arena, std::int64_t bytes) {
    try {
      arena.reserve({bytes, bytes});
      return true;
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::out_of_memory) throw;
      arena.release();
      return false;
    }
  }
  // The machine had less memory than chunks of so many bytes take: they become smaller, and one
  // item gets another try with no other chunk beside it.
  template <class Take>
  void make_room(std::int64_t bytes, std::int64_t count, Take take) {
    const bool alone = std::all_of(std::begin(slots_), std::end(slots_),
                                   [](const Slot& s) { return s.arena.device.data() == nullptr; });
    if (alone && count == 1)
      throw Error(
          ErrorKind::out_of_memory,
          fmt::format("examining the arrays needs {} bytes of device memory, and as many of "
                      "pinned host memory, and there are fewer",
                      bytes),
          "free memory, or copy the arrays to host memory");
    for (Slot& slot : slots_) {
      finish(slot, take);
      slot.arena.release();
    }
    most_bytes_ = std::min(most_bytes_, bytes) / 2;
  }

  Gpu& gpu_;
  std::int64_t most_bytes_ = std::int64_t{32} << 20;  // of a chunk of more than one item
  Slot slots_[streams] = {{0, Arena(gpu_)}, {1, Arena(gpu_)}};
};

}  // namespace softreg
