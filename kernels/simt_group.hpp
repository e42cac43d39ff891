// SimtGroup: the loops of a group on real lanes, in the order of softreg/model/group.hpp, so that
// SimtGroup<L> gives the bits of LaneGroup<L>. Up to 32 lanes are a part of one warp (several
// groups may share a warp and go their own ways); more lanes are a whole block, or all blocks of a
// cluster. Only this file, simt_grid.hpp and simt_products.hpp synchronise.
#pragma once
#include "simt.hpp"
#include "softreg/model/group.hpp"

namespace softreg {

inline constexpr int scratch_value_bytes = 64;  // the largest value a block reduces
SR_HD constexpr int scratch_bytes_of(int lanes) {
  return lanes > simt::warp_size ? lanes / simt::warp_size * scratch_value_bytes : 0;
}

// Of a cluster of Blocks > 1 only who is who, barriers and once(): SimtGrid adds.
template <int Lanes, int Blocks = 1>
struct SimtGroup {
  static constexpr int threads = Lanes / Blocks;  // of a block, or of its part that is the group
  static_assert(Lanes > 0 && threads <= 1024 && (Lanes & (Lanes - 1)) == 0,
                "lanes are a power of two, at most blocks of 1024");
  static_assert(Blocks == 1 || (Lanes % Blocks == 0 && threads > simt::warp_size),
                "a block of a cluster has several warps");
  static constexpr int lanes = Lanes;
  static constexpr bool padded = false;
  // Shared memory that one group needs behind `scratch`, aligned to 16 bytes; may be 0.
  SR_HD static constexpr int scratch_bytes() { return scratch_bytes_of(Lanes); }
  void* scratch = nullptr;

  // In a cluster neighbouring warps are those of different blocks: the larger offsets of a sum over
  // warps, which come first, are within blocks.
  SR_DEVICE static int rank() {
    if constexpr (Blocks > 1)
      return (simt::thread_index() / simt::warp_size * Blocks + simt::cluster_rank()) *
                 simt::warp_size +
             simt::thread_index() % simt::warp_size;
    else if constexpr (Lanes > simt::warp_size)
      return simt::thread_index();
    else
      return simt::thread_index() & (Lanes - 1);
  }
  // Among the lanes of the group that are in the same block.
  SR_DEVICE static int rank_in_block() {
    if constexpr (Blocks > 1)
      return simt::thread_index();
    else
      return rank();
  }
  // Orders memory: what a lane wrote before it, every lane of the group reads after it.
  SR_DEVICE static void sync() {
    if constexpr (Blocks > 1)
      simt::sync_cluster();
    else if constexpr (Lanes > simt::warp_size)
      simt::sync_block();
    else if constexpr (Lanes > 1)
      simt::sync_warp(member_mask());
  }

  SR_DEVICE SimtGroup exact() const { return *this; }

  // Whether the caller of the solve has cancelled it; null: cannot. One lane looks, all agree.
  SR_DEVICE bool stops(const int* cancelled) const {
    return cancelled != nullptr && total(rank() == 0 ? simt::poll(cancelled) : 0) != 0;
  }

  template <class F>
  SR_DEVICE void for_each(int n, F f) const {
    for (int i = rank(); i < n; i += Lanes) f(i);
    sync();
  }
  template <class F>
  SR_DEVICE void once(F f) const {
    if (rank() == 0) f();
    sync();
  }
  // f(i, s) returns s with row i's contribution added; S{} is zero.
  template <class S, class F>
  SR_DEVICE S sum(int n, F f) const {
    S mine{};
    for (int i = rank(); i < n; i += Lanes) mine = f(i, mine);
    return total(mine);
  }
  template <class T, class F>
  SR_DEVICE T max(int n, F f) const {
    T mine = -infinity<T>();
    for (int i = rank(); i < n; i += Lanes) mine = max_(mine, f(i));
    return largest(mine);
  }
  // The same of column j, for groups that go through rows in another order there.
  template <class S, class F>
  SR_DEVICE S sum_down(int n, int, F f) const {
    return sum<S>(n, f);
  }
  // done(i, s) for every row i, where s starts at zero and becomes f(i, j, s) for j = 0, 1, ... in
  // order.
  template <class T, class F, class Done>
  SR_DEVICE void fold(int n, int terms, F f, Done done) const {
    for (int i = rank(); i < n; i += Lanes) {
      T s = T(0);
      for (int j = 0; j < terms; ++j) s = f(i, j, s);
      done(i, s);
    }
    sync();
  }
  // The plain loop on every lane: all lanes hold the same result, whatever the group.
  template <class S, class F>
  SR_DEVICE S serial(int n, F f) const {
    S s{};
    for (int i = 0; i < n; ++i) s = f(i, s);
    sync();
    return s;
  }

