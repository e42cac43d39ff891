// What is known of each cell, rebuilt from its shards: one row of a table.
#pragma once
#include <string>
#include <vector>

#include "document.hpp"
#include "sweep_directory.hpp"

namespace softreg {

// The row of one cell: a value for each of cell_keys, then id, instances that are there, device,
// status_NAME for every status, steps_total, and of each of table_columns its sum, or NAME_min,
// _q05, _q25, _median, _q75, _q95, _max among its finite values (null where there is none).
// `shards` are the names of those that are there. Every row of a sweep has the same keys. Throws
// Error (io).
Json results_of(const SweepDirectory& directory, const Cell& cell,
                const std::vector<std::string>& shards);

// A row as RFC 4180 text, and the line above all rows; nothing for null.
std::string csv_header(const Json& row);
std::string csv_line(const Json& row);

}  // namespace softreg
