#include "plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "softreg/error.hpp"
#include "softreg/model/memory_placement.hpp"
#include "solve_kernel.hpp"

namespace softreg {
namespace {

constexpr std::int64_t alignment = 256;  // of every array on the device

// Chunks stay below this where several instances share one: enough to fill any GPU many times over,
// little enough that staging memory stays small, progress shows and an interruption loses little
// (and that a kernel counts its instances in int). What all instances share is not counted.
constexpr std::int64_t chunk_target = std::int64_t(1) << 30;

std::int64_t aligned(std::int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

template <class F>
std::int64_t with_type(int value_bytes, F f) {
  return value_bytes == 4 ? f(float{}) : f(double{});
}

std::int64_t outcome_bytes(int value_bytes) {
  return with_type(value_bytes, [](auto t) { return std::int64_t(sizeof(Outcome<decltype(t)>)); });
}

// Device memory that instances of a chunk share: one copy whatever their number.
std::int64_t shared_bytes(const BatchShape& s) {
  const std::int64_t v = s.value_bytes;
  std::int64_t longest = s.rows, bytes = 0;
  if (!s.offsets.empty() && s.weighted &&
      s.weights_shared)  // ragged batches share nothing else by rows
    for (std::int64_t i = 0; i < s.count; ++i) longest = std::max(longest, s.rows_of(i));
  if (s.a_shared) bytes += aligned(longest * s.parameters * v);
  if (s.target_shared) bytes += aligned(longest * v);
  if (s.weighted && s.weights_shared) bytes += aligned(longest * v);
  if (s.started && s.start_shared) bytes += aligned(s.parameters * v);
  return bytes;
}

// Of all arrays of instances with `rows` rows altogether; each array is counted once with its
// padding.
std::int64_t array_bytes(const BatchShape& s, std::int64_t instances, std::int64_t rows) {
  const std::int64_t v = s.value_bytes, d = s.parameters;
  std::int64_t bytes = aligned(instances * v) + aligned(instances * d * v) +  // step sizes, x
                       aligned(instances * outcome_bytes(s.value_bytes));
  if (!s.a_shared) bytes += aligned(rows * d * v);
  if (!s.target_shared) bytes += aligned(rows * v);
  if (s.weighted && !s.weights_shared) bytes += aligned(rows * v);
  if (s.started && !s.start_shared) bytes += aligned(instances * d * v);
  if (!s.offsets.empty()) bytes += aligned((instances + 1) * 8);
  if (s.shifts)
    bytes +=
        aligned(instances * v) + aligned(instances * with_type(s.value_bytes, [](auto t) {
                                           return std::int64_t(sizeof(ShiftSummary<decltype(t)>));
                                         }));
  bytes += 3 * alignment + instances * s.trace_values * v;
  if (s.describes)
    bytes += 2 * aligned(rows * v) + 2 * aligned(instances * d * v) + aligned(instances * v);
  return bytes;
}

// shared: shared_bytes(s).
Chunk size_chunk(const BatchShape& s, std::int64_t shared, const DeviceInfo& device, int policy,
                 std::int64_t first, std::int64_t last, std::int64_t rows, std::int64_t longest) {
  const KernelPolicy& p = policies[policy];
  const std::int64_t values = with_type(s.value_bytes, [&](auto t) {
    return kernel_workspace<decltype(t)>(p, longest, s.parameters, s.optimizer_memory, s.shifts);
  });
  const std::int64_t groups = last - first, per_block = p.groups_per_block();
  std::int64_t blocks = (groups + per_block - 1) / per_block;
  // Without a workspace every group has its own instance and the hardware's block queue retires
  // them; with one, the groups that can be resident share what there is.
  const std::int64_t resident = std::int64_t(device.multiprocessors) *
                                std::max(1, device.threads_per_multiprocessor / p.threads);
  blocks = std::min(blocks, values > 0 ? resident : std::int64_t(std::numeric_limits<int>::max()));
  const std::int64_t bytes =
      shared + array_bytes(s, groups, rows) + aligned(blocks * per_block * values * s.value_bytes);
  return {policy, first, last, rows, static_cast<int>(blocks), values, bytes};
}

[[noreturn]] void refuse_instance(const BatchShape& s, std::int64_t instance, std::int64_t need,
                                  std::int64_t have) {
  throw Error(ErrorKind::out_of_memory,
              fmt::format("instance {} ({} x {}, {} bytes a number) needs {} bytes of device "
                          "memory but {} are available",
                          instance, s.rows_of(instance), s.parameters, s.value_bytes, need, have),
              "free device memory, raise --memory-limit, or use --device cpu");
}

[[noreturn]] void refuse_shape(const BatchShape& s, std::int64_t instance) {
  throw Error(
      ErrorKind::invalid_input,
      fmt::format("instance {} is {} x {} but at most {} rows and {} parameters are supported",
                  instance, s.rows_of(instance), s.parameters, policies[policy_count - 1].max_rows,
                  policies[policy_count - 1].max_parameters));
}

// The instances in the order in which they run: grouped by policy, ascending within each.
// begins (policy_count + 1): where each policy's instances begin.
std::vector<std::int64_t> sorted_by_policy(const BatchShape& s, std::span<const std::int64_t> runs,
                                           std::span<std::int64_t, policy_count + 1> begins) {
  std::vector<std::int8_t> policy(runs.size());
  std::int64_t counts[policy_count] = {};
  for (std::size_t k = 0; k < runs.size(); ++k) {
    const int chosen = choose_policy({s.rows_of(runs[k]), s.parameters, s.value_bytes});
    if (chosen < 0) refuse_shape(s, runs[k]);
    policy[k] = static_cast<std::int8_t>(chosen);
    ++counts[chosen];
  }
  begins[0] = 0;
  std::partial_sum(counts, counts + policy_count, begins.begin() + 1);
  std::vector<std::int64_t> order(runs.size());
  std::int64_t next[policy_count];
  std::copy_n(begins.begin(), policy_count, next);
  for (std::size_t k = 0; k < runs.size(); ++k)
    order[static_cast<std::size_t>(next[policy[k]]++)] = runs[k];
  return order;
}

// Cuts order[begin] ... order[end - 1], all of one policy, into chunks that fit.
void cut(const BatchShape& s, std::int64_t shared, const DeviceInfo& device, int policy,
         std::int64_t begin, std::int64_t end, CudaPlan& plan) {
  const auto size = [&](std::int64_t first, std::int64_t last, std::int64_t rows,
                        std::int64_t longest) {
    return size_chunk(s, shared, device, policy, first, last, rows, longest);
  };
  Chunk chunk{};
  std::int64_t longest = 0;
  for (std::int64_t k = begin; k < end; ++k) {
    const std::int64_t i = plan.order[static_cast<std::size_t>(k)], n = s.rows_of(i);
    if (chunk.last > chunk.first) {
      const std::int64_t most = std::max(longest, n);
      const Chunk grown = size(chunk.first, k + 1, chunk.rows + n, most);
      if (grown.bytes <= device.memory_bytes && grown.bytes - shared <= chunk_target) {
        chunk = grown;
        longest = most;
        continue;
      }
      plan.chunks.push_back(chunk);
    }
    chunk = size(k, k + 1, n, n);
    longest = n;
    if (chunk.bytes > device.memory_bytes) refuse_instance(s, i, chunk.bytes, device.memory_bytes);
  }
  if (chunk.last > chunk.first) plan.chunks.push_back(chunk);
}

}  // namespace

CudaPlan plan_cuda(const BatchShape& s, std::span<const std::int64_t> runs,
                   const DeviceInfo& device) {
  CudaPlan plan;
  std::int64_t begins[policy_count + 1], occupied = 0, used = 0;
  plan.order = sorted_by_policy(s, runs, begins);
  const std::int64_t shared = shared_bytes(s);
  for (int policy = 0; policy < policy_count; ++policy) {
    cut(s, shared, device, policy, begins[policy], begins[policy + 1], plan);
    const std::int64_t lanes = policies[policy].lanes;
    for (std::int64_t k = begins[policy]; k < begins[policy + 1]; ++k) {
      const std::int64_t n = s.rows_of(plan.order[static_cast<std::size_t>(k)]);
      used += n;
      occupied += (n + lanes - 1) / lanes * lanes;
    }
  }
  for (const Chunk& c : plan.chunks) plan.bytes = std::max(plan.bytes, c.bytes);
  plan.padding = occupied > 0 ? 1.0 - double(used) / double(occupied) : 0;
  return plan;
}

std::vector<Chunk> halve(const Chunk& chunk, const BatchShape& s,
                         std::span<const std::int64_t> order, const DeviceInfo& device) {
  const std::int64_t alone = order[static_cast<std::size_t>(chunk.first)];
  if (chunk.last - chunk.first < 2)
    throw Error(
        ErrorKind::out_of_memory,
        fmt::format(
            "instance {} ({} x {}, {} bytes a number) needs {} bytes of device memory and the "
            "device ran out of it, though {} were available when the batch was planned",
            alone, s.rows_of(alone), s.parameters, s.value_bytes, chunk.bytes, device.memory_bytes),
        "free device memory or use --device cpu");
  const std::int64_t middle = chunk.first + (chunk.last - chunk.first) / 2,
                     shared = shared_bytes(s);
  std::vector<Chunk> halves;
  for (const auto& [first, last] : {std::pair{chunk.first, middle}, {middle, chunk.last}}) {
    std::int64_t rows = 0, longest = 0;
    for (std::int64_t k = first; k < last; ++k) {
      const std::int64_t n = s.rows_of(order[static_cast<std::size_t>(k)]);
      rows += n;
      longest = std::max(longest, n);
    }
    halves.push_back(size_chunk(s, shared, device, chunk.policy, first, last, rows, longest));
  }
  return halves;
}

std::int64_t result_bytes(const BatchShape& s) {
  const std::int64_t v = s.value_bytes, d = s.parameters;
  const std::int64_t shifts = with_type(
      s.value_bytes, [](auto t) { return std::int64_t(sizeof(ShiftSummary<decltype(t)>)); });
  // x, loss, objective, grad_norm and traces; status and steps; evaluate's grad, attended, log_mass
  std::int64_t each = (d + 3 + s.trace_values) * v + 8 + (s.shifts ? shifts : 0) +
                      (s.describes ? (2 * d + 1) * v : 0);
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(each, s.count, &bytes))
    return std::numeric_limits<std::int64_t>::max();
  const std::int64_t rows = s.offsets.empty() ? s.count * s.rows : s.offsets.back();
  const std::int64_t tests = s.shifts ? 0 : s.trace_values;
  return bytes + tests * 4 + (s.describes ? 2 * rows * v : 0);  // trace_step; f, dlogits
}

std::int64_t cpu_workspace_values(std::int64_t padded_rows, std::int64_t parameters,
                                  std::int64_t memory, bool shifts, bool describes) {
  return padded_rows * (parameters + 2) +  // A, b, w
         MemoryWorkspace<float>::size(padded_rows, parameters, memory) +
         (shifts ? ShiftWorkspace<float>::size(padded_rows, parameters) : 0) +
         (describes ? 2 * padded_rows : 0);
}

CpuPlan plan_cpu(const BatchShape& s, int lanes, int threads, std::int64_t memory_limit) {
  CpuPlan plan;
  std::int64_t used = 0, occupied = 0, longest = 0;
  const auto padded = [lanes](std::int64_t n) { return (n + lanes - 1) / lanes * lanes; };
  for (std::int64_t i = 0; i < (s.offsets.empty() ? 1 : s.count); ++i) {
    const std::int64_t n = s.rows_of(i);
    longest = std::max(longest, padded(n));
    used += n;
    occupied += padded(n);
  }
  plan.padding = occupied > 0 ? 1.0 - double(used) / double(occupied) : 0;
  plan.workspace_values =
      cpu_workspace_values(longest, s.parameters, s.optimizer_memory, s.shifts, s.describes);
  const std::int64_t bytes = aligned(plan.workspace_values * s.value_bytes);
  plan.threads = int(std::max<std::int64_t>(1, std::min<std::int64_t>(threads, s.count)));
  if (memory_limit > 0) {
    if (bytes > memory_limit)
      throw Error(ErrorKind::out_of_memory,
                  fmt::format("one workspace ({} x {}, {} bytes a number) needs {} bytes but the "
                              "memory limit is {}",
                              longest, s.parameters, s.value_bytes, bytes, memory_limit),
                  "raise --memory-limit");
    plan.threads = int(std::min<std::int64_t>(plan.threads, memory_limit / bytes));
  }
  plan.bytes = bytes * plan.threads;
  return plan;
}

}  // namespace softreg
