// One suite for every backend: each loss, optimizer and size class gives what the reference gives.
// Bits differ, because lanes add in another order; how much that may matter is measured, not
// guessed: another order is a relative change of each term by at most (n + d) eps, so the reference
// itself is solved with all data changed at random by that much, and a backend may part from it
// eight times as far as the farthest of three such solves.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>

#include "batches.hpp"
#include "kernels/lane_gpu.hpp"

namespace softreg {
namespace {

struct Case {
  BatchRecipe recipe;
  Options options;
  std::string text() const {
    return name_of(options.loss) +
           (options.optimizer.index() ? ", nesterov" : ", gradient_descent") + ", " +
           std::to_string(recipe.n_min) + ":" + std::to_string(recipe.n_max) + " x " +
           std::to_string(recipe.d);
  }
};

using Shapes = std::vector<std::array<std::int64_t, 3>>;  // n_min, n_max, d

// Every loss, optimizer and shape; each option takes its turn, in step with none of the others.
std::vector<Case> cases(const Shapes& shapes, std::int64_t count, int steps) {
  std::vector<Case> all;
  for (std::size_t l = 0; l < std::variant_size_v<AnyLoss>; ++l)
    for (std::size_t o = 0; o < std::variant_size_v<AnyOptimizer>; ++o)
      for (const auto& [n_min, n_max, d] : shapes) {
        const std::size_t k = all.size();
        Case c{{count, n_min, n_max, d}, {}};
        c.recipe.seed = 1000 + k;
        c.recipe.starts = k % 5 != 4 || l >= 5;
        c.recipe.weights = k % 3 == 1;
        c.options.loss = loss_at(l);
        c.options.optimizer = optimizer_at(o, fitting_step(c.options.loss, n_max, d));
        c.options.stop = {.max_steps = steps, .gradient_norm = 0, .check_every = 5};
        if (k % 4 == 1) c.options.ridge = 0.5;
        if (k % 6 == 2) c.options.logit_weight = 0.25;
        if (k % 7 == 3) c.options.ball = 0.3;
        if (k % 2 == 1) c.options.trace = k % 4 == 1 ? TraceKind::loss : TraceKind::shifts;
        if (k % 8 == 3) c.options.trace = TraceKind::bounds;
        c.options.trace_full = k % 4 == 3;
        all.push_back(c);
      }
  return all;
}

// The numbers of one instance, under names.
using Numbers = std::vector<std::pair<std::string, std::vector<double>>>;

template <class V>
std::vector<double> slice(const V& v, std::int64_t first, std::int64_t size) {
  std::vector<double> out;
  for (std::int64_t k = first; k < first + size && !v.empty(); ++k)
    out.push_back(static_cast<double>(v[at(k)]));
  return out;
}

template <class T>
Numbers numbers(const Result<T>& r, std::int64_t i) {
  const std::int64_t tests = std::ssize(r.trace_step), steps = std::ssize(r.shift_f) / r.count;
  Numbers n = {{"x", slice(r.x, i * r.d, r.d)},
               {"loss", slice(r.loss, i, 1)},
               {"objective", slice(r.objective, i, 1)},
               {"gradient_norm", slice(r.gradient_norm, i, 1)},
               {"trace_loss", slice(r.trace_loss, i * tests, tests)},
               {"shift_f", slice(r.shift_f, i * steps, steps)},
               {"shift_x", slice(r.shift_x, i * steps, steps)}};
  if (!r.shifts.empty()) {
    const ShiftSummary<T>& s = r.shifts[at(i)];
    n.push_back({"shift_f summary", {double(s.f_max), double(s.f_sum)}});
    n.push_back({"shift_x summary", {double(s.x_max), double(s.x_sum), double(s.z_max)}});
  }
  return n;
}
template <class T>
Numbers numbers(const Evaluation<T>& e, const TestBatch<T>& p, std::int64_t i) {
  Numbers n = numbers(e.at, i);
  n.push_back({"output", slice(e.output, p.first_row(i), p.rows(i))});
  n.push_back({"dlogits", slice(e.dlogits, p.first_row(i), p.rows(i))});
  n.push_back({"gradient", slice(e.gradient, i * p.d, p.d)});
  n.push_back({"attended", slice(e.attended, i * p.d, p.d)});
  n.push_back({"log_mass", slice(e.log_mass, i, 1)});
  return n;
}

double farthest(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (std::size_t k = 0; k < a.size(); ++k)
    if (!std::isnan(a[k]) || !std::isnan(b[k])) most = std::max(most, std::abs(a[k] - b[k]));
  return most;
}

// How far the numbers of an instance part under perturbations, name by name.
class Tolerance {
 public:
  explicit Tolerance(Numbers exact) : exact_(std::move(exact)), spread_(exact_.size(), 0.0) {}
  void widen(const Numbers& perturbed) {
    for (std::size_t k = 0; k < exact_.size(); ++k)
      spread_[k] = std::max(spread_[k], farthest(exact_[k].second, perturbed[k].second));
  }
  // The first number that is farther away than allowed; empty: none.
  std::string check(const Numbers& got, double eps) const {
    for (std::size_t k = 0; k < exact_.size(); ++k) {
      double size = 0;
      for (const double v : exact_[k].second)
        size = std::max(size, std::isnan(v) ? 0 : std::abs(v));
      const double allowed = 8 * spread_[k] + 8 * eps * size,
                   apart = farthest(exact_[k].second, got[k].second);
      if (!(apart <= allowed) || got[k].second.size() != exact_[k].second.size())
        return fmt::format("{} of {:.3g} is {:.3g} away, allowed are {:.3g}", exact_[k].first, size,
                           apart, allowed);
    }
    return "";
  }
  double spread_of_x() const { return spread_[0]; }

