#include "solve_flags.hpp"

#include <fmt/format.h>

#include <limits>

#include "softreg/error.hpp"
#include "variant_names.hpp"

namespace softreg {
namespace {

constexpr std::int64_t largest_steps = std::numeric_limits<std::int32_t>::max() - 1;

// Of an earlier result: a sequence has one start.
void keep_first_start(ProblemFile& file) {
  std::visit(
      [](auto& problem) {
        if (problem.count > 0) problem.x0.resize(static_cast<std::size_t>(problem.d));
      },
      file.problem);
}

}  // namespace

bool fails(FailOn fail_on, Status status) {
  const bool bad = is_bad(status);
  const bool unconverged = !bad && status != Status::converged;
  return (bad && (fail_on == FailOn::bad_input || fail_on == FailOn::any)) ||
         (unconverged && (fail_on == FailOn::not_converged || fail_on == FailOn::any));
}

void parse_optimizer(const Setting& optimizer, const Setting& step_size,
                     const Setting& step_multiple, Options& options) {
  if (optimizer.text == "newton") {
    throw Error(
        ErrorKind::usage,
        fmt::format("{} newton is not available in this version of softreg", optimizer.origin),
        "use " + any_of_names<AnyOptimizer>());
  }
  options.optimizer = member_named<AnyOptimizer>(optimizer);
  options.step_multiple = parse_positive(step_multiple);
  if (step_size.text == "auto") return;
  const double size = parse_positive(step_size);
  std::visit([size](auto& member) { member.step_size = size; }, options.optimizer);
  if (step_multiple.given) {
    throw Error(
        ErrorKind::usage,
        fmt::format("{} is {}, but {} is {}, a multiple of the automatic step size; only "
                    "one of them can hold",
                    step_size.origin, step_size.text, step_multiple.origin, step_multiple.text));
  }
}

Stop parse_stop(const Setting& max_steps, const Setting& tol, const Setting& check_every) {
  Stop stop;
  stop.max_steps = static_cast<int>(parse_whole(max_steps, 0, largest_steps));
  stop.gradient_norm = parse_number(tol, 0, largest_double);
  stop.check_every = static_cast<int>(parse_whole(check_every, 1, largest_steps));
  return stop;
}

SolveFlags::SolveFlags(Flags& flags, const std::string& verb, bool can_trace)
    : problem_(flags, verb),
      model_(flags),
      optimizer_(
          flags.value({"--optimizer", "NAME", any_of_names<AnyOptimizer>(), "gradient_descent"})),
      step_size_(flags.value({"--step-size", "X|auto", "auto: 1 / the proven curvature", "auto"})),
      step_multiple_(flags.value({"--step-multiple", "F", "times the automatic step size", "1"})),
      max_steps_(flags.value({"--max-steps", "N", "most updates per instance", "1000"})),
      tol_(flags.value(
          {"--tol", "G", "stop at |gradient of the objective| <= G; 0: never early", "1e-6"})),
      check_every_(
          flags.value({"--check-every", "K", "test for the stop at steps 0, K, 2K, ...", "8"})),
      ball_(flags.value({"--ball", "R", "project x on |x| <= R after every step"})),
      time_limit_(
          flags.value({"--time-limit", "SECONDS",
                       "of solving; what is not finished then ends as not_run, its work lost"})),
      fail_on_(flags.value(
          {"--fail-on", "WHAT", "not-converged, bad-input or any: exit 3 if there is one"})),
      seed_(flags.value({"--seed", "N",
                         can_trace ? "noted in the document; nothing here is random"
                                   : "of what --perturb and --attack draw",
                         "0"})),
      trace_(can_trace ? flags.value({"--trace", "none|loss|shifts|bounds",
                                      "what to note along the way", "none"})
                       : flags.value(
                             {"--trace", "bounds|shifts", "all quantities, or f alone", "bounds"})),
      sequence_(flags.toggle("--sequence",
                             "the instances are contexts of one sequence: each starts where the "
                             "one before ended")),
      dry_run_(flags.toggle("--dry-run", "print the plan and its memory, solve nothing")) {
  if (!can_trace) return;
  trace_full_ =
      &flags.toggle("--trace-full", "with --trace shifts or bounds: also every update's shifts");
}

ProblemFile SolveFlags::read_problem(Terminal& terminal) const {
  ProblemFile file = problem_.read(terminal);
  model_.check_against(file);
  if (sequence_ && problem_.starts_elsewhere()) keep_first_start(file);
  const bool has_sizes =
      std::visit([](const auto& problem) { return !problem.step_size.empty(); }, file.problem);
  for (const Setting* setting : {&step_size_, &step_multiple_}) {
    if (!has_sizes || !setting->given) continue;
    throw Error(
        ErrorKind::usage,
        fmt::format("{} is {} but the problem has an array 'step_size'; only one of them can "
                    "hold",
                    setting->origin, setting->text));
  }
  return file;
}

void SolveFlags::fill_trace(Options& options) const {
  if (trace_full_ == nullptr) {
    options.trace =
        parse_choice(trace_, {"bounds", "shifts"}) == 0 ? TraceKind::bounds : TraceKind::shifts;
    return;
  }
  constexpr TraceKind kinds[] = {TraceKind::none, TraceKind::loss, TraceKind::shifts,
                                 TraceKind::bounds};
  options.trace = kinds[parse_choice(trace_, {"none", "loss", "shifts", "bounds"})];
  options.trace_full = *trace_full_;
  if (options.trace_full && options.trace != TraceKind::shifts &&
      options.trace != TraceKind::bounds) {
    throw Error(
        ErrorKind::usage,
        fmt::format("--trace-full needs --trace shifts or bounds, not --trace {}", trace_.text));
  }
}

Options SolveFlags::options() const {
  Options options;
  options.sequence = sequence_;
  model_.fill(options);
  parse_optimizer(optimizer_, step_size_, step_multiple_, options);
  options.stop = parse_stop(max_steps_, tol_, check_every_);
  if (ball_.given) options.ball = parse_positive(ball_);
  if (time_limit_.given) options.time_limit = parse_positive(time_limit_);
  fill_trace(options);
  return options;
}

const Setting* SolveFlags::given_for_solving() const {
  std::vector<const Setting*> settings = model_.regularisers();
  settings.insert(settings.end(), {&optimizer_, &step_size_, &step_multiple_, &max_steps_, &tol_,
                                   &check_every_, &ball_, &time_limit_, &fail_on_, &trace_});
  for (const Setting* setting : settings)
    if (setting->given) return setting;
  return nullptr;
}

FailOn SolveFlags::fail_on() const {
  if (!fail_on_.given) return FailOn::nothing;
  constexpr FailOn kinds[] = {FailOn::not_converged, FailOn::bad_input, FailOn::any};
  return kinds[parse_choice(fail_on_, {"not-converged", "bad-input", "any"})];
}

}  // namespace softreg
