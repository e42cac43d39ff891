#include "sweep_cell.hpp"

#include <algorithm>
#include <limits>

#include "common_flags.hpp"
#include "content_hash.hpp"
#include "generate_settings.hpp"
#include "solve_flags.hpp"
#include "step_size.hpp"
#include "validate.hpp"

namespace softreg {
namespace {

const Setting& at(const CellSettings& settings, std::string_view name) {
  return settings[cell_key(name)];
}

std::int64_t default_chunk(GenerateOptions instance, bool single) {
  constexpr std::int64_t most_bytes = std::int64_t{1} << 26, most_instances = 10'000;
  instance.n_min = instance.n_max;
  instance.count = 1;
  return std::clamp<std::int64_t>(most_bytes / generated_bytes(instance, single), 1,
                                  most_instances);
}

Options parse_options(const CellSettings& settings) {
  Options options;
  options.loss = parse_loss(at(settings, "loss"));
  parse_optimizer(at(settings, "optimizer"), at(settings, "step_size"),
                  at(settings, "step_multiple"), options);
  options.stop =
      parse_stop(at(settings, "max_steps"), at(settings, "tol"), at(settings, "check_every"));
  options.ridge = parse_ridge(at(settings, "ridge"));
  options.logit_weight = parse_logit_weight(at(settings, "logit_weight"));
  if (at(settings, "ball").given) options.ball = parse_positive(at(settings, "ball"));
  check_step_size(options, false);
  validate(options);
  return options;
}

template <class T>
void check_numbers_of(const Options& options) {
  check_rounded<T>(options);
  check_rounded_step_size<T>(options);
}

std::string trace_name(TraceKind trace) {
  return trace == TraceKind::bounds ? "bounds" : trace == TraceKind::shifts ? "shifts" : "none";
}

}  // namespace

TraceKind parse_trace(const Setting& setting) {
  constexpr TraceKind traces[] = {TraceKind::none, TraceKind::shifts, TraceKind::bounds};
  return traces[parse_choice(setting, {"none", "shifts", "bounds"})];
}

std::size_t cell_key(std::string_view name) {
  const auto found = std::find_if(cell_keys.begin(), cell_keys.end(),
                                  [&](const CellKey& key) { return key.name == name; });
  return static_cast<std::size_t>(found - cell_keys.begin());
}

std::int64_t Cell::count_of(std::int64_t k) const {
  return std::min(chunk, generate.count - first_of(k));
}

GenerateOptions Cell::generate_chunk(std::int64_t k) const {
  GenerateOptions part = generate;
  part.first = first_of(k);
  part.count = count_of(k);
  return part;
}

Cell parse_cell(const CellSettings& settings, const Setting& chunk, const Keeping& keeping) {
  Cell cell;
  cell.generate =
      parse_generate({at(settings, "problem"), at(settings, "n"), at(settings, "d"),
                      at(settings, "m"), at(settings, "d2"), at(settings, "count"),
                      at(settings, "family"), at(settings, "radius"), at(settings, "seed")});
  cell.single = parse_choice(at(settings, "dtype"), {"f32", "f64"}) == 0;
  cell.options = parse_options(settings);
  cell.options.trace = keeping.trace;
  cell.arrays = keeping.arrays;
  if (cell.single)
    check_numbers_of<float>(cell.options);
  else
    check_numbers_of<double>(cell.options);
  const std::int64_t wanted =
      chunk.given ? parse_whole(chunk, 1, std::numeric_limits<std::int64_t>::max() / 2)
                  : default_chunk(cell.generate, cell.single);
  cell.chunk = std::min(wanted, cell.generate.count);
  cell.id = content_hash(document_of(cell).dump()).substr(0, 16);
  return cell;
}

Json document_of(const Cell& cell) {
  const Options& options = cell.options;
  const double step =
      std::visit([](const auto& optimizer) { return optimizer.step_size; }, options.optimizer);
  Json document{{"problem", cell.generate.matrix ? "matrix" : "vector"}};
  describe_generated(document, cell.generate, cell.single);
  document["loss"] = loss_name(options.loss);
  document["optimizer"] = optimizer_name(options.optimizer);
  document["step_size"] = step == automatic_step_size ? Json("auto") : Json(step);
  document["step_multiple"] = options.step_multiple;
  document["max_steps"] = options.stop.max_steps;
  document["tol"] = options.stop.gradient_norm;
  document["check_every"] = options.stop.check_every;
  document["ridge"] = options.ridge;
  document["logit_weight"] = options.logit_weight;
  document["ball"] = options.ball > 0 ? Json(options.ball) : Json();
  document["chunk"] = cell.chunk;
  document["trace"] = trace_name(options.trace);
  document["arrays"] = cell.arrays;
  return document;
}

CellSettings settings_of(const Json& document) {
  const auto text = [](const Json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  CellSettings settings;
  for (std::size_t k = 0; k < cell_keys.size(); ++k) {
    const std::string name(cell_keys[k].name);
    const Json value = name == "d" && document.contains("d1") ? document.at("d1")
                       : document.contains(name)              ? document.at(name)
                                                              : Json();
    settings[k] = {value.is_null() ? "" : text(value), name, !value.is_null()};
    if (!value.is_array()) continue;
    settings[k].text = text(value.at(0)) + ":" + text(value.at(1));
    settings[k].given = name != "m";  // as many as n, which is ragged
  }
  settings[cell_key("dtype")].text = document.at("dtype") == "float32" ? "f32" : "f64";
  settings[cell_key("step_multiple")].given = document.at("step_multiple") != 1.0;
  return settings;
}

}  // namespace softreg
