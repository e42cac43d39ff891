#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include "cpu_lanes.hpp"
#include "plan_parts.hpp"
#include "reduced_places.hpp"
#include "softreg/error.hpp"
#include "softreg/model/memory_solve.hpp"
#include "tile_extent.hpp"

namespace softreg {
namespace {

// f(i) of every instance; of one, where all are alike.
template <class F>
void each_kind(const Layout& l, F f) {
  for (std::int64_t i = 0; i < (l.begin2 ? l.count : std::min<std::int64_t>(l.count, 1)); ++i) f(i);
}

struct CpuNeed {
  std::int64_t rows, padded_rows;
  std::int64_t values;         // of the workspace
  std::int64_t reduction = 0;  // numbers of a Reduction
  bool tiles = false;
};

// Of instance i on the CPU's lanes or tiles; `slots` threads share it.
CpuNeed cpu_need(const BatchShape& s, std::int64_t i, std::int64_t slots, bool may_reduce = true) {
  const auto traced = [&s](const Extent& e) { return ShiftWorkspace<float>::size(e, s.watched); };
  if (may_reduce && reduces(s, i)) {
    BatchShape alone = s;
    alone.layout = reduced_layout(s.layout, i);
    CpuNeed need = cpu_need(alone, 0, slots, false);
    need.reduction = reduction_values(s.layout, i);
    // Its numbers may turn out to forbid the reduction.
    need.values = std::max(need.values, cpu_need(s, i, slots, false).values);
    return need;
  }
  Extent e = extent_of(s.layout, i);
  const std::int64_t rows = e.rows;
  if (takes_tiles(s.layout, i)) {
    const TileExtent tiles = tile_extent(s.layout, i, s.value_bytes);
    const std::int64_t padded = tiles.instance.rows, most = std::numeric_limits<int>::max();
    if (padded > most)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("{} takes {} logits on the CPU, where rows are padded to {}, but at "
                              "most {} are supported",
                              describe(s, i), padded, tile_lanes, most));
    const std::int64_t own = with_type(
        s.value_bytes, [&](auto t) { return TileWorkspace<decltype(t)>::size(tiles, slots); });
    return {rows, padded, own + traced(tiles.instance), 0, true};
  }
  e.rows = on_lanes(rows);
  return {rows, e.rows, LanesWorkspace<float>::size(e, s.watched)};
}

[[noreturn]] void refuse_workspace(const BatchShape& s, std::int64_t instance, std::int64_t bytes,
                                   std::int64_t memory_limit) {
  throw Error(ErrorKind::out_of_memory,
              fmt::format("{} needs a workspace of {} bytes but the memory limit is {}",
                          describe(s, instance), bytes, memory_limit),
              "raise --memory-limit");
}

// The shape of one vector problem alone.
BatchShape alone(const BatchShape& s, std::int64_t rows) {
  BatchShape one = s;
  one.layout = {};
  one.layout.count = 1;
  one.layout.m = rows;
  one.layout.d2 = s.layout.d2;
  return one;
}

// Instances of one softmax each: their bits are the same on all lanes, so whether they lie side by
// side may depend on how many there are. Nothing if none do, or if memory is short.
std::optional<CpuPlan> plan_packs(const BatchShape& s, int threads, std::int64_t memory_limit,
                                  const CpuCore& core) {
  const Layout& l = s.layout;
  const bool whole_traces = s.watched != Watched::nothing && s.trace_values > 0;
  if (core.register_bytes == 0 || l.count < 2 || l.matrix || l.blocks || s.describes ||
      whole_traces)
    return std::nullopt;
  std::map<std::int64_t, std::int64_t> counts;  // by rows
  const bool ragged = l.begin2 != nullptr;
  for (std::int64_t i = 0; ragged && i < l.count; ++i) ++counts[l.rows_of(i)];
  if (!ragged) counts[l.m] = l.count;

  CpuPlan plan;
  plan.core = core;
  // A pack is about as fast as an instance alone. Of one shape, one pack would occupy one thread.
  plan.least_beside = ragged ? 2 : threads + 1;
  // A pack takes as long with empty places: every thread has to find half of its own taken, by
  // instances of one shape.
  plan.many = !ragged && l.count >= threads * (core.register_bytes / s.value_bytes) / 2;
  static_assert(shared_pack_lanes == 4, "CpuPlan::packs4");
  std::int64_t used = 0, occupied = 0, reduction = 0, reductions_bytes = 0;
  for (const auto& [rows, count] : counts) {
    const CpuNeed need = cpu_need(alone(s, rows), 0, 1);
    const PackShape shape = pack_shape(s, rows, core, plan.many);
    const bool packs = shape.lanes > 0 && count >= plan.least_beside;
    if (packs) {
      (shape.lanes == 1 ? plan.packs1 : plan.packs4) = true;
      plan.pack_values = std::max(plan.pack_values, shape.values);
      reductions_bytes = std::max(reductions_bytes, shape.reduction_bytes);
    } else {
      plan.lanes = true;
    }
    // Of a ragged batch fewer may be fit; what cannot be reduced is solved alone, as it is.
    if (!packs || ragged) reduction = std::max(reduction, need.reduction);
    if (!packs || ragged || shape.reduced)
      plan.workspace_values = std::max(plan.workspace_values, need.values);
    plan.reduced = plan.reduced || need.reduction > 0;
    used += count * rows;
    occupied += count * (packs ? pack_rows(rows, shape.lanes) * shape.lanes : need.padded_rows);
  }
  if (plan.pack_values == 0) return std::nullopt;
  plan.padding = 1 - double(used) / double(occupied);
  const std::int64_t bytes = aligned(plan.pack_values * s.value_bytes) + reductions_bytes +
                             aligned(plan.workspace_values * s.value_bytes) +
                             aligned(reduction * s.value_bytes);
  plan.threads = int(std::min<std::int64_t>(threads, l.count));
  if (memory_limit > 0)
    plan.threads = int(std::min<std::int64_t>(plan.threads, memory_limit / bytes));
  if (plan.threads == 0) return std::nullopt;
  plan.bytes = bytes * plan.threads;
  return plan;
}

}  // namespace

