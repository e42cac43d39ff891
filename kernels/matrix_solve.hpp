// A matrix problem on one block, which runs the memory placement. Its shared memory has a Batch of
// its own (only a resident one differs from the grid's, but a choice between the two would need a
// second copy of all code behind it, or a stack frame) and then either all numbers of the instance
// for the whole trajectory (resident), or the logits of one tile where they fit; the rest is in the
// block's part of the workspace.
#pragma once
#include "policy.hpp"
#include "simt_group.hpp"
#include "softreg/model/memory_solve.hpp"

namespace softreg {

// Shared memory of a block with so many numbers of T behind the Batch.
template <class T>
SR_HD constexpr std::int64_t matrix_shared_bytes(std::int64_t values) {
  constexpr std::int64_t line = 16, batch = (sizeof(Batch<T>) + line - 1) / line * line;
  return scratch_bytes_of(BlockTiles::policy.lanes()) + batch + values * std::int64_t{sizeof(T)};
}
template <class T>
SR_HD constexpr bool fits_shared(std::int64_t values) {
  return matrix_shared_bytes<T>(values) <= max_shared_bytes;
}

// From row to row of A2 in shared memory: odd, so that a column lies in all banks.
SR_HD constexpr int resident_stride(int d2) { return d2 | 1; }

// Numbers of a resident instance: A1, A2, B, w, and all that a solve in memory needs. e: of the
// instance, or the most of each of several.
template <class T>
SR_HD constexpr std::int64_t resident_values(const Extent& e, const Layout& l, bool weighted) {
  return e.segments * l.d1 + e.longest * resident_stride(l.d2) + (weighted ? 2 : 1) * e.rows +
         MemoryWorkspace<T>::size(e);
}

// from (values) copied to `next`, which goes on behind it.
template <class G, class T>
SR_DEVICE const T* brought(const G& g, const T* from, std::int64_t values, T*& next) {
  T* const to = next;
  g.for_each(static_cast<int>(values), [=](int i) { to[i] = from[i]; });
  next += values;
  return to;
}

// Rows of `columns` numbers, which then lie `stride` apart.
template <class G, class T>
SR_DEVICE const T* brought_rows(const G& g, const T* from, std::int64_t rows, int columns,
                                int stride, T*& next) {
  T* const to = next;
  g.for_each(static_cast<int>(rows) * columns,
             [=](int i) { to[std::int64_t(i / columns) * stride + i % columns] = from[i]; });
  next += rows * stride;
  return to;
}

// Instance i. shared: behind the group's scratch; values: numbers of T that it has behind the
// Batch; workspace: the block's own.
template <class LossT, bool Watches, class G, class T>
SR_DEVICE void solve_matrix(const G& g, const Batch<T>& batch, std::int64_t i, bool resident,
                            unsigned char* shared, std::int64_t values, T* workspace) {
  static_assert(G::lanes == BlockTiles::policy.lanes(), "shared memory is counted for its lanes");
  static_assert(G::part_count * longest_of_a_warp <= Extent::tile, "else warps have nothing to do");
  constexpr std::int64_t behind = matrix_shared_bytes<T>(0) - G::scratch_bytes();
  Batch<T>& own = *reinterpret_cast<Batch<T>*>(shared);
  T* next = reinterpret_cast<T*>(shared + behind);
  g.once([&] {
    own = batch;
    if (resident) own.narrow(i);
  });
  const std::int64_t at = resident ? 0 : i;
  const Extent e = extent_of(own, at);
  const T* const given_weights = own.weights;
  T* tile = next;
  T* kept = workspace;
  if (resident) {
    const T* const a1 = brought(g, own.a1, e.segments * own.d1, next);
    const int stride = resident_stride(own.d2);
    const T* const a2 = brought_rows(g, own.a2, e.longest, own.d2, stride, next);
    const T* const target = brought(g, own.target, e.rows, next);
    const T* const weights = given_weights ? brought(g, given_weights, e.rows, next) : nullptr;
    g.once([&] {
      own.a1 = a1;
      own.a2 = a2;
      own.a2_stride = stride;
      own.target = target;
      own.weights = weights;
    });
    tile = next;
    kept = tile + MemoryWorkspace<T>::tile_size(e);
  } else if (MemoryWorkspace<T>::tile_size(e) > values) {
    tile = workspace;
    kept = workspace + MemoryWorkspace<T>::tile_size(e);
  }
  const auto arrays = MemoryWorkspace<T>::carve(tile, kept, e);
  T* const before = resident ? workspace : kept + MemoryWorkspace<T>::kept_size(e);
  using Op = std::conditional_t<Watches, KroneckerTogether<T>, Kronecker<T>>;
  solve_in_memory<Op, LossT, Watches>(g, own, at, arrays, before);
}

}  // namespace softreg
