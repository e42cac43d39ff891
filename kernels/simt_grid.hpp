// SimtGrid: a LaneGrid on real lanes. Halves are exchanged instead of whole vectors wherever the
// lanes can share what comes of it: half the shuffles and additions of a butterfly, or less, in the
// order of lane_grid.hpp. Work on registers needs no barrier within a warp; warps meet in shared
// memory with one barrier per sum: sums over rows use one half of it and sums over columns the
// other, and each waits only if another of its kind was the last. (Which half that is, is known
// when the kernel is compiled; halves in turn would not be, behind a test or the guard.) What the
// warps of a block have together, each block of a cluster then writes to all of them, with one
// barrier more: nobody reads what is not his own, so that after the last barrier a block may leave.
#pragma once
#include "lane_grid.hpp"
#include "simt_group.hpp"

namespace softreg {

// Shared memory of one half of a block's exchange: a part for each of its warps, and for each block
// of a cluster.
template <class T>
SR_HD constexpr int exchange_bytes(const LaneGrid& grid, int blocks = 1) {
  if (grid.warps() == 1) return 0;
  const int columns = grid.parameters * static_cast<int>(sizeof(T));
  return (grid.warps() / blocks + (blocks > 1 ? blocks : 0)) *
         (columns > scratch_value_bytes ? columns : scratch_value_bytes);
}

template <class T, int Lanes, int Columns, int Rows, int Parameters, int Blocks = 1>
class SimtGrid : public SimtGroup<Lanes, Blocks> {
  using Base = SimtGroup<Lanes, Blocks>;
  using Base::across;
  using Base::first_lane;
  using Base::member_mask;
  using Base::width;

 public:
  using Base::rank;
  using Base::rank_in_block;
  using Base::sync;
  using Base::threads;
  static SR_HD constexpr LaneGrid grid() { return {Lanes, Columns, Rows, Parameters}; }
  static_assert(is_possible(grid()));
  static constexpr int columns = Columns;
  static constexpr int own_rows = grid().own_rows(), held_rows = grid().held_rows();
  static constexpr int own_columns = grid().own_columns(), held_columns = grid().held_columns();

  // exchange: 2 * exchange_bytes<T>(grid(), Blocks) of shared memory, aligned to 16 bytes
  SR_DEVICE explicit SimtGrid(void* exchange) : Base{nullptr}, exchange_(exchange) {
    if constexpr (Blocks > 1) sync();  // all have begun
  }

  // The sum along the own row, from `start` on, which is the same on all lanes of the row. add(k,
  // s) is s plus what the lane has of held row k.
  template <class F>
  SR_DEVICE T along_row(T start, F add) const {
    constexpr int half = sums_go_on<T> ? Columns / 2 : 0;
    T z[Columns];
    SR_UNROLL
    for (int k = half; k < Columns; ++k) z[k] = add(k, k == half ? start : T(0));
    SR_UNROLL
    for (int k = 0; k < half; ++k) z[k] = add(k, across(z[k + half], half));
    SR_UNROLL
    for (int h = (sums_go_on<T> ? half : Columns) / 2; h > 0; h /= 2) {
      SR_UNROLL
      for (int k = 0; k < Columns / 2; ++k)
        if (k < h) z[k] = z[k] + across(z[k + h], h);
    }
    return z[0];
  }
  // A number of the own row, to the lanes of the row.
  SR_DEVICE void gather_rows(T own, T (&held)[Columns]) const {
    const T from[1] = {own};
    spread<1>(from, held, 1);
  }
  // What gather_rows gives of held row k.
  SR_DEVICE T of_row(T own, int k) const { return k == 0 ? own : across(own, k); }
  // The sums down the own columns, which s begins with. add(first, last, s) adds the lane's rows to
  // s[first], ..., s[last - 1]: the last columns first.
  template <class F>
  SR_DEVICE void down_columns(T (&s)[held_columns], F add) const {
    constexpr int half = sums_go_on<T> ? shares / 2 * own_columns : 0;
    SR_UNROLL
    for (int p = half; p < held_columns; ++p) s[p] = T(0);
    add(half, held_columns, s);
    SR_UNROLL
    for (int p = 0; p < half; ++p) s[p] = across(s[p + half], shares / 2 * stride);
    if constexpr (half > 0) add(0, half, s);
    sum_shares(s, sums_go_on<T> ? shares / 4 : shares / 2);
  }
  // Sums over the held rows, of the held columns, become those over all rows, of the own columns.
  SR_DEVICE void scatter_columns(T (&s)[held_columns]) const { sum_shares(s, shares / 2); }
  // Numbers of the own columns, to all lanes that hold the column.
  SR_DEVICE void gather_columns(const T (&own)[own_columns], T (&held)[held_columns]) const {
    spread<own_columns>(own, held, stride);
  }

