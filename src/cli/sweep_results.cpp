#include "sweep_results.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "npz.hpp"
#include "sweep_shard.hpp"

namespace softreg {
namespace {

struct Quantile {
  const char* name;
  double share;
};
constexpr std::array<Quantile, 7> quantiles{{{"min", 0},
                                             {"q05", 0.05},
                                             {"q25", 0.25},
                                             {"median", 0.5},
                                             {"q75", 0.75},
                                             {"q95", 0.95},
                                             {"max", 1}}};

constexpr Status statuses[] = {Status::converged,     Status::stalled,     Status::max_steps,
                               Status::diverged,      Status::bad_input,   Status::bad_target,
                               Status::bad_parameter, Status::overflow,    Status::singular,
                               Status::not_run,       Status::device_error};

class CellShards {
 public:
  CellShards(const SweepDirectory& directory, const std::vector<std::string>& names) {
    for (const std::string& name : names) paths_.push_back(directory.shard_path(name));
  }

  // One array of all shards, so that no more than one is in memory. T = double or int32_t.
  template <class T>
  std::vector<T> column(const std::string& name) const {
    std::vector<T> values;
    for (const std::string& path : paths_) {
      const auto part = NpzFile::open(path).read<T>(name);
      values.insert(values.end(), part.begin(), part.end());
    }
    return values;
  }

  std::string devices() const {
    std::set<std::string> names;
    for (const std::string& path : paths_) names.insert(shard_meta(path).value("device", "?"));
    return fmt::format("{}", fmt::join(names, " "));
  }

 private:
  std::vector<std::string> paths_;
};

// The value of the lower of the two neighbours of each quantile: one that occurs.
template <class T>
void add_quantiles(Json& row, const std::string& name, std::vector<T> values) {
  const auto is_finite = [](T v) { return std::isfinite(static_cast<double>(v)); };
  values.erase(std::partition(values.begin(), values.end(), is_finite), values.end());
  std::sort(values.begin(), values.end());
  for (const Quantile& quantile : quantiles) {
    Json& cell = row[fmt::format("{}_{}", name, quantile.name)];
    if (values.empty()) continue;
    const double last = static_cast<double>(values.size() - 1);
    cell = values[static_cast<std::size_t>(std::floor(quantile.share * last))];
  }
}

void add_column(Json& row, const CellShards& shards, const TableColumn& column) {
  const std::string& name = column.name;
  if (column.sum) {
    Json& total = row[name];
    if (!column.there) return;
    const std::vector<std::int32_t> counts = shards.column<std::int32_t>(name);
    total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  } else if (name == "steps") {
    add_quantiles(row, name, shards.column<std::int32_t>(name));
  } else {
    add_quantiles(row, name, column.there ? shards.column<double>(name) : std::vector<double>{});
  }
}

// The keys of a cell, in the order of the grid; the same ones for vector and matrix problems.
Json keys_of(const Cell& cell) {
  const Json document = document_of(cell);
  Json row;
  for (const CellKey& key : cell_keys) {
    const std::string name(key.name);
    row[name] = document.value(name, Json());
  }
  if (cell.generate.matrix) row["d"] = document.at("d1");
  return row;
}

std::string csv_field(const Json& value) {
  if (value.is_null()) return "";
  if (!value.is_array()) return value.is_string() ? value.get<std::string>() : value.dump();
  return fmt::format("{}:{}", value.at(0).dump(), value.at(1).dump());  // n, drawn per instance
}

}  // namespace

Json results_of(const SweepDirectory& directory, const Cell& cell,
                const std::vector<std::string>& names) {
  Json row = keys_of(cell);
  const CellShards shards(directory, names);
  StatusTally tally{};
  for (const std::int32_t code : shards.column<std::int32_t>("status"))
    ++tally.at(static_cast<std::size_t>(code));
  const std::vector<std::int32_t> taken = shards.column<std::int32_t>("steps");
  row["id"] = cell.id;
  row["instances"] = taken.size();
  row["device"] = shards.devices();
  for (const Status status : statuses)
    row[fmt::format("status_{}", status_name(status))] = tally[static_cast<std::size_t>(status)];
  row["steps_total"] = std::accumulate(taken.begin(), taken.end(), std::int64_t{0});
  for (const TableColumn& column : table_columns(cell)) add_column(row, shards, column);
  return row;
}

std::string csv_header(const Json& row) {
  std::string line;
  for (const auto& [name, value] : row.items()) line += (line.empty() ? "" : ",") + name;
  return line + "\r\n";
}

std::string csv_line(const Json& row) {
  std::string line;
  const char* comma = "";
  for (const auto& [name, value] : row.items()) {
    line += comma + csv_field(value);
    comma = ",";
  }
  return line + "\r\n";
}

}  // namespace softreg
