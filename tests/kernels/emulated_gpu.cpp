#include "kernels/emulated_gpu.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <utility>

#include "kernels/callers_memory.hpp"
#include "specialise.hpp"

namespace softreg {

EmulatedGpuState& emulated_gpu_state() {
  static EmulatedGpuState state;
  return state;
}

namespace {

class EmulatedGpu final : public Gpu {
 public:
  EmulatedGpu() {
    ++state_.opened;
    state_.in_flight = 0;
  }
  ~EmulatedGpu() override {
    if (!device_.empty() || !host_.empty()) misuse("memory was left when the device was closed");
    for (const Queue& q : queues_)
      if (!q.empty()) misuse("a stream was never synchronized");
  }
  std::string name() const override { return "emulated GPU"; }
  DeviceInfo info() override {
    call("info");
    const std::size_t free = state_.reported ? state_.reported : state_.memory - state_.in_use;
    return {state_.multiprocessors, 2048, static_cast<std::int64_t>(free), state_.clusters};
  }

  void* allocate(std::size_t bytes) override {
    call("allocate");
    const std::size_t taken = (bytes + 255) / 256 * 256;
    if (state_.in_use + taken > state_.memory)
      throw Error(ErrorKind::out_of_memory,
                  "emulated GPU: " + std::to_string(bytes) + " bytes asked for, " +
                      std::to_string(state_.memory - state_.in_use) + " free");
    state_.in_use += taken;
    state_.peak = std::max(state_.peak, state_.in_use);
    return take(device_, bytes);
  }
  void release(void* memory) noexcept override {
    state_.in_use -= (give_back(device_, memory) + 255) / 256 * 256;
  }
  void* allocate_host(std::size_t bytes) override {
    call("allocate_host");
    state_.host_in_use += bytes;
    state_.host_peak = std::max(state_.host_peak, state_.host_in_use);
    return take(host_, bytes);
  }
  void release_host(void* memory) noexcept override {
    state_.host_in_use -= give_back(host_, memory);
  }

  void copy_in(int stream, void* device, const void* host, std::size_t bytes) override {
    call("in");
    expect_inside(device_, device, bytes, "the target of a copy to the device");
    const char* const from = static_cast<const char*>(host);
    queue(stream, {device, host}, [=, this, then = std::vector<char>(from, from + bytes)] {
      if (std::memcmp(then.data(), from, bytes) != 0)
        misuse("host memory changed before it was copied");
      std::memcpy(device, from, bytes);
    });
  }
  void copy_out(int stream, void* host, const void* device, std::size_t bytes) override {
    call("out");
    expect_inside(all_of_device(), device, bytes, "the source of a copy from the device");
    expect_inside(host_, host, bytes, "the target of a copy from the device");
    std::memset(host, 0xff, bytes);  // who reads it too early does not find the chunk before
    queue(stream, {device, host}, [=] { std::memcpy(host, device, bytes); });
  }
  std::string cannot_specialise() override {
    return state_.specialises ? "" : "the emulated GPU was told not to";
  }
  const void* specialise(const KernelRequest& r) override {
    const KernelPolicy& p = r.kernel.policy;
    state_.specialised.push_back(fmt::format("{} {} {}x{}{}{}", r.loss, p.name, p.grid.rows,
                                             p.grid.parameters, p.plain ? " plain" : "",
                                             r.kernel.fast ? " fast" : ""));
    if (state_.specialise_failure)
      throw Error(*state_.specialise_failure, "emulated GPU: no kernel was to be made");
    return &state_;
  }
  void launch(int stream, int loss, const Launch& launch, const Batch<float>& batch) override {
    start(stream, loss, launch, batch);
  }
  void launch(int stream, int loss, const Launch& launch, const Batch<double>& batch) override {
    start(stream, loss, launch, batch);
  }
  void launch(int stream, const DataJob<float>& job) override { start(stream, job); }
  void launch(int stream, const DataJob<double>& job) override { start(stream, job); }
  std::string cannot_read(const void* memory) override {
    call("cannot_read");
    return is_inside(state_.callers, memory, 1) ? "" : "in host memory";
  }
  void synchronize(int stream) override {
    Queue& wanted = queues_.at(static_cast<std::size_t>(stream));
    try {
      call("sync");
    } catch (const Error&) {
      wanted.clear();  // it is what failed
      throw;
    }
    if (state_.schedule == Schedule::reversed)
      for (auto q = queues_.rbegin(); q != queues_.rend(); ++q)
        if (&*q != &wanted) work(*q, q->size());
    while (state_.schedule == Schedule::interleaved && !wanted.empty())
      for (Queue& q : queues_) work(q, 1);
    work(wanted, wanted.size());
    state_.in_flight -= std::exchange(launched_.at(static_cast<std::size_t>(stream)), 0);
    if (state_.synchronized) state_.synchronized(state_.launches);
  }

 private:
  struct Work {
    std::vector<const void*> uses;
    std::function<void()> run;
  };
  using Queue = std::deque<Work>;