  // One value per lane becomes one for all; every lane gets the same bits.
  template <class S>
  SR_DEVICE S total(S mine) const {
    return unread(over_warps(within_warp<width / 2, 1>(mine, Add{}), Add{}));
  }
  // Of several numbers each lane keeps one, which then goes to all.
  template <class V, int K>
  SR_DEVICE Sums<V, K> total(Sums<V, K> mine) const {
    static_assert(K <= 4);
    if constexpr (K == 1 || width < 16) {  // then a butterfly takes no more instructions
      return over_warps(within_warp<width / 2, 1>(mine, Add{}), Add{});
    } else {
      this->template halve<K, width / 2>(mine.v);
      constexpr auto keeper = [](int k) {
        return K == 2 ? k * (width / 2) : (k / 2) * (width / 2) + k % 2 * (width / 4);
      };
      Sums<V, K> sums;
      if constexpr (warps == 1) {
        SR_UNROLL
        for (int k = 0; k < K; ++k)
          sums.v[k] = simt::shuffle(mine.v[0], first_lane() + keeper(k), member_mask());
      } else {
        V* const partial = begin_sum<rows_half, V>();
        SR_UNROLL
        for (int k = 0; k < K; ++k)
          if (rank() % width == keeper(k)) partial[warp() * K + k] = mine.v[0];
        sync_block();
        SR_UNROLL
        for (int k = 0; k < K; ++k)
          sums.v[k] = over<warps>([&](int w) { return partial[w * K + k]; }, Add{});
      }
      return over_blocks(sums, Add{});
    }
  }
  SR_DEVICE T largest(T mine) const {
    return unread(over_warps(within_warp<width / 2, 1>(mine, Larger{}), Larger{}));
  }
  // Likewise of one value per share of the columns.
  template <class S>
  SR_DEVICE S total_of_columns(S mine) const {
    return within_warp<Columns / 2, 1>(within_warp<shares / 2 * stride, stride>(mine, Add{}),
                                       Add{});
  }

  // Whether the caller of the solve has cancelled it; null: cannot. One lane looks, all agree.
  SR_DEVICE bool stops(const int* cancelled) const {
    return cancelled != nullptr && total(rank() == 0 ? simt::poll(cancelled) : 0) != 0;
  }

 private:
  using typename Base::Add;
  using typename Base::Larger;
  static constexpr int warps = grid().warps() / Blocks, shares = grid().shares();  // of a block
  static constexpr int replicas = grid().replicas(), stride = Columns * replicas;
  static constexpr int half_bytes = exchange_bytes<T>(grid(), Blocks);
  static constexpr int own_bytes =  // as far as they are a power of two
      (own_columns & -own_columns) * static_cast<int>(sizeof(T));

  // Over lanes `largest`, ..., 1 shares apart, then over replicas, warps and blocks.
  SR_DEVICE void sum_shares(T (&s)[held_columns], int largest) const {
    SR_UNROLL
    for (int h = largest; h > 0; h /= 2) {
      SR_UNROLL
      for (int p = 0; p < held_columns / 2; ++p)
        if (p < h * own_columns) s[p] = s[p] + across(s[p + h * own_columns], h * stride);
    }
    SR_UNROLL
    for (int p = 0; p < own_columns; ++p) {
      SR_UNROLL
      for (int h = replicas / 2; h > 0; h /= 2) s[p] = s[p] + across(s[p], h * Columns);
    }
    if constexpr (warps > 1) {
      const int lane = rank() % width;
      const int place = lane % Columns * shares + grid().share(lane), at = place * own_columns;
      T* const partial = begin_sum<columns_half, T>();
      if (lane / Columns % replicas == 0) {
        SR_UNROLL
        for (int p = 0; p < own_columns; ++p) partial[warp() * Parameters + at + p] = s[p];
      }
      sync_block();
      SR_UNROLL
      for (int p = 0; p < own_columns; ++p)
        s[p] = over<warps>([&](int w) { return partial[w * Parameters + at + p]; }, Add{});
      if constexpr (Blocks > 1) columns_over_blocks(s, place, lane / Columns % replicas == 0);
    }
  }

  // Block m of `held` comes from the lane whose place differs by m.
  template <int Own, int Held>
  SR_DEVICE static void spread(const T (&own)[Own], T (&held)[Held], int lanes_apart) {
    SR_UNROLL
    for (int p = 0; p < Held; ++p)
      held[p] = p < Own ? own[p % Own] : across(own[p % Own], p / Own * lanes_apart);
  }

