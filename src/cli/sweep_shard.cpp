#include "sweep_shard.hpp"

#include <limits>
#include <span>

#include "npz.hpp"
#include "softreg/version.hpp"

namespace softreg {
namespace {

// What a sweep keeps of a shift trace, and the only place of it that knows what one is.
template <class T>
struct TraceColumn {
  const char* name;
  T (*value)(const ShiftSummary<T>&);
};
template <class T>
constexpr TraceColumn<T> trace_columns[] = {
    {"shift_f_max", [](const ShiftSummary<T>& s) { return s.f_max; }},
    {"shift_x_max", [](const ShiftSummary<T>& s) { return s.x_max; }},
    {"shift_ratio_max", [](const ShiftSummary<T>& s) { return s.ratio_max; }},
    {"d8_log10_ratio", [](const ShiftSummary<T>& s) {
       return s.sharp.measured > T(0) ? s.sharp.margin : std::numeric_limits<T>::quiet_NaN();
     }}};

template <class T>
std::int32_t d8_violations(const ShiftSummary<T>& s) {
  return s.sharp.violations;
}

// NaN where no update was measured.
template <class T>
std::vector<T> trace_column(const TraceColumn<T>& column, const Result<T>& result) {
  std::vector<T> values;
  for (const ShiftSummary<T>& s : result.shifts)
    values.push_back(s.updates > 0 ? column.value(s) : std::numeric_limits<T>::quiet_NaN());
  return values;
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
  if (cell.options.trace == TraceKind::shifts) {
    for (const TraceColumn<T>& column : trace_columns<T>)
      add(column.name, trace_column(column, result));
    std::vector<std::int32_t> violations;
    for (const ShiftSummary<T>& s : result.shifts) violations.push_back(d8_violations(s));
    add("d8_violations", violations);
  }
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

template std::vector<std::byte> shard_bytes(const Cell&, std::int64_t, const Result<float>&);
template std::vector<std::byte> shard_bytes(const Cell&, std::int64_t, const Result<double>&);

std::vector<std::string> measured_columns(const Cell& cell) {
  std::vector<std::string> names{"loss", "steps", "grad_norm"};
  if (cell.options.trace == TraceKind::shifts)
    for (const TraceColumn<float>& column : trace_columns<float>) names.emplace_back(column.name);
  return names;
}

std::int64_t shards_bytes(const Sweep& sweep) {
  // What an archive without instances has: headers, names, meta.
  const std::int64_t frame = std::ssize(shard_bytes(sweep.cells.front(), 0, Result<float>{}));
  std::int64_t sum = 0;
  for (const Cell& cell : sweep.cells) {
    const std::int64_t size = cell.single ? 4 : 8;
    std::int64_t instance = 8 + 3 * size;  // status and steps; loss, objective, grad_norm
    if (cell.options.trace == TraceKind::shifts)
      instance += 4 + std::ssize(trace_columns<float>) * size;
    if (cell.arrays)
      instance +=
          size * cell.generate.d * std::int64_t{cell.generate.matrix ? cell.generate.d2 : 1};
    sum += instance * cell.generate.count + frame * cell.chunks();
  }
  return sum;
}

}  // namespace softreg
