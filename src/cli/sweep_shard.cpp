#include "sweep_shard.hpp"

#include <limits>
#include <span>
#include <string_view>

#include "bound_catalog.hpp"
#include "npz.hpp"
#include "softreg/version.hpp"

namespace softreg {
namespace {

// What a sweep keeps of a trace, and the only place of it that knows what one is.
template <class T>
struct ShiftColumn {
  const char* name;
  T ShiftSummary<T>::*value;
};
template <class T>
constexpr ShiftColumn<T> shift_columns[] = {{"shift_f_max", &ShiftSummary<T>::f_max},
                                            {"shift_x_max", &ShiftSummary<T>::x_max},
                                            {"shift_ratio_max", &ShiftSummary<T>::ratio_max}};

bool speaks(const BoundEntry& bound, const Cell& cell) {
  return speaks_of(bound, cell.options.loss, !cell.generate.matrix);
}

// Those that a table has, whatever the loss of a cell.
std::span<const BoundEntry> bounds_of(TraceKind trace) {
  const std::span<const BoundEntry> all(bound_catalog);
  return all.first(trace == TraceKind::bounds ? all.size() : trace == TraceKind::shifts ? 1 : 0);
}

// "P6@4": "p6_at_4" and what is kept of it.
std::string column_name(const BoundEntry& bound, const char* what) {
  std::string name;
  for (const char c : std::string_view(bound.id))
    name += c == '@' ? "_at_" : std::string(1, c == 'D' || c == 'P' ? char(c - 'A' + 'a') : c);
  return name + what;
}
std::string ratio_name(const BoundEntry& bound) { return column_name(bound, "_log10_ratio"); }
std::string violations_name(const BoundEntry& bound) { return column_name(bound, "_violations"); }

// add(name, values). NaN where no update was measured, or judged.
template <class T, class F>
void add_trace(const Cell& cell, const Result<T>& result, F add) {
  constexpr T none = std::numeric_limits<T>::quiet_NaN();
  for (const ShiftColumn<T>& column : shift_columns<T>) {
    std::vector<T> values;
    for (const ShiftSummary<T>& s : result.shifts)
      values.push_back(s.updates > 0 ? s.*column.value : none);
    add(column.name, values);
  }
  const std::span<const BoundEntry> bounds = bounds_of(cell.options.trace);
  for (std::size_t k = 0; k < bounds.size(); ++k) {
    const BoundEntry& bound = bounds[k];
    if (!speaks(bound, cell)) continue;
    std::vector<T> ratios;
    std::vector<std::int32_t> violations;
    for (std::size_t i = 0; i < result.shifts.size(); ++i) {
      const BoundWatch<T> seen = seen_of(result, k, i);
      ratios.push_back(seen.log10_ratio());
      violations.push_back(seen.violations);
    }
    add(ratio_name(bound), ratios);
    add(violations_name(bound), violations);
  }
}

template <class T>
void add_parameters(NpzWriter& writer, const GenerateOptions& generate, const Result<T>& result) {
  const std::span<const T> x(result.x);
  if (generate.matrix)
    writer.add<T>("X", x, {result.count, generate.d, generate.d2});
  else
    writer.add<T>("x", x, {result.count, generate.d});
}

}  // namespace

template <class T>
std::vector<std::byte> shard_bytes(const Cell& cell, std::int64_t chunk, const Result<T>& result) {
  std::vector<std::byte> bytes;
  NpzWriter writer(bytes);
  const auto add = [&]<class U>(const std::string& name, const std::vector<U>& values) {
    writer.add<U>(name, std::span<const U>(values), {result.count});
  };
  std::vector<std::int32_t> codes;
  for (const Status status : result.status) codes.push_back(static_cast<std::int32_t>(status));
  add("status", codes);
  add("steps", result.steps);
  add("loss", result.loss);
  add("objective", result.objective);
  add("grad_norm", result.gradient_norm);
  if (cell.options.trace != TraceKind::none) add_trace(cell, result, add);
  if (cell.arrays) add_parameters(writer, cell.generate, result);
  const Json meta{{"cell", cell.id},
                  {"chunk", chunk},
                  {"first", cell.first_of(chunk)},
                  {"count", result.count},
                  {"device", result.plan.road},
                  {"version", version}};
  writer.add_text("meta", meta.dump());
  writer.finish();
  return bytes;
}

Json shard_meta(const std::string& path) {
  return Json::parse(NpzFile::open(path).read_strings("meta").at(0));
}

template std::vector<std::byte> shard_bytes(const Cell&, std::int64_t, const Result<float>&);
template std::vector<std::byte> shard_bytes(const Cell&, std::int64_t, const Result<double>&);

std::vector<TableColumn> table_columns(const Cell& cell) {
  std::vector<TableColumn> columns{{"loss"}, {"steps"}, {"grad_norm"}};
  if (cell.options.trace == TraceKind::none) return columns;
  for (const ShiftColumn<float>& column : shift_columns<float>) columns.push_back({column.name});
  for (const BoundEntry& bound : bounds_of(cell.options.trace)) {
    const bool there = speaks(bound, cell);
    columns.push_back({ratio_name(bound), false, there});
    columns.push_back({violations_name(bound), true, there});
  }
  return columns;
}

std::int64_t shards_bytes(const Sweep& sweep) {
  std::int64_t sum = 0, frame = 0;
  std::vector<TableColumn> columns;
  const Cell* last = nullptr;
  for (const Cell& cell : sweep.cells) {
    const std::int64_t size = cell.single ? 4 : 8;
    std::int64_t instance = 4 + size;  // status, objective
    if (last == nullptr || last->generate.matrix != cell.generate.matrix ||
        last->options.loss.index() != cell.options.loss.index()) {
      last = &cell;
      columns = table_columns(cell);
      std::erase_if(columns, [](const TableColumn& column) { return !column.there; });
      // What an archive without instances has, headers, names and meta, and what fills its arrays
      // up to multiples of 64.
      frame = std::ssize(shard_bytes(cell, 0, Result<float>{})) + 32 * (std::ssize(columns) + 2);
    }
    for (const TableColumn& column : columns)
      instance += column.sum || column.name == "steps" ? 4 : size;
    if (cell.arrays)
      instance +=
          size * cell.generate.d * std::int64_t{cell.generate.matrix ? cell.generate.d2 : 1};
    sum += instance * cell.generate.count + frame * cell.chunks();
  }
  return sum;
}

}  // namespace softreg
