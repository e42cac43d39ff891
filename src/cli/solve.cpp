// softreg solve: a batch of problems, solved.
#include "common_flags.hpp"
#include "solve_flags.hpp"
#include "solve_run.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view solve_help = R"(Arrays of PROBLEM.npz:
  A (count,n,d), or (n,d) shared by all, or (N,d) with offsets (count+1)
  b (count,n), or (n) shared, or (N)
  several softmaxes that share one x: segments (softmaxes+1), instances (count+1) instead of offsets
  optional: x0 (count,d) or (d); step_size (count); w like b
or, for a matrix problem Z = A1 X A2^T with a softmax per row of Z:
  A1 (count,n,d1), A2 (count,m,d2), B (count,n,m), each also shared by all; without A2: A2 = A1
  ragged: offsets1 (blocks+1), offsets2 (blocks+1), B flat; blocks that share X: instances (count+1)
  optional: X0 (count,d1,d2) or (d1,d2); step_size (count); w like B
Arrays of RESULT.npz:
  x (count,d), or X (count,d1,d2); status, steps, loss, objective, grad_norm (count), meta; group for a .csv
  --trace loss: trace_loss (count,tests), trace_step (tests)
  --trace shifts: shift_f_max, shift_f_sum, shift_x_max, shift_x_sum, shift_ratio_max (count);
  with --trace-full also shift_f, shift_x (count,max_steps)
  --trace bounds: those and bound_id, bound_log10_ratio, ... as `softreg check` writes

--sequence: the instances, all of one shape, are consecutive contexts, solved one after another, each
  from the x at which the one before ended. x0 (d) or X0 (d1,d2), or the first x of --x0-from, is the
  start of the first; one that cannot run is passed over. Threads share what is inside an instance
  only.

Example:
  softreg gen problem.npz --n 64 --d 16 --count 1000
  softreg solve problem.npz -o result.npz --optimizer nesterov --max-steps 5000
)";

class Solve : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    report_.apply(session.terminal);
    const SolveJob job = make_job("solve", flags_, solve_, output_, report_);
    return run_solve(job, solve_.read_problem(session.terminal), session);
  }

 private:
  Flags flags_{"solve", "Solves a batch of softmax-regression problems.", solve_help};
  SolveFlags solve_{flags_, "solve", true};
  OutputFlags output_{flags_, "-o,--output", "where to write the result"};
  ReportFlags report_{flags_};
};

}  // namespace

std::unique_ptr<Verb> make_solve() { return std::make_unique<Solve>(); }

}  // namespace softreg
