// The machine behind kernels/simt.hpp on a CPU. Threads switch from one to the next without a
// system call (Boost.Context); who can run is a set of bits per warp.
#include "kernels/emulator.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <exception>
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
enum class Place : unsigned char { running, sync_block, sync_warp, shuffle_4, shuffle_8, returned };

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
  std::uint64_t collective(Place place, unsigned mask, int source, std::uint64_t bits);
  int thread() const { return thread_; }
  int block() const { return block_; }
  int grid() const { return emulation_.grid; }
  void* shared() { return shared_->data(); }

 private:
  static void entry(Fiber* from);
  void run_block();
  void run_thread();
  void suspend();
  void leave();
  void make_ready(int warp, unsigned lanes);
  static bool complete(const Warp& warp, Place place, unsigned mask);
  static void exchange(Warp& warp, unsigned mask);
  void fail(std::exception_ptr error);
  int choose();
  int pick(unsigned set);
  unsigned random();
  unsigned members(int warp) const;
  std::string standstill() const;

  Emulation emulation_{};
  const std::function<void()>* kernel_ = nullptr;
  SharedMemory* shared_ = nullptr;
  Fiber host_;
  std::unique_ptr<Fiber> fibers_[1024];  // made when first needed, kept from run to run
  Warp warps_[32];
  unsigned ready_warps_ = 0;
  int thread_ = 0, block_ = 0, alive_ = 0, at_block_barrier_ = 0;
  unsigned random_ = 1;
  std::exception_ptr failure_;
};

thread_local Machine* active = nullptr;

Machine& machine() {
  if (active == nullptr) throw std::logic_error("a SIMT primitive was called outside of emulate()");
  return *active;
}

unsigned Machine::members(int warp) const {
  const int lanes = std::min(emulation_.block - warp * warp_size, warp_size);
  return lanes <= 0 ? 0u : ~0u >> (warp_size - lanes);
}

unsigned Machine::random() {  // Marsaglia's xorshift: the same order with every standard library
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  random_ ^= random_ << 5;
  return random_;
}

int Machine::pick(unsigned set) {
  if (emulation_.order == Order::ascending) return std::countr_zero(set);
  if (emulation_.order == Order::descending) return 31 - std::countl_zero(set);
  const int turn = static_cast<int>(random() % 32);
  return (std::countr_zero(std::rotr(set, turn)) + turn) % 32;
}

// The thread that runs next, or -1 when none can.
int Machine::choose() {
  if (ready_warps_ == 0) return -1;
  int w = thread_ / warp_size;
  // Shuffled order stays with a warp for about two collectives: warps drift apart, so that one
  // overtakes another where a barrier is missing.
  const bool stay =
      emulation_.order == Order::shuffled && warps_[w].ready != 0 && random() % 64 != 0;
  if (!stay) w = pick(ready_warps_);
  const int lane = pick(warps_[w].ready);
  warps_[w].ready &= ~(1u << lane);
  if (warps_[w].ready == 0) ready_warps_ &= ~(1u << w);
  return w * warp_size + lane;
}

void Machine::make_ready(int warp, unsigned lanes) {
  warps_[warp].ready |= lanes;
  if (warps_[warp].ready != 0) ready_warps_ |= 1u << warp;
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
    thread_ = next;
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
  if (warp.ready == 0) ready_warps_ &= ~(1u << self / warp_size);
  --alive_;
  int next = choose();
  if (next < 0 && alive_ > 0) {
    fail(std::make_exception_ptr(std::runtime_error(standstill())));
    next = choose();
  }
  if (next >= 0) thread_ = next;
  fibers_[self]->switch_to(next < 0 ? host_ : *fibers_[next]);
}

// Remembers the first error and lets every other thread run, to unwind.
void Machine::fail(std::exception_ptr error) {
  if (!failure_) failure_ = std::move(error);
  for (int w = 0; w < 32; ++w)
    for (int lane = 0; lane < warp_size; ++lane)
      if ((members(w) >> lane & 1u) != 0 && warps_[w].place[lane] != Place::returned)
        make_ready(w, 1u << lane);
}

void Machine::sync_block() {
  warps_[thread_ / warp_size].place[thread_ % warp_size] = Place::sync_block;
  if (++at_block_barrier_ == emulation_.block) {
    at_block_barrier_ = 0;
    for (int w = 0; w * warp_size < emulation_.block; ++w) make_ready(w, members(w));
  }
  suspend();
}

