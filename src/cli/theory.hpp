// What `check` does beyond a solve: moved data, and the adversarial search.
#pragma once
#include <cstdint>
#include <vector>

#include "flags.hpp"
#include "problem_file.hpp"
#include "softreg/bounds.hpp"
#include "verb.hpp"

namespace softreg {

// The bounds when the data are moved at fixed parameters: A, or A1 and A2, each by delta times its
// length in a random direction. x: the parameters of every instance.
template <class T>
std::vector<BoundReport> perturbed_reports(const ProblemArrays<T>& problem, const std::vector<T>& x,
                                           const Options& options, double delta, std::uint64_t seed,
                                           double bound_factor);

// Bytes that perturbed_reports takes for its copies of the problem.
template <class T>
std::int64_t moved_data_bytes(const ProblemArrays<T>& problem) {
  const std::size_t numbers = problem.a.size() + problem.a2.size() + problem.b.size() +
                              problem.w.size() +
                              static_cast<std::size_t>(problem.count * problem.d);
  return 2 * static_cast<std::int64_t>(numbers * sizeof(double));
}

struct AttackJob {
  Options options;
  int steps = 0;
  std::uint64_t seed = 0;
  double bound_factor = 1;
  const Flags* flags = nullptr;
  bool json = false;
};
int run_attack(const AttackJob& job, const ProblemFile& file, Session& session);

}  // namespace softreg
