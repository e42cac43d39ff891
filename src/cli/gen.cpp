// softreg gen: synthetic problems with known answers.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <new>

#include "common_flags.hpp"
#include "document.hpp"
#include "generate.hpp"
#include "machine.hpp"
#include "npz.hpp"
#include "parallel.hpp"
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

Example:
  softreg gen problem.npz --n 64 --d 16 --count 1000 --radius 2 --seed 7
  softreg gen ragged.npz --n 10:200 --d 4 --count 500 --family spiked --dtype f64
)";

// generate_batch() on all cores and with a progress line; the numbers do not depend on the order.
template <class T>
GeneratedBatch<T> generate(const GenerateOptions& options, ProgressLine& progress) {
  GeneratedBatch<T> batch;
  batch.offsets = row_offsets(options);
  const auto d = static_cast<std::size_t>(options.d);
  const auto rows = static_cast<std::size_t>(batch.offsets.back());
  batch.a.resize(rows * d);
  batch.b.resize(rows);
  batch.x_star.resize(static_cast<std::size_t>(options.count) * d);
  struct Workspace {
    std::vector<double> a, b, x_star;
  };
  std::vector<Workspace> workspaces(static_cast<std::size_t>(worker_slots(0)));
  std::atomic<std::int64_t> finished{0};
  parallel_for(options.count, 0, [&](std::int64_t i, int slot) {
    Workspace& w = workspaces[static_cast<std::size_t>(slot)];
    const auto at = static_cast<std::size_t>(i);
    const auto first = static_cast<std::size_t>(batch.offsets[at]);
    const auto n = static_cast<std::size_t>(batch.offsets[at + 1]) - first;
    w.a.resize(n * d);
    w.b.resize(n);
    w.x_star.resize(d);
    generate_instance(options, i, w.a, w.b, w.x_star);
    const auto round = [](double value) { return static_cast<T>(value); };
    std::transform(w.a.begin(), w.a.end(), &batch.a[first * d], round);
    std::transform(w.b.begin(), w.b.end(), &batch.b[first], round);
    std::transform(w.x_star.begin(), w.x_star.end(), &batch.x_star[at * d], round);
    progress.update({++finished, options.count, 0});
  });
  return batch;
}

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

  // Of A, b and x_star when every instance has the fewest rows.
  static std::int64_t least_bytes(const GenerateOptions& options, bool single) {
    return array_bytes(options, options.count * options.n_min, single);
  }
  static std::int64_t array_bytes(const GenerateOptions& options, std::int64_t rows, bool single) {
    return (rows * (options.d + 1) + options.count * options.d) * std::int64_t{single ? 4 : 8};
  }

  GenerateOptions generate_options() const {
    refuse_matrix();
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
    validate(options);
    constexpr std::int64_t most = std::int64_t{1}
                                  << 56;  // beyond any memory; sizes stay in 64 bits
    if (options.count > most / options.n_max / options.d) {
      throw Error(ErrorKind::usage,
                  fmt::format("{} instances of {} rows and {} parameters are more than {} numbers",
                              options.count, options.n_max, options.d, most));
    }
    return options;
  }

  void refuse_matrix() const {
    const bool matrix = parse_choice(problem_, {"vector", "matrix"}) == 1;
    if (!matrix && m_.text.empty() && d2_.text.empty()) return;
    throw Error(
        ErrorKind::usage,
        fmt::format("{} is not available in this version of softreg", matrix ? "--problem matrix"
                                                                      : m_.text.empty() ? "--d2"
                                                                                        : "--m"),
        "vector problems have --n, --d and --count");
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
    result["d"] = options.d;
    const std::int64_t rows = row_count(options);
    result["rows"] = rows;
    result["bytes"] = array_bytes(options, rows, single);
    result["arguments"] = flags_.arguments();
    return result;
  }

  static std::int64_t row_count(const GenerateOptions& options) {
    return options.ragged() ? row_offsets(options).back() : options.count * options.n_min;
  }

  template <class T>
  void write(const GenerateOptions& options, const Json& document, Session& session) const {
    ProgressLine progress(session.terminal, "gen", "instances");
    const GeneratedBatch<T> batch = generate<T>(options, progress);
    progress.end();
    NpzWriter writer(output_.path().text, output_.force());
    const std::int64_t d = options.d, n = options.n_min, count = options.count;
    if (options.ragged()) {
      const auto rows = static_cast<std::int64_t>(batch.b.size());
      writer.add<T>("A", batch.a, {rows, d});
      writer.add<T>("b", batch.b, {rows});
      writer.add<std::int64_t>("offsets", batch.offsets, {count + 1});
    } else {
      writer.add<T>("A", batch.a, {count, n, d});
      writer.add<T>("b", batch.b, {count, n});
    }
    writer.add<T>("x_star", batch.x_star, {count, d});
    writer.add_text("meta", document_text(document));
    session.interruption.begin_saving();
    writer.finish();
  }

  Flags flags_{"gen", "Writes synthetic problems with known answers.", help_text};
  OutputFlags output_{flags_, "OUT", "where to write the problem"};
  const Setting& problem_{flags_.value({"--problem", "vector|matrix", "what to write", "vector"})};
  const Setting& n_{flags_.value({"--n", "N[:M]", "rows per instance; N:M draws them: ragged"})};
  const Setting& d_{flags_.value({"--d", "D", "parameters"})};
  const Setting& m_{flags_.value({"--m", "M", "matrix problems; not available in this version"})};
  const Setting& d2_{
      flags_.value({"--d2", "D2", "matrix problems; not available in this version"})};
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