std::uint64_t Machine::collective(Place place, unsigned mask, int source, std::uint64_t bits) {
  Warp& warp = warps_[thread_ / warp_size];
  const int lane = thread_ % warp_size;
  const bool own = (mask >> lane & 1u) != 0;
  if (!own || source < 0 || source >= warp_size || (mask >> source & 1u) == 0) {
    std::ostringstream text;
    text << "block " << block_ << ": lane " << (own ? source : lane)
         << " takes part in a collective of thread " << thread_
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
  text << "divergent barrier in block " << block_ << " of " << emulation_.block << " threads:";
  auto where = [&](int t) {
    const Warp& warp = warps_[t / warp_size];
    const Place place = warp.place[t % warp_size];
    const bool masked = place >= Place::sync_warp && place <= Place::shuffle_8;
    return name(place, masked ? warp.mask[t % warp_size] : 0);
  };
  const char* separator = " ";
  for (int first = 0, end = 0; first < emulation_.block; first = end) {
    while (end < emulation_.block && where(end) == where(first)) ++end;
    text << separator << "threads " << first << " to " << end - 1 << " " << where(first);
    separator = ", ";
  }
  return text.str();
}

void Machine::run_thread() {
  if (!failure_) {
    try {
      (*kernel_)();
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

void Machine::run_block() {
  ready_warps_ = 0;
  for (int w = 0; w < 32; ++w) {
    warps_[w].ready = warps_[w].waiting = 0;
    std::fill_n(warps_[w].place, warp_size, Place::running);
    make_ready(w, members(w));
  }
  alive_ = emulation_.block;
  at_block_barrier_ = 0;
  shared_->clear();
  thread_ = 0;
  thread_ = choose();
  host_.switch_to(*fibers_[thread_]);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  const std::string damage = shared_->damage();
  if (!damage.empty()) throw std::runtime_error("block " + std::to_string(block_) + " " + damage);
}

void Machine::run(const Emulation& emulation, const std::function<void()>& kernel) {
  emulation_ = emulation;
  kernel_ = &kernel;
  SharedMemory shared(emulation.shared_bytes);
  shared_ = &shared;
  random_ = emulation.seed * 2654435761u + 1;
  if (random_ == 0) random_ = 1;
  for (int t = 0; t < emulation.block; ++t)
    if (!fibers_[t]) fibers_[t] = std::make_unique<Fiber>(t, &Machine::entry);
  std::vector<int> blocks(static_cast<std::size_t>(emulation.grid));
  std::iota(blocks.begin(), blocks.end(), 0);
  if (emulation.order == Order::descending) std::reverse(blocks.begin(), blocks.end());
  if (emulation.order == Order::shuffled)
    for (std::size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[random() % i]);
  for (const int block : blocks) {
    block_ = block;
    run_block();
  }
}

}  // namespace

int thread_index() { return machine().thread(); }
int block_index() { return machine().block(); }
int grid_size() { return machine().grid(); }
void sync_block() { machine().sync_block(); }
void sync_warp(unsigned member_mask) {
  machine().collective(Place::sync_warp, member_mask, thread_index() % warp_size, 0);
}
int poll(const int* flag) { return __atomic_load_n(flag, __ATOMIC_RELAXED); }
int add(int* counter, int value) { return __atomic_fetch_add(counter, value, __ATOMIC_RELAXED); }
void* dynamic_shared() { return machine().shared(); }
std::uint64_t exchange_bits(std::uint64_t bits, int bytes, int source, unsigned member_mask) {
  const Place place = bytes == 4 ? Place::shuffle_4 : Place::shuffle_8;
  return machine().collective(place, member_mask, source, bits);
}

void emulate(const Emulation& emulation, const std::function<void()>& kernel) {
  if (emulation.grid < 1 || emulation.block < 1 || emulation.block > 1024)
    throw std::invalid_argument("emulate(): grid " + std::to_string(emulation.grid) +
                                " and block " + std::to_string(emulation.block) +
                                " are not at least 1 block of 1 to 1024 threads");
  if (active != nullptr) throw std::logic_error("emulate() was called inside a kernel");
  static thread_local Machine stacks;
  struct Activate {
    explicit Activate(Machine* m) { active = m; }
    ~Activate() { active = nullptr; }
  } activate(&stacks);
  stacks.run(emulation, kernel);
}

}  // namespace softreg::simt
