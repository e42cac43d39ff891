// GridGroup: the lanes of a LaneGrid as a loop, the yardstick of the kernels that keep A with their
// lanes. The grid is known at run time only, so that one piece of code serves all of them.
#pragma once
#include <algorithm>
#include <vector>

#include "lane_grid.hpp"

namespace softreg {

struct GridGroup {
  LaneGrid grid;
  bool one_pass = false;  // A passes by
  int lanes = grid.lanes;
  static constexpr bool padded = false;
  static constexpr int part_count = 1;
  GridGroup exact() const { return *this; }
  static bool stops(const int* cancelled) { return LaneGroup<1>::stops(cancelled); }

  template <class F>
  void for_each(int n, F f) const {
    for (int i = 0; i < n; ++i) f(i);
  }
  template <class F>
  void once(F f) const {
    f();
  }
  template <class S, class F>
  S sum(int n, F f) const {
    std::vector<S> lane(std::size_t(lanes), S{});
    for (int i = 0; i < n; ++i) lane[std::size_t(i % lanes)] = f(i, lane[std::size_t(i % lanes)]);
    return within_and_over_warps(lane, grid.warp(), add);
  }
  template <class T, class F>
  T max(int n, F f) const {
    std::vector<T> lane(std::size_t(lanes), -infinity<T>());
    for (int i = 0; i < n; ++i)
      lane[std::size_t(i % lanes)] = max_(lane[std::size_t(i % lanes)], f(i));
    return within_and_over_warps(lane, grid.warp(), [](T a, T b) { return max_(a, b); });
  }
  // The sum down column j: over the lanes that hold it, of what each makes of its own. Of two lanes
  // whose shares are half of all apart, the one that keeps the column goes on from the other's sum.
  template <class S, class F, class Own>
  auto sum_down(int n, int j, F f, Own own) const {
    const int column = j / grid.held_columns(), row_lanes = lanes / grid.columns;
    const int in_warp = grid.warp() / grid.columns, half = in_warp / 2;
    const auto add_rows = [&](int r, S s) {
      for (int k = 0; k < grid.held_rows(); ++k) {
        const int i = grid.row(r * grid.columns + column, k);
        if (i < n) s = f(i, s);
      }
      return s;
    };
    const bool goes_on = sums_go_on<S> && !one_pass && grid.shares() > 1;
    const int share = j % grid.held_columns() / grid.own_columns();
    const bool upper = share >= grid.shares() / 2;
    std::vector<decltype(own(S{}))> lane;
    for (int r = 0; r < row_lanes; ++r) {
      if (!goes_on)
        lane.push_back(own(add_rows(r, S{})));
      else if ((r % in_warp >= half) == upper)
        lane.push_back(own(add_rows(r, add_rows(r ^ half, S{}))));
    }
    return within_and_over_warps(lane, goes_on ? half : in_warp, add);
  }
  template <class S, class F>
  S sum_down(int n, int j, F f) const {
    return sum_down<S>(n, j, f, [](const S& s) { return s; });
  }
  // Dot products: over the lanes that share row i, of which one half goes on from the sums of the
  // other: that of the row's own lane.
  template <class T, class F, class Done>
  void fold(int n, int terms, F f, Done done) const {
    const int half = sums_go_on<T> ? grid.columns / 2 : 0;
    for (int i = 0; i < n; ++i) {
      const int own = i % grid.columns, first = i % lanes - own;
      const auto add_columns = [&](int c, T s) {
        for (int p = 0; p < grid.held_columns(); ++p) {
          const int j = grid.column(first + c, p);
          if (j < terms) s = f(i, j, s);
        }
        return s;
      };
      std::vector<T> lane;
      for (int c = 0; c < grid.columns; ++c) {
        if (half == 0)
          lane.push_back(add_columns(c, T(0)));
        else if ((c >= half) == (own >= half))
          lane.push_back(add_columns(c, add_columns(c ^ half, T(0))));
      }
      done(i, halved(lane.data(), int(lane.size()), 1, add));
    }
  }
  // Of coordinates: each share's own columns, then shares, then columns side by side.
  template <class S, class F>
  S serial(int n, F f) const {
    std::vector<S> column;
    for (int c = 0; c < grid.columns; ++c) {
      std::vector<S> share;
      for (int m = 0; m < grid.shares(); ++m) {
        S s{};
        for (int p = 0; p < grid.own_columns(); ++p) {
          const int j = c * grid.held_columns() + m * grid.own_columns() + p;
          if (j < n) s = f(j, s);
        }
        share.push_back(s);
      }
      column.push_back(halved(share.data(), grid.shares(), 1, add));
    }
    return halved(column.data(), grid.columns, 1, add);
  }

 private:
  static constexpr auto add = [](const auto& a, const auto& b) { return a + b; };

  // Value k takes value k + offset, for offsets of half as many, a quarter, ..., one.
  template <class S, class Op>
  static S halved(S* value, int count, int apart, Op op) {
    for (int o = count / 2; o > 0; o /= 2)
      for (int k = 0; k < o; ++k) value[k * apart] = op(value[k * apart], value[(k + o) * apart]);
    return value[0];
  }
  // in_warp of the values come from each warp.
  template <class S, class Op>
  static S within_and_over_warps(std::vector<S>& value, int in_warp, Op op) {
    const int count = int(value.size());
    for (int first = 0; first < count; first += in_warp)
      halved(&value[std::size_t(first)], in_warp, 1, op);
    return halved(value.data(), count / in_warp, in_warp, op);
  }
};

}  // namespace softreg
