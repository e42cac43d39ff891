// SimtGroup: the loops of a group on real lanes, in the order of softreg/model/group.hpp, so that
// SimtGroup<L> gives the bits of LaneGroup<L>. Up to 32 lanes are a part of one warp (several
// groups may share a warp and go their own ways); more lanes are a whole block, or all blocks of a
// cluster. Only this file, simt_grid.hpp and simt_products.hpp know how lanes
// wait for each other.
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

  // Of a block: its warps.
  using Part = SimtGroup<(threads < simt::warp_size ? threads : simt::warp_size)>;
  static constexpr int part_count = Lanes / Part::lanes;
  template <class S>
  struct OfParts {
    S own{};  // of the lane's part
    SR_DEVICE S& operator[](int) { return own; }
  };
  template <class F>
  SR_DEVICE void each_part(F f) const {
    f(Part{}, rank() / Part::lanes);
    sync();
  }
  template <class S>
  SR_DEVICE S over_parts(const OfParts<S>& of) const {
    return over_own_warps(of.own, Add{});
  }

  // The value of lane l of a group that is at most a warp.
  template <class T>
  SR_DEVICE static T of_lane(T value, int l) {
    static_assert(Lanes <= simt::warp_size);
    return simt::shuffle(value, first_lane() + l, member_mask());
  }

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
  // done(i, c, s) for every row i and column c, where s is the sum over terms j = 0, 1, ..., in
  // order, of left's of item i times right's of item c. A lane makes squares of them: the larger,
  // the fewer instructions for each, and the more that lanes wait for others in the last round.
  template <class T, int L, int R, class Done>
  SR_DEVICE void multiply(int rows, int columns, int terms, const Factor<T, L>& left,
                          const Factor<T, R>& right, Done done) const {
    // Of a square and term, about, in half instructions (bench/results/2026-11-28-matrix-cuda.md).
    const int one = 10 * rounds<1>(rows, columns), two = 28 * rounds<2>(rows, columns),
              four = 72 * rounds<4>(rows, columns);
    if (four <= two && four <= one)
      multiply_squares<4>(rows, columns, terms, left, right, done);
    else if (two <= one)
      multiply_squares<2>(rows, columns, terms, left, right, done);
    else
      multiply_squares<1>(rows, columns, terms, left, right, done);
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

  // How many squares a lane makes, at most, one after the other.
  template <int Side>
  SR_DEVICE static int rounds(int rows, int columns) {
    return ((rows + Side - 1) / Side * ((columns + Side - 1) / Side) + Lanes - 1) / Lanes;
  }
  // Rows and columns of a square are so far apart that the lanes of a row of squares have
  // neighbouring columns. Beyond the last it is the last again, which nobody is told.
  template <int Side, class T, int L, int R, class Done>
  SR_DEVICE void multiply_squares(int rows, int columns, int terms, const Factor<T, L>& left,
                                  const Factor<T, R>& right, Done done) const {
    const int down = (rows + Side - 1) / Side, wide = (columns + Side - 1) / Side;
    for (int e = rank(); e < down * wide; e += Lanes) {
      const int i = e / wide, c = e % wide;
      const T *a[Side], *b[Side];
      T s[Side][Side];
      SR_UNROLL
      for (int k = 0; k < Side; ++k) {
        a[k] = left.item(i + k * down < rows ? i + k * down : rows - 1);
        b[k] = right.item(c + k * wide < columns ? c + k * wide : columns - 1);
        SR_UNROLL
        for (int l = 0; l < Side; ++l) s[k][l] = T(0);
      }
      constexpr int at_once = 4;
      int j = 0;
      SR_ROLLED
      for (; j + at_once <= terms; j += at_once) add_terms<at_once>(left, right, a, b, s);
      SR_ROLLED
      for (; j < terms; ++j) add_terms<1>(left, right, a, b, s);
      SR_UNROLL
      for (int k = 0; k < Side; ++k) {
        SR_UNROLL
        for (int l = 0; l < Side; ++l)
          if (i + k * down < rows && c + l * wide < columns)
            done(i + k * down, c + l * wide, s[k][l]);
      }
    }
  }
  // The next Count of a and b, which move on.
  template <int Count, int Side, class T, int L, int R>
  SR_DEVICE static void add_terms(const Factor<T, L>& left, const Factor<T, R>& right,
                                  const T* (&a)[Side], const T* (&b)[Side], T (&s)[Side][Side]) {
    SR_UNROLL
    for (int t = 0; t < Count; ++t) {
      T of_a[Side], of_b[Side];
      SR_UNROLL
      for (int k = 0; k < Side; ++k) {
        of_a[k] = a[k][t * left.term_stride()];
        of_b[k] = b[k][t * right.term_stride()];
      }
      SR_UNROLL
      for (int k = 0; k < Side; ++k) {
        SR_UNROLL
        for (int l = 0; l < Side; ++l) s[k][l] = fma_(of_a[k], of_b[l], s[k][l]);
      }
    }
    SR_UNROLL
    for (int k = 0; k < Side; ++k) {
      a[k] += Count * left.term_stride();
      b[k] += Count * right.term_stride();
    }
  }

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
    return over_own_warps(value, op);
  }
  // Of a value that all lanes of a warp have.
  template <class S, class Op>
  SR_DEVICE S over_own_warps(S value, Op op) const {
    static_assert(Blocks == 1);
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