  // One value per lane becomes one value for all; every lane gets the same bits.
  template <class S>
  SR_DEVICE S total(S mine) const {
    return combine(mine, Add{});
  }
  template <class T>
  SR_DEVICE T largest(T mine) const {
    return combine(mine, Larger{});
  }

 protected:
  static constexpr int width = Lanes < simt::warp_size ? Lanes : simt::warp_size;

  struct Add {
    static constexpr bool commutes = true;
    template <class S>
    SR_DEVICE S operator()(const S& a, const S& b) const {
      return a + b;
    }
  };
  struct Larger {
    static constexpr bool commutes = false;  // NaN, and zeros of either sign
    template <class T>
    SR_DEVICE T operator()(T a, T b) const {
      return max_(a, b);
    }
  };

  // The lanes of this group inside its warp.
  SR_DEVICE static int first_lane() {
    return width == simt::warp_size ? 0 : simt::thread_index() & (simt::warp_size - width);
  }
  SR_DEVICE static unsigned member_mask() {
    return 0xffffffffu >> (simt::warp_size - width) << first_lane();
  }

  template <class T>
  SR_DEVICE static T across(T value, int offset) {
    return simt::shuffle_xor(value, offset, member_mask());
  }
  template <class T, int K>
  SR_DEVICE static Sums<T, K> across(Sums<T, K> value, int offset) {
    SR_UNROLL
    for (int k = 0; k < K; ++k) value.v[k] = across(value.v[k], offset);
    return value;
  }

  // Of M numbers a lane sends one half to the lane `Offset` away and takes the other from there,
  // until one is left.
  template <int M, int Offset, class V, int K>
  SR_DEVICE void halve(V (&v)[K]) const {
    if constexpr (Offset > 0) {
      constexpr int half = (M + 1) / 2;
      const bool upper = (rank() & Offset) != 0;
      SR_UNROLL
      for (int k = 0; k < half; ++k) {
        const V other = k + half < M ? v[(k + half) % K] : V(0);
        const V kept = M > 1 && upper ? other : v[k], sent = M > 1 && !upper ? other : v[k];
        v[k] = kept + across(sent, Offset);
      }
      halve<half, Offset / 2>(v);
    }
  }

  // Of a number of every warp, in shared memory.
  template <class T>
  SR_DEVICE static T over_warps(const T* partials) {
    return tree<1>(partials, 0, Add{});
  }

 private:
  static constexpr int warps = Lanes / width;

  // Partials w, w + Offset, w + 2 Offset, ...: what offsets warps / 2, ..., Offset leave in place
  // w.
  template <int Offset, class S, class Op>
  SR_DEVICE static S tree(const S* partials, int w, Op op) {
    if constexpr (Offset == warps)
      return partials[w];
    else
      return op(tree<2 * Offset>(partials, w, op), tree<2 * Offset>(partials, w + Offset, op));
  }

  template <class S, class Op>
  SR_DEVICE S combine(S value, Op op) const {
    static_assert(Blocks == 1);
    SR_UNROLL
    for (int o = width / 2; o > 0; o /= 2) {
      const S other = across(value, o);
      if constexpr (Op::commutes)
        value = op(value, other);
      else
        value = (rank() & o) == 0 ? op(value, other) : op(other, value);
    }
    if constexpr (warps > 1) {
      static_assert(sizeof(S) <= scratch_value_bytes, "a block reduces at most 64 bytes at a time");
      S* partials = static_cast<S*>(scratch);
      const int t = rank();
      if (t % simt::warp_size == 0) partials[t / simt::warp_size] = value;
      sync();
      value = tree<1>(partials, 0, op);
    }
    sync();  // also keeps the next reduction from overwriting partials that a slow warp still reads
    return value;
  }
};

}  // namespace softreg
