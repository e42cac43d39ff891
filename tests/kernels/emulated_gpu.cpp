#include "kernels/emulated_gpu.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "specialise.hpp"

namespace softreg {

EmulatedGpuState& emulated_gpu_state() {
  static EmulatedGpuState state;
  return state;
}

namespace {

class EmulatedGpu final : public Gpu {
 public:
  EmulatedGpu() { ++state_.opened; }
  ~EmulatedGpu() override {
    if (!device_.empty() || !host_.empty()) misuse("memory was left when the device was closed");
  }
  std::string name() const override { return "emulated GPU"; }
  DeviceInfo info() override {
    call("info");
    const std::size_t free = state_.reported ? state_.reported : state_.memory - state_.in_use;
    return {state_.multiprocessors, 2048, static_cast<std::int64_t>(free)};
  }

  void* allocate(std::size_t bytes) override {
    call("allocate");
    const std::size_t taken = (bytes + 255) / 256 * 256;
    if (state_.in_use + taken > state_.memory)
      throw Error(ErrorKind::out_of_memory,
                  "emulated GPU: " + std::to_string(bytes) + " bytes asked for, " +
                      std::to_string(state_.memory - state_.in_use) + " free");
    void* const p = std::malloc(bytes);
    std::memset(p, 0xff, bytes);  // NaN: what a kernel reads without anybody having written it
    device_[p] = bytes;
    state_.in_use += taken;
    state_.peak = std::max(state_.peak, state_.in_use);
    return p;
  }
  void release(void* memory) noexcept override {
    state_.in_use -= (device_.at(memory) + 255) / 256 * 256;
    free_memory(device_, memory);
  }
  void* allocate_host(std::size_t bytes) override {
    call("allocate_host");
    void* const p = std::malloc(bytes);
    std::memset(p, 0xff, bytes);
    host_[p] = bytes;
    state_.host_in_use += bytes;
    return p;
  }
  void release_host(void* memory) noexcept override {
    state_.host_in_use -= host_.at(memory);
    free_memory(host_, memory);
  }

  void copy_in(void* device, const void* host, std::size_t bytes) override {
    call("in");
    expect_inside(device_, device, bytes, "the target of a copy to the device");
    queue_.push_back([=] { std::memcpy(device, host, bytes); });
  }
  void copy_out(void* host, const void* device, std::size_t bytes) override {
    call("out");
    expect_inside(device_, device, bytes, "the source of a copy from the device");
    expect_inside(host_, host, bytes, "the target of a copy from the device");
    queue_.push_back([=] { std::memcpy(host, device, bytes); });
  }
  std::string cannot_specialise() override {
    return state_.specialises ? "" : "the emulated GPU was told not to";
  }
  const void* specialise(const KernelRequest& r) override {
    state_.specialised.push_back(std::string(r.loss) + " " + std::to_string(r.policy.max_rows) +
                                 "x" + std::to_string(r.policy.max_parameters) + " " +
                                 std::to_string(r.value_bytes));
    if (state_.specialise_failure)
      throw Error(*state_.specialise_failure, "emulated GPU: no kernel was to be made");
    return &state_;
  }
  void launch(int loss, const Launch& launch, const Batch<float>& batch) override {
    start(loss, launch, batch);
  }
  void launch(int loss, const Launch& launch, const Batch<double>& batch) override {
    start(loss, launch, batch);
  }
  void synchronize() override {
    call("sync");
    for (const auto& work : std::exchange(queue_, {})) work();
    if (state_.synchronized) state_.synchronized(state_.launches);
  }

 private:
  using Memory = std::map<const void*, std::size_t>;

  void call(const char* what) {
    state_.log.push_back(what);
    if (++state_.calls == state_.fail_call)
      throw Error(state_.failure,
                  std::string("emulated GPU: the call '") + what + "' was made to fail");
  }
  void misuse(const std::string& what) {
    if (state_.misuse.empty()) state_.misuse = what;
  }
  // Waits for the device first, as CUDA does; what is queued after a failure never runs.
  void free_memory(Memory& memory, void* p) {
    queue_.clear();
    memory.erase(p);
    std::free(p);
  }