PackShape pack_shape(const BatchShape& s, std::int64_t rows, const CpuCore& core, bool many) {
  if (rows < 1) return {};
  const BatchShape one = alone(s, rows);
  PackShape shape;
  shape.reduced = reduces(one, 0);
  const std::int64_t columns = shape.reduced ? reduced_layout(one.layout, 0).d2 : s.layout.d2;
  shape.lanes =
      pack_lanes(rows, columns, s.value_bytes, core, many && s.a2_shared && !shape.reduced,
                 many ? s.watched : Watched::nothing);
  if (shape.lanes == 0) return {};
  shape.places = core.register_bytes / s.value_bytes / shape.lanes;
  shape.values = pack_values(rows, columns, shape.lanes, s.value_bytes, core.register_bytes,
                             s.watched, s.a2_shared && !shape.reduced);
  if (shape.reduced)
    shape.reduction_bytes =
        aligned(shape.places *
                ((ReducedPlaces<float>::values(one.layout) + s.trace_values) * s.value_bytes +
                 watched_bytes(s)));
  return shape;
}

CpuPlan plan_cpu(const BatchShape& s, int threads, std::int64_t memory_limit, const CpuCore& core) {
  if (const auto packs = plan_packs(s, threads, memory_limit, core)) return *packs;
  CpuPlan plan;
  const Layout& l = s.layout;
  std::int64_t largest = 0;
  bool shareable = false;  // only tiles are work for several threads
  each_kind(l, [&](std::int64_t i) { shareable = shareable || takes_tiles(l, i); });
  plan.team = shareable && l.count < threads;
  plan.threads = plan.team
                     ? threads
                     : int(std::max<std::int64_t>(1, std::min<std::int64_t>(threads, l.count)));
  const auto measure = [&] {
    std::int64_t used = 0, occupied = 0, reduction = 0;
    plan.workspace_values = 0;
    each_kind(l, [&](std::int64_t i) {
      const CpuNeed need = cpu_need(s, i, plan.team ? plan.threads : 1);
      used += need.rows;
      occupied += need.padded_rows;
      if (need.values > plan.workspace_values) largest = i;
      plan.workspace_values = std::max(plan.workspace_values, need.values);
      reduction = std::max(reduction, need.reduction);
      (need.tiles ? plan.tiles : plan.lanes) = true;
    });
    plan.reduced = reduction > 0;
    plan.padding = occupied > 0 ? 1.0 - double(used) / double(occupied) : 0;
    return aligned(plan.workspace_values * s.value_bytes) + aligned(reduction * s.value_bytes);
  };
  std::int64_t bytes = measure();
  if (memory_limit > 0 && plan.team && bytes > memory_limit) {
    plan.team = false;
    plan.threads = 1;
    bytes = measure();
  }
  if (memory_limit > 0 && bytes > memory_limit) refuse_workspace(s, largest, bytes, memory_limit);
  if (memory_limit > 0 && !plan.team)
    plan.threads =
        int(std::min<std::int64_t>(plan.threads, memory_limit / std::max<std::int64_t>(bytes, 1)));
  plan.bytes = bytes * (plan.team ? 1 : plan.threads);
  return plan;
}

CpuPlan plan_reference(const BatchShape& s, std::int64_t memory_limit) {
  CpuPlan plan;
  std::int64_t largest = 0;
  each_kind(s.layout, [&](std::int64_t i) {
    const std::int64_t values = memory_solve_values<float>(extent_of(s.layout, i), s.watched);
    if (values > plan.workspace_values) largest = i;
    plan.workspace_values = std::max(plan.workspace_values, values);
  });
  plan.bytes = aligned(plan.workspace_values * s.value_bytes);
  if (memory_limit > 0 && plan.bytes > memory_limit)
    refuse_workspace(s, largest, plan.bytes, memory_limit);
  return plan;
}

}  // namespace softreg
