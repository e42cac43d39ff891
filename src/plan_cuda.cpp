#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "plan_parts.hpp"
#include "softreg/error.hpp"
#include "solve_kernel.hpp"

namespace softreg {
namespace {

// Chunks stay below this where several instances share one: enough to fill any GPU many times over,
// little enough that staging memory stays small, progress shows and an interruption loses little
// (and that a kernel counts its instances in int). What all instances share is not counted.
constexpr std::int64_t chunk_target = std::int64_t(1) << 30;

std::int64_t outcome_bytes(int value_bytes) {
  return with_type(value_bytes, [](auto t) { return std::int64_t(sizeof(Outcome<decltype(t)>)); });
}

// Device memory that instances of a chunk share: one copy whatever their number.
std::int64_t shared_bytes(const BatchShape& s) {
  const Layout& l = s.layout;
  const std::int64_t v = s.value_bytes;
  std::int64_t bytes = 0;
  if (s.a1_shared) bytes += aligned(l.n * l.d1 * v);
  if (s.a2_shared) bytes += aligned(l.m * l.d2 * v);
  if (s.target_shared) bytes += aligned(l.n * l.m * v);
  if (s.weighted && s.weights_shared) bytes += aligned(l.n * l.m * v);
  if (s.started && s.start_shared) bytes += aligned(std::int64_t{l.d1} * l.d2 * v);
  return bytes;
}

// Of all arrays of these instances; each array is counted once with its padding.
std::int64_t array_bytes(const BatchShape& s, const Amount& has) {
  const Layout& l = s.layout;
  const std::int64_t v = s.value_bytes, d = std::int64_t{l.d1} * l.d2, n = has.instances;
  std::int64_t bytes = aligned(n * v) + aligned(n * d * v) +  // step sizes, x
                       aligned(n * outcome_bytes(s.value_bytes));
  if (l.matrix && !s.a1_shared) bytes += aligned(has.rows1 * l.d1 * v);
  if (!s.a2_shared) bytes += aligned(has.rows2 * l.d2 * v);
  if (!s.target_shared) bytes += aligned(has.rows * v);
  if (s.weighted && !s.weights_shared) bytes += aligned(has.rows * v);
  if (s.started && !s.start_shared) bytes += aligned(n * d * v);
  if (l.begin2) bytes += aligned((n + 1) * 8) + 3 * aligned((has.blocks + 1) * 8);
  if (s.watched != Watched::nothing)
    bytes += aligned(n * v) + aligned(n * watched_bytes(s)) + alignment;
  bytes += 3 * alignment + n * s.trace_values * v;
  if (s.describes)
    bytes += 2 * aligned(has.rows * v) + aligned(n * d * v) + aligned(has.rows1 * l.d2 * v) +
             aligned(has.rows1 * v);
  return bytes;
}

// shared: shared_bytes(s).
Chunk size_chunk(const BatchShape& s, std::int64_t shared, const DeviceInfo& device, int policy,
                 std::int64_t first, std::int64_t last, const Amount& amount) {
  const KernelPolicy& p = policies[policy];
  const auto [values, shared_memory] = with_type(s.value_bytes, [&](auto t) {
    using T = decltype(t);
    const Extent& e = amount.largest;
    return std::pair{kernel_workspace<T>(p, e, s.watched),
                     kernel_shared_bytes<T>(p, e, s.layout, s.weighted)};
  });
  const std::int64_t groups = last - first, per_block = p.groups_per_block();
  std::int64_t blocks = (groups + per_block - 1) / per_block;
  // Without a workspace every group has its own instance and the hardware's block queue retires
  // them; with one, the groups that run at once share what there is.
  const std::int64_t side_by_side =
      std::min<std::int64_t>(device.threads_per_multiprocessor / p.threads,
                             max_shared_bytes / std::max<std::int64_t>(shared_memory, 1));
  const std::int64_t at_once = device.multiprocessors * std::max<std::int64_t>(1, side_by_side);
  blocks = std::min(blocks, values > 0 ? at_once : std::int64_t(std::numeric_limits<int>::max()));
  const std::int64_t bytes =
      shared + array_bytes(s, amount) + aligned(blocks * per_block * values * s.value_bytes);
  return {policy,
          first,
          last,
          amount,
          static_cast<int>(blocks),
          values,
          static_cast<int>(shared_memory),
          bytes};
}

[[noreturn]] void refuse_instance(const BatchShape& s, std::int64_t instance, std::int64_t need,
                                  std::int64_t have) {
  throw Error(ErrorKind::out_of_memory,
              fmt::format("{} needs {} bytes of device memory but {} are available",
                          describe(s, instance), need, have),
              "free device memory, raise --memory-limit, or use --device cpu");
}

[[noreturn]] void refuse_shape(const BatchShape& s, std::int64_t instance) {
  throw Error(ErrorKind::invalid_input,
              fmt::format("{} is too large: at most {} rows and {} parameters are supported",
                          describe(s, instance), policies[policy_count - 1].max_rows,
                          policies[policy_count - 1].max_parameters));
}

// Shared memory that would hold instance i, if it is of one block.
std::int64_t resident_bytes(const BatchShape& s, std::int64_t i, const Extent& e) {
  if (s.layout.first_block(i + 1) - s.layout.first_block(i) != 1)
    return std::numeric_limits<std::int64_t>::max();
  return with_type(s.value_bytes, [&](auto t) {
    using T = decltype(t);
    return matrix_shared_bytes<T>(resident_values<T>(e, s.layout, s.weighted));
  });
}

// The instances in the order in which they run: grouped by policy, ascending within each.
// begins (policy_count + 1): where each policy's instances begin.
std::vector<std::int64_t> sorted_by_policy(const BatchShape& s, std::span<const std::int64_t> runs,
                                           std::span<std::int64_t, policy_count + 1> begins) {
  std::vector<std::int8_t> policy(runs.size());
  std::int64_t counts[policy_count] = {};
  for (std::size_t k = 0; k < runs.size(); ++k) {
    const Extent e = extent_of(s.layout, runs[k]);
    const int chosen = choose_policy(
        {e.rows, e.parameters, s.value_bytes, e.segments, s.layout.matrix,
         s.layout.matrix ? resident_bytes(s, runs[k], e) : 0, s.watched == Watched::bounds});
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
  const auto size = [&](std::int64_t first, std::int64_t last, const Amount& amount) {
    return size_chunk(s, shared, device, policy, first, last, amount);
  };
  Chunk chunk{};
  for (std::int64_t k = begin; k < end; ++k) {
    const std::int64_t i = plan.order[static_cast<std::size_t>(k)];
    if (chunk.last > chunk.first) {
      Amount more = chunk.amount;
      more.add(s.layout, i);
      const Chunk grown = size(chunk.first, k + 1, more);
      if (grown.bytes <= device.memory_bytes && grown.bytes - shared <= chunk_target) {
        chunk = grown;
        continue;
      }
      plan.chunks.push_back(chunk);
    }
    Amount alone;
    alone.add(s.layout, i);
    chunk = size(k, k + 1, alone);
    if (chunk.bytes > device.memory_bytes) refuse_instance(s, i, chunk.bytes, device.memory_bytes);
  }
  if (chunk.last > chunk.first) plan.chunks.push_back(chunk);
}

}  // namespace

void Amount::add(const Layout& layout, std::int64_t i) {
  const std::int64_t first = layout.first_block(i), last = layout.first_block(i + 1);
  ++instances;
  blocks += last - first;
  rows1 += layout.first1(last) - layout.first1(first);
  rows2 += layout.first2(last) - layout.first2(first);
  rows += layout.all_rows_of(i);
  largest.cover(extent_of(layout, i));
}

CudaPlan plan_cuda(const BatchShape& s, std::span<const std::int64_t> runs,
                   const DeviceInfo& device) {
  CudaPlan plan;
  std::int64_t begins[policy_count + 1], occupied = 0, used = 0;
  plan.order = sorted_by_policy(s, runs, begins);
  const std::int64_t shared = shared_bytes(s);
  for (int policy = 0; policy < policy_count; ++policy) {
    cut(s, shared, device, policy, begins[policy], begins[policy + 1], plan);
    const std::int64_t lanes = policies[policy].lanes;
    Extent most;
    for (std::int64_t k = begins[policy]; k < begins[policy + 1]; ++k) {
      const std::int64_t n = s.layout.all_rows_of(plan.order[static_cast<std::size_t>(k)]);
      used += n;
      occupied += (n + lanes - 1) / lanes * lanes;
      most.cover(extent_of(s.layout, plan.order[static_cast<std::size_t>(k)]));
    }
    const std::int64_t instances = begins[policy + 1] - begins[policy];
    plan.exact[static_cast<std::size_t>(policy)] =
        specialised_policy(device.specialise, policies[policy], most, instances, s.max_steps);
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
            "{} needs {} bytes of device memory and the device ran out of it, though {} were "
            "available when the batch was planned",
            describe(s, alone), chunk.bytes, device.memory_bytes),
        "free device memory or use --device cpu");
  const std::int64_t middle = chunk.first + (chunk.last - chunk.first) / 2,
                     shared = shared_bytes(s);
  std::vector<Chunk> halves;
  for (const auto& [first, last] : {std::pair{chunk.first, middle}, {middle, chunk.last}}) {
    Amount amount;
    for (std::int64_t k = first; k < last; ++k)
      amount.add(s.layout, order[static_cast<std::size_t>(k)]);
    halves.push_back(size_chunk(s, shared, device, chunk.policy, first, last, amount));
  }
  return halves;
}

}  // namespace softreg
