// The machine behind kernels/simt.hpp on a CPU. Threads switch from one to the next without a
// system call (Boost.Context); who can run is a set of bits per warp.
#include "kernels/emulator.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <limits>
#include <memory>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels/fiber.hpp"
#include "kernels/shared_memory.hpp"
#include "simt.hpp"

namespace softreg::simt {
namespace {

// Where a thread stands. Shuffles of different sizes are different collectives.
enum class Place : unsigned char {
  running,
  sync_block,
  sync_cluster,
  sync_warp,
  shuffle_4,
  shuffle_8,
  returned
};

constexpr int most_warps = 64, most_blocks = 8;  // that run at the same time

struct Warp {
  unsigned ready = 0;    // lanes that can run
  unsigned waiting = 0;  // lanes at a warp collective
  Place place[warp_size] = {};
  unsigned mask[warp_size] = {};  // member mask of the collective
  int source[warp_size] = {};     // lane to read from
  std::uint64_t sent[warp_size] = {}, received[warp_size] = {};
};

std::string name(Place place, unsigned mask) {
  std::ostringstream text;
  if (place == Place::running) text << "run";
  if (place == Place::sync_block) text << "wait at sync_block()";
  if (place == Place::sync_cluster) text << "wait at sync_cluster()";
  if (place == Place::returned) text << "have returned";
  if (place == Place::sync_warp) text << "wait at sync_warp(0x" << std::hex << mask << ")";
  if (place == Place::shuffle_4) text << "wait at a 4-byte shuffle(0x" << std::hex << mask << ")";
  if (place == Place::shuffle_8) text << "wait at an 8-byte shuffle(0x" << std::hex << mask << ")";
  return text.str();
}

// Thrown through the stacks of the other threads once one has failed.
struct Unwind {};

class Machine {
 public:
  Machine() = default;
  ~Machine() = default;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void run(const Emulation& emulation, const std::function<void()>& kernel);
  void sync_block();
  void sync_cluster();
  void* in_block(void* shared, int rank);
  std::uint64_t collective(Place place, unsigned mask, int source, std::uint64_t bits);
  int thread() const { return thread_ - rank_ * slots_; }
  int block() const { return first_block_ + rank_; }
  int rank() const { return rank_; }
  int grid() const { return emulation_.grid; }
  void* shared() { return blocks_[rank_].shared->data(); }
  void begin_copy(void* shared, const void* global, int bytes);
  void commit_copies();
  void wait_for_copies(int groups);

 private:
  static void entry(Fiber* from);
  void run_cluster();
  void run_thread();
  void go_to(int thread);
  void suspend();
  void leave();
  void make_ready(int warp, unsigned lanes);
  static bool complete(const Warp& warp, Place place, unsigned mask);
  static void exchange(Warp& warp, unsigned mask);
  void fail(std::exception_ptr error);
  int choose();
  template <class Set>
  int pick(Set set, int width);
  unsigned random();
  unsigned members(int warp) const;
  std::string standstill() const;

  // Of a thread: those on their way, oldest first, and how many of them each group has.
  struct Copy {
    unsigned char* to;
    unsigned char bytes[16];
    int size;
  };
  struct Copies {
    std::deque<Copy> begun;
    std::deque<int> groups;
    int uncommitted = 0;
    void clear() {
      begun.clear();
      groups.clear();
      uncommitted = 0;
    }
  };
  static void arrive(const Copy& copy) { std::memcpy(copy.to, copy.bytes, std::size_t(copy.size)); }

  // Of a block of the cluster that runs.
  struct Block {
    std::unique_ptr<SharedMemory> shared;
    int alive = 0, at_barrier = 0;  // threads
  };

