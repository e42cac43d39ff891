// softreg check: a solve whose every update is held against its proven bound.
#include <fmt/format.h>

#include <limits>

#include "common_flags.hpp"
#include "softreg/error.hpp"
#include "solve_flags.hpp"
#include "solve_run.hpp"
#include "theory.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view check_help =
    R"(Holds every update from x to x' against what is proven of it. Of f:
  D8    |f' - f| <= 1/2 |A (x' - x)|
  P6    n^1.5 exp(10 R^2) |x' - x|, R = max(|A|, |x|, |x'|) where that is at least 4
  P6@4  the same with max(4, R) everywhere
and, unless --trace shifts, of u, a = <u, 1>, 1/a, h, q, dL/dz, the error, the loss, the gradient
  (rescaled_l2: e, loss, gradient), with the papers' constants P1 to P4; each row of the table says
  what it states. h and q are our definitions.
Exit code 7 when a bound is violated where its hypotheses hold, unless it is recalled from a paper
  and not found in it.
Arrays of REPORT.npz: those of `softreg solve`, and shift_f_max, shift_f_sum, shift_x_max,
  shift_x_sum, shift_ratio_max (count); unless --trace shifts also bound_id (bounds),
  bound_log10_ratio (count, bounds; NaN where nothing was judged) of the bounds that were judged for
  any instance, target_shift_max, data_shift_max, error_change_max (count; of a loss with a softmax)
With --sequence also from the last context before that ran to each (count, float64; NaN for the
  first, for one that did not run and where there is no bound): sequence_drift = |f' - f|, which is
  how far the target drifts, its bounds in |A' - A| and |x' - x| (sequence_drift_bound, D8S) and in
  z (sequence_drift_bound_z, D8Sz), sequence_x_shift = |x' - x| and its bound by the minimisers
  (sequence_minimiser_bound, D17S); D8ST is of the whole

Example:
  softreg gen problem.npz --n 64 --d 16 --count 1000 --radius 2
  softreg check problem.npz -o report.npz
  softreg gen small.npz --n 4 --d 3 --count 1000 --radius 3 --dtype f64
  softreg check small.npz --attack 300
  softreg check problem.npz --sequence --max-steps 5000
)";

class Check : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    report_.apply(session.terminal);
    if (attack_.given) return attack(session);
    SolveJob job = make_job("check", flags_, solve_, output_, report_);
    job.judge_bounds = true;
    job.bound_factor = parse_positive(factor_);
    if (perturb_.given) {
      if (solve_.sequence())
        throw Error(ErrorKind::usage,
                    fmt::format("{} and --sequence do not go together: the data of a sequence move "
                                "by themselves",
                                perturb_.origin));
      job.perturb = parse_positive(perturb_);
      if (!std::visit([](const auto& loss) { return loss.normalized; }, job.options.loss))
        throw Error(ErrorKind::usage,
                    fmt::format("{} moves the data of a softmax, which the loss {} does not have",
                                perturb_.origin, loss_name(job.options.loss)));
    }
    return run_solve(job, solve_.read_problem(session.terminal), session);
  }

 private:
  int attack(Session& session) const {
    for (const Setting* other : {&perturb_, &output_.path()})
      if (other->given)
        throw Error(ErrorKind::usage,
                    fmt::format("{} and {} do not go together", attack_.origin, other->origin));
    if (const Setting* other = solve_.given_for_solving())
      throw Error(ErrorKind::usage, fmt::format("{} solves nothing, and {} does not go with it",
                                                attack_.origin, other->origin));
    if (solve_.sequence())
      throw Error(
          ErrorKind::usage,
          fmt::format("{} solves nothing, and --sequence does not go with it", attack_.origin));
    if (solve_.dry_run())
      throw Error(ErrorKind::usage,
                  fmt::format("{} has no --dry-run: it plans nothing", attack_.origin));
    AttackJob job;
    job.options = solve_.options();
    if (job.options.device == Device::cuda)
      throw Error(ErrorKind::device_unavailable,
                  "an attack runs on the CPU but the device asked for is cuda");
    if (job.options.arithmetic != Arithmetic::portable)
      throw Error(ErrorKind::usage, "the fast arithmetic is for solving, not for an attack");
    if (job.options.memory_limit > 0)
      throw Error(ErrorKind::usage,
                  "an attack keeps one instance per thread: it has no --memory-limit");
    job.steps = static_cast<int>(parse_whole(attack_, 1, std::numeric_limits<int>::max()));
    job.seed = solve_.seed();
    job.bound_factor = parse_positive(factor_);
    job.flags = &flags_;
    job.json = report_.json();
    return run_attack(job, solve_.read_problem(session.terminal), session);
  }

  Flags flags_{"check", "Solves, and compares every measured shift with its proven bound.",
               check_help};
  SolveFlags solve_{flags_, "check", false};
  const Setting& factor_ = flags_.value(
      {"--bound-factor", "F",
       "multiply every bound, to see what a violation looks like (an instance counts once)", "1"});
  const Setting& perturb_ = flags_.value(
      {"--perturb", "DELTA", "afterwards move A (A1 and A2) by DELTA |A|, at random (--seed)"});
  const Setting& attack_ = flags_.value(
      {"--attack", "STEPS",
       "solve nothing: climb measured / bound from every instance (float64, one softmax each)"});
  OutputFlags output_{flags_, "-o,--output", "where to write the report"};
  ReportFlags report_{flags_};
};

}  // namespace

std::unique_ptr<Verb> make_check() { return std::make_unique<Check>(); }

}  // namespace softreg
