// The chunks of a batch on the streams of a device: while one is solved, the next is packed and
// copied in and the one before copied out. Memory stays with a stream from chunk to chunk.
#pragma once
#include <fmt/format.h>

#include <deque>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "plan_parts.hpp"
#include "shared_arrays.hpp"
#include "specialised_kernels.hpp"
#include "transfer.hpp"

namespace softreg {

// A stream, its memory, and the chunk that is on its way.
template <class T>
class Slot {
 public:
  // unreduced: see Transfer::publish.
  Slot(Gpu& gpu, int stream, std::vector<std::int64_t>& unreduced)
      : gpu_(gpu), stream_(stream), arena_(gpu), unreduced_(unreduced) {}
  ~Slot() {
    if (transfer_) drain(gpu_, stream_);
  }

  // specialised: the kernel, if it is not the catalogue's; least: what memory is reserved for later
  // chunks.
  void start(Run<T>& run, const SharedArrays<T>& shared, const Chunk& chunk,
             const void* specialised, std::span<const std::int64_t> order,
             const StreamMemory& least) {
    queued_ = false;
    transfer_.emplace(run, shared.batch(), shared.reduction(), chunk, order, arena_);
    arena_.reserve(
        {std::max(chunk.bytes, least.bytes), std::max(chunk.staged_bytes, least.staged_bytes)});
    transfer_->pack();
    transfer_->copy_in(gpu_, stream_);
    naming_chunk("launching", [&] { transfer_->launch(gpu_, stream_, specialised); });
    transfer_->copy_out(gpu_, stream_);
    queued_ = true;
  }
  // Waits for the chunk and publishes it.
  void finish() {
    if (!transfer_) return;
    const bool queued = std::exchange(queued_, false);  // unless this fails
    naming_chunk("waiting for", [this] { gpu_.synchronize(stream_); });
    if (!queued) return;
    transfer_->publish(unreduced_);
    transfer_.reset();
  }
  // After a failure: finishes the chunk if that is still possible, else returns it, and gives all
  // memory back.
  std::optional<Chunk> retreat() {
    try {
      finish();
    } catch (const Error&) {
    }
    std::optional<Chunk> unsolved;
    if (transfer_) unsolved = transfer_->chunk();
    transfer_.reset();
    arena_.release();
    return unsolved;
  }
  bool has_memory() const { return arena_.device.data() != nullptr; }

 private:
  template <class F>
  void naming_chunk(const char* doing, F f) const {
    try {
      f();
    } catch (const Error& e) {
      const std::span<const std::int64_t> is = transfer_->instances();
      throw Error(
          e.kind(),
          fmt::format("{}; {} {} with {} instances, {} to {}", e.what(), doing,
                      policies[transfer_->chunk().policy].name, is.size(), is.front(), is.back()),
          e.hint(), e.where());
    }
  }

  Gpu& gpu_;
  const int stream_;
  Arena arena_;
  std::vector<std::int64_t>& unreduced_;
  std::optional<Transfer<T>> transfer_;
  bool queued_ = false;  // all of it, so that it is solved once the stream is synchronised
};

template <class T>
class Pipeline {
 public:
  Pipeline(Gpu& gpu, Run<T>& run, const SharedArrays<T>& shared, const CudaPlan& plan,
           const SpecialisedKernels& kernels, const DeviceInfo& device)
      : run_(run),
        shared_(shared),
        order_(plan.order),
        kernels_(kernels),
        device_(device),
        waiting_(plan.chunks.begin(), plan.chunks.end()),
        reserved_(plan.streams) {
    for (std::size_t k = 0; k < plan.streams.size(); ++k)
      slots_.emplace_back(gpu, static_cast<int>(k), unreduced_);
  }

  // Returns how many more chunks there were than planned.
  std::int64_t run() {
    try {
      while (!waiting_.empty()) {
        slots_[turn_].finish();
        if (run_.cancelled()) break;
        start_next();
      }
      for (std::size_t k = 0; k < slots_.size(); ++k)  // the oldest first
        slots_[(turn_ + k) % slots_.size()].finish();
    } catch (...) {
      retreat();
      throw;
    }
    return more_;
  }
  // After run(): the instances that are still to be solved, without a reduction.
  std::vector<std::int64_t> unreduced() const {
    std::vector<std::int64_t> ascending = unreduced_;
    std::sort(ascending.begin(), ascending.end());
    return ascending;
  }

 private:
  void start_next() {
    const Chunk chunk = waiting_.front();
    waiting_.pop_front();
    try {
      slots_[turn_].start(run_, shared_, chunk, kernels_[static_cast<std::size_t>(chunk.policy)],
                          order_, reserved_[turn_]);
      turn_ = (turn_ + 1) % slots_.size();
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::out_of_memory) throw;
      make_room();
    }
  }

  // Finishes what it can and gives all memory back; returns what waits again.
  std::vector<Chunk> retreat() {
    std::vector<Chunk> unsolved;
    for (Slot<T>& slot : slots_)
      if (const std::optional<Chunk> chunk = slot.retreat()) unsolved.push_back(*chunk);
    return unsolved;
  }

  // The machine had less memory than it said: what is in flight is finished, nothing is reserved
  // any more, and of the rest all that is as large as what failed is halved. One instance gets
  // another try with no other chunk beside it.
  void make_room() {
    bool alone = true;
    for (std::size_t k = 0; k < slots_.size(); ++k)
      alone = alone && (k == turn_ || !slots_[k].has_memory());
    const StreamMemory reserved = reserved_[turn_];
    std::fill(reserved_.begin(), reserved_.end(), StreamMemory{});
    const std::vector<Chunk> unsolved = retreat();
    std::int64_t too_large = std::numeric_limits<std::int64_t>::max();
    for (const Chunk& chunk : unsolved) {
      if (chunk.bytes < reserved.bytes || chunk.staged_bytes < reserved.staged_bytes) continue;
      too_large = std::min(too_large, chunk.bytes);
      if (alone && is_single(chunk)) (void)halve(chunk, run_.shape, order_, device_);  // throws
    }
    waiting_.insert(waiting_.begin(), unsolved.begin(), unsolved.end());
    for (const Chunk& chunk : std::exchange(waiting_, {})) {
      if (chunk.bytes < too_large || is_single(chunk)) {
        waiting_.push_back(chunk);
        continue;
      }
      for (const Chunk& half : halve(chunk, run_.shape, order_, device_)) waiting_.push_back(half);
      ++more_;
    }
  }
  static bool is_single(const Chunk& chunk) { return chunk.last - chunk.first == 1; }

  Run<T>& run_;
  const SharedArrays<T>& shared_;
  std::span<const std::int64_t> order_;
  const SpecialisedKernels& kernels_;
  const DeviceInfo device_;
  std::deque<Chunk> waiting_;
  std::vector<std::int64_t> unreduced_;
  std::vector<StreamMemory> reserved_;
  std::deque<Slot<T>> slots_;  // in turn
  std::size_t turn_ = 0;
  std::int64_t more_ = 0;
};

}  // namespace softreg