 private:
  Numbers exact_;
  std::vector<double> spread_;
};

template <class T>
TestBatch<T> perturb(TestBatch<T> p, std::uint64_t seed) {
  Rng rng(seed);
  const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
  for (std::int64_t i = 0; i < p.count; ++i) {
    const double size = static_cast<double>(p.rows(i) + p.d) * eps;
    const auto change = [&](std::vector<T>& v, std::int64_t first, std::int64_t n) {
      for (std::int64_t k = first; k < first + n && !v.empty(); ++k) {
        T& value = v[at(k)];
        value = static_cast<T>(static_cast<double>(value) * (1 + size * (2 * uniform(rng) - 1)));
      }
    };
    change(p.a, p.first_row(i) * p.d, p.rows(i) * p.d);
    change(p.b, p.first_row(i), p.rows(i));
    change(p.w, p.first_row(i), p.rows(i));
    change(p.x0, i * p.d, p.d);
  }
  return p;
}

struct Tally {
  std::int64_t instances = 0, moved = 0;
};

// The backend's numbers against the reference's; get(problem, options) runs solve or evaluate.
template <class T, class Get>
void agree(const Case& c, Device device, Tally& tally, const Get& get) {
  const TestBatch<T> p = make_batch<T>(c.recipe);
  Options options = c.options;
  options.device = Device::reference;
  const auto exact = get(p, options);
  std::vector<Tolerance> tolerances;
  for (const Numbers& n : exact) tolerances.emplace_back(n);
  for (std::uint64_t k = 0; k < 3; ++k) {
    const auto perturbed = get(perturb(p, 77 + k), options);
    for (std::size_t i = 0; i < exact.size(); ++i) tolerances[i].widen(perturbed[i]);
  }
  options.device = device;
  const auto got = get(p, options);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_EQ(tolerances[i].check(got[i], double{std::numeric_limits<T>::epsilon()}), "")
        << c.text() << ", instance " << i << (sizeof(T) == 4 ? ", f32" : ", f64");
    ++tally.instances;
    const std::vector<double> start = slice(p.x0, static_cast<std::int64_t>(i) * p.d, p.d);
    const double way =
        farthest(start.empty() ? std::vector<double>(at(p.d), 0.0) : start, got[i][0].second);
    tally.moved += way > 16 * tolerances[i].spread_of_x();
  }
}

template <class T>
void agree_in_solve(const Case& c, Device device, Tally& tally) {
  agree<T>(c, device, tally, [&](const TestBatch<T>& p, const Options& options) {
    const Result<T> r = solve(p.view(), options);
    std::vector<Numbers> all;
    for (std::int64_t i = 0; i < r.count; ++i) {
      EXPECT_EQ(r.status[at(i)], Status::max_steps) << c.text();
      EXPECT_EQ(r.steps[at(i)], options.stop.max_steps);
      all.push_back(numbers(r, i));
    }
    return all;
  });
}
template <class T>
void agree_in_evaluate(const Case& c, Device device, Tally& tally) {
  agree<T>(c, device, tally, [&](const TestBatch<T>& p, const Options& options) {
    const Evaluation<T> e = evaluate(p.view(), options);
    std::vector<Numbers> all;
    for (std::int64_t i = 0; i < p.count; ++i) all.push_back(numbers(e, p, i));
    return all;
  });
}

// One shape per size class of the GPU, full and not; a single row; more parameters than rows;
// ragged.
const Shapes classes = {{32, 32, 8},    {64, 64, 16}, {128, 128, 8}, {256, 256, 8}, {64, 64, 32},
                        {300, 300, 12}, {29, 29, 5},  {1, 1, 1},     {5, 5, 40},    {1, 70, 6}};

void expect_agreement(Device device, const Shapes& shapes, std::int64_t count, int steps,
                      const char* name) {
  Tally solved, evaluated;
  for (const Case& c : cases(shapes, count, steps)) {
    agree_in_solve<float>(c, device, solved);
    agree_in_solve<double>(c, device, solved);
    agree_in_evaluate<float>(c, device, evaluated);
    agree_in_evaluate<double>(c, device, evaluated);
    if (testing::Test::HasFailure()) return;
  }
  std::printf("[count] instances against the reference, %s: %lld solved, %lld evaluated\n", name,
              static_cast<long long>(solved.instances),
              static_cast<long long>(evaluated.instances));
  // A comparison of what hardly moved would say nothing.
  EXPECT_GT(solved.moved, solved.instances * 3 / 4);
}

TEST(Backends, CpuAgreesWithTheReference) {
  expect_agreement(Device::cpu, classes, sanitized ? 1 : 5, 24, "cpu");
}

TEST(Backends, EmulatedCudaAgreesWithTheReference) {
  const EmulatedGpuScope scope;
  // An emulated kernel is one thread: for ThreadSanitizer just what the host does around it.
  const Shapes shapes =
      thread_sanitizer ? Shapes{{1, 9, 3}} : Shapes{{29, 29, 5}, {1, 70, 6}, {5, 5, 40}};
  expect_agreement(Device::cuda, shapes, 2, 3, "emulated CUDA");
}

TEST(GpuBackends, CudaAgreesWithTheReference) {
  if (const std::string reason = devices().back().unavailable; !reason.empty())
    GTEST_SKIP() << reason;
  expect_agreement(Device::cuda, classes, 5, 24, "cuda");
}

// Enough of them to lie side by side in packs, which have fewer parameters than the problem.
TEST(Backends, ReducedPacksAgreeWithTheReference) {
  expect_agreement(Device::cpu, {{8, 8, 40}, {20, 20, 64}}, sanitized ? 33 : 70, 12, "reduced");
}

// On CUDA each in a class of fewer parameters, some of them in memory.
TEST(Backends, ReducedCudaAgreesWithTheReference) {
  on_lanes([] {
    expect_agreement(Device::cuda, {{8, 8, 40}, {20, 20, 64}, {1, 72, 96}}, sanitized ? 1 : 5, 12,
                     "reduced on CUDA's lanes");
    return 0;
  });
}

// Converging solves: every backend ends at the same minimum with the same status.
template <class T>
void expect_same_ends(Device device, double tolerance) {
  const TestBatch<T> p = make_batch<T>({40, 30, 30, 3});
  for (const std::size_t optimizer : {0u, 1u}) {
    Options options{.loss = CrossEntropy{},
                    .optimizer = optimizer_at(optimizer, automatic_step_size),
                    .stop = {.max_steps = 20'000, .gradient_norm = tolerance},
                    .ridge = 0.01,
                    .device = Device::reference};
    const Result<T> expected = solve(p.view(), options);
    options.device = device;
    const Result<T> got = solve(p.view(), options);
    for (std::int64_t i = 0; i < p.count; ++i) {
      EXPECT_EQ(expected.status[at(i)], Status::converged);
      EXPECT_EQ(got.status[at(i)], Status::converged);
      EXPECT_EQ(got.steps[at(i)] % 8, 0);
      // |x - x*| <= |g| / ridge on both sides: the objective is strongly convex.
      for (std::int64_t j = 0; j < p.d; ++j)
        EXPECT_NEAR(double(got.x[at(i * p.d + j)]), double(expected.x[at(i * p.d + j)]),
                    2 * tolerance / 0.01);
    }
  }
}

TEST(Backends, ConvergingSolvesEndAtTheSameMinimum) {
  expect_same_ends<float>(Device::cpu, 1e-5);
  expect_same_ends<double>(Device::cpu, 1e-10);
}

// Whatever the options, a kernel gives the bits of the loop that adds in its order.
template <class T>
std::int64_t expect_bits_of_the_lanes(const Case& c) {
  const TestBatch<T> p = make_batch<T>(c.recipe);
  Options options = c.options;
  options.device = Device::cuda;
  const auto run = [&] { return solve(p.view(), options); };
  EXPECT_EQ(difference(run(), on_lanes(run)), "") << c.text();
  return p.count;
}

TEST(Backends, KernelsGiveTheBitsOfTheirLanes) {
  const EmulatedGpuScope scope;
  std::int64_t compared = 0;
  for (const Case& c : cases({{29, 29, 5}, {1, 100, 7}}, 3, 4))
    compared += expect_bits_of_the_lanes<float>(c) + expect_bits_of_the_lanes<double>(c);
  std::printf("[count] emulated CUDA instances with the bits of their lanes: %lld\n",
              static_cast<long long>(compared));
}

}  // namespace
}  // namespace softreg
