#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "device_groups.hpp"
#include "plan_parts.hpp"
#include "reduction.hpp"
#include "softreg/error.hpp"
#include "solve_kernel.hpp"

namespace softreg {
namespace {

constexpr std::int64_t mebibyte = std::int64_t{1} << 20;

std::int64_t outcome_bytes(int value_bytes) {
  return with_type(value_bytes, [](auto t) { return std::int64_t(sizeof(Outcome<decltype(t)>)); });
}

// Device memory that all instances share: one copy whatever their number. columns: of A.
std::int64_t shared_bytes(const BatchShape& s, int columns) {
  const Layout& l = s.layout;
  const std::int64_t v = s.value_bytes;
  const std::int64_t start =
      s.started && s.start_shared ? aligned(std::int64_t{l.d1} * l.d2 * v) : 0;
  if (s.data_on_device) return start + (s.a2_shared && !l.matrix ? aligned(l.m * l.d2 * v) : 0);
  std::int64_t bytes = start;
  if (s.a1_shared) bytes += aligned(l.n * l.d1 * v);
  if (s.a2_shared) bytes += aligned(l.m * (columns > 0 ? columns : l.d2) * v);
  if (s.target_shared) bytes += aligned(l.n * l.m * v);
  if (s.weighted && s.weights_shared) bytes += aligned(l.n * l.m * v);
  return bytes;
}

// Of A, b and w of these instances.
std::int64_t data_bytes(const BatchShape& s, const Amount& has) {
  const Layout& l = s.layout;
  const std::int64_t v = s.value_bytes;
  std::int64_t bytes = 0;
  if (l.matrix && !s.a1_shared) bytes += aligned(has.rows1 * l.d1 * v);
  if (!s.a2_shared) bytes += aligned(has.rows2 * l.d2 * v);
  if (!s.target_shared) bytes += aligned(has.rows * v);
  if (s.weighted && !s.weights_shared) bytes += aligned(has.rows * v);
  return bytes;
}

// Of all other arrays of these instances; each is counted once with its padding.
std::int64_t array_bytes(const BatchShape& s, const Amount& has) {
  const Layout& l = s.layout;
  const std::int64_t v = s.value_bytes, d = std::int64_t{l.d1} * l.d2, n = has.instances;
  std::int64_t bytes = aligned(n * v) + aligned(n * d * v) +  // step sizes, x
                       aligned(n * outcome_bytes(s.value_bytes));
  if (s.data_on_device) bytes += 3 * aligned(n * 8);  // where each begins
  if (s.started && !s.start_shared) bytes += aligned(n * d * v);
  if (l.begin2) bytes += aligned((n + 1) * 8) + 3 * aligned((has.blocks + 1) * 8);
  if (s.watched != Watched::nothing)
    bytes += aligned(n * v) + aligned(n * watched_bytes(s)) + alignment;
  bytes += 4 * alignment + n * s.trace_values * v;  // one more: what has been taken
  if (s.describes)
    bytes += 2 * aligned(has.rows * v) + aligned(n * d * v) + aligned(has.rows1 * l.d2 * v) +
             aligned(has.rows1 * v);
  return bytes;
}

// Of a multiprocessor. shared_memory: of a block.
std::int64_t blocks_at_once(const KernelPolicy& p, std::int64_t shared_memory) {
  const std::int64_t fit = max_shared_bytes / std::max<std::int64_t>(shared_memory, 1);
  return std::max<std::int64_t>(1, std::min<std::int64_t>(p.occupancy.blocks, fit));
}

// Of the device: blocks, or clusters of them.
std::int64_t clusters_at_once(const KernelPolicy& p, std::int64_t shared_memory,
                              const DeviceInfo& device) {
  return p.cluster() > 1 ? device.clusters
                         : device.multiprocessors * blocks_at_once(p, shared_memory);
}

// Host memory for the reduction of instance i. (Where all share A it is decomposed once.)
std::int64_t decomposition_bytes(const BatchShape& s, int columns, std::int64_t i) {
  constexpr std::int64_t beside = 1024;
  return columns > 0 && !s.a2_shared ? reduction_values(s.layout, i) * s.value_bytes + beside : 0;
}

// The class that gives the same bits to instances one by one; it stands behind.
int alone(int policy) {
  int k = policy;
  while (policies[k].placement != policies[policy].placement || policies[k].places > 1) ++k;
  return k;
}

// s: on_device. Too few for a block of several side by side go one by one: each place of such a
// block has a workspace.
Chunk size_chunk(const BatchShape& s, const DeviceInfo& device, const CudaGroup& g,
                 std::int64_t first, std::int64_t last, const Amount& amount) {
  const std::int64_t instances = last - first;
  const int policy = instances < policies[g.policy].places ? alone(g.policy) : g.policy;
  const KernelPolicy& p = policies[policy];
  const auto [values, shared_memory] = with_type(s.value_bytes, [&](auto t) {
    using T = decltype(t);
    const Extent& e = amount.largest;
    return std::pair{kernel_workspace<T>(p, e, s.watched),
                     kernel_shared_bytes<T>(p, e, s.layout, s.weighted)};
  });
  // Blocks stay until nobody has an instance left, so there are no more of them than run at once.
  const std::int64_t per_cluster = p.instances_per_cluster();
  const std::int64_t clusters = std::min((instances + per_cluster - 1) / per_cluster,
                                         clusters_at_once(p, shared_memory, device));
  const std::int64_t groups = std::min(clusters * per_cluster, instances);
  const std::int64_t workspaces = p.places > 1 ? clusters * per_cluster : groups;
  const std::int64_t data = data_bytes(s, amount);
  const std::int64_t staged = aligned(array_bytes(s, amount) + (s.data_on_device ? 0 : data));
  const std::int64_t gathered = s.data_on_device ? data : 0;
  return {policy, g.columns, first,
          last,   amount,    static_cast<int>(clusters * p.cluster()),
          groups, values,    static_cast<int>(shared_memory),
          staged, gathered,  staged + gathered + aligned(workspaces * values * s.value_bytes)};
}

// The goal for chunks of this group. The chunks in flight fill the device together, so that each
// has its part of the lanes' groups that run at once.
std::int64_t goal_of_group(const BatchShape& s, const DeviceInfo& device, const CudaGroup& g,
                           std::span<const std::int64_t> order) {
  Amount all;
  for (std::int64_t k = g.first; k < g.last; ++k)
    all.add(s.layout, order[static_cast<std::size_t>(k)]);
  const Chunk whole = size_chunk(s, device, g, 0, all.instances, all);
  const KernelPolicy& p = policies[g.policy];
  const std::int64_t at_once =
      clusters_at_once(p, whole.shared_bytes, device) * p.instances_per_cluster() / most_streams;
  const std::int64_t each = (whole.staged_bytes + whole.gathered_bytes) / all.instances +
                            whole.workspace_values * s.value_bytes;
  return chunk_goal(whole.bytes, at_once * std::min(each, 1024 * mebibyte));
}

[[noreturn]] void refuse_instance(const BatchShape& s, std::int64_t instance, std::int64_t need,
                                  std::int64_t have) {
  throw Error(ErrorKind::out_of_memory,
              fmt::format("{} needs {} bytes of device memory but {} are available",
                          describe(s, instance), need, have),
              std::string("free device memory, raise --memory-limit, or ") + without_device(s));
}

// Cuts the instances of a group into chunks of at most `limit` bytes, whose decompositions take no
// more than they may of host memory, or of one instance.
void cut(const BatchShape& whole, const DeviceInfo& device, std::int64_t limit, const CudaGroup& g,
         CudaPlan& plan) {
  constexpr std::int64_t most_decomposed = 256 * mebibyte;
  const BatchShape s = on_device(whole, g.columns);
  const std::span order(plan.order);
  const std::int64_t goal = goal_of_group(s, device, g, order);
  Chunk chunk{};
  std::int64_t decomposed = 0;
  for (std::int64_t k = g.first; k < g.last; ++k) {
    const std::int64_t i = order[static_cast<std::size_t>(k)];
    const std::int64_t more_decomposed = decomposition_bytes(whole, g.columns, i);
    if (chunk.last > chunk.first) {
      Amount more = chunk.amount;
      more.add(s.layout, i);
      const Chunk grown = size_chunk(s, device, g, chunk.first, k + 1, more);
      if (grown.bytes <= std::min(goal, limit) && decomposed + more_decomposed <= most_decomposed) {
        chunk = grown;
        decomposed += more_decomposed;
        continue;
      }
      plan.chunks.push_back(chunk);
    }
    Amount alone;
    alone.add(s.layout, i);
    chunk = size_chunk(s, device, g, k, k + 1, alone);
    decomposed = more_decomposed;
    if (const std::int64_t need = plan.shared_bytes + chunk.bytes; need > device.memory_bytes)
      refuse_instance(whole, i, need, device.memory_bytes);
  }
  plan.chunks.push_back(chunk);
}

void share_out(std::size_t streams, CudaPlan& plan) {
  plan.streams.assign(std::min(streams, plan.chunks.size()), {});
  for (std::size_t k = 0; k < plan.chunks.size(); ++k) {
    StreamMemory& stream = plan.streams[k % plan.streams.size()];
    stream.bytes = std::max(stream.bytes, plan.chunks[k].bytes);
    stream.staged_bytes = std::max(stream.staged_bytes, plan.chunks[k].staged_bytes);
  }
  plan.bytes = plan.chunks.empty() ? 0 : plan.shared_bytes;
  for (const StreamMemory& stream : plan.streams) plan.bytes += stream.bytes;
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

// A copy of a few milliseconds and more needs no larger chunk, one of far less is not worth a
// launch; in between the first copy in and the last one out, which nothing hides, are a small part
// of the whole. The last bound is for staging memory (and a kernel counts its instances in int).
std::int64_t chunk_goal(std::int64_t bytes, std::int64_t filling) {
  const std::int64_t overlapping = std::clamp(bytes / 16, 32 * mebibyte, 256 * mebibyte);
  return std::min(std::max(overlapping, filling), 1024 * mebibyte);
}

CudaPlan plan_cuda(const BatchShape& s, std::span<const std::int64_t> runs,
                   const DeviceInfo& device, bool reduce) {
  CudaPlan plan;
  double occupied = 0, used = 0;  // numbers: of matrices more than 64 bits count
  GroupedInstances grouped = group_instances(s, runs, device, reduce);
  plan.order = std::move(grouped.order);
  plan.batch_invariant = grouped.batch_invariant;
  // Where all share A there is one group.
  plan.shared_bytes = shared_bytes(s, runs.empty() ? 0 : grouped.groups[0].columns);
  const std::int64_t have = device.memory_bytes - plan.shared_bytes;
  const auto fits = [&](int streams, std::int64_t limit) {
    plan.chunks.clear();
    for (const CudaGroup& g : grouped.groups) cut(s, device, limit, g, plan);
    share_out(static_cast<std::size_t>(streams), plan);
    return plan.bytes <= device.memory_bytes;
  };
  // Chunks give way before streams do; what fits only alone is solved alone.
  if (!fits(most_streams, have))
    for (int streams = most_streams; !fits(streams, have / streams);) --streams;
  for (const CudaGroup& g : grouped.groups) {
    const LaneGrid& grid = policies[g.policy].grid;
    const std::int64_t parameters = on_device(s, g.columns).layout.parameters();
    Alike alike{.instances = g.last - g.first,
                .least_rows = std::numeric_limits<int>::max(),
                .most_rows = 0,
                .parameters = static_cast<int>(parameters),
                .plain = s.plain,
                .fast = s.fast,
                .max_steps = s.max_steps};
    const bool whole = policies[g.policy].placement == Placement::registers;
    const bool tiles = policies[g.policy].placement == Placement::one_pass;
    for (std::int64_t k = g.first; k < g.last; ++k) {
      const std::int64_t n = s.layout.all_rows_of(plan.order[static_cast<std::size_t>(k)]);
      used += double(n) * double(g.columns > 0 ? n : parameters);
      const std::int64_t padded = (n + grid.lanes - 1) / grid.lanes * grid.lanes;
      const std::int64_t columns = tiles ? grid.parameters : parameters;
      occupied += whole ? double(grid.rows) * grid.parameters : double(padded) * double(columns);
      alike.least_rows = std::min(alike.least_rows, static_cast<int>(n));
      alike.most_rows = std::max(alike.most_rows, static_cast<int>(n));
    }
    // One group has a class of registers: those of d parameters, or what is reduced to fewer.
    plan.specialised[static_cast<std::size_t>(g.policy)] =
        specialised_policy(device.specialise, policies[g.policy], alike);
  }
  for (const Chunk& c : plan.chunks) {
    const KernelPolicy& p = policies[c.policy];
    const double threads = double(p.threads() * blocks_at_once(p, c.shared_bytes));
    const double share = threads / device.threads_per_multiprocessor;
    plan.waves = std::max(plan.waves, double(c.last - c.first) / double(c.groups));
    plan.occupancy = plan.occupancy > 0 ? std::min(plan.occupancy, share) : share;
  }
  plan.padding = occupied > 0 ? 1.0 - used / occupied : 0;
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
            describe(s, alone), shared_bytes(s, chunk.columns) + chunk.bytes, device.memory_bytes),
        std::string("free device memory or ") + without_device(s));
  const std::int64_t middle = chunk.first + (chunk.last - chunk.first) / 2;
  const CudaGroup group{chunk.policy, chunk.columns, chunk.first, chunk.last};
  const BatchShape part = on_device(s, chunk.columns);
  std::vector<Chunk> halves;
  for (const auto& [first, last] : {std::pair{chunk.first, middle}, {middle, chunk.last}}) {
    Amount amount;
    for (std::int64_t k = first; k < last; ++k)
      amount.add(part.layout, order[static_cast<std::size_t>(k)]);
    halves.push_back(size_chunk(part, device, group, first, last, amount));
  }
  return halves;
}

}  // namespace softreg
