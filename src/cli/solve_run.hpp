// What `solve` and `check` do alike: plan, run under the eyes of Interruption, save, print.
#pragma once
#include <cstdint>
#include <string>

#include "document.hpp"
#include "problem_file.hpp"
#include "solve_flags.hpp"
#include "verb.hpp"

namespace softreg {

struct SolveJob {
  std::string verb;
  Options options;
  FailOn fail_on = FailOn::nothing;
  std::uint64_t seed = 0;
  const Flags* flags = nullptr;  // for the document
  std::string output;            // empty: no file
  bool force = false;
  bool json = false;
  bool dry_run = false;
  bool judge_bounds = false;  // `check`: compare the measured shifts with their bounds,
  double bound_factor = 1;    // each multiplied by this;
  double perturb = 0;         // and again after moving the data by so much of their length
};

// The job that the flags describe; checks that its output can be written. Throws Error.
SolveJob make_job(const std::string& verb, const Flags& flags, const SolveFlags& solve,
                  const OutputFlags& output, const ReportFlags& report);

// Returns the exit code; throws Error.
int run_solve(const SolveJob& job, const ProblemFile& file, Session& session);

}  // namespace softreg
