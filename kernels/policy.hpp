// Policies: which lanes solve an instance together and where its A lives meanwhile. Policies are
// data, choosing is arithmetic, and neither needs a GPU. The choice depends on the instance alone,
// never on the size of the batch: that is what keeps an instance's bits the same in every batch.
#pragma once
#include <cstdint>
#include <string_view>
#include <tuple>

#include "softreg/model/math.hpp"

namespace softreg {

enum class Placement { registers, stream, resident, tiles };

struct KernelPolicy {
  std::string_view name;
  Placement placement;
  int lanes;    // that share one instance: 32 is a warp, more a whole block
  int threads;  // per block
  int max_rows, max_parameters;
  int max_value_bytes;          // widest number for which A fits the placement
  bool watches_bounds = false;  // for the trace `bounds`, and for nothing else
  SR_HD constexpr int groups_per_block() const { return threads / lanes; }
  SR_HD constexpr int rows_per_lane() const { return max_rows / lanes; }
};

// A policy reaches a kernel as a type: nvcc 13.0 cannot build a __global__ template with a
// struct-valued parameter. Registers: A takes rows_per_lane * max_parameters numbers per lane; 128
// 4-byte registers of A leave room for the rest below the limit of 255 (tests/resources_test.py).
struct WarpRegisters32x8 {
  static constexpr KernelPolicy policy{
      "warp_registers_32x8", Placement::registers, 32, 128, 32, 8, 8};
};
struct WarpRegisters64x16 {
  static constexpr KernelPolicy policy{
      "warp_registers_64x16", Placement::registers, 32, 128, 64, 16, 8};
};
struct WarpRegisters256x8 {
  static constexpr KernelPolicy policy{
      "warp_registers_256x8", Placement::registers, 32, 128, 256, 8, 4};
};
struct WarpRegisters128x8 {
  static constexpr KernelPolicy policy{
      "warp_registers_128x8", Placement::registers, 32, 128, 128, 8, 8};
};
struct WarpRegisters64x32 {
  static constexpr KernelPolicy policy{
      "warp_registers_64x32", Placement::registers, 32, 128, 64, 32, 4};
};
// Indexes are int: a lane's next row beyond the last one must still be one.
struct BlockStream {
  static constexpr KernelPolicy policy{"block_stream",   Placement::stream, 256, 256,
                                       0x7fffffff - 256, 0x7fffffff - 256,  8};
};

// A matrix problem: all of it in shared memory, or its logits in tiles of rows. Both run in one
// kernel; what differs is where the arrays lie, which it is told.
struct BlockResident {
  static constexpr KernelPolicy policy{"block_resident", Placement::resident, 256, 256,
                                       0x7fffffff - 256, 0x7fffffff - 256,    8};
};
struct BlockTiles {
  static constexpr KernelPolicy policy{"block_tiles",    Placement::tiles, 256, 256,
                                       0x7fffffff - 256, 0x7fffffff - 256, 8};
};

// The trace `bounds` takes registers that other solves would miss, so it has kernels of its own.
struct BlockStreamBounds {
  static constexpr KernelPolicy policy{"block_stream_bounds", Placement::stream, 256, 256,
                                       0x7fffffff - 256,      0x7fffffff - 256,  8,   true};
};
struct BlockTilesBounds {
  static constexpr KernelPolicy policy{"block_tiles_bounds", Placement::tiles, 256, 256,
                                       0x7fffffff - 256,     0x7fffffff - 256, 8,   true};
};
template <class PolicyT>
struct KernelOf {
  using Policy = PolicyT;
};
template <>
struct KernelOf<BlockResident> {
  using Policy = BlockTiles;
};

// Cheapest first: the first that fits is chosen.
using Policies = std::tuple<WarpRegisters32x8, WarpRegisters64x16, WarpRegisters128x8,
                            WarpRegisters256x8, WarpRegisters64x32, BlockStream, BlockResident,
                            BlockTiles, BlockStreamBounds, BlockTilesBounds>;
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

struct Shape {
  std::int64_t rows, parameters;
  int value_bytes;
  std::int64_t segments = 1;
  bool matrix = false;
  std::int64_t resident_bytes = 0;  // shared memory that holds all of a matrix problem
  bool bounds = false;              // are traced
};

constexpr bool is_of_matrices(const KernelPolicy& p) {
  return p.placement == Placement::resident || p.placement == Placement::tiles;
}

// Whether the policy can hold such an instance.
constexpr bool fits(const KernelPolicy& p, const Shape& s) {
  return s.rows <= p.max_rows && s.parameters <= p.max_parameters &&
         s.value_bytes <= p.max_value_bytes && is_of_matrices(p) == s.matrix &&
         p.watches_bounds == s.bounds && (p.placement != Placement::registers || s.segments == 1) &&
         (p.placement != Placement::resident || s.resident_bytes <= max_shared_bytes);
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
