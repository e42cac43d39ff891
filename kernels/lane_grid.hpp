// LaneGrid: how the lanes of a group share one instance whose A stays with them, and with that the
// order of every sum. Pure data: kernels/simt_grid.hpp keeps this order on real lanes, the
// GridGroup of the tests in a loop.
//
//   `columns` lanes side by side share a row; lane / columns is a lane's place among the rows. A
//   lane holds held_rows() rows of its held_columns() columns, and owns what is not A: own_rows()
//   of those rows (b, logit, activation) and own_columns() of those columns (x).
//
//   Logits   the order of column(), then over the lanes of a row
//   Rows     each lane's own rows in ascending order, then all lanes: LaneGroup's order
//   A^T y    the order of row(), then over the lanes of a column: in a warp, then warps
//   Columns  own columns, then the shares of a block of columns, then the blocks
//
// All trees take the largest offset first. In products with A that is no addition for numbers that
// go on (sums_go_on): of two lanes the largest offset apart (of columns; of shares) the one that
// keeps the sum goes on from the other's. (Not in A^T y where A passes by: there each lane has its
// own sums first.) What a lane keeps when halves are exchanged always lies in its first registers:
// rows and columns are numbered by exclusive or with the lane's place, so that nothing is selected.
#pragma once
#include "softreg/model/group.hpp"

namespace softreg {

// Numbers of one register: what arrives in two is moved into a pair, which costs more than the
// addition (nvcc 13.0).
template <class T>
inline constexpr bool sums_go_on = sizeof(T) == 4;

struct LaneGrid {
  int lanes, columns;
  int rows, parameters;  // the most that an instance has; less is padded

  SR_HD constexpr int warp() const { return lanes < warp_lanes ? lanes : warp_lanes; }
  SR_HD constexpr int warps() const { return lanes / warp(); }
  SR_HD constexpr int own_rows() const { return rows / lanes; }
  SR_HD constexpr int held_rows() const { return own_rows() * columns; }
  SR_HD constexpr int held_columns() const { return parameters / columns; }
  // Lanes of a warp that have the same columns share the work on them as far as halves go; beyond
  // that (and in other warps) they repeat each other.
  SR_HD constexpr int shares() const {
    int s = 1;
    while (2 * s * columns <= warp() && held_columns() % (2 * s) == 0) s *= 2;
    return s;
  }
  SR_HD constexpr int replicas() const { return warp() / (columns * shares()); }
  SR_HD constexpr int own_columns() const { return held_columns() / shares(); }

  // A lane's bits within its warp: share, replica, column.
  SR_HD constexpr int share(int lane) const { return lane % warp() / (columns * replicas()); }
  SR_HD constexpr bool is_first_replica(int lane) const {
    return lane < warp() && lane / columns % replicas() == 0;
  }
  // The k-th row that a lane holds: of each `columns` of them it owns the first.
  SR_HD constexpr int row(int lane, int k) const {
    const int column = lane % columns;
    return lane - column + (k % columns ^ column) + lanes * (k / columns);
  }
  // The p-th column that a lane holds; it owns the first own_columns().
  SR_HD constexpr int column(int lane, int p) const {
    return lane % columns * held_columns() + (p / own_columns() ^ share(lane)) * own_columns() +
           p % own_columns();
  }
};

constexpr bool is_possible(const LaneGrid& g) {
  const auto power_of_two = [](int v) { return v > 0 && (v & (v - 1)) == 0; };
  return power_of_two(g.lanes) && power_of_two(g.columns) && g.columns <= g.warp() && g.rows > 0 &&
         g.rows % g.lanes == 0 && g.parameters > 0 && g.parameters % g.columns == 0;
}

}  // namespace softreg
