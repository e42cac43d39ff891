// softreg gen: synthetic problems with known answers.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <new>

#include "common_flags.hpp"
#include "document.hpp"
#include "generate.hpp"
#include "generate_settings.hpp"
#include "machine.hpp"
#include "npz.hpp"
#include "progress.hpp"
#include "softreg/error.hpp"
#include "summary.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view gen_help = R"(Arrays of OUT.npz:
  A (count,n,d), b (count,n); with --n N:M A (N,d), b (N) and offsets (count+1)
  x_star (count,d): the hidden parameters, b = softmax(A x_star) (one_hot: 1 at its largest); meta
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
      output_.check({}, report_);
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
    return generated_bytes(options, single);
  }
  GenerateOptions generate_options() const {
    require("gen", "--n", n_);
    require("gen", "--d", d_);
    require("gen", "--count", count_);
    return parse_generate({problem_, n_, d_, m_, d2_, count_, family_, radius_, seed_});
  }

  Json describe(const GenerateOptions& options, bool single) const {
    Json result = document_head("gen");
    result["device"] = "cpu";
    describe_generated(result, options, single);
    result["rows"] = row_count(options);
    result["bytes"] = generated_bytes(options, single);
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

  Flags flags_{"gen", "Writes synthetic problems with known answers.", gen_help};
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