  void expect_inside(const Memory& memory, const void* p, std::size_t bytes,
                     const std::string& what) {
    auto block = memory.upper_bound(p);
    const auto address = [](const void* q) { return reinterpret_cast<std::uintptr_t>(q); };
    if (block == memory.begin() || address(p) + bytes > address((--block)->first) + block->second)
      misuse(what + " is not " + std::to_string(bytes) + " bytes of memory from this device");
  }
  template <class V>
  void expect_on_device(const V* p, std::int64_t values, const char* what) {
    if (p != nullptr) expect_inside(device_, p, static_cast<std::size_t>(values) * sizeof(V), what);
  }

  template <class T>
  void start(int loss, const Launch& launch, const Batch<T>& batch) {
    call("launch");
    const std::int64_t count = batch.count, d = batch.parameters();
    expect_on_device(batch.blocks, count + 1, "where blocks begin");
    if (launch.specialised != nullptr) ++state_.specialised_launches;
    if (batch.cancelled != nullptr) misuse("a kernel was given the host's flag");
    if (launch.shared_bytes > max_shared_bytes)
      misuse("a block was given " + std::to_string(launch.shared_bytes) +
             " bytes of shared memory");
    // How many blocks and rows there are the device knows only once these arrays have arrived.
    queue_.push_back([=, this] {
      if (!state_.misuse.empty()) return;
      const std::int64_t blocks = batch.first_block(count);
      expect_on_device(batch.begin1, blocks + 1, "where rows of A1 begin");
      expect_on_device(batch.begin2, blocks + 1, "where rows of A2 begin");
      expect_on_device(batch.begin_z, blocks + 1, "where logits begin");
      if (!state_.misuse.empty()) return;
      const std::int64_t rows1 = batch.first1(blocks), rows2 = batch.first2(blocks);
      const std::int64_t rows = batch.first_row(count), segments = batch.first_segment(count);
      const std::int64_t alike = batch.n * batch.m;  // logits of every instance, if shared
      const std::int64_t steps = batch.stop.max_steps;
      if (batch.matrix != (batch.a1 != nullptr)) misuse("A1 is what a matrix problem has");
      expect_on_device(batch.a1, (batch.a1_shared ? batch.n : rows1) * batch.d1, "A1");
      expect_on_device(batch.a2, (batch.a2_shared ? batch.m : rows2) * batch.d2, "A2");
      expect_on_device(batch.target, batch.target_shared ? alike : rows, "b");
      expect_on_device(batch.weights, batch.weights_shared ? alike : rows, "w");
      expect_on_device(batch.start, batch.start_shared ? d : count * d, "x0");
      expect_on_device(batch.step_size, count, "step sizes");
      expect_on_device(batch.x, count * d, "x");
      expect_on_device(batch.outcome, count, "outcomes");
      expect_on_device(batch.losses, count * batch.tests, "losses");
      expect_on_device(batch.shifts, count, "shifts");
      expect_on_device(batch.bounds, count, "bounds");
      expect_on_device(batch.operator_norm, batch.shifts ? count : 1, "operator norms");
      expect_on_device(batch.shift_f, count * steps, "shifts of f");
      expect_on_device(batch.shift_x, count * steps, "shifts of x");
      expect_on_device(batch.output, rows, "output");
      expect_on_device(batch.dlogits, rows, "dlogits");
      expect_on_device(batch.gradient, count * d, "gradient");
      expect_on_device(batch.attended, segments * batch.d2, "attended");
      expect_on_device(batch.log_mass, segments, "log mass");
      if (!state_.misuse.empty()) return;
      emulate_launch(loss, launch, batch, state_.order, state_.seed);
      ++state_.launches;
    });
  }

  EmulatedGpuState& state_ = emulated_gpu_state();
  Memory device_, host_;
  std::vector<std::function<void()>> queue_;
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
