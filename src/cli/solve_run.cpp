#include "solve_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <optional>

#include "bound_table.hpp"
#include "machine.hpp"
#include "progress.hpp"
#include "result_file.hpp"
#include "solve.hpp"
#include "summary.hpp"
#include "theory.hpp"

namespace softreg {
namespace {

constexpr int fail_on_met = 3;

// One solve of one dtype, from the plan to the exit code.
template <class T>
class SolveRun {
 public:
  SolveRun(const SolveJob& job, const ProblemArrays<T>& problem, const ProblemFile& file,
           Session& session)
      : job_(job),
        problem_(problem),
        file_(file),
        session_(session),
        progress_(session.terminal, job.verb, "instances") {}

  int run() {
    return problem_.visit([this](const auto& problem) { return this->run(problem); });
  }

 private:
  template <class Problem>
  int run(const Problem& problem) {
    Options options = job_.options;
    options.progress = [this](const Progress& progress) { progress_.update(progress); };
    options.cancel = [this] { return session_.interruption.requested(); };
    LiveSolve<T> live(problem, options);
    if (job_.dry_run) return show_plan(live.plan());
    const std::int64_t results = live.plan().result_bytes;
    refuse_beyond_memory(
        "the results, of which there are two copies in the end,",
        results > std::numeric_limits<std::int64_t>::max() / 2 ? results : 2 * results,
        "solve fewer instances at once, or ask for a smaller trace");
    if (job_.perturb > 0)
      refuse_beyond_memory("the moved data", moved_data_bytes(problem_), "leave out --perturb");
    session_.terminal.note(fmt::format("{} on {}, {} chunks, {} bytes of workspace",
                                       live.plan().size_class, place_text(live.plan()),
                                       count_text(live.plan().chunks),
                                       count_text(live.plan().workspace_bytes)));
    session_.interruption.watch(options.time_limit, [&] {
      return report_failures(session_.terminal, [&] { return finish(live.snapshot()); });
    });
    try {
      live.run();
    } catch (const Error&) {
      session_.interruption.end_watch();
      keep_finished(live);
      throw;
    }
    session_.interruption.end_watch();
    return finish(live.snapshot());
  }

  // Of a solve that failed: what was finished is saved and shown. The caller says why it failed.
  void keep_finished(const LiveSolve<T>& live) {
    failed_ = true;
    try {
      const Result<T> result = live.snapshot();
      if (finished_of(result) > 0) finish(result);
    } catch (const Error& error) {
      session_.terminal.error(error);
    }
  }
  static std::int64_t finished_of(const Result<T>& result) {
    return std::count_if(result.status.begin(), result.status.end(), [](Status s) {
      return s != Status::not_run && s != Status::device_error;
    });
  }

  int show_plan(const PlanSummary& plan) {
    Json document = document_head(job_.verb);
    describe_batch(document, problem_, plan, job_.options, job_.seed);
    document["optimizer"] = optimizer_name(job_.options.optimizer);
    document["dry_run"] = true;
    document["workspace_bytes"] = plan.workspace_bytes;
    document["plan"] = plan_json(plan);
    document["warnings"] = warnings_json(file_, {});
    document["arguments"] = job_.flags->arguments();
    session_.terminal.print(job_.json ? document_text(document) : plan_table(document, plan));
    return 0;
  }

  // The result as it is now: saved, shown, judged.
  int finish(const Result<T>& result) {
    progress_.end();
    Json document = solve_document(job_.verb, problem_, job_.options, result, job_.seed);
    std::vector<BoundReport> reports, moved;
    std::optional<SequenceReport> sequence;
    std::vector<std::string> warnings = result.warnings;
    if (job_.judge_bounds) {
      reports = bound_reports(result, job_.bound_factor);
      document["updates_tried"] = updates_tried(result, job_.options.stop);
      document["bounds"] = bounds_json(reports);
      if (!result.bounds.empty()) document["in_context"] = context_json(context_report(result));
      if (job_.perturb > 0 && !result.interrupted && !failed_) {
        moved = perturbed_reports(problem_, result.x, job_.options, job_.perturb, job_.seed,
                                  job_.bound_factor);
        document["data_shift"] = bounds_json(moved);
        if (std::all_of(moved.begin(), moved.end(),
                        [](const BoundReport& r) { return std::isnan(r.measured); }))
          warnings.push_back(
              fmt::format("moving the data by {} put no bound to the test: what moved is not a "
                          "finite number, or "
                          "no more than rounding",
                          job_.perturb));
      }
      sequence = along_sequence(result, warnings);
      if (sequence) document["sequence"] = sequence_json(*sequence);
      warn_of_unjudged(document["updates_tried"], reports, warnings);
    }
    document["warnings"] = warnings_json(file_, warnings);
    document["arguments"] = job_.flags->arguments();
    const std::string text = document_text(document);
    bool saved = false;
    std::exception_ptr unsaved;  // what is known of the result is shown first
    try {
      saved = save(result, text, sequence ? &*sequence : nullptr);
    } catch (const Error&) {
      unsaved = std::current_exception();
    }
    show_warnings(session_.terminal, warnings, result.messages);
    std::string shown = job_.json ? text : solve_table(document, result, saved ? job_.output : "");
    if (!job_.json && job_.judge_bounds) {
      shown += bounds_table(reports);
      if (!result.bounds.empty()) shown += context_table(context_report(result));
      if (!moved.empty())
        shown += fmt::format("After moving the data by {} of their length:\n", job_.perturb) +
                 bounds_table(moved);
      if (sequence) shown += sequence_table(*sequence);
    }
    session_.terminal.print(shown);
    if (unsaved) std::rethrow_exception(unsaved);
    if (session_.interruption.requested()) return session_.interruption.exit_code();
    if (sequence) reports.insert(reports.end(), sequence->bounds.begin(), sequence->bounds.end());
    reports.insert(reports.end(), moved.begin(), moved.end());
    if (const std::string violated = violated_bounds(reports); !violated.empty()) {
      session_.terminal.failed(violation_text(violated));
      return bound_violated;
    }
    const auto failed = std::count_if(result.status.begin(), result.status.end(),
                                      [&](Status s) { return fails(job_.fail_on, s); });
    if (failed == 0) return 0;
    session_.terminal.failed(fmt::format("{} of {} instances are what --fail-on asks for",
                                         count_text(failed), count_text(result.count)));
    return fail_on_met;
  }

