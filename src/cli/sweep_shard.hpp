// What a shard holds: an .npz with a number per instance in each array, and the array `meta`. The
// same work gives the same bytes: no time, no name of a machine, no number of threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "softreg/result.hpp"
#include "sweep_grid.hpp"

namespace softreg {

// status, steps, loss, objective, grad_norm; with a trace also shift_f_max, shift_x_max,
// shift_ratio_max, d8_log10_ratio and d8_violations; with that of bounds two such columns of every
// bound that can speak of the cell; with arrays x, or X of a matrix problem.
template <class T>
std::vector<std::byte> shard_bytes(const Cell& cell, std::int64_t chunk, const Result<T>& result);

// Of which cell and chunk a shard is, and what made it. Throws Error (io, invalid_input).
Json shard_meta(const std::string& path);

// An array of a shard that a table shows: by its sum, or else by its quantiles.
struct TableColumn {
  std::string name;
  bool sum = false;
  bool there = true;  // false: only cells with another loss or problem have it
};

// The same names for every cell of a sweep.
std::vector<TableColumn> table_columns(const Cell& cell);

// Of all shards, within some bytes a shard.
std::int64_t shards_bytes(const Sweep& sweep);

}  // namespace softreg
