#include "sweep_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <numeric>
#include <set>
#include <utility>
#include <variant>

#include "common_flags.hpp"
#include "generate_settings.hpp"
#include "machine.hpp"
#include "progress.hpp"
#include "softreg/softreg.hpp"
#include "solve.hpp"
#include "sweep_shard.hpp"
#include "sweep_text.hpp"
#include "text.hpp"

namespace softreg {
namespace {

// f(problem) of what was generated.
template <class T, class F>
auto visit_problem(const GenerateOptions& options, const GeneratedBatch<T>& batch, const F& f) {
  if (!options.matrix) {
    return f(VectorProblem<T>{.count = options.count,
                              .n = options.n_max,
                              .d = options.d,
                              .a = batch.a,
                              .b = batch.b,
                              .offsets = batch.offsets});
  }
  return f(MatrixProblem<T>{.count = options.count,
                            .n = options.n_max,
                            .m = options.m == 0 ? options.n_max : options.m,
                            .d1 = options.d,
                            .d2 = options.d2,
                            .a1 = batch.a,
                            .a2 = batch.a2,
                            .b = batch.b,
                            .offsets1 = batch.offsets,
                            .offsets2 = batch.offsets2});
}

// The most that the arrays of one chunk need.
std::int64_t chunk_bytes(const Sweep& sweep) {
  std::int64_t most = 0;
  for (const Cell& cell : sweep.cells) {
    GenerateOptions chunk = cell.generate_chunk(0);
    chunk.n_min = chunk.n_max;
    most = std::max(most, generated_bytes(chunk, cell.single));
  }
  return most;
}

// What was done in this call, readable from another thread when the call is abandoned.
struct Done {
  std::int64_t shards = 0, instances = 0, steps = 0;
  StatusTally statuses{};
  std::string device;
};

// Work may be abandoned while this lives, however its scope is left.
class Watch {
 public:
  template <class Finish>
  Watch(Interruption& interruption, const Finish& finish) : interruption_(interruption) {
    interruption_.watch(0, finish);
  }
  ~Watch() { interruption_.end_watch(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  Interruption& interruption_;
};

class SweepRun {
 public:
  SweepRun(const SweepJob& job, const Sweep& sweep, Session& session)
      : job_(job),
        sweep_(sweep),
        session_(session),
        tasks_(sweep),
        range_(tasks_.part(job.part)),
        directory_(job.directory),
        progress_(session.terminal, job.verb, "instances") {}

  int run() {
    bool interrupted = false;
    {
      const Watch watch(session_.interruption, [this] {
        return report_failures(session_.terminal, [this] { return finish(true); });
      });
      find_work();
      if (!todo_.empty()) directory_.check_writable();
      directory_.remove_leftovers();
      for (const std::size_t task : todo_) {
        interrupted = session_.interruption.requested() || !work(tasks_[task]);
        if (interrupted) break;
      }
    }
    return finish(interrupted);
  }

  int show() {
    find_work();
    Json document = head();
    document["dry_run"] = true;
    document["updates_at_most"] = updates_at_most();
    document["bytes"] = shards_bytes(sweep_);
    document["chunk_bytes"] = chunk_bytes(sweep_);
    document["arguments"] = job_.flags->arguments();
    session_.terminal.print(job_.json ? document_text(document) : sweep_plan_text(document));
    return 0;
  }

 private:
  void find_work() {
    const Shards found = list_shards(directory_, tasks_, range_, true);
    const std::scoped_lock lock(mutex_);
    damaged_ = found.damaged;
    useless_.insert(found.damaged.begin(), found.damaged.end());
    useless_.insert(found.surplus.begin(), found.surplus.end());
    for (std::size_t i = 0; i < found.names.size(); ++i) {
      if (!found.names[i].empty()) continue;
      const Task& task = tasks_[range_.first + i];
      todo_.push_back(range_.first + i);
      to_do_ += sweep_.cells[task.cell].count_of(task.chunk);
    }
  }

  bool work(const Task& task) {
    return sweep_.cells[task.cell].single ? work<float>(task) : work<double>(task);
  }

  // False when it was interrupted: then there is no shard.
  template <class T>
  bool work(const Task& task) {
    const Cell& cell = sweep_.cells[task.cell];
    const GenerateOptions generate = cell.generate_chunk(task.chunk);
    const GeneratedBatch<T>& batch = generated<T>(task, generate);
    Options options = cell.options;
    options.device = job_.machine.device;
    options.threads = job_.machine.threads;
    options.memory_limit = job_.machine.memory_limit;
    options.cancel = [this] { return session_.interruption.requested(); };
    options.progress = [this](const Progress& p) {
      progress_.update({done_.instances + p.finished, to_do_, done_.steps + p.steps});
    };
    const Result<T> result = visit_problem(
        generate, batch, [&](const auto& problem) { return solve(problem, options); });
    if (result.interrupted) return false;
    for (const std::string& warning : result.warnings)
      if (warned_.insert(warning).second) session_.terminal.warn(warning);
    useless_.erase(directory_.write(cell, task.chunk, shard_bytes(cell, task.chunk, result)));
    note(result);
    return true;
  }

  template <class T>
  const GeneratedBatch<T>& generated(const Task& task, const GenerateOptions& generate) {
    const std::pair key(tasks_.group_of(task.cell), task.chunk);
    if (std::holds_alternative<std::monostate>(batch_) || key != batch_key_) {
      batch_ = std::monostate();  // two at once would need twice the memory
      batch_ = generate_batch<T>(generate, {}, job_.machine.threads);
      batch_key_ = key;
    }
    return std::get<GeneratedBatch<T>>(batch_);
  }

  template <class T>
  void note(const Result<T>& result) {
    const std::scoped_lock lock(mutex_);
    ++done_.shards;
    done_.instances += result.count;
    done_.steps += std::accumulate(result.steps.begin(), result.steps.end(), std::int64_t{0});
    done_.device = result.plan.road;
    for (const Status status : result.status) ++done_.statuses.at(static_cast<std::size_t>(status));
    progress_.update({done_.instances, to_do_, done_.steps});
  }

  std::int64_t updates_at_most() const {
    std::int64_t sum = 0;
    for (const std::size_t t : todo_) {
      const Cell& cell = sweep_.cells[tasks_[t].cell];
      sum += cell.count_of(tasks_[t].chunk) * cell.options.stop.max_steps;
    }
    return sum;
  }

  template <class Value>
  Json distinct(const Value& value_of) const {
    std::set<Json> values;
    for (const Cell& cell : sweep_.cells) values.insert(value_of(cell));
    return values;
  }

  Json head() const {
    Json document = document_head(job_.verb);
    document["dtype"] = distinct([](const Cell& c) { return c.single ? "float32" : "float64"; });
    document["seed"] = distinct([](const Cell& c) { return c.generate.seed; });
    document["directory"] = job_.directory;
    document["sweep"] = sweep_.id;
    document["part"] = fmt::format("{}/{}", job_.part.index, job_.part.of);
    document["cells"] = sweep_.cells.size();
    document["instances"] = sweep_.instances();
    document["shards"] = {{"sweep", tasks_.size()},
                          {"part", range_.second - range_.first},
                          {"found", range_.second - range_.first - todo_.size()},
                          {"damaged", damaged_}};
    document["instances_to_do"] = to_do_;
    return document;
  }

  int finish(bool interrupted) {
    progress_.end();
    const std::scoped_lock lock(mutex_);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    Json document = head();
    document["shards"]["made"] = done_.shards;
    document["device"] = done_.device;
    document["status"] = status_counts(done_.statuses);
    document["instances_done"] = done_.instances;
    document["steps_total"] = done_.steps;
    document["seconds"] = seconds;
    document["interrupted"] = interrupted;
    document["result_hash"] = Json();
    if (!interrupted) {
      // Only now that others stand in their place.
      for (const std::string& name : useless_) directory_.remove(name);
      const Shards all = list_shards(directory_, tasks_, {0, tasks_.size()}, false);
      document["shards"]["present"] = all.present();
      if (all.complete()) document["result_hash"] = result_hash(all);
    }
    document["arguments"] = job_.flags->arguments();
    session_.terminal.print(job_.json ? document_text(document) : sweep_run_text(document));
    if (!interrupted) return 0;
    session_.terminal.interrupted(fmt::format(
        "{} of {} shards were made and stay; `softreg sweep resume {}` goes on",
        count_text(done_.shards), count_text(std::ssize(todo_)), printable(job_.directory)));
    return session_.interruption.exit_code();
  }

  const SweepJob& job_;
  const Sweep& sweep_;
  Session& session_;
  const Tasks tasks_;
  const std::pair<std::size_t, std::size_t> range_;
  const SweepDirectory directory_;
  ProgressLine progress_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::variant<std::monostate, GeneratedBatch<float>, GeneratedBatch<double>> batch_;
  std::pair<std::size_t, std::int64_t> batch_key_;
  std::set<std::string> warned_;
  std::set<std::string> useless_;  // damaged shards that were not replaced, and second ones

  std::mutex mutex_;  // guards what follows
  std::vector<std::size_t> todo_;
  std::int64_t to_do_ = 0;  // instances
  std::vector<std::string> damaged_;
  Done done_;
};

}  // namespace

void check_machine(const Sweep& sweep, const Options& machine) {
  // The smallest problem there is, planned and not run, asks for the device.
  const float one[] = {1};
  const LiveSolve<float> smallest(
      VectorProblem<float>{.count = 1, .n = 1, .d = 1, .a = one, .b = one}, machine);
  refuse_beyond_memory("the instances of a chunk", chunk_bytes(sweep),
                       "a smaller `chunk` needs less");
}

int run_sweep(const SweepJob& job, const Sweep& sweep, Session& session) {
  return SweepRun(job, sweep, session).run();
}

int show_sweep(const SweepJob& job, const Sweep& sweep, Session& session) {
  return SweepRun(job, sweep, session).show();
}

}  // namespace softreg
