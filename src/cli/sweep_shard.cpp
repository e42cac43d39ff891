#include "sweep_shard.hpp"

#include <iterator>
#include <limits>
#include <span>
#include <variant>

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

// Of which instances a bound can speak.
enum class Speaks {
  always,
  of_softmax,
  of_softmax_l2,
  of_rescaled_l2,
  of_one_softmax,
  of_one_rescaled
};
constexpr int sharp = -1, paper = -2, paper_at_4 = -3;  // beside BoundIndex

struct BoundColumn {
  const char* name;
  int index;
  Speaks speaks;
};
constexpr BoundColumn bound_columns[] = {{"d8", sharp, Speaks::always},
                                         {"p6", paper, Speaks::of_softmax},
                                         {"p6_at_4", paper_at_4, Speaks::of_softmax},
                                         {"d5", bound_u, Speaks::of_softmax},
                                         {"d6", bound_mass, Speaks::of_softmax},
                                         {"d7", bound_inverse_mass, Speaks::of_softmax},
                                         {"d9", bound_h, Speaks::of_softmax},
                                         {"d10", bound_q, Speaks::of_softmax},
                                         {"d12z", bound_dlogit, Speaks::of_softmax},
                                         {"d8e", bound_error, Speaks::of_softmax},
                                         {"d8l", bound_loss, Speaks::of_softmax_l2},
                                         {"d12", bound_gradient, Speaks::of_softmax_l2},
                                         {"d18", bound_rescaled_error, Speaks::of_rescaled_l2},
                                         {"d18l", bound_rescaled_loss, Speaks::of_rescaled_l2},
                                         {"d19", bound_rescaled_gradient, Speaks::of_one_rescaled},
                                         {"p1", bound_paper_u, Speaks::of_one_softmax},
                                         {"p2", bound_paper_mass, Speaks::of_one_softmax},
                                         {"p3", bound_paper_inverse_mass, Speaks::of_one_softmax},
                                         {"p4", bound_paper_f, Speaks::of_one_softmax}};
static_assert(std::size(bound_columns) == bound_count + 3);

bool speaks(Speaks whom, const Cell& cell) {
  const AnyLoss& loss = cell.options.loss;
  const bool rescaled = std::holds_alternative<RescaledL2>(loss), one = !cell.generate.matrix;
  switch (whom) {
    case Speaks::always:
      return true;
    case Speaks::of_softmax_l2:
      return std::holds_alternative<SoftmaxL2>(loss);
    case Speaks::of_rescaled_l2:
      return rescaled;
    case Speaks::of_one_rescaled:
      return rescaled && one;
    case Speaks::of_one_softmax:
      if (!one) return false;
      [[fallthrough]];
    case Speaks::of_softmax:
      return std::visit([](const auto& l) { return l.normalized; }, loss);
  }
  return false;
}

// Those that a table has, whatever the loss of a cell.
std::span<const BoundColumn> bounds_of(TraceKind trace) {
  const std::span<const BoundColumn> all(bound_columns);
  return all.first(trace == TraceKind::bounds ? all.size() : trace == TraceKind::shifts ? 1 : 0);
}

std::string ratio_name(const BoundColumn& bound) {
  return std::string(bound.name) + "_log10_ratio";
}
std::string violations_name(const BoundColumn& bound) {
  return std::string(bound.name) + "_violations";
}

template <class T>
BoundWatch<T> watch_of(const Result<T>& result, std::size_t i, int index) {
  switch (index) {
    case sharp:
      return result.shifts[i].sharp;
    case paper:
      return result.shifts[i].paper;
    case paper_at_4:
      return result.shifts[i].paper_at_4;
    default:
      return result.bounds[i].watch[index];
  }
}

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
  for (const BoundColumn& bound : bounds_of(cell.options.trace)) {
    if (!speaks(bound.speaks, cell)) continue;
    std::vector<T> ratios;
    std::vector<std::int32_t> violations;
    for (std::size_t i = 0; i < result.shifts.size(); ++i) {
      const BoundWatch<T> watch = watch_of(result, i, bound.index);
      ratios.push_back(watch.measured > T(0) ? watch.margin : none);
      violations.push_back(watch.violations);
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

template std::vector<std::byte> shard_bytes(const Cell&, std::int64_t, const Result<float>&);
template std::vector<std::byte> shard_bytes(const Cell&, std::int64_t, const Result<double>&);

std::vector<TableColumn> table_columns(const Cell& cell) {
  std::vector<TableColumn> columns{{"loss"}, {"steps"}, {"grad_norm"}};
  if (cell.options.trace == TraceKind::none) return columns;
  for (const ShiftColumn<float>& column : shift_columns<float>) columns.push_back({column.name});
  for (const BoundColumn& bound : bounds_of(cell.options.trace)) {
    const bool there = speaks(bound.speaks, cell);
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
