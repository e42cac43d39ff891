#include "device_groups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "plan_parts.hpp"
#include "reduction.hpp"
#include "softreg/error.hpp"
#include "solve_kernel.hpp"

namespace softreg {
namespace {

[[noreturn]] void refuse_shape(const BatchShape& s, std::int64_t instance) {
  throw Error(ErrorKind::invalid_input,
              fmt::format("{} is too large: at most {} rows and {} parameters are supported",
                          describe(s, instance), policies[policy_count - 1].grid.rows,
                          policies[policy_count - 1].grid.parameters));
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

struct Kind {
  int policy, columns;  // of CudaGroup
  bool operator==(const Kind&) const = default;
  bool operator<(const Kind& o) const {
    return policy != o.policy ? policy < o.policy : columns < o.columns;
  }
};

// What of a Shape is of the device and of the batch.
struct Alternatives {
  bool clusters, side_by_side, batch_invariant;
};

// Columns for n of them in a class: as many as its lanes hold anyway, or, where A is read from
// memory, a multiple of 16, so that ragged batches have few groups.
int columns_of(const KernelPolicy& p, std::int64_t n) {
  return p.placement == Placement::registers ? p.grid.parameters
                                             : static_cast<int>((n + 15) / 16 * 16);
}

// Whether so many instances share A that several side by side should gain. Their step takes some
// seven times the instructions of one instance's; alone, an A that no multiprocessor's cache holds
// waits for the second cache, so that fewer are enough. Reckoned, not measured.
bool solves_side_by_side(const BatchShape& s, std::size_t instances, const DeviceInfo& device) {
  const std::int64_t bytes = s.layout.m * s.layout.d2 * s.value_bytes;
  const std::int64_t each = bytes > least_cluster_bytes ? 4 : 8;
  return !s.layout.matrix && s.a2_shared &&
         std::int64_t(instances) >= each * device.multiprocessors;
}

Kind kind_of(const BatchShape& s, std::int64_t i, const Alternatives& have, bool reduce) {
  const Extent e = extent_of(s.layout, i);
  Shape shape{e.rows,
              e.parameters,
              s.value_bytes,
              e.segments,
              s.layout.matrix,
              s.layout.matrix ? resident_bytes(s, i, e) : 0,
              s.watched == Watched::bounds,
              have.clusters,
              have.side_by_side,
              have.batch_invariant};
  const int whole = choose_policy(shape);
  if (whole < 0) refuse_shape(s, i);
  // A reduction is made on the host.
  if (!reduce || s.layout.matrix || s.data_on_device || !reduces(s, i)) return {whole, 0};
  shape.parameters = e.rows;
  const int policy = choose_policy(shape), columns = columns_of(policies[policy], e.rows);
  // Within a class of registers nothing is gained.
  return columns < s.layout.d2 ? Kind{policy, columns} : Kind{whole, 0};
}

}  // namespace

GroupedInstances group_instances(const BatchShape& s, std::span<const std::int64_t> runs,
                                 const DeviceInfo& device, bool reduce) {
  const Alternatives have{device.clusters > 0, solves_side_by_side(s, runs.size(), device),
                          s.batch_invariant};
  std::map<Kind, std::int64_t> next;  // how many, then where the next one goes
  std::vector<std::int64_t*> places(runs.size());
  const bool ragged = s.layout.begin2 != nullptr || s.layout.blocks != nullptr;
  for (std::size_t k = 0; k < runs.size(); ++k) {
    places[k] = ragged || k == 0 ? &next[kind_of(s, runs[k], have, reduce)] : places[0];
    ++*places[k];
  }
  GroupedInstances grouped;
  std::int64_t first = 0;
  for (auto& [kind, place] : next) {
    const std::int64_t last = first + std::exchange(place, first);
    grouped.groups.push_back({kind.policy, kind.columns, first, last});
    first = last;
  }
  if (have.side_by_side) {  // all are alike
    const Kind invariantly = kind_of(s, runs[0], {have.clusters, true, true}, reduce);
    grouped.batch_invariant = next.begin()->first == invariantly;
  }
  grouped.order.resize(runs.size());
  for (std::size_t k = 0; k < runs.size(); ++k)
    grouped.order[static_cast<std::size_t>((*places[k])++)] = runs[k];
  return grouped;
}

BatchShape on_device(BatchShape s, int columns) {
  if (columns == 0) return s;
  s.layout.d2 = columns;
  s.start_shared = false;
  return s;
}

}  // namespace softreg
