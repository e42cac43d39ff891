// softreg gen: synthetic problems with known answers.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <new>

#include "common_flags.hpp"
#include "document.hpp"
#include "generate.hpp"
#include "machine.hpp"
#include "npz.hpp"
#include "progress.hpp"
#include "softreg/error.hpp"
#include "summary.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view help_text = R"(Arrays of OUT.npz:
  A (count,n,d), b (count,n); with --n N:M A (N,d), b (N) and offsets (count+1)
  x_star (count,d): the hidden parameters, b = softmax(A x_star); meta
--problem matrix: A1 (count,n,d), A2 (count,m,d2), B (count,n,m); with --n N:M A1 (N,d), A2 (M,d2),
  B (all logits), offsets1 and offsets2 (count+1); X_star (count,d,d2)

Example:
  softreg gen problem.npz --n 64 --d 16 --count 1000 --radius 2 --seed 7
  softreg gen ragged.npz --n 10:200 --d 4 --count 500 --family spiked --dtype f64
  softreg gen matrix.npz --problem matrix --n 48 --m 32 --d 8 --d2 6 --count 100
)";

class Gen : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    report_.apply(session.terminal);
    require("gen", "OUT.npz", output_.path());
    const GenerateOptions options = generate_options();
    const bool single = parse_choice(dtype_, {"f32", "f64"}) == 0;
    const std::int64_t least = least_bytes(options, single);
    const std::string hint = "ask for fewer or smaller instances";
    if (!dry_run_) refuse_beyond_memory("the arrays", least, hint);
    try {
      return write_or_show(options, single, session);
    } catch (const std::bad_alloc&) {
      throw Error(
          ErrorKind::out_of_memory,
          fmt::format("the arrays need {} bytes or more, which this process cannot get", least),
          hint);
    }
  }

 private:
  int write_or_show(const GenerateOptions& options, bool single, Session& session) const {
    const Json document = describe(options, single);
    if (!dry_run_) {
      output_.check({});
      if (single)
        write<float>(options, document, session);
      else
        write<double>(options, document, session);
    }
    session.terminal.print(report_.json()
                               ? document_text(document)
                               : generation_table(document, dry_run_ ? "" : output_.path().text));
    return 0;
  }

  // Of all arrays when every instance has the fewest rows.
  static std::int64_t least_bytes(GenerateOptions options, bool single) {
    options.n_max = options.n_min;
    return array_bytes(options, single);
  }
  static std::int64_t array_bytes(const GenerateOptions& options, bool single) {
    std::int64_t numbers = 0;
    if (options.ragged()) {
      const GeneratedLayout layout(options);
      numbers = layout.rows.back() * options.d + layout.columns.back() * options.d2 +
                layout.logits.back();
    } else {
      const std::int64_t n = options.n_min, m = options.m == 0 ? n : options.m;
      numbers = options.count * (n * options.d + (options.matrix ? m * options.d2 + n * m : n));
    }
    const std::int64_t x = std::int64_t{options.d} * (options.matrix ? options.d2 : 1);
    return (numbers + options.count * x) * std::int64_t{single ? 4 : 8};
  }

  GenerateOptions generate_options() const {
    require("gen", "--n", n_);
    require("gen", "--d", d_);
    require("gen", "--count", count_);
    constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();
    GenerateOptions options;
    Setting low = n_, high = n_;
    const std::size_t colon = n_.text.find(':');
    if (colon != std::string::npos) {
      low.text = n_.text.substr(0, colon);
      high.text = n_.text.substr(colon + 1);
    }
    options.n_min = static_cast<int>(parse_whole(low, 1, largest));
    options.n_max = static_cast<int>(parse_whole(high, 1, largest));
    if (options.n_min > options.n_max) {
      throw Error(ErrorKind::usage, fmt::format("{} is '{}', but {} is more than {}", n_.origin,
                                                n_.text, options.n_min, options.n_max));
    }
    options.d = static_cast<int>(parse_whole(d_, 1, largest));
    options.count = parse_whole(count_, 1, std::numeric_limits<std::int64_t>::max());
    options.family = family_from_name(family_.text);
    options.radius = parse_positive(radius_);
    options.seed = parse_seed(seed_);
    fill_matrix(options);
    validate(options);
    constexpr std::int64_t most = std::int64_t{1}
                                  << 56;  // beyond any memory; sizes stay in 64 bits
    const std::int64_t widest = std::max(options.d, options.m == 0 ? options.d2 : options.m);
    if (options.count > most / options.n_max / widest) {
      throw Error(ErrorKind::usage,
                  fmt::format("{} instances of {} rows and {} parameters are more than {} numbers",
                              options.count, options.n_max, options.d, most));
    }
    return options;
  }

  void fill_matrix(GenerateOptions& options) const {
    constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();
    options.matrix = parse_choice(problem_, {"vector", "matrix"}) == 1;
    for (const Setting* setting : {&m_, &d2_})
      if (!options.matrix && setting->given)
        throw Error(ErrorKind::usage,
                    fmt::format("{} belongs to --problem matrix", setting->origin),
                    "vector problems have --n, --d and --count");
    if (!options.matrix) return;
    options.m = m_.given ? static_cast<int>(parse_whole(m_, 1, largest)) : 0;
    options.d2 = d2_.given ? static_cast<int>(parse_whole(d2_, 1, largest)) : options.d;
  }

  Json describe(const GenerateOptions& options, bool single) const {
    Json result = document_head("gen");
    result["device"] = "cpu";
    result["dtype"] = single ? "float32" : "float64";
    result["seed"] = options.seed;
    result["family"] = family_name(options.family);
    result["radius"] = options.radius;
    result["count"] = options.count;
    result["n"] =
        options.ragged() ? Json::array({options.n_min, options.n_max}) : Json(options.n_min);
    if (options.matrix) {
      result["m"] = options.m == 0 ? result["n"] : Json(options.m);
      result["d1"] = options.d;
      result["d2"] = options.d2;
    } else {
      result["d"] = options.d;
    }
    result["rows"] = row_count(options);
    result["bytes"] = array_bytes(options, single);
    result["arguments"] = flags_.arguments();
    return result;
  }

  static std::int64_t row_count(const GenerateOptions& options) {
    return options.ragged() ? row_offsets(options).back() : options.count * options.n_min;
  }

  template <class T>
  void write(const GenerateOptions& options, const Json& document, Session& session) const {
    ProgressLine progress(session.terminal, "gen", "instances");
    const GeneratedBatch<T> batch = generate_batch<T>(options, [&](std::int64_t done) {
      progress.update({done, options.count, 0});
    });
    progress.end();
    NpzWriter writer(output_.path().text, output_.force());
    const auto length = [](const auto& values) { return static_cast<std::int64_t>(values.size()); };
    const std::int64_t d = options.d, d2 = options.d2, n = options.n_min, count = options.count;
    const std::int64_t m = options.m == 0 ? n : options.m;
    const bool ragged = options.ragged();
    using Shape = std::vector<std::int64_t>;
    if (options.matrix) {
      writer.add<T>("A1", batch.a, ragged ? Shape{length(batch.a) / d, d} : Shape{count, n, d});
      writer.add<T>("A2", batch.a2,
                    ragged ? Shape{length(batch.a2) / d2, d2} : Shape{count, m, d2});
      writer.add<T>("B", batch.b, ragged ? Shape{length(batch.b)} : Shape{count, n, m});
      writer.add<T>("X_star", batch.x_star, {count, d, d2});
    } else {
      writer.add<T>("A", batch.a, ragged ? Shape{length(batch.a) / d, d} : Shape{count, n, d});
      writer.add<T>("b", batch.b, ragged ? Shape{length(batch.b)} : Shape{count, n});
    }
    if (ragged)
      writer.add<std::int64_t>(options.matrix ? "offsets1" : "offsets", batch.offsets, {count + 1});
    if (ragged && options.matrix) writer.add<std::int64_t>("offsets2", batch.offsets2, {count + 1});
    if (!options.matrix) writer.add<T>("x_star", batch.x_star, {count, d});
    writer.add_text("meta", document_text(document));
    session.interruption.begin_saving();
    writer.finish();
  }

  Flags flags_{"gen", "Writes synthetic problems with known answers.", help_text};
  OutputFlags output_{flags_, "OUT", "where to write the problem"};
  const Setting& problem_{flags_.value({"--problem", "vector|matrix", "what to write", "vector"})};
  const Setting& n_{
      flags_.value({"--n", "N[:M]", "rows per instance (of A1); N:M draws them: ragged"})};
  const Setting& d_{flags_.value({"--d", "D", "parameters; matrix problem: columns of A1"})};
  const Setting& m_{flags_.value({"--m", "M", "matrix problem: rows of A2; as many as A1 has"})};
  const Setting& d2_{
      flags_.value({"--d2", "D2", "matrix problem: columns of A2; as many as A1 has"})};
  const Setting& count_{flags_.value({"--count", "C", "instances"})};
  const Setting& family_{flags_.value(
      {"--family", "NAME", "plain, spiked, aligned, near_rank_one, offset or one_hot", "plain"})};
  const Setting& radius_{flags_.value({"--radius", "R", "|A| = R and |x_star| = R", "1"})};
  const Setting& dtype_{flags_.value({"--dtype", "f32|f64", "dtype of the arrays", "f32"})};
  const Setting& seed_{
      flags_.value({"--seed", "S", "the same seed gives the same numbers everywhere", "0"})};
  const bool& dry_run_{flags_.toggle("--dry-run", "print sizes, write nothing")};
  ReportFlags report_{flags_};
};

}  // namespace

std::unique_ptr<Verb> make_gen() { return std::make_unique<Gen>(); }

}  // namespace softreg
