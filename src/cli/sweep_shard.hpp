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

// status, steps, loss, objective, grad_norm; with trace shifts also shift_f_max, shift_x_max,
// shift_ratio_max, d8_log10_ratio and d8_violations; with arrays x, or X of a matrix problem.
template <class T>
std::vector<std::byte> shard_bytes(const Cell& cell, std::int64_t chunk, const Result<T>& result);

// The arrays of a shard that a table shows by their quantiles.
std::vector<std::string> measured_columns(const Cell& cell);

// Of all shards, within some bytes a shard.
std::int64_t shards_bytes(const Sweep& sweep);

}  // namespace softreg
