// softreg check: a solve whose every update is held against its proven bound.
#include "common_flags.hpp"
#include "solve_flags.hpp"
#include "solve_run.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view help_text = R"(Bounds on |f(x') - f(x)| of every update from x to x':
  D8    1/2 |A (x' - x)|
  P6    n^1.5 exp(10 R^2) |x' - x|, R = max(|A|, |x|, |x'|) where that is at least 4
  P6@4  the same with max(4, R) everywhere
Exit code 7 when D8 is violated. P6 and P6@4 are reported only: their form is recalled from the
  paper and not its wording.
Arrays of REPORT.npz: those of `softreg solve`, and shift_f_max, shift_f_sum, shift_x_max,
  shift_x_sum, shift_ratio_max (count)

Example:
  softreg gen problem.npz --n 64 --d 16 --count 1000 --radius 2
  softreg check problem.npz -o report.npz
)";

class Check : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    report_.apply(session.terminal);
    SolveJob job = make_job("check", flags_, solve_, output_, report_);
    job.judge_bounds = true;
    return run_solve(job, solve_.read_problem(session.terminal), session);
  }

 private:
  Flags flags_{"check", "Solves, and compares every measured shift with its proven bound.",
               help_text};
  SolveFlags solve_{flags_, "check", false};
  OutputFlags output_{flags_, "-o,--output", "where to write the report"};
  ReportFlags report_{flags_};
};

}  // namespace

std::unique_ptr<Verb> make_check() { return std::make_unique<Check>(); }

}  // namespace softreg
