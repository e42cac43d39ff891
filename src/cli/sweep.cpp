// softreg sweep run, sweep resume: a grid of cells, each generated and solved, into a directory of
// plain files that any number of processes may fill and that outlives all of them.
#include <fmt/format.h>

#include <filesystem>

#include "common_flags.hpp"
#include "softreg/error.hpp"
#include "sweep_run.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view run_help =
    R"(Keys of SWEEP.toml, each a value or a list; the cells are all combinations:
  n, d, count (instances per cell), radius, family, dtype, seed, problem; m, d2 of matrix problems
    as in `softreg gen`; instance i of a cell is instance i of that file
  loss, optimizer, step_size, step_multiple, max_steps, tol, check_every, ridge, logit_weight, ball
    as in `softreg solve`
One value: trace (none, shifts, bounds: as in `softreg solve`), arrays (true: shards hold x too),
  chunk (instances per shard)
DIR gets manifest.json and, in shards/, an .npz per chunk of a cell with arrays of its instances.
Exit code 75 when interrupted; what is done stays.

Example, sweep.toml:
  n = [16, 64]
  d = 8
  count = 10_000
  radius = [1, 2]
  step_multiple = [0.5, 1, 2]
  max_steps = 200
Then:
  softreg sweep run sweep.toml -o sweep --dry-run
  softreg sweep run sweep.toml -o sweep
  softreg sweep export sweep --csv sweep.csv
One of 8 jobs, on any machine that sees the directory:
  softreg sweep run sweep.toml -o sweep --part 3/8
)";

constexpr std::string_view resume_help =
    R"(Shards that are missing or damaged are made; those that are sound stay.

Example:
  softreg sweep resume sweep
  softreg sweep resume sweep --part 3/8
)";

// What run and resume have in common.
class SweepFlags {
 public:
  explicit SweepFlags(Flags& flags)
      : flags_(flags),
        part_(flags.value({"--part", "I/N",
                           "do only this one of N shares, at the same time as "
                           "others or not",
                           "1/1"})),
        machine_(flags),
        dry_run_(flags.toggle("--dry-run", "print what there is to do, do nothing")),
        report_(flags) {}

  SweepJob job(const std::string& verb, const std::string& directory, Terminal& terminal) const {
    report_.apply(terminal);
    SweepJob job;
    job.verb = verb;
    job.directory = directory;
    job.part = parse_part(part_);
    job.flags = &flags_;
    job.json = report_.json();
    machine_.fill(job.machine);
    if (job.machine.arithmetic != Arithmetic::portable)
      throw Error(
          ErrorKind::usage,
          "the fast arithmetic is not for sweeps: a shard does not tell by which it was made");
    return job;
  }
  bool in_parts() const { return part_.given; }
  bool dry_run() const { return dry_run_; }

 private:
  Flags& flags_;
  const Setting& part_;
  MachineFlags machine_;
  const bool& dry_run_;
  ReportFlags report_;
};

class SweepBegin : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    require("sweep run", "SWEEP.toml", grid_);
    if (!sweep_.dry_run()) session.interruption.make_resumable();
    const std::string beside = std::filesystem::path(grid_.text).stem().string();
    const SweepJob job =
        sweep_.job("sweep run", directory_.given ? directory_.text : beside, session.terminal);
    const Sweep sweep = read_grid(grid_.text, arrays_);
    if (sweep_.dry_run()) return show_sweep(job, sweep, session);
    check_machine(sweep, job.machine);
    SweepDirectory(job.directory).create(sweep, sweep_.in_parts());
    return run_sweep(job, sweep, session);
  }

 private:
  Flags flags_{"sweep run", "Generates and solves every cell of a grid.", run_help};
  const Setting& grid_{flags_.value({"SWEEP", "FILE.toml", "the grid"})};
  const Setting& directory_{flags_.value(
      {"-o,--output", "DIR", "where to put the results; the file's name without .toml"})};
  const bool& arrays_{flags_.toggle("--arrays", "keep x of every instance too")};
  SweepFlags sweep_{flags_};
};

class SweepResume : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    require("sweep resume", "DIR", directory_);
    if (!sweep_.dry_run()) session.interruption.make_resumable();
    const SweepJob job = sweep_.job("sweep resume", directory_.text, session.terminal);
    const Sweep sweep = SweepDirectory(job.directory).open(true);
    if (sweep_.dry_run()) return show_sweep(job, sweep, session);
    check_machine(sweep, job.machine);
    return run_sweep(job, sweep, session);
  }

 private:
  Flags flags_{"sweep resume", "Does what is left of a sweep, and what is damaged.", resume_help};
  const Setting& directory_{flags_.value({"DIR", "DIR", "of `softreg sweep run`"})};
  SweepFlags sweep_{flags_};
};

}  // namespace

std::unique_ptr<Verb> make_sweep_run() { return std::make_unique<SweepBegin>(); }
std::unique_ptr<Verb> make_sweep_resume() { return std::make_unique<SweepResume>(); }

}  // namespace softreg
