// The plan of a batch: which class each instance belongs to, in which order and chunks it runs, and
// the bytes that needs. Pure functions of shapes and DeviceInfo; the same on a laptop as on the
// device.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "policy.hpp"

namespace softreg {

// What the planner needs to know of a GPU.
struct DeviceInfo {
  int multiprocessors;
  int threads_per_multiprocessor;
  std::int64_t memory_bytes;  // that the batch may use
};

// A batch as the planner sees it. Instance i has offsets[i+1] - offsets[i] rows if offsets is not
// empty, else rows.
struct BatchShape {
  std::int64_t count = 0, rows = 0, parameters = 0;
  std::span<const std::int64_t> offsets;
  int value_bytes = 4;
  int optimizer_memory = 0;  // numbers per coordinate besides x
  bool a_shared = false, target_shared = false, weights_shared = false, start_shared = false;
  bool weighted = false, started = false;
  bool shifts = false;            // shift traces
  std::int64_t trace_values = 0;  // numbers per instance of loss traces and full shift traces
  bool describes = false;         // evaluate
  std::int64_t rows_of(std::int64_t i) const {
    return offsets.empty()
               ? rows
               : offsets[static_cast<std::size_t>(i) + 1] - offsets[static_cast<std::size_t>(i)];
  }
};

// One launch: instances order[first] ... order[last - 1], all of one policy.
struct Chunk {
  int policy;
  std::int64_t first, last;
  std::int64_t rows;  // of all its instances together
  int blocks;
  std::int64_t workspace_values;  // per group
  std::int64_t bytes;             // of device memory, everything
};

struct CudaPlan {
  std::vector<std::int64_t> order;  // instances that run, grouped by policy, each group ascending
  std::vector<Chunk> chunks;
  std::int64_t bytes = 0;  // of the largest chunk
  double padding = 0;      // share of occupied rows that are padding
};

// runs: the instances that are fit to run, ascending. Throws Error out_of_memory, with both
// numbers, if one instance alone does not fit.
CudaPlan plan_cuda(const BatchShape& shape, std::span<const std::int64_t> runs,
                   const DeviceInfo& device);

// The chunk cut in two halves, for a device that had less memory than it said. Throws Error
// out_of_memory if it holds one instance only.
std::vector<Chunk> halve(const Chunk& chunk, const BatchShape& shape,
                         std::span<const std::int64_t> order, const DeviceInfo& device);

struct CpuPlan {
  int threads = 1;                    // as many as asked for, or as memory allows
  std::int64_t workspace_values = 0;  // per thread, in numbers
  std::int64_t bytes = 0;             // of all workspaces
  double padding = 0;
};

// lanes: of the CPU group; rows are padded to a multiple. memory_limit 0: none. Throws Error
// out_of_memory, with both numbers, if one workspace does not fit.
CpuPlan plan_cpu(const BatchShape& shape, int lanes, int threads, std::int64_t memory_limit);

// Bytes of what solve() or evaluate() returns; the largest int64 where there are more.
std::int64_t result_bytes(const BatchShape& shape);

// Numbers of one CPU workspace: the instance's data, packed and padded, and the evaluator's arrays.
std::int64_t cpu_workspace_values(std::int64_t padded_rows, std::int64_t parameters,
                                  std::int64_t memory, bool shifts, bool describes);

}  // namespace softreg
