// Isolation: one poisoned instance changes no bit of its neighbours and gets the status of the
// contract. Clean batches are solved once; then one instance at a random position is spoilt and the
// batch is solved again.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <functional>
#include <limits>
#include <optional>

#include "batches.hpp"
#include "kernels/emulated_gpu.hpp"

namespace softreg {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_number = std::nan("");

// What is done to one instance, and the status that follows from the contract; none: that of the
// same instance alone on the reference.
template <class T>
struct Poison {
  std::string name;
  std::function<void(TestBatch<T>&, std::int64_t, Rng&)> apply;
  std::optional<Status> status;
};

template <class T>
T& any_of(std::vector<T>& v, std::int64_t first, std::int64_t size, Rng& rng) {
  return v[at(first + draw(rng, 0, size - 1))];
}

// Writes `value` somewhere into the instance's part of an array.
template <class T>
auto write(std::vector<T> TestBatch<T>::*array, double value) {
  return [=](TestBatch<T>& p, std::int64_t i, Rng& rng) {
    const bool per_row = array == &TestBatch<T>::b || array == &TestBatch<T>::w;
    const std::int64_t width = array == &TestBatch<T>::x0 ? p.d : p.rows(i) * (per_row ? 1 : p.d);
    const std::int64_t first =
        array == &TestBatch<T>::x0 ? i * p.d : p.first_row(i) * (per_row ? 1 : p.d);
    any_of(p.*array, first, width, rng) = static_cast<T>(value);
  };
}
template <class T>
auto write_step(double value) {
  return [=](TestBatch<T>& p, std::int64_t i, Rng&) { p.step_size[at(i)] = value; };
}
template <class T>
void clear_row(TestBatch<T>& p, std::int64_t i, Rng& rng) {
  const std::int64_t row = p.first_row(i) + draw(rng, 0, p.rows(i) - 1);
  std::fill_n(p.a.begin() + row * p.d, p.d, T(0));
}
template <class T>
void clear_matrix(TestBatch<T>& p, std::int64_t i, Rng&) {
  std::fill_n(p.a.begin() + p.first_row(i) * p.d, p.rows(i) * p.d, T(0));
}

template <class T>
std::vector<Poison<T>> poisons(const TestBatch<T>& p, const AnyLoss& loss) {
  using P = TestBatch<T>;
  constexpr bool single = sizeof(T) == 4;
  const double huge = single ? 1e38 : 1e300;
  const bool automatic = p.step_size.empty() && has_proven_step(loss);
  const bool simplex = automatic && std::holds_alternative<SoftmaxL2>(loss);
  const bool positive = simplex || std::holds_alternative<CrossEntropy>(loss);
  std::vector<Poison<T>> all;
  for (const double bad : {nan_number, inf, -inf}) {
    const std::string value = std::to_string(bad);
    all.push_back({"A " + value, write(&P::a, bad), Status::bad_input});
    all.push_back({"b " + value, write(&P::b, bad), Status::bad_input});
    if (!p.x0.empty()) all.push_back({"x0 " + value, write(&P::x0, bad), Status::bad_input});
    if (!p.w.empty()) all.push_back({"w " + value, write(&P::w, bad), Status::bad_input});
  }
  // The proven step size 1/(c |A|^2) is too small for T.
  const auto too_steep = automatic ? std::optional(Status::bad_parameter) : std::nullopt;
  all.push_back({"A huge", write(&P::a, huge), too_steep});
  all.push_back({"A -huge", write(&P::a, -huge), too_steep});
  if (!p.x0.empty()) all.push_back({"x0 huge", write(&P::x0, huge), {}});
  all.push_back({"zero row", clear_row<T>, {}});
  // The gradient is exactly zero, whatever the loss, unless b itself overflows: it does not.
  all.push_back({"zero A", clear_matrix<T>, Status::converged});
  all.push_back({"b negative", write(&P::b, -0.125),
                 positive ? std::optional(Status::bad_target) : std::nullopt});
  all.push_back({"b above one", write(&P::b, 1.25),
                 simplex ? std::optional(Status::bad_target) : std::nullopt});
  if (!p.step_size.empty()) {
    for (const double bad : {0.0, -0.0, -1.0, nan_number, inf, -inf})
      all.push_back(
          {"step size " + std::to_string(bad), write_step<T>(bad), Status::bad_parameter});
    if (single) {
      all.push_back({"step size 0 in f32", write_step<T>(1e-50), Status::bad_parameter});
      all.push_back({"step size inf in f32", write_step<T>(1e50), Status::bad_parameter});
    }
    all.push_back({"step size huge", write_step<T>(huge), {}});
  }
  return all;
}

// What must hold of the poisoned instance i itself; empty: all of it does.
template <class T>
std::string complaint(const Result<T>& r, const TestBatch<T>& p, std::int64_t i, Status expected) {
  const Status status = r.status[at(i)];
  if (status != expected)
    return "status is " + std::string(status_name(status)) + " but should be " +
           std::string(status_name(expected));
  const bool refused = static_cast<int>(status) >= 20 && static_cast<int>(status) <= 22;
  for (std::int64_t j = 0; j < p.d; ++j) {
    const T x = r.x[at(i * p.d + j)], start = p.x0.empty() ? T(0) : p.x0[at(i * p.d + j)];
    if (refused && !same(x, start)) return "x is not x0";
    if (!refused && !std::isfinite(x)) return "x is not finite";
  }
  if (!refused) return r.messages.empty() ? "" : "there is a message";
  if (r.steps[at(i)] != 0) return "it made steps";
  if (!std::isnan(r.loss[at(i)]) || !std::isnan(r.objective[at(i)]) ||
      !std::isnan(r.gradient_norm[at(i)]))
    return "it has a loss";
  if (r.messages.size() != 1 || r.messages[0].instance != i) return "its message is missing";
  return "";
}

// Solves the clean batch, then every poison `times` times; returns the number of placements.
template <class T>
std::int64_t poison_all(const BatchRecipe& recipe, const Options& options, int times) {
  const TestBatch<T> clean = make_batch<T>(recipe);
  const Result<T> expected = solve(clean.view(), options);
  for (const Status s : expected.status)
    EXPECT_TRUE(s == Status::max_steps || s == Status::converged)
        << status_name(s) << ", " << name_of(options.loss) << ", " << recipe.n_min << " x "
        << recipe.d;
  Options alone = options;
  alone.device = Device::reference;
  Rng rng(recipe.seed);
  std::int64_t placements = 0;
  for (const Poison<T>& poison : poisons(clean, options.loss))
    for (int k = 0; k < times; ++k, ++placements) {
      TestBatch<T> p = clean;
      const std::int64_t hit = draw(rng, 0, p.count - 1);
      poison.apply(p, hit, rng);
      const Result<T> got = solve(p.view(), options);
      const Status status =
          poison.status ? *poison.status : solve(p.pick({hit}, false).view(), alone).status[0];
      const std::string where =
          name_of(options.loss) + ", " + poison.name + " in instance " + std::to_string(hit);
      EXPECT_EQ(complaint(got, p, hit, status), "") << where;
      for (std::int64_t i = 0; i < p.count; ++i) {
        if (i == hit) continue;
        EXPECT_EQ(difference(got, i, expected, i), "") << where << ": its neighbour " << i;
      }
      if (testing::Test::HasFailure()) return placements;
    }
  return placements;
}

// Every loss and optimizer, with proven or given step sizes, with or without starts and weights.
template <class T>
std::int64_t poison_everything(Device device, std::int64_t count,
                               const std::vector<std::array<std::int64_t, 2>>& shapes, int steps) {
  std::int64_t placements = 0;
  std::uint64_t k = 0;
  for (std::size_t l = 0; l < std::variant_size_v<AnyLoss>; ++l)
    for (std::size_t o = 0; o < std::variant_size_v<AnyOptimizer>; ++o)
      for (const bool step_sizes : {false, true})
        for (const auto& [n, d] : shapes) {
          ++k;
          BatchRecipe recipe{count, n, n, d};
          recipe.weights = k % 2 == 0;
          recipe.step_sizes = step_sizes;
          recipe.starts = k % 3 != 0 || l >= 4;
          recipe.seed = k;
          Options options;
          options.loss = loss_at(l);
          options.optimizer = optimizer_at(o, fitting_step(options.loss, n, d));
          options.stop = {.max_steps = steps, .gradient_norm = 1e-4, .check_every = 4};
          options.device = device;
          options.threads = k % 4 == 0 ? 3 : 1;
          if (k % 5 == 0) options.ball = 2;
          placements += poison_all<T>(recipe, options, 1);
          if (testing::Test::HasFailure()) return placements;
        }
  return placements;
}

TEST(Isolation, Cpu) {
  const std::int64_t placements =
      poison_everything<float>(Device::cpu, 7, {{4, 2}, {33, 5}, {70, 9}}, 10) +
      poison_everything<double>(Device::cpu, 7, {{4, 2}, {33, 5}, {70, 9}}, 10);
  std::printf("[count] poisoned placements: %lld\n", static_cast<long long>(placements));
  EXPECT_GE(placements, 2'000);
}

TEST(Isolation, Reference) {
  const std::int64_t placements = poison_everything<float>(Device::reference, 5, {{9, 3}}, 10) +
                                  poison_everything<double>(Device::reference, 5, {{9, 3}}, 10);
  std::printf("[count] poisoned placements, reference: %lld\n", static_cast<long long>(placements));
  EXPECT_GE(placements, 500);
}

TEST(Isolation, EmulatedCuda) {
  if (thread_sanitizer)
    GTEST_SKIP() << "an emulated kernel is one thread; backends_test has the host's";
  const EmulatedGpuScope scope;
  std::int64_t placements = poison_everything<float>(Device::cuda, 3, {{5, 2}}, 2);
  if (!sanitized) placements += poison_everything<double>(Device::cuda, 3, {{5, 2}}, 2);
  std::printf("[count] poisoned placements, emulated CUDA: %lld\n",
              static_cast<long long>(placements));
  EXPECT_GE(placements, 500);
}

// Statuses that the arithmetic makes certain, each among clean neighbours at every position.
template <class T>
void expect_status(const AnyLoss& loss, double a, double x0, double step, int check_every,
                   Status status, int steps) {
  for (const Device device : {Device::reference, Device::cpu}) {
    Options options;
    options.loss = loss;
    options.device = device;
    options.threads = 1;
    options.stop = {.max_steps = 40, .gradient_norm = 0, .check_every = check_every};
    BatchRecipe recipe{6, 4, 4, 3};
    recipe.step_sizes = true;
    TestBatch<T> clean = make_batch<T>(recipe);
    for (double& t : clean.step_size) t = 0.01;
    const Result<T> expected = solve(clean.view(), options);
    for (std::int64_t hit = 0; hit < clean.count; ++hit) {
      TestBatch<T> p = clean;
      std::fill_n(p.a.begin() + hit * 12, 12, static_cast<T>(a));
      std::fill_n(p.x0.begin() + hit * 3, 3, static_cast<T>(x0));
      p.step_size[at(hit)] = step;
      const Result<T> got = solve(p.view(), options);
      EXPECT_EQ(complaint(got, p, hit, status), "") << name_of(loss);
      EXPECT_EQ(got.steps[at(hit)], steps) << name_of(loss);
      for (std::int64_t i = 0; i < p.count; ++i) {
        if (i == hit) continue;
        EXPECT_EQ(difference(got, i, expected, i), "") << name_of(loss);
      }
    }
  }
}

TEST(Isolation, CertainStatuses) {
  // z = 3e38 x 1 or 3e300 x 1: exp is infinite, z^2 too.
  expect_status<float>(ExpL2{}, 1e38, 1, 0.01, 4, Status::overflow, 0);
  expect_status<double>(ExpL2{}, 1e300, 1, 0.01, 4, Status::overflow, 0);
  expect_status<float>(CoshL2{}, 1e30, 1, 0.01, 4, Status::overflow, 0);
  expect_status<double>(SinhL2{}, 1e30, 1, 0.01, 4, Status::overflow, 0);
  expect_status<float>(LeastSquares{}, 1e30, 1, 0.01, 4, Status::overflow, 0);
  expect_status<double>(LeastSquares{}, 1e200, 1, 0.01, 4, Status::overflow, 0);
  // A = 1 and t = 1e20 (1e200): x grows about 1e21 times (1e201 times) at each update. At step 1
  // x is finite and z^2 is not; at step 8 x is infinite or NaN. The start is what passed a test.
  expect_status<float>(LeastSquares{}, 1, 1, 1e20, 1, Status::overflow, 0);
  expect_status<double>(LeastSquares{}, 1, 1, 1e200, 1, Status::overflow, 0);
  expect_status<float>(LeastSquares{}, 1, 1, 1e20, 8, Status::diverged, 0);
  expect_status<double>(LeastSquares{}, 1, 1, 1e200, 8, Status::diverged, 0);
  // A = 1 and t = 1e3: x grows about 1.2e4 times at each update; z^2 leaves f32 after four of them
  // and f64 after thirty-seven.
  expect_status<float>(LeastSquares{}, 1, 1, 1e3, 1, Status::overflow, 4);
  expect_status<double>(LeastSquares{}, 1, 1, 1e3, 1, Status::overflow, 37);
}

}  // namespace
}  // namespace softreg