  Emulation emulation_{};
  const std::function<void()>* kernel_ = nullptr;
  Fiber host_;
  // Threads of a cluster are numbered warp by warp; a block has warps of its own.
  std::unique_ptr<Fiber> fibers_[most_warps * warp_size];  // made when first needed, then kept
  Warp warps_[most_warps];
  Copies copies_[most_warps * warp_size];
  Block blocks_[most_blocks];
  std::uint64_t ready_warps_ = 0;
  int block_warps_ = 0, slots_ = 0;  // of a block: warps, and the threads that they would hold
  int thread_ = 0, rank_ = 0;        // that runs, and the block that it belongs to
  int first_block_ = 0, alive_ = 0, at_cluster_barrier_ = 0;
  bool have_met_ = false;  // the blocks of the cluster, in a barrier
  unsigned random_ = 1;
  std::exception_ptr failure_;
};

thread_local Machine* active = nullptr;

Machine& machine() {
  if (active == nullptr) throw std::logic_error("a SIMT primitive was called outside of emulate()");
  return *active;
}

unsigned Machine::members(int warp) const {
  const int lanes = std::min(emulation_.block - warp % block_warps_ * warp_size, warp_size);
  return lanes <= 0 ? 0u : ~0u >> (warp_size - lanes);
}

unsigned Machine::random() {  // Marsaglia's xorshift: the same order with every standard library
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  random_ ^= random_ << 5;
  return random_;
}

// One of a set that is not empty, of numbers below `width`.
template <class Set>
int Machine::pick(Set set, int width) {
  if (emulation_.order == Order::ascending) return std::countr_zero(set);
  if (emulation_.order == Order::descending)
    return std::numeric_limits<Set>::digits - 1 - std::countl_zero(set);
  const int turn = static_cast<int>(random() % static_cast<unsigned>(width));
  const Set onward = set >> turn;
  return onward != 0 ? turn + std::countr_zero(onward) : std::countr_zero(set);
}

// The thread that runs next, or -1 when none can.
int Machine::choose() {
  if (ready_warps_ == 0) return -1;
  int w = thread_ / warp_size;
  // Shuffled order stays with a warp for about two collectives: warps drift apart, so that one
  // overtakes another where a barrier is missing.
  const bool stay =
      emulation_.order == Order::shuffled && warps_[w].ready != 0 && random() % 64 != 0;
  if (!stay) w = pick(ready_warps_, block_warps_ * emulation_.cluster);
  const int lane = pick(warps_[w].ready, warp_size);
  warps_[w].ready &= ~(1u << lane);
  if (warps_[w].ready == 0) ready_warps_ &= ~(std::uint64_t{1} << w);
  return w * warp_size + lane;
}

void Machine::make_ready(int warp, unsigned lanes) {
  warps_[warp].ready |= lanes;
  if (warps_[warp].ready != 0) ready_warps_ |= std::uint64_t{1} << warp;
}

void Machine::go_to(int thread) {
  thread_ = thread;
  rank_ = emulation_.cluster == 1 ? 0 : thread / slots_;
}

// The running thread waits; others run until it may go on.
void Machine::suspend() {
  const int self = thread_;
  int next = choose();
  if (next < 0) {
    fail(std::make_exception_ptr(std::runtime_error(standstill())));
    next = choose();
  }
  if (next != self) {
    go_to(next);
    fibers_[self]->switch_to(*fibers_[next]);
  }
  warps_[self / warp_size].place[self % warp_size] = Place::running;
  if (failure_) throw Unwind{};
}

// The running thread has returned; its fiber sleeps until the next block starts it again.
void Machine::leave() {
  const int self = thread_;
  Warp& warp = warps_[self / warp_size];
  warp.place[self % warp_size] = Place::returned;
  warp.ready &= ~(1u << self % warp_size);
  if (warp.ready == 0) ready_warps_ &= ~(std::uint64_t{1} << self / warp_size);
  --alive_;
  if (--blocks_[rank_].alive == 0 && emulation_.cluster > 1) blocks_[rank_].shared->clear();
  int next = choose();
  if (next < 0 && alive_ > 0) {
    fail(std::make_exception_ptr(std::runtime_error(standstill())));
    next = choose();
  }
  if (next >= 0) go_to(next);
  fibers_[self]->switch_to(next < 0 ? host_ : *fibers_[next]);
}

// Remembers the first error and lets every other thread run, to unwind.
void Machine::fail(std::exception_ptr error) {
  if (!failure_) failure_ = std::move(error);
  for (int w = 0; w < block_warps_ * emulation_.cluster; ++w)
    for (int lane = 0; lane < warp_size; ++lane)
      if ((members(w) >> lane & 1u) != 0 && warps_[w].place[lane] != Place::returned)
        make_ready(w, 1u << lane);
}

void Machine::sync_block() {
  warps_[thread_ / warp_size].place[thread_ % warp_size] = Place::sync_block;
  if (++blocks_[rank_].at_barrier == emulation_.block) {
    blocks_[rank_].at_barrier = 0;
    for (int w = rank_ * block_warps_; w < (rank_ + 1) * block_warps_; ++w)
      make_ready(w, members(w));
  }
  suspend();
}

void Machine::sync_cluster() {
  warps_[thread_ / warp_size].place[thread_ % warp_size] = Place::sync_cluster;
  if (++at_cluster_barrier_ == emulation_.block * emulation_.cluster) {
    at_cluster_barrier_ = 0;
    have_met_ = true;
    for (int w = 0; w < block_warps_ * emulation_.cluster; ++w) make_ready(w, members(w));
  }
  suspend();
}

void* Machine::in_block(void* shared, int rank) {
  const auto refuse = [&](const char* why) {
    throw std::runtime_error("block " + std::to_string(block()) +
                             " asks for shared memory of block " +
                             std::to_string(first_block_ + rank) + " of its cluster, " + why);
  };
  if (rank < 0 || rank >= emulation_.cluster) refuse("which has none of this number");
  if (!have_met_) refuse("which may not have begun");
  if (blocks_[rank].alive == 0) refuse("which has returned");
  void* const there = blocks_[rank].shared->like(shared, *blocks_[rank_].shared);
  if (there == nullptr) refuse("by a place outside of its own");
  return there;
}

std::uint64_t Machine::collective(Place place, unsigned mask, int source, std::uint64_t bits) {
  Warp& warp = warps_[thread_ / warp_size];
  const int lane = thread_ % warp_size;
  const bool own = (mask >> lane & 1u) != 0;
  if (!own || source < 0 || source >= warp_size || (mask >> source & 1u) == 0) {
    std::ostringstream text;
    text << "block " << block() << ": lane " << (own ? source : lane)
         << " takes part in a collective of thread " << thread()
         << " but is not in its member mask 0x" << std::hex << mask;
    throw std::runtime_error(text.str());
  }
  warp.place[lane] = place;
  warp.mask[lane] = mask;
  warp.source[lane] = source;
  warp.sent[lane] = bits;
  warp.waiting |= 1u << lane;
  if (complete(warp, place, mask)) {
    exchange(warp, mask);
    make_ready(thread_ / warp_size, mask);
  }
  suspend();
  return warp.received[lane];
}

// Whether all members wait at this collective, and not at another one.
bool Machine::complete(const Warp& warp, Place place, unsigned mask) {
  if ((warp.waiting & mask) != mask) return false;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int l = std::countr_zero(rest);
    if (warp.place[l] != place || warp.mask[l] != mask) return false;
  }
  return true;
}

// The last lane of a collective moves the values of all, so that everyone yields only once and
// nobody reads a value that a faster lane has already replaced.
void Machine::exchange(Warp& warp, unsigned mask) {
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int l = std::countr_zero(rest);
    warp.received[l] = warp.sent[warp.source[l]];
  }
  warp.waiting &= ~mask;
}

