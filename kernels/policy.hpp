// Policies: which lanes solve an instance together and where its A lives meanwhile. Policies are
// data, choosing is arithmetic, and neither needs a GPU. The choice depends on the instance alone,
// and on the size of the batch only between classes that give the same bits (unless the user allows
// more): that is what keeps an instance's bits the same in every batch.
#pragma once
#include <cstdint>
#include <string_view>
#include <tuple>

#include "lane_grid.hpp"

namespace softreg {

enum class Placement { registers, one_pass, stream, resident, tiles };

// Of a multiprocessor: how many blocks it runs at once, to which the compiler is held.
struct Occupancy {
  int threads, blocks;  // of each block; blocks
};

struct KernelPolicy {
  std::string_view name;
  Placement placement;
  int value_bytes;  // of the numbers that it is for; 0: any
  LaneGrid grid;    // up to 32 lanes are a part of a warp, more a whole block or a cluster
  Occupancy occupancy;
  int shared_rows = 0;          // of the rows that a lane holds, how many are in shared memory
  bool watches_bounds = false;  // for the trace `bounds`, and for nothing else
  int places = 1;               // instances that a group solves side by side, if they share A
  // Of registers: what is known of every instance when the kernel is compiled.
  bool plain = false;  // no logit weights, no ridge, no ball, no trace of shifts, not evaluate()
  int least_rows = 1, least_parameters = 1;
  SR_HD constexpr int lanes() const { return grid.lanes; }
  SR_HD constexpr int threads() const { return occupancy.threads; }
  // Blocks that start together: one, or those that a group of more lanes takes.
  SR_HD constexpr int cluster() const { return lanes() > threads() ? lanes() / threads() : 1; }
  SR_HD constexpr int groups_per_cluster() const { return cluster() * threads() / lanes(); }
  SR_HD constexpr int instances_per_cluster() const { return groups_per_cluster() * places; }
};

// A policy reaches a kernel as a type: nvcc 13.0 cannot build a __global__ template with a
// struct-valued parameter.

// A takes rows * parameters / lanes numbers of each lane, of which 128 registers leave room for the
// rest below the limit of 255 (tests/resources_test.py).
constexpr KernelPolicy in_registers(std::string_view name, int value_bytes, LaneGrid grid,
                                    Occupancy occupancy, int shared_rows = 0) {
  return {name, Placement::registers, value_bytes, grid, occupancy, shared_rows};
}
// The class of p, held to instances of least to most rows and d parameters. The order of sums
// stays, and with it every bit. What makes no difference to the kernel makes none to the policy.
constexpr KernelPolicy narrowed(KernelPolicy p, int least, int most, int d, bool plain) {
  const int lanes = p.lanes(), in_registers = p.grid.held_rows() - p.shared_rows;
  p.grid.rows = (most + lanes - 1) / lanes * lanes;
  p.shared_rows = p.grid.held_rows() > in_registers ? p.grid.held_rows() - in_registers : 0;
  p.plain = plain;
  p.least_rows = least < lanes ? 1 : least / lanes * lanes;
  p.least_parameters = d == p.grid.parameters ? d : 1;
  return p;
}

struct Float16x4 {
  static constexpr auto policy = in_registers("lanes1_16x4", 4, {1, 1, 16, 4}, {128, 3});
};
struct Float32x8 {
  static constexpr auto policy = in_registers("lanes2_32x8", 4, {2, 1, 32, 8}, {128, 2});
};
struct Float64x16 {
  static constexpr auto policy = in_registers("lanes8_64x16", 4, {8, 2, 64, 16}, {128, 2});
};
struct Float128x32 {
  static constexpr auto policy = in_registers("lanes32_128x32", 4, {32, 2, 128, 32}, {128, 2});
};
struct Float256x16 {
  static constexpr auto policy = in_registers("lanes32_256x16", 4, {32, 2, 256, 16}, {128, 2});
};
struct Float256x64 {
  static constexpr auto policy = in_registers("lanes128_256x64", 4, {128, 8, 256, 64}, {128, 2});
};
struct Float512x32 {
  static constexpr auto policy = in_registers("lanes128_512x32", 4, {128, 4, 512, 32}, {128, 2});
};
struct Float1024x64 {
  static constexpr auto policy =
      in_registers("lanes256_1024x64", 4, {256, 8, 1024, 64}, {256, 1}, 16);
};
struct Float4096x128 {
  static constexpr auto policy =
      in_registers("lanes2048_4096x128", 4, {2048, 8, 4096, 128}, {256, 1}, 9);
};
struct Double16x4 {
  static constexpr auto policy = in_registers("lanes2_16x4", 8, {2, 1, 16, 4}, {128, 2});
};
struct Double32x8 {
  static constexpr auto policy = in_registers("lanes8_32x8", 8, {8, 1, 32, 8}, {128, 2});
};
struct Double64x16 {
  static constexpr auto policy = in_registers("lanes16_64x16", 8, {16, 1, 64, 16}, {128, 2});
};
struct Double128x32 {
  static constexpr auto policy = in_registers("lanes64_128x32", 8, {64, 4, 128, 32}, {64, 4});
};
struct Double256x8 {
  static constexpr auto policy = in_registers("lanes64_256x8", 8, {64, 1, 256, 8}, {64, 4});
};
struct Double256x64 {
  static constexpr auto policy = in_registers("lanes256_256x64", 8, {256, 8, 256, 64}, {256, 1});
};
struct Double2048x128 {
  static constexpr auto policy =
      in_registers("lanes2048_2048x128", 8, {2048, 8, 2048, 128}, {256, 1}, 5);
};

// Any number of rows, which pass by in tiles of a row per lane: read once for each step, while the
// lanes work on the tile before. What is on its way is 128 KiB of a block's shared memory.
constexpr KernelPolicy in_one_pass(std::string_view name, int value_bytes, int columns,
                                   int parameters) {
  constexpr int lanes = 2048, most = 0x7fffffff / lanes * lanes - lanes;
  return {name, Placement::one_pass, value_bytes, {lanes, columns, most, parameters}, {256, 1}};
}
struct FloatStream16 {
  static constexpr auto policy = in_one_pass("stream2048_x16", 4, 4, 16);
};
struct FloatStream128 {
  static constexpr auto policy = in_one_pass("stream2048_x128", 4, 32, 128);
};
struct DoubleStream8 {
  static constexpr auto policy = in_one_pass("stream2048_x8", 8, 4, 8);
};
struct DoubleStream32 {
  static constexpr auto policy = in_one_pass("stream2048_x32", 8, 16, 32);
};

// A block on any shape. Indexes are int: a lane's next row beyond the last one must still be one.
constexpr KernelPolicy in_memory(std::string_view name, Placement placement, bool bounds = false,
                                 int places = 1) {
  constexpr int lanes = 256, most = 0x7fffffff - lanes;
  return {name, placement, 0, {lanes, 1, most, most}, {lanes, 1}, 0, bounds, places};
}
// As many instances of one A as a lane has sums for.
struct BlockShared {
  static constexpr auto policy = in_memory("block_shared", Placement::stream, false, 16);
};
struct BlockStream {
  static constexpr auto policy = in_memory("block_stream", Placement::stream);
};
// A matrix problem: all of it in shared memory, or its logits in tiles of rows. Both run in one
// kernel; what differs is where the arrays lie, which it is told.
struct BlockResident {
  static constexpr auto policy = in_memory("block_resident", Placement::resident);
};
struct BlockTiles {
  static constexpr auto policy = in_memory("block_tiles", Placement::tiles);
};
// The trace `bounds` takes registers that other solves would miss, so it has kernels of its own.
struct BlockStreamBounds {
  static constexpr auto policy = in_memory("block_stream_bounds", Placement::stream, true);
};
struct BlockTilesBounds {
  static constexpr auto policy = in_memory("block_tiles_bounds", Placement::tiles, true);
};
template <class PolicyT>
struct KernelOf {
  using Policy = PolicyT;
};
template <>
struct KernelOf<BlockResident> {
  using Policy = BlockTiles;
  static_assert(BlockResident::policy.lanes() == BlockTiles::policy.lanes());
};

// Cheapest first: the first that fits is chosen.
using Policies =
    std::tuple<Float16x4, Float32x8, Float64x16, Float128x32, Float256x16, Float256x64, Float512x32,
               Float1024x64, Float4096x128, Double16x4, Double32x8, Double64x16, Double128x32,
               Double256x8, Double256x64, Double2048x128, FloatStream16, FloatStream128,
               DoubleStream8, DoubleStream32, BlockShared, BlockStream, BlockResident, BlockTiles,
               BlockStreamBounds, BlockTilesBounds>;
inline constexpr int policy_count = std::tuple_size_v<Policies>;
template <class List>
struct PolicyTable;
template <class... P>
struct PolicyTable<std::tuple<P...>> {
  static constexpr KernelPolicy all[] = {P::policy...};
};
inline constexpr auto& policies = PolicyTable<Policies>::all;

// Shared memory that a block may have on compute capability 9.0.
inline constexpr std::int64_t max_shared_bytes = std::int64_t{227} * 1024;
// An A of no more is not spread over a cluster: a multiprocessor keeps it, or most of it, in its
// cache, and seven others can solve other instances meanwhile.
inline constexpr std::int64_t least_cluster_bytes = std::int64_t{256} * 1024;

struct Shape {
  std::int64_t rows, parameters;
  int value_bytes;
  std::int64_t segments = 1;
  bool matrix = false;
  std::int64_t resident_bytes = 0;  // shared memory that holds all of a matrix problem
  bool bounds = false;              // are traced
  bool clusters = true;             // can be had on the device
  bool side_by_side = false;        // so many instances share A that it is worth while
  bool batch_invariant = true;      // that number may change no bit
};

constexpr bool is_of_matrices(const KernelPolicy& p) {
  return p.placement == Placement::resident || p.placement == Placement::tiles;
}

constexpr bool is_of_one_softmax(const KernelPolicy& p) {
  return p.placement == Placement::registers || p.placement == Placement::one_pass;
}
// Whether A lies by columns on the device, because lanes of a warp read neighbouring rows. A tile
// of one pass has its rows, and so have matrices.
constexpr bool lies_by_columns(const KernelPolicy& p) {
  return !is_of_matrices(p) && p.placement != Placement::one_pass;
}

// Whether the policy can hold such an instance, and is meant for it.
constexpr bool fits(const KernelPolicy& p, const Shape& s) {
  return s.rows <= p.grid.rows && s.parameters <= p.grid.parameters &&
         (p.value_bytes == 0 || p.value_bytes == s.value_bytes) && is_of_matrices(p) == s.matrix &&
         p.watches_bounds == s.bounds && (!is_of_one_softmax(p) || s.segments == 1) &&
         (p.placement != Placement::resident || s.resident_bytes <= max_shared_bytes) &&
         (p.places == 1 || s.side_by_side) &&
         (p.placement != Placement::one_pass || !s.side_by_side || s.batch_invariant) &&
         (p.cluster() == 1 ||
          (s.clusters && s.rows * s.parameters * s.value_bytes > least_cluster_bytes));
}

constexpr int choose_policy(const Shape& s) {
  for (int k = 0; k < policy_count; ++k)
    if (fits(policies[k], s)) return k;
  return -1;  // no policy holds it: more rows or parameters than an int counts
}

// Calls f.operator()<Policy>() for policies[k].
template <int K = 0, class F>
constexpr void visit_policy(int k, F&& f) {
  if constexpr (K < policy_count) {
    if (k == K)
      f.template operator()<std::tuple_element_t<K, Policies>>();
    else
      visit_policy<K + 1>(k, f);
  }
}

}  // namespace softreg
