// softreg evaluate: what an instance looks like at its start, without any iteration.
#include <fmt/format.h>

#include "common_flags.hpp"
#include "document.hpp"
#include "machine.hpp"
#include "progress.hpp"
#include "result_file.hpp"
#include "softreg/error.hpp"
#include "softreg/softreg.hpp"
#include "solve.hpp"
#include "summary.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view evaluate_help = R"(Arrays of OUT.npz, all at x0:
  loss, objective, grad_norm, status (count), grad (count,d), x (count,d), meta
  f: the fitted distribution, like b; log_mass (count): log <exp z, 1>; attended (count,d): A^T f
  --gradients x,A adds grad_A, like A with one instance after another
  matrix problem: X and grad (count,d1,d2), f like B, log_mass (count,n), attended (count,n,d2): f A2;
  --gradients x,A adds grad_A1 and grad_A2 (without A2 in the problem: grad_A1 is the total)
  several softmaxes that share one x: log_mass (softmaxes), attended (softmaxes,d)

Example:
  softreg gen problem.npz --n 64 --d 16 --count 1000
  softreg evaluate problem.npz -o out.npz --gradients x,A
)";

class Evaluate : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    report_.apply(session.terminal);
    if (!dry_run_) require("evaluate", "-o OUT.npz", output_.path());
    Options options;
    model_.fill(options);
    const bool with_gradient_a = wants_gradient_a();
    if (!dry_run_) output_.check(problem_.inputs(), report_);
    const ProblemFile file = problem_.read(session.terminal);
    model_.check_against(file);
    return std::visit(
        [&](const auto& problem) {
          if (dry_run_) return show_plan(problem, file, options, session.terminal);
          return evaluate_problem(problem, file, options, with_gradient_a, session);
        },
        file.problem);
  }

 private:
  bool wants_gradient_a() const {
    bool result = false;
    for (const std::string& name : parse_list(gradients_)) {
      if (name != "x" && name != "A") {
        throw Error(ErrorKind::usage, fmt::format("{} is '{}'; expected x, A, or both: x,A",
                                                  gradients_.origin, gradients_.text));
      }
      result = result || name == "A";
    }
    return result;
  }

  template <class T>
  static PlanSummary plan_of(const ProblemArrays<T>& problem, const Options& options) {
    return problem.visit(
        [&](const auto& view) { return LiveSolve<T>::evaluation_plan(view, options); });
  }

  template <class T>
  int show_plan(const ProblemArrays<T>& problem, const ProblemFile& file, const Options& options,
                Terminal& terminal) {
    const PlanSummary plan = plan_of(problem, options);
    Json document = document_head("evaluate");
    describe_batch(document, problem, plan, options, 0);
    document["dry_run"] = true;
    document["workspace_bytes"] = plan.workspace_bytes;
    document["plan"] = plan_json(plan);
    document["warnings"] = warnings_json(file, {});
    document["arguments"] = flags_.arguments();
    terminal.print(report_.json() ? document_text(document) : plan_table(document, plan));
    return 0;
  }

  template <class T>
  int evaluate_problem(const ProblemArrays<T>& problem, const ProblemFile& file,
                       const Options& options, bool with_gradient_a, Session& session) {
    Terminal& terminal = session.terminal;
    refuse_beyond_memory("the results", plan_of(problem, options).result_bytes,
                         "evaluate fewer instances at once");
    ProgressLine progress(terminal, "evaluate", "instances");
    Options watched = options;
    watched.progress = [&](const Progress& now) { progress.update(now); };
    const Evaluation<T> evaluation =
        problem.visit([&](const auto& view) { return evaluate(view, watched); });
    progress.end();
    Json document = document_head("evaluate");
    describe_batch(document, problem, evaluation.at.plan, options, 0);
    document["status"] = status_counts(evaluation.at.status);
    document["evaluate_seconds"] = evaluation.at.solve_seconds;
    document["workspace_bytes"] = evaluation.at.plan.workspace_bytes;
    document["plan"] = plan_json(evaluation.at.plan);
    document["warnings"] = warnings_json(file, evaluation.at.warnings);
    document["messages"] = messages_json(evaluation.at.messages);
    document["arguments"] = flags_.arguments();
    const std::string text = document_text(document);
    session.interruption.begin_saving();
    write_evaluation(ResultFile{output_.path().text, output_.force(), file.groups, text}, problem,
                     evaluation, with_gradient_a);
    show_warnings(terminal, evaluation.at.warnings, evaluation.at.messages);
    terminal.print(report_.json() ? text
                                  : evaluation_table(document, evaluation.at, output_.path().text));
    return 0;
  }

  Flags flags_{"evaluate", "Loss, gradient and fitted distribution at x0.", evaluate_help};
  ProblemFlags problem_{flags_, "evaluate"};
  ModelFlags model_{flags_};
  OutputFlags output_{flags_, "-o,--output", "where to write the arrays"};
  const Setting& gradients_{
      flags_.value({"--gradients", "x|x,A", "x,A: also the gradient with respect to A", "x"})};
  const bool& dry_run_{flags_.toggle("--dry-run", "print the plan and its memory, write nothing")};
  ReportFlags report_{flags_};
};

}  // namespace

std::unique_ptr<Verb> make_evaluate() { return std::make_unique<Evaluate>(); }

}  // namespace softreg