std::string Machine::standstill() const {
  std::ostringstream text;
  const char* separator = "";
  for (int b = 0; b < emulation_.cluster; ++b) {
    text << separator << "divergent barrier in block " << first_block_ + b << " of "
         << emulation_.block << " threads:";
    const auto where = [&](int t) {
      const Warp& warp = warps_[b * block_warps_ + t / warp_size];
      const Place place = warp.place[t % warp_size];
      const bool masked = place >= Place::sync_warp && place <= Place::shuffle_8;
      return name(place, masked ? warp.mask[t % warp_size] : 0);
    };
    separator = " ";
    for (int first = 0, end = 0; first < emulation_.block; first = end) {
      while (end < emulation_.block && where(end) == where(first)) ++end;
      text << separator << "threads " << first << " to " << end - 1 << " " << where(first);
      separator = ", ";
    }
    separator = "; ";
  }
  return text.str();
}

// In ascending order of threads a copy arrives as late as it may, in descending order at once.
void Machine::begin_copy(void* shared, const void* global, int bytes) {
  if (!blocks_[rank_].shared->has(shared, std::size_t(bytes)))
    throw std::runtime_error("block " + std::to_string(block()) +
                             " copies to a place outside of its shared memory");
  if (reinterpret_cast<std::uintptr_t>(shared) % std::size_t(bytes) != 0 ||
      reinterpret_cast<std::uintptr_t>(global) % std::size_t(bytes) != 0)
    throw std::runtime_error("a copy of " + std::to_string(bytes) +
                             " bytes between places that are not aligned to them");
  Copy copy{static_cast<unsigned char*>(shared), {}, bytes};
  if (global != nullptr) std::memcpy(copy.bytes, global, std::size_t(bytes));
  const bool late = emulation_.order == Order::ascending ||
                    (emulation_.order == Order::shuffled && random() % 2 == 0);
  if (!late) return arrive(copy);
  copies_[thread_].begun.push_back(copy);
  ++copies_[thread_].uncommitted;
}

