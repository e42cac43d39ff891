// What the LaneSolvers of all losses share is compiled once per instruction set (lane_parts.cpp):
// placements with their loops over A and x, updates, tests, the record of a trace.
#pragma once
#include "cpu_lanes.hpp"
#include "softreg/model/memory_placement.hpp"
#include "tile_placement.hpp"
#if defined(__FMA__)
#include "pack_placement.hpp"
#include "panel.hpp"
#endif

namespace softreg {

using Lanes = LaneGroup<cpu_lanes, true>;
// The operator of one softmax on them. Without fused multiply-add there is nothing to gain.
#if defined(__FMA__)
template <class T>
using LaneOperator = Panel<T>;
#else
template <class T>
using LaneOperator = Dense<ColumnMatrix<const T>, T>;
#endif

// kind: `extern`, or nothing where they are compiled. (No argument is an expression.)
// NOLINTBEGIN(bugprone-macro-parentheses)
#define SR_LANE_PARTS(kind)                  \
  SR_MEMORY_PARTS(kind, Lanes, LaneOperator) \
  SR_LANE_PARTS_OF(kind, float)              \
  SR_LANE_PARTS_OF(kind, double)
#define SR_LANE_PARTS_OF(kind, T)        \
  kind template struct Tile<T>;          \
  kind template struct TilePlacement<T>; \
  kind template struct Descent<TilePlacement<T>, T>;

#if defined(__FMA__)
#define SR_PACK_PARTS(kind)                        \
  kind template struct Panel<float>;               \
  kind template struct Panel<double>;              \
  SR_PACK_PARTS_OF(kind, float, 1)                 \
  SR_PACK_PARTS_OF(kind, double, 1)                \
  SR_PACK_PARTS_OF(kind, float, shared_pack_lanes) \
  SR_SHARED_DOUBLES(kind)
#define SR_PACK_PARTS_OF(kind, T, lanes) \
  SR_ONE_PACK(kind, T, lanes, false)     \
  SR_ONE_PACK(kind, T, lanes, true)
#define SR_ONE_PACK(kind, T, lanes, unrolled)             \
  kind template struct PackPlacement<T, lanes, unrolled>; \
  kind template struct Descent<PackPlacement<T, lanes, unrolled>, Pack<T, pack_width<T>>>;
// Of 32 bytes an instance on four lanes would have all.
#if defined(__AVX512F__)
#define SR_SHARED_DOUBLES(kind) SR_PACK_PARTS_OF(kind, double, shared_pack_lanes)
static_assert(shared_pack_lanes < pack_width<double>);
#else
#define SR_SHARED_DOUBLES(kind)
static_assert(shared_pack_lanes == pack_width<double>);
#endif
#else
#define SR_PACK_PARTS(kind)
#endif
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace softreg
