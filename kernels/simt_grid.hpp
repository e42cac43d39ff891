// SimtGrid: a LaneGrid on real lanes. Halves are exchanged instead of whole vectors wherever the
// lanes can share what comes of it: half the shuffles and additions of a butterfly, or less, and
// the same bits. Work on registers needs no barrier within a warp; warps meet in shared memory with
// one barrier per sum, since two sums in a row use different halves of it.
#pragma once
#include "lane_grid.hpp"
#include "simt_group.hpp"

namespace softreg {

// Shared memory of one half of a group's exchange.
template <class T>
SR_HD constexpr int exchange_bytes(const LaneGrid& grid) {
  if (grid.warps() == 1) return 0;
  const int columns = grid.parameters * static_cast<int>(sizeof(T));
  return grid.warps() * (columns > scratch_value_bytes ? columns : scratch_value_bytes);
}

template <class T, int Lanes, int Columns, int Rows, int Parameters>
class SimtGrid : public SimtGroup<Lanes> {
  using Base = SimtGroup<Lanes>;
  using Base::across;
  using Base::first_lane;
  using Base::member_mask;
  using Base::width;

 public:
  using Base::rank;
  using Base::sync;
  static SR_HD constexpr LaneGrid grid() { return {Lanes, Columns, Rows, Parameters}; }
  static_assert(is_possible(grid()));
  static constexpr int columns = Columns;
  static constexpr int own_rows = grid().own_rows(), held_rows = grid().held_rows();
  static constexpr int own_columns = grid().own_columns(), held_columns = grid().held_columns();

  // exchange: 2 * exchange_bytes<T>(grid()) of shared memory, aligned to 16 bytes
  SR_DEVICE explicit SimtGrid(void* exchange) : Base{nullptr}, exchange_(exchange) {}

  // The lanes of a row, each with partial sums of `columns` rows: the whole sum of the own row.
  SR_DEVICE T scatter_rows(T (&z)[Columns]) const {
    SR_UNROLL
    for (int h = Columns / 2; h > 0; h /= 2) {
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
  // Sums over the held rows, of the held columns, become those over all rows, of the own columns.
  SR_DEVICE void scatter_columns(T (&s)[held_columns]) const {
    SR_UNROLL
    for (int h = shares / 2; h > 0; h /= 2) {
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
      const int at = (lane % Columns * shares + grid().share(lane)) * own_columns;
      T* const partial = next_half<T>();
      if (lane / Columns % replicas == 0) {
        SR_UNROLL
        for (int p = 0; p < own_columns; ++p) partial[rank() / width * Parameters + at + p] = s[p];
      }
      sync();
      SR_UNROLL
      for (int p = 0; p < own_columns; ++p)
        s[p] = tree<1>([&](int w) { return partial[w * Parameters + at + p]; }, 0, Add{});
    }
  }
  // Numbers of the own columns, to all lanes that hold the column.
  SR_DEVICE void gather_columns(const T (&own)[own_columns], T (&held)[held_columns]) const {
    spread<own_columns>(own, held, stride);
  }

  // One value per lane becomes one for all; every lane gets the same bits.
  template <class S>
  SR_DEVICE S total(S mine) const {
    return over_warps(within_warp<width / 2, 1>(mine, Add{}), Add{});
  }
  // Of several numbers each lane keeps one, which then goes to all.
  template <class V, int K>
  SR_DEVICE Sums<V, K> total(Sums<V, K> mine) const {
    static_assert(K <= 4);
    if constexpr (K == 1 || width < 16) {  // then a butterfly takes no more instructions
      return over_warps(within_warp<width / 2, 1>(mine, Add{}), Add{});
    } else {
      halve<K, width / 2>(mine.v);
      constexpr auto keeper = [](int k) {
        return K == 2 ? k * (width / 2) : (k / 2) * (width / 2) + k % 2 * (width / 4);
      };
      Sums<V, K> sums;
      if constexpr (warps == 1) {
        SR_UNROLL
        for (int k = 0; k < K; ++k)
          sums.v[k] = simt::shuffle(mine.v[0], first_lane() + keeper(k), member_mask());
      } else {
        V* const partial = next_half<V>();
        SR_UNROLL
        for (int k = 0; k < K; ++k)
          if (rank() % width == keeper(k)) partial[rank() / width * K + k] = mine.v[0];
        sync();
        SR_UNROLL
        for (int k = 0; k < K; ++k)
          sums.v[k] = tree<1>([&](int w) { return partial[w * K + k]; }, 0, Add{});
      }
      return sums;
    }
  }
  SR_DEVICE T largest(T mine) const {
    return over_warps(within_warp<width / 2, 1>(mine, Larger{}), Larger{});
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
  static constexpr int warps = grid().warps(), shares = grid().shares();
  static constexpr int replicas = grid().replicas(), stride = Columns * replicas;

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
      S* const partial = next_half<S>();
      if (rank() % width == 0) partial[rank() / width] = value;
      sync();
      value = tree<1>([&](int w) { return partial[w]; }, 0, op);
    }
    return value;
  }
  // Of warps w, w + Offset, w + 2 Offset, ...: what offsets warps / 2, ..., Offset leave of warp w.
  template <int Offset, class F, class Op>
  SR_DEVICE static auto tree(F of, int w, Op op) {
    if constexpr (Offset == warps)
      return of(w);
    else
      return op(tree<2 * Offset>(of, w, op), tree<2 * Offset>(of, w + Offset, op));
  }

  template <class V>
  SR_DEVICE V* next_half() const {
    half_ ^= 1;
    return reinterpret_cast<V*>(static_cast<unsigned char*>(exchange_) +
                                half_ * exchange_bytes<T>(grid()));
  }

  void* exchange_;
  mutable int half_ = 0;
};

}  // namespace softreg