void Machine::commit_copies() {
  Copies& own = copies_[thread_];
  own.groups.push_back(std::exchange(own.uncommitted, 0));
}

void Machine::wait_for_copies(int groups) {
  Copies& own = copies_[thread_];
  for (; static_cast<int>(own.groups.size()) > groups; own.groups.pop_front())
    for (int k = 0; k < own.groups.front(); ++k, own.begun.pop_front()) arrive(own.begun.front());
}

void Machine::run_thread() {
  if (!failure_) {
    try {
      (*kernel_)();
      if (!copies_[thread_].begun.empty())
        throw std::runtime_error("thread " + std::to_string(thread()) + " of block " +
                                 std::to_string(block()) +
                                 " returned while copies were on their way");
    } catch (const Unwind&) {
    } catch (...) {
      fail(std::current_exception());
    }
  }
  leave();
}

void Machine::entry(Fiber* from) {
  active->fibers_[active->thread_]->arrive_from(from);
  for (;;) active->run_thread();
}

void Machine::run_cluster() {
  ready_warps_ = 0;
  for (int w = 0; w < block_warps_ * emulation_.cluster; ++w) {
    warps_[w].ready = warps_[w].waiting = 0;
    std::fill_n(warps_[w].place, warp_size, Place::running);
    make_ready(w, members(w));
  }
  for (int b = 0; b < emulation_.cluster; ++b) {
    blocks_[b].alive = emulation_.block;
    blocks_[b].at_barrier = 0;
    blocks_[b].shared->clear();
  }
  for (int t = 0; t < slots_ * emulation_.cluster; ++t) copies_[t].clear();
  alive_ = emulation_.block * emulation_.cluster;
  at_cluster_barrier_ = 0;
  have_met_ = false;
  thread_ = 0;
  go_to(choose());
  host_.switch_to(*fibers_[thread_]);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  for (int b = 0; b < emulation_.cluster; ++b) {
    const std::string damage = blocks_[b].shared->damage(), name = std::to_string(first_block_ + b);
    if (!damage.empty()) throw std::runtime_error("block " + name + " " + damage);
    if (emulation_.cluster > 1 && !blocks_[b].shared->is_clear())
      throw std::runtime_error("shared memory of block " + name +
                               " was written after it had returned");
  }
}

