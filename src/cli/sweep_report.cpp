// softreg sweep status, sweep export: what a directory of shards says. They change nothing in it.
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "common_flags.hpp"
#include "output_file.hpp"
#include "progress.hpp"
#include "softreg/error.hpp"
#include "sweep_results.hpp"
#include "sweep_text.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view status_help = R"(Reads every shard, and exits with 8 when one is damaged.

Example:
  softreg sweep status sweep
)";

constexpr std::string_view export_help =
    R"(One row per cell: its keys, how many instances have each status, and of loss, steps and grad_norm,
with trace = "shifts" also of shift_f_max, shift_x_max, shift_ratio_max and d8_log10_ratio, with
trace = "bounds" also of dN_log10_ratio and pN_log10_ratio of every bound of `softreg check`, the
columns NAME_min, NAME_q05, NAME_q25, NAME_median, NAME_q75, NAME_q95 and NAME_max; of each bound
also how often it was violated.

Example:
  softreg sweep export sweep --csv sweep.csv
)";

[[noreturn]] void refuse_damaged(const SweepDirectory& directory,
                                 const std::vector<std::string>& damaged) {
  throw Error(
      ErrorKind::io,
      fmt::format("{} of the shards in {} {} damaged, {} first", damaged.size(),
                  quoted_path(directory.path()), damaged.size() == 1 ? "is" : "are",
                  softreg::quoted(damaged.front())),
      fmt::format("`softreg sweep resume {}` makes them anew", printable(directory.path())));
}

// The names of the shards of each cell, those that are there.
std::vector<std::vector<std::string>> by_cell(const Sweep& sweep, const Tasks& tasks,
                                              const Shards& shards) {
  std::vector<std::vector<std::string>> names(sweep.cells.size());
  for (std::size_t t = 0; t < tasks.size(); ++t)
    if (!shards.names[t].empty()) names[tasks[t].cell].push_back(shards.names[t]);
  return names;
}

class SweepStatus : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    report_.apply(session.terminal);
    require("sweep status", "DIR", path_);
    const SweepDirectory directory(path_.text);
    const Sweep sweep = directory.open(false);
    const Tasks tasks(sweep);
    const Shards shards = list_shards(directory, tasks, {0, tasks.size()}, true);
    const Json document = describe(sweep, tasks, shards);
    session.terminal.print(report_.json() ? document_text(document) : sweep_status_text(document));
    if (!shards.damaged.empty()) refuse_damaged(directory, shards.damaged);
    return 0;
  }

 private:
  Json describe(const Sweep& sweep, const Tasks& tasks, const Shards& shards) const {
    std::int64_t instances = 0, cells = 0;
    const auto names = by_cell(sweep, tasks, shards);
    for (std::size_t c = 0; c < names.size(); ++c)
      cells += std::ssize(names[c]) == sweep.cells[c].chunks() ? 1 : 0;
    for (std::size_t t = 0; t < tasks.size(); ++t)
      if (!shards.names[t].empty())
        instances += sweep.cells[tasks[t].cell].count_of(tasks[t].chunk);
    Json document = document_head("sweep status");
    document["directory"] = path_.text;
    document["sweep"] = sweep.id;
    document["cells"] = sweep.cells.size();
    document["cells_done"] = cells;
    document["instances"] = sweep.instances();
    document["instances_done"] = instances;
    document["shards"] = {{"sweep", tasks.size()},
                          {"present", shards.present()},
                          {"damaged", shards.damaged},
                          {"surplus", shards.surplus}};
    document["complete"] = shards.complete();
    document["result_hash"] = shards.complete() ? Json(result_hash(shards)) : Json();
    document["arguments"] = flags_.arguments();
    return document;
  }

  Flags flags_{"sweep status", "Says how much of a sweep is done, and whether it is sound.",
               status_help};
  const Setting& path_{flags_.value({"DIR", "DIR", "of `softreg sweep run`"})};
  ReportFlags report_{flags_};
};

class SweepExport : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    report_.apply(session.terminal);
    require("sweep export", "DIR", path_);
    if (!report_.json()) require("sweep export", "--csv FILE or --json", csv_);
    if (csv_.given) check_output_path(csv_.text, force_);
    const SweepDirectory directory(path_.text);
    const Sweep sweep = directory.open(false);
    if (csv_.given && directory.holds(csv_.text))
      throw Error(
          ErrorKind::usage,
          fmt::format("{} is {}, a file of the sweep itself", csv_.origin, quoted_path(csv_.text)),
          "name another file for the table");
    const Tasks tasks(sweep);
    const Shards shards = list_shards(directory, tasks, {0, tasks.size()}, true);
    if (!shards.damaged.empty()) refuse_damaged(directory, shards.damaged);
    if (!shards.complete())
      session.terminal.warn(fmt::format(
          "{} of {} shards are missing: the column `instances` says "
          "how many of `count` each row stands for",
          count_text(std::ssize(shards.names) - static_cast<std::int64_t>(shards.present())),
          count_text(std::ssize(shards.names))));
    write(directory, sweep, tasks, shards, session);
    return 0;
  }

 private:
  // Row after row: only the document of --json holds all of them.
  void write(const SweepDirectory& directory, const Sweep& sweep, const Tasks& tasks,
             const Shards& shards, Session& session) const {
    const auto names = by_cell(sweep, tasks, shards);
    ProgressLine progress(session.terminal, "sweep export", "cells");
    std::optional<OutputFile> file;
    if (csv_.given) file.emplace(csv_.text, force_);
    Json rows = Json::array();
    for (std::size_t c = 0; c < sweep.cells.size(); ++c) {
      Json row = results_of(directory, sweep.cells[c], names[c]);
      if (file) file->write((c == 0 ? csv_header(row) : "") + csv_line(row));
      if (report_.json()) rows.push_back(std::move(row));
      progress.update({static_cast<std::int64_t>(c) + 1, std::ssize(sweep.cells), 0});
    }
    progress.end();
    session.interruption.begin_saving();
    if (file) file->commit();
    print(session, sweep, shards, std::move(rows));
  }

  void print(Session& session, const Sweep& sweep, const Shards& shards, Json rows) const {
    if (!report_.json()) {
      session.terminal.print(fmt::format(
          "{} rows written to {}\n", count_text(std::ssize(sweep.cells)), printable(csv_.text)));
      return;
    }
    Json document = document_head("sweep export");
    document["directory"] = path_.text;
    document["sweep"] = sweep.id;
    document["complete"] = shards.complete();
    document["result_hash"] = shards.complete() ? Json(result_hash(shards)) : Json();
    document["cells"] = std::move(rows);
    document["arguments"] = flags_.arguments();
    session.terminal.print(document_text(document));
  }

  Flags flags_{"sweep export", "Writes a table of a sweep, one row per cell.", export_help};
  const Setting& path_{flags_.value({"DIR", "DIR", "of `softreg sweep run`"})};
  const Setting& csv_{flags_.value({"--csv", "FILE.csv", "where to write the table"})};
  const bool& force_{flags_.toggle("--force", "overwrite the table if it exists")};
  ReportFlags report_{flags_};
};

}  // namespace

std::unique_ptr<Verb> make_sweep_status() { return std::make_unique<SweepStatus>(); }
std::unique_ptr<Verb> make_sweep_export() { return std::make_unique<SweepExport>(); }

}  // namespace softreg