  // Of a loss with a softmax; one without is warned of as a whole.
  std::optional<SequenceReport> along_sequence(const Result<T>& result,
                                               std::vector<std::string>& warnings) const {
    if (!job_.options.sequence || !has_softmax()) return std::nullopt;
    SequenceReport report;
    report.interrupted = result.interrupted || failed_;
    Options options = job_.options;
    options.cancel = [this] { return session_.interruption.requested(); };
    if (!report.interrupted)
      report = problem_.visit([&](const auto& problem) {
        return sequence_report(problem, result, options, job_.bound_factor);
      });
    if (report.interrupted) {
      warnings.push_back("the sequence was interrupted: its drift is not reported");
      return std::nullopt;
    }
    if (report.transitions > 0 && std::isnan(report.bounds.front().measured))
      warnings.push_back(
          "no transition moved f by more than rounding can: no bound on the drift was put to the "
          "test");
    return report;
  }

  bool has_softmax() const {
    return std::visit([](const auto& loss) { return loss.normalized; }, job_.options.loss);
  }

  void warn_of_unjudged(std::int64_t tried, const std::vector<BoundReport>& reports,
                        std::vector<std::string>& warnings) const {
    if (!has_softmax()) {
      warnings.push_back(
          fmt::format("the bounds speak of f = softmax(A x), which the loss {} does not have: "
                      "nothing is judged",
                      loss_name(job_.options.loss)));
      return;
    }
    const std::int64_t judged = reports.front().updates;
    if (judged > 0 && std::isnan(reports.front().measured))
      warnings.push_back(fmt::format(
          "no update moved f by more than rounding in {} can: no bound on that was put to "
          "the test{}",
          sizeof(T) == 4 ? "float32" : "float64",
          sizeof(T) == 4 ? "; --dtype f64 resolves smaller shifts" : ""));
    if (judged == tried) return;
    warnings.push_back(
        fmt::format("{} of {} updates were judged: the shifts of the others are not finite numbers",
                    count_text(judged), count_text(tried)));
  }

  // A signal before any instance was finished leaves nothing worth a file.
  bool save(const Result<T>& result, const std::string& meta, const SequenceReport* sequence) {
    const std::int64_t finished = finished_of(result);
    if (failed_ || session_.interruption.requested()) {
      if (finished == 0) {
        session_.terminal.interrupted("no instance was finished, and nothing was saved");
        return false;
      }
      session_.terminal.interrupted(fmt::format("{} of {} instances were finished",
                                                count_text(finished), count_text(result.count)));
    }
    if (job_.output.empty()) return false;
    session_.interruption.begin_saving();
    write_result(ResultFile{job_.output, job_.force, file_.groups, meta, job_.options.trace_full,
                            problem_.d2, sequence},
                 result);
    return true;
  }

  const SolveJob& job_;
  const ProblemArrays<T>& problem_;
  const ProblemFile& file_;
  Session& session_;
  ProgressLine progress_;
  bool failed_ = false;  // the solve, of which some instances were finished
};

}  // namespace

SolveJob make_job(const std::string& verb, const Flags& flags, const SolveFlags& solve,
                  const OutputFlags& output, const ReportFlags& report) {
  SolveJob job;
  job.verb = verb;
  job.options = solve.options();
  job.fail_on = solve.fail_on();
  job.seed = solve.seed();
  job.flags = &flags;
  job.output = output.path().text;
  job.force = output.force();
  job.json = report.json();
  job.dry_run = solve.dry_run();
  if (!job.dry_run) output.check(solve.inputs(), report);
  return job;
}

int run_solve(const SolveJob& job, const ProblemFile& file, Session& session) {
  return std::visit(
      [&](const auto& problem) { return SolveRun(job, problem, file, session).run(); },
      file.problem);
}

}  // namespace softreg