void Machine::run(const Emulation& emulation, const std::function<void()>& kernel) {
  emulation_ = emulation;
  kernel_ = &kernel;
  block_warps_ = (emulation.block + warp_size - 1) / warp_size;
  slots_ = block_warps_ * warp_size;
  for (int b = 0; b < emulation.cluster; ++b)
    blocks_[b].shared = std::make_unique<SharedMemory>(emulation.shared_bytes);
  random_ = emulation.seed * 2654435761u + 1;
  if (random_ == 0) random_ = 1;
  for (int t = 0; t < slots_ * emulation.cluster; ++t)
    if (!fibers_[t] && t % slots_ < emulation.block)
      fibers_[t] = std::make_unique<Fiber>(t, &Machine::entry);
  std::vector<int> clusters(static_cast<std::size_t>(emulation.grid / emulation.cluster));
  std::iota(clusters.begin(), clusters.end(), 0);
  if (emulation.order == Order::descending) std::reverse(clusters.begin(), clusters.end());
  if (emulation.order == Order::shuffled)
    for (std::size_t i = clusters.size(); i > 1; --i)
      std::swap(clusters[i - 1], clusters[random() % i]);
  for (const int cluster : clusters) {
    first_block_ = cluster * emulation.cluster;
    run_cluster();
  }
}

}  // namespace

int thread_index() { return machine().thread(); }
int block_index() { return machine().block(); }
int grid_size() { return machine().grid(); }
void sync_block() { machine().sync_block(); }
int cluster_rank() { return machine().rank(); }
void sync_cluster() { machine().sync_cluster(); }
void* in_block_of(void* shared, int rank) { return machine().in_block(shared, rank); }
void sync_warp(unsigned member_mask) {
  machine().collective(Place::sync_warp, member_mask, thread_index() % warp_size, 0);
}
int poll(const int* flag) { return __atomic_load_n(flag, __ATOMIC_RELAXED); }
int add(int* counter, int value) { return __atomic_fetch_add(counter, value, __ATOMIC_RELAXED); }
void* dynamic_shared() { return machine().shared(); }
void begin_copy(void* shared, const void* global, int bytes) {
  machine().begin_copy(shared, global, bytes);
}
void commit_copies() { machine().commit_copies(); }
void wait_for_copies(int groups) { machine().wait_for_copies(groups); }
std::uint64_t exchange_bits(std::uint64_t bits, int bytes, int source, unsigned member_mask) {
  const Place place = bytes == 4 ? Place::shuffle_4 : Place::shuffle_8;
  return machine().collective(place, member_mask, source, bits);
}

void emulate(const Emulation& emulation, const std::function<void()>& kernel) {
  if (emulation.grid < 1 || emulation.block < 1 || emulation.block > 1024)
    throw std::invalid_argument("emulate(): grid " + std::to_string(emulation.grid) +
                                " and block " + std::to_string(emulation.block) +
                                " are not at least 1 block of 1 to 1024 threads");
  const int warps = (emulation.block + warp_size - 1) / warp_size;
  if (emulation.cluster < 1 || emulation.cluster > most_blocks ||
      emulation.grid % emulation.cluster != 0 || warps * emulation.cluster > most_warps)
    throw std::invalid_argument("emulate(): clusters of " + std::to_string(emulation.cluster) +
                                " blocks are not 1 to 8 of the " + std::to_string(emulation.grid) +
                                " blocks, with at most 64 warps together");
  if (active != nullptr) throw std::logic_error("emulate() was called inside a kernel");
  static thread_local Machine stacks;
  struct Activate {
    explicit Activate(Machine* m) { active = m; }
    ~Activate() { active = nullptr; }
  } activate(&stacks);
  stacks.run(emulation, kernel);
}

}  // namespace softreg::simt
