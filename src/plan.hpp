// The plan of a batch: which class each instance belongs to, in which order and chunks it runs, and
// the bytes that needs. Pure functions of shapes and DeviceInfo; the same on a laptop as on the
// device.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cpu_core.hpp"
#include "policy.hpp"
#include "softreg/model/layout.hpp"
#include "softreg/model/shift_summary.hpp"
#include "specialised_policy.hpp"

namespace softreg {

// What the planner needs to know of a GPU.
struct DeviceInfo {
  int multiprocessors;
  int threads_per_multiprocessor;
  std::int64_t memory_bytes;  // that the batch may use
  int clusters = 0;           // that run at once, of the classes that are clusters; 0: none can
  Specialise specialise = Specialise::never;
};

// A batch as the planner sees it.
struct BatchShape {
  Layout layout;
  int value_bytes = 4;
  bool data_on_device = false;  // A, b and w; a chunk gathers there what is not shared
  bool a1_shared = false, a2_shared = false;
  bool target_shared = false, weights_shared = false, start_shared = false;
  bool weighted = false, started = false;  // there is an array
  Watched watched = Watched::nothing;      // traces of shifts or bounds
  std::int64_t trace_values = 0;  // numbers per instance of loss traces and full shift traces
  bool describes = false;         // evaluate
  bool anchors = false;           // there is a ridge or a ball
  bool plain = false;             // see KernelPolicy
  bool fast = false;              // Arithmetic::fast
  bool batch_invariant = true;    // of Options
  int max_steps = 0;              // of each instance

  // The length of x counts, also of the part of a given start that no step moves: a ridge or a ball
  // acts on it, or a trace has bounds that speak of it.
  bool anchored() const { return started && (anchors || watched != Watched::nothing); }
};

// What instances hold together.
struct Amount {
  std::int64_t instances = 0, blocks = 0;
  std::int64_t rows1 = 0, rows2 = 0, rows = 0;  // of A1 (and softmaxes), of A2, logits
  Extent largest;                               // one instance of them

  void add(const Layout& layout, std::int64_t instance);
};

// One launch: instances order[first] ... order[last - 1], all of one group (src/device_groups.hpp).
struct Chunk {
  int policy;
  int columns;  // of A after a reduction; 0: it stays as it is
  std::int64_t first, last;
  Amount amount;
  int blocks;                     // of the grid
  std::int64_t groups;            // that have an instance at once
  std::int64_t workspace_values;  // per group
  int shared_bytes;               // per block
  std::int64_t staged_bytes;      // of arrays, on the device and as much in host memory
  std::int64_t gathered_bytes;    // of arrays that are gathered on the device
  std::int64_t bytes;             // of device memory: these and the workspace
};

// Chunks in flight: while one is solved, the next is packed and copied in and the last copied out.
inline constexpr int most_streams = 3;

// Memory that a stream keeps for its chunks, one after the other: as much as the largest takes.
struct StreamMemory {
  std::int64_t bytes = 0, staged_bytes = 0;
};

struct CudaPlan {
  std::vector<std::int64_t> order;  // instances that run, group after group, each ascending
  std::vector<Chunk> chunks;        // chunk k is solved on stream k modulo their number
  std::vector<StreamMemory> streams;
  std::int64_t shared_bytes = 0;  // of device memory, for arrays that all instances share
  std::int64_t bytes = 0;         // of device memory, everything
  double padding = 0;             // share of the numbers that hold A on the device
  double occupancy = 0;           // share of a multiprocessor's threads; of classes, the least
  double waves = 0;               // instances per group of lanes; of chunks, the most
  bool batch_invariant = true;    // false: not the bits that Options::batch_invariant gives
  // Per policy of the catalogue: what a kernel is made for that solves all its instances.
  std::array<std::optional<SpecialisedPolicy>, policy_count> specialised;
};

// Bytes of a chunk of a class whose instances take `bytes` together, where memory does not want it
// smaller. filling: of a part of them that keeps the device busy.
std::int64_t chunk_goal(std::int64_t bytes, std::int64_t filling);

// runs: the instances that are fit to run, ascending. reduce: where it helps, in fewer parameters.
// Throws Error out_of_memory, with both numbers, if one instance alone does not fit.
CudaPlan plan_cuda(const BatchShape& shape, std::span<const std::int64_t> runs,
                   const DeviceInfo& device, bool reduce = true);

// The chunk cut in two halves, for a device that had less memory than it said. Throws Error
// out_of_memory, with both numbers, if it holds one instance only.
std::vector<Chunk> halve(const Chunk& chunk, const BatchShape& shape,
                         std::span<const std::int64_t> order, const DeviceInfo& device);

// How a vector problem of one softmax lies beside others of its shape (src/pack_placement.hpp).
struct PackShape {
  int lanes = 0;            // of a register, that each has; 0: it is solved alone
  std::int64_t places = 0;  // of a register
  bool reduced = false;     // in fewer parameters
  std::int64_t values = 0;  // of the workspace
  std::int64_t reduction_bytes = 0;
};
// many: of CpuPlan.
PackShape pack_shape(const BatchShape& shape, std::int64_t rows, const CpuCore& core,
                     bool many = false);

struct CpuPlan {
  int threads = 1;                      // as many as asked for, or as memory allows
  bool team = false;                    // the threads share one instance after another
  std::int64_t workspace_values = 0;    // of one workspace: per thread, or of the team
  bool lanes = false, tiles = false;    // what instances are solved on
  bool reduced = false;                 // some of them in fewer parameters
  CpuCore core;                         // whose registers hold several instances, if they do
  bool packs1 = false, packs4 = false;  // of one lane of them each, of four lanes each
  bool many = false;                    // enough for packs that only pay off when half full
  std::int64_t least_beside = 0;        // instances of one shape; fewer are solved alone
  std::int64_t pack_values = 0;         // of their workspace, one more per thread
  std::int64_t bytes = 0;               // of all workspaces
  double padding = 0;
};

// The CPU backend. memory_limit 0: none. Throws Error out_of_memory, with both numbers, if one
// workspace does not fit.
CpuPlan plan_cpu(const BatchShape& shape, int threads, std::int64_t memory_limit,
                 const CpuCore& core = {});

// The reference: one lane, one thread, no padding.
CpuPlan plan_reference(const BatchShape& shape, std::int64_t memory_limit);

// Bytes of what solve() or evaluate() returns; the largest int64 where there are more.
std::int64_t result_bytes(const BatchShape& shape);

}  // namespace softreg
