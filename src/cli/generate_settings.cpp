#include "generate_settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "softreg/error.hpp"

namespace softreg {
namespace {

constexpr std::int64_t largest_int = std::numeric_limits<std::int32_t>::max();

void parse_rows(const Setting& n, GenerateOptions& options) {
  Setting low = n, high = n;
  const std::size_t colon = n.text.find(':');
  if (colon != std::string::npos) {
    low.text = n.text.substr(0, colon);
    high.text = n.text.substr(colon + 1);
  }
  options.n_min = static_cast<int>(parse_whole(low, 1, largest_int));
  options.n_max = static_cast<int>(parse_whole(high, 1, largest_int));
  if (options.n_min > options.n_max) {
    throw Error(ErrorKind::usage, fmt::format("{} is '{}', but {} is more than {}", n.origin,
                                              n.text, options.n_min, options.n_max));
  }
}

void parse_matrix(const GenerateSettings& settings, GenerateOptions& options) {
  options.matrix = parse_choice(settings.problem, {"vector", "matrix"}) == 1;
  for (const Setting* setting : {&settings.m, &settings.d2})
    if (!options.matrix && setting->given)
      throw Error(ErrorKind::usage, fmt::format("{} belongs to --problem matrix", setting->origin),
                  "vector problems have --n, --d and --count");
  if (!options.matrix) return;
  options.m = settings.m.given ? static_cast<int>(parse_whole(settings.m, 1, largest_int)) : 0;
  options.d2 =
      settings.d2.given ? static_cast<int>(parse_whole(settings.d2, 1, largest_int)) : options.d;
}

}  // namespace

GenerateOptions parse_generate(const GenerateSettings& settings) {
  GenerateOptions options;
  parse_rows(settings.n, options);
  options.d = static_cast<int>(parse_whole(settings.d, 1, largest_int));
  options.count = parse_whole(settings.count, 1, std::numeric_limits<std::int64_t>::max());
  options.family = family_from_name(settings.family.text);
  options.radius = parse_positive(settings.radius);
  options.seed = parse_seed(settings.seed);
  parse_matrix(settings, options);
  validate(options);
  constexpr std::int64_t most = std::int64_t{1} << 56;  // beyond any memory; sizes stay in 64 bits
  const std::int64_t widest = std::max(options.d, options.m == 0 ? options.d2 : options.m);
  if (options.count > most / options.n_max / widest) {
    throw Error(ErrorKind::usage,
                fmt::format("{} instances of {} rows and {} parameters are more than {} numbers",
                            options.count, options.n_max, options.d, most));
  }
  return options;
}

void describe_generated(Json& document, const GenerateOptions& options, bool single) {
  document["dtype"] = single ? "float32" : "float64";
  document["seed"] = options.seed;
  document["family"] = family_name(options.family);
  document["radius"] = options.radius;
  document["count"] = options.count;
  document["n"] =
      options.ragged() ? Json::array({options.n_min, options.n_max}) : Json(options.n_min);
  if (options.matrix) {
    document["m"] = options.m == 0 ? document["n"] : Json(options.m);
    document["d1"] = options.d;
    document["d2"] = options.d2;
  } else {
    document["d"] = options.d;
  }
}

std::int64_t generated_bytes(const GenerateOptions& options, bool single) {
  std::int64_t numbers = 0;
  if (options.ragged()) {
    const GeneratedLayout layout(options);
    numbers =
        layout.rows.back() * options.d + layout.columns.back() * options.d2 + layout.logits.back();
  } else {
    const std::int64_t n = options.n_min, m = options.m == 0 ? n : options.m;
    numbers = options.count * (n * options.d + (options.matrix ? m * options.d2 + n * m : n));
  }
  const std::int64_t x = std::int64_t{options.d} * (options.matrix ? options.d2 : 1);
  return (numbers + options.count * x) * std::int64_t{single ? 4 : 8};
}

}  // namespace softreg