  template <int Largest, int Smallest, class S, class Op>
  SR_DEVICE S within_warp(S value, Op op) const {
    SR_UNROLL
    for (int o = Largest; o >= Smallest; o /= 2) {
      const S other = across(value, o);
      if constexpr (Op::commutes)
        value = op(value, other);
      else
        value = (rank() & o) == 0 ? op(value, other) : op(other, value);
    }
    return value;
  }
  template <class S, class Op>
  SR_DEVICE S over_warps(S value, Op op) const {
    if constexpr (warps > 1) {
      static_assert(sizeof(S) <= scratch_value_bytes);
      S* const partial = begin_sum<rows_half, S>();
      if (rank() % width == 0) partial[warp()] = value;
      sync_block();
      value = over<warps>([&](int w) { return partial[w]; }, op);
    }
    return over_blocks(value, op);
  }
  // What the warps of each block have together, in all threads of the block, over all blocks.
  template <class S, class Op>
  SR_DEVICE S over_blocks(S value, Op op) const {
    if constexpr (Blocks > 1) {
      S* const values = of_blocks<rows_half, S>();
      if (rank_in_block() < Blocks)  // a lane for each
        *simt::in_block(values + simt::cluster_rank(), rank_in_block()) = value;
      sync();
      value = over<Blocks>([&](int b) { return values[b]; }, op);
    }
    return value;
  }
  // Likewise of the own columns, which are at `place` of a row.
  SR_DEVICE void columns_over_blocks(T (&s)[held_columns], int place, bool writes) const {
    struct alignas(own_bytes < 16 ? own_bytes : 16) Own {  // in one store
      T v[own_columns];
    };
    constexpr int places = Columns * shares;
    Own mine;
    SR_UNROLL
    for (int p = 0; p < own_columns; ++p) mine.v[p] = s[p];
    Own* const sums = of_blocks<columns_half, Own>();
    SR_UNROLL
    for (int first = 0; first < Blocks; first += warps) {  // a warp for each
      const int block = first + warp();
      if (block < Blocks && writes)
        *simt::in_block(sums + simt::cluster_rank() * places + place, block) = mine;
    }
    sync();
    SR_UNROLL
    for (int p = 0; p < own_columns; ++p)
      s[p] = over<Blocks>([&](int b) { return sums[b * places + place].v[p]; }, Add{});
  }
  // Of(0), ..., of(Count - 1): the largest offset first.
  template <int Count, class F, class Op>
  SR_DEVICE static auto over(F of, Op op) {
    return tree<Count, 1>(of, 0, op);
  }
  // Of k, k + Offset, k + 2 Offset, ...: what offsets Count / 2, ..., Offset leave in place k.
  template <int Count, int Offset, class F, class Op>
  SR_DEVICE static auto tree(F of, int k, Op op) {
    if constexpr (Offset == Count)
      return of(k);
    else
      return op(tree<Count, 2 * Offset>(of, k, op), tree<Count, 2 * Offset>(of, k + Offset, op));
  }

  SR_DEVICE static int warp() { return rank_in_block() / width; }
  SR_DEVICE static void sync_block() {
    if constexpr (Blocks > 1)
      simt::sync_block();
    else
      sync();
  }

  // Where the warps' parts of the next sum go. The barrier that follows is also one for whoever
  // reads the sum before.
  template <int Half, class V>
  SR_DEVICE V* begin_sum() const {
    if (read_[Half]) sync();
    read_[Half] = true;
    read_[1 - Half] = false;
    return beyond<V>(Half * half_bytes);
  }
  // What is not asked for in every step ends with a barrier, so that a step finds the halves the
  // same wherever it was. (Of a loss without a softmax only steps with a test sum over rows, and
  // those without one wait once more.)
  template <class S>
  SR_DEVICE S unread(S value) const {
    if constexpr (grid().warps() > 1) {
      sync();
      read_[rows_half] = false;
      read_[columns_half] = true;
    }
    return value;
  }
  // The part of the blocks.
  template <int Half, class V>
  SR_DEVICE V* of_blocks() const {
    return beyond<V>(Half * half_bytes + half_bytes / (warps + Blocks) * warps);
  }
  template <class V>
  SR_DEVICE V* beyond(int bytes) const {
    return reinterpret_cast<V*>(static_cast<unsigned char*>(exchange_) + bytes);
  }

  static constexpr int rows_half = 0, columns_half = 1;
  void* exchange_;
  mutable bool read_[2] = {false, true};  // perhaps still, by somebody
};

}  // namespace softreg