  void call(const char* what) {
    state_.log.push_back(what);
    const bool fails = ++state_.calls == state_.fail_call;
    lost_ |= fails && state_.stays_lost;
    if (lost_)
      for (Queue& q : queues_) q.clear();
    if (fails || lost_)
      throw Error(state_.failure,
                  std::string("emulated GPU: the call '") + what + "' was made to fail");
  }
  void misuse(const std::string& what) {
    if (state_.misuse.empty()) state_.misuse = what;
  }

  static void* take(MemoryMap& memory, std::size_t bytes) {
    char* const p = static_cast<char*>(std::malloc(bytes));
    std::memset(p, 0xff, bytes);
    memory[p] = bytes;
    return p;
  }
  std::size_t give_back(MemoryMap& memory, void* p) {
    const auto block = memory.find(static_cast<char*>(p));
    const std::size_t bytes = block->second;
    const MemoryMap gone{*block};
    for (Queue& q : queues_)
      if (std::erase_if(q, [&](const Work& w) {
            return std::any_of(w.uses.begin(), w.uses.end(),
                               [&](const void* used) { return is_inside(gone, used, 1); });
          }) > 0)
        misuse("memory was given back that a stream had not done with");
    memory.erase(block);
    std::free(p);
    return bytes;
  }
  void expect_inside(const MemoryMap& memory, const void* p, std::size_t bytes,
                     const std::string& what) {
    if (!is_inside(memory, p, bytes))
      misuse(what + " is not " + std::to_string(bytes) + " bytes of memory from this device");
  }

  void queue(int stream, std::vector<const void*> uses, std::function<void()> f) {
    Queue& q = queues_.at(static_cast<std::size_t>(stream));
    q.push_back({std::move(uses), std::move(f)});
    if (state_.schedule == Schedule::early) work(q, 1);
  }
  static void work(Queue& q, std::size_t most) {
    for (; most > 0 && !q.empty(); --most) {
      const Work w = std::move(q.front());
      q.pop_front();
      const CallersMemoryIsOpen readable;  // for the device alone
      w.run();
    }
  }

  MemoryMap all_of_device() const {
    MemoryMap all = device_;
    all.insert(state_.callers.begin(), state_.callers.end());
    return all;
  }

  template <class T>
  void start(int stream, const DataJob<T>& job) {
    call("job");
    queue(stream, uses_of(job), [=, this] {
      const int blocks = blocks_of(job, state_.multiprocessors);
      std::visit(
          [&](const auto& j) {
            simt::emulate({blocks, job_lanes, SimtGroup<job_lanes>::scratch_bytes(), state_.order,
                           state_.seed},
                          [&] { run_job(j); });
          },
          job);
      ++state_.jobs;
    });
  }
  template <class T>
  static std::vector<const void*> uses_of(const DataJob<T>& job) {
    if (const auto* const j = std::get_if<LargestEntries<T>>(&job)) return {j->parts, j->largest};
    if (const auto* const j = std::get_if<TargetSummaries<T>>(&job))
      return {j->parts, j->summaries};
    if (const auto* const j = std::get_if<Grams<T>>(&job)) return {j->parts, j->grams};
    const auto& j = std::get<Gather<T>>(job);
    return {j.a1.to, j.a2.to, j.target.to, j.weights.to, j.first_z};
  }

  template <class T>
  void start(int stream, int loss, const Launch& launch, const Batch<T>& batch) {
    call("launch");
    if (launch.specialised != nullptr) ++state_.specialised_launches;
    if (batch.cancelled != nullptr) misuse("a kernel was given the host's flag");
    if (launch.shared_bytes > max_shared_bytes)
      misuse("a block was given " + std::to_string(launch.shared_bytes) +
             " bytes of shared memory");
    ++launched_.at(static_cast<std::size_t>(stream));
    state_.most_in_flight = std::max(state_.most_in_flight, ++state_.in_flight);
    // How many blocks and rows there are the device knows only once their arrays have arrived.
    queue(stream, {batch.x, batch.a2, batch.target}, [=, this] {
      const MemoryMap memory = all_of_device();
      DeviceArrays arrays(memory);
      arrays.add(launch, batch);
      if (!arrays.wrong().empty()) misuse(arrays.wrong());
      if (!state_.misuse.empty()) return;
      arrays.alone([&] { emulate_launch(loss, launch, batch, state_.order, state_.seed); });
      ++state_.launches;
    });
  }

  EmulatedGpuState& state_ = emulated_gpu_state();
  MemoryMap device_, host_;
  std::array<Queue, most_streams> queues_;
  std::array<int, most_streams> launched_{};  // since each was synchronized
  bool lost_ = false;
};

}  // namespace

EmulatedGpuScope::EmulatedGpuScope() : real_(gpu_source()) {
  emulated_gpu_state() = {};
  gpu_source().unavailable = [] { return emulated_gpu_state().unavailable; };
  gpu_source().open = []() -> std::unique_ptr<Gpu> {
    const EmulatedGpuState& s = emulated_gpu_state();
    if (!s.open_failure.empty()) throw Error(ErrorKind::device_unavailable, s.open_failure);
    return std::make_unique<EmulatedGpu>();
  };
}
EmulatedGpuScope::~EmulatedGpuScope() { gpu_source() = real_; }

}  // namespace softreg
