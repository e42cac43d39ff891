// EmulatedGpu: a Gpu made of host memory and the emulator. Work that is queued on a stream is done
// at a moment that the test chooses, and what a real device would not survive, or might, is noted:
// memory that changes or goes before the stream has done with it, a kernel that is handed host
// memory. It keeps account of what is allocated, can pretend to have little memory and can fail its
// N-th call, so that all of src/cuda.cpp runs in tests.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device.hpp"
#include "kernels/device_arrays.hpp"
#include "kernels/emulator.hpp"
#include "softreg/error.hpp"

namespace softreg {

// What of the streams is done when, beside what synchronizing one of them demands.
enum class Schedule {
  late,         // nothing
  interleaved,  // one work of each stream in turn
  reversed,     // all that the other streams have, the last one first
  early         // each work at once
};

// What all devices opened inside an EmulatedGpuScope share.
struct EmulatedGpuState {
  std::size_t memory = std::size_t{1} << 30;  // of the device; an allocation beyond it fails
  std::size_t reported = 0;                   // what info() claims to be free; 0: the truth
  int multiprocessors = 2, clusters = 1;      // clusters: that run at once
  simt::Order order = simt::Order::ascending;
  unsigned seed = 0;
  Schedule schedule = Schedule::late;
  int fail_call = 0;  // the N-th call fails, counting from 1; 0: none
  ErrorKind failure = ErrorKind::device_lost;
  bool stays_lost = false;   // then every later one too, and nothing that is queued is done
  std::string unavailable;   // why there is no device
  std::string open_failure;  // if not empty, opening the device throws this
  std::function<void(int)> synchronized;  // called with the number of launches that are done
  bool specialises = false;  // makes kernels at run time: runs the catalogue's for them
  std::optional<ErrorKind> specialise_failure;  // making one fails

  MemoryMap callers;  // device memory that the caller has (kernels/callers_memory.hpp)

  int calls = 0, launches = 0, opened = 0;  // so far
  int jobs = 0;                             // on data, done
  int in_flight = 0, most_in_flight = 0;    // launches that nobody has waited for yet
  // Device memory in multiples of 256 bytes, as a real device gives it.
  std::size_t in_use = 0, peak = 0, host_in_use = 0, host_peak = 0;
  std::vector<std::string> log;          // name of every call, in order
  std::vector<std::string> specialised;  // asked for: "softmax_l2 lanes8_64x16 40x16 plain"
  int specialised_launches = 0;
  std::string misuse;  // the first thing a real device would not have survived
};

EmulatedGpuState& emulated_gpu_state();

// Puts the emulator behind the library's CUDA backend until the end of the scope, with a fresh
// state.
class EmulatedGpuScope {
 public:
  EmulatedGpuScope();
  ~EmulatedGpuScope();
  EmulatedGpuScope(const EmulatedGpuScope&) = delete;
  EmulatedGpuScope& operator=(const EmulatedGpuScope&) = delete;

 private:
  GpuSource real_;
};

// The kernels as host functions. Registers and stack start as NaN. Throws std::logic_error if the
// policy has no kernel for the type.
void emulate_launch(int loss, const Launch& launch, const Batch<float>& batch, simt::Order order,
                    unsigned seed);
void emulate_launch(int loss, const Launch& launch, const Batch<double>& batch, simt::Order order,
                    unsigned seed);

// The bits that a launch must give: MemoryPlacement<LaneGroup<lanes>> on one instance after
// another. lanes: cpu_lanes or 256.
void solve_on_lanes(int loss, int lanes, const Batch<float>& batch);
void solve_on_lanes(int loss, int lanes, const Batch<double>& batch);
// On lanes that add in the order of the policy's kernel.
void solve_like(const KernelPolicy& policy, int loss, const Batch<float>& batch);
void solve_like(const KernelPolicy& policy, int loss, const Batch<double>& batch);

}  // namespace softreg
