#include "self_test.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "common_flags.hpp"
#include "generate.hpp"
#include "softreg/error.hpp"
#include "softreg/softreg.hpp"

namespace softreg {
namespace {

constexpr int descent_steps = 50;
constexpr GenerateOptions batch_options{.n_min = 24,
                                        .n_max = 24,
                                        .d = 5,
                                        .count = 64,
                                        .family = Family::plain,
                                        .radius = 2,
                                        .seed = self_test_seed};

// Backends add in different orders: every update may move x (|x| <= R = 2 or so) by a few units of
// rounding more or less, and descent with the proven step does not magnify what it is given. Eight
// units per update are allowed.
template <class T>
double tolerance() {
  return 8.0 * descent_steps * static_cast<double>(std::numeric_limits<T>::epsilon());
}

template <class T>
VectorProblem<T> view(const GeneratedBatch<T>& batch) {
  VectorProblem<T> problem;
  problem.count = batch_options.count;
  problem.n = batch_options.n_max;
  problem.d = batch_options.d;
  problem.a = batch.a;
  problem.b = batch.b;
  return problem;
}

template <class T>
Result<T> solve_on(const GeneratedBatch<T>& batch, Device device) {
  Options options;
  options.stop = {.max_steps = descent_steps, .gradient_norm = 0, .check_every = 10};
  options.device = device;
  return solve(view(batch), options);
}

template <class T>
double largest_difference(const Result<T>& a, const Result<T>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.x.size(); ++i) {
    const double apart = std::abs(static_cast<double>(a.x[i]) - static_cast<double>(b.x[i]));
    // Written so that a NaN counts as infinitely far.
    if (!(apart <= largest))
      largest = std::isnan(apart) ? std::numeric_limits<double>::infinity() : apart;
  }
  return largest;
}

// The reference has nothing to be compared with; what it must do is descend.
template <class T>
bool descends(const GeneratedBatch<T>& batch, const Result<T>& result) {
  Options options;
  options.device = Device::reference;
  const Evaluation<T> start = evaluate(view(batch), options);
  for (std::size_t i = 0; i < result.loss.size(); ++i) {
    if (!(result.loss[i] < start.at.loss[i])) return false;
  }
  return true;
}

template <class T>
SelfTest test_device(const std::string& name, Device device) {
  SelfTest test{name, dtype_name<T>(), batch_options.count, 0, tolerance<T>(), ""};
  try {
    const GeneratedBatch<T> batch = generate_batch<T>(batch_options);
    const Result<T> expected = solve_on(batch, Device::reference);
    const Result<T> actual = solve_on(batch, device);
    test.largest_difference = largest_difference(expected, actual);
    if (!descends(batch, expected)) {
      test.failure = "the reference does not descend from its start";
    } else if (test.largest_difference > test.tolerance) {
      test.failure = fmt::format("parameters differ from the reference by {:.3g}, more than {:.3g}",
                                 test.largest_difference, test.tolerance);
    } else if (expected.status != actual.status) {
      test.failure = "statuses differ from the reference";
    }
  } catch (const Error& error) {
    test.failure = error.what();
  }
  return test;
}

}  // namespace

std::vector<SelfTest> run_self_tests() {
  std::vector<SelfTest> tests;
  for (const DeviceReport& report : devices()) {
    if (!report.unavailable.empty()) continue;
    const Device device = report.name == "cuda"  ? Device::cuda
                          : report.name == "cpu" ? Device::cpu
                                                 : Device::reference;
    tests.push_back(test_device<float>(report.name, device));
    tests.push_back(test_device<double>(report.name, device));
  }
  return tests;
}

}  // namespace softreg
