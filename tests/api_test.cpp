// The C++ interface: right calls keep what the headers promise about callbacks, limits, warnings,
// plans and threads. Wrong calls are the matter of errors_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <limits>
#include <thread>

#include "batches.hpp"
#include "kernels/emulated_gpu.hpp"
#include "parallel.hpp"
#include "solve.hpp"

namespace softreg {
namespace {

using testing::HasSubstr;

// The option's weight stands for an array of it, and an array takes its place.
TEST(Api, LogitWeightIsAnArrayOfItself) {
  const EmulatedGpuScope scope;
  const TestBatch<float> p = make_batch<float>({5, 20, 20, 4});
  TestBatch<float> w = p;
  w.w.assign(at(5 * 20), 0.75F);
  for (const Device device : {Device::reference, Device::cpu, Device::cuda}) {
    Options options{.stop = {.max_steps = 6}, .device = device};
    const Result<float> none = solve(p.view(), options), array = solve(w.view(), options);
    EXPECT_NE(difference(none, array), "");
    options.logit_weight = 0.75;
    EXPECT_EQ(difference(solve(p.view(), options), array), "");
    options.logit_weight = 3;
    EXPECT_EQ(difference(solve(w.view(), options), array), "");
  }
}

TEST(Api, DesignatedInitialisersAndDefaults) {
  const std::vector<double> a = {1, 0, 0, 1}, b = {0.75, 0.25};
  const Result<double> r =
      solve<double>({.count = 1, .n = 2, .d = 2, .a = a, .b = b},
                    {.loss = CrossEntropy{}, .stop = {.max_steps = 5000}, .device = Device::cpu});
  EXPECT_EQ(r.status[0], Status::converged);
  // log f1 - log f2 = x1 - x2 = log 3 at the minimum; |g| <= 1e-6 and a curvature of 3/8 along it.
  EXPECT_NEAR(r.x[0] - r.x[1], std::log(3.0), 1e-5);
  EXPECT_TRUE(r.trace_loss.empty() && r.trace_step.empty() && r.shifts.empty() &&
              r.shift_f.empty());
  EXPECT_FALSE(r.interrupted);
  EXPECT_GE(r.solve_seconds, 0);
  EXPECT_EQ(r.steps[0] % 8, 0);
}

template <class Solve>
void expect_empty(const Solve& run) {
  const TestBatch<float> none = make_batch<float>({0, 4, 4, 2});
  const TestBatch<float> shared = make_batch<float>({1, 4, 4, 2});
  VectorProblem<float> p = none.view();
  run(p);
  p.a = shared.a;
  p.b = shared.b;
  run(p);
  const std::vector<std::int64_t> offsets = {0};
  p = none.view();
  p.offsets = offsets;
  run(p);
}

TEST(Api, EmptyBatch) {
  const EmulatedGpuScope scope;
  for (const Device device : {Device::reference, Device::cpu, Device::cuda}) {
    Options options{.device = device};
    int progress_calls = 0;
    options.progress = [&](const Progress& p) {
      ++progress_calls;
      EXPECT_EQ(p.finished, 0);
      EXPECT_EQ(p.count, 0);
    };
    expect_empty([&](const VectorProblem<float>& p) {
      const Result<float> r = solve(p, options);
      EXPECT_EQ(r.count, 0);
      EXPECT_TRUE(r.x.empty() && r.status.empty() && r.warnings.empty() && r.messages.empty());
      EXPECT_FALSE(r.interrupted);
      const Evaluation<float> e = evaluate(p, options);
      EXPECT_TRUE(e.output.empty() && e.gradient.empty());
    });
    EXPECT_GE(progress_calls, 3);
  }
}

double seconds_of(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(Api, ProgressRisesAndEndsWithEverything) {
  const TestBatch<double> batch = make_batch<double>({300, 40, 40, 8});
  for (const Device device : {Device::reference, Device::cpu}) {
    std::vector<Progress> seen;
    Options options{.stop = {.max_steps = 600, .gradient_norm = 0}, .device = device, .threads = 2};
    options.progress = [&](const Progress& p) { seen.push_back(p); };
    Result<double> r;
    const double seconds = seconds_of([&] { r = solve(batch.view(), options); });
    ASSERT_FALSE(seen.empty());
    for (std::size_t k = 1; k < seen.size(); ++k) {
      EXPECT_GE(seen[k].finished, seen[k - 1].finished);
      EXPECT_GE(seen[k].steps, seen[k - 1].steps);
    }
    for (const Progress& p : seen) EXPECT_EQ(p.count, 300);
    EXPECT_EQ(seen.back().finished, 300);
    EXPECT_EQ(seen.back().steps, std::accumulate(r.steps.begin(), r.steps.end(), std::int64_t{0}));
    // At most about ten a second, and the last.
    EXPECT_LE(static_cast<double>(seen.size()), 2 + seconds * 10);
  }
}

// Least squares with tolerance 0: instances 0 and 1 diverge at the first test, the others would
// take hours.
template <class T>
TestBatch<T> endless(std::int64_t count) {
  BatchRecipe recipe{count, 40, 40, 8};
  recipe.step_sizes = true;
  TestBatch<T> p = make_batch<T>(recipe);
  p.step_size[0] = p.step_size[1] = 1e200;
  return p;
}

// Instances 0 and 1 may be finished, the others cannot be. Returns how many are.
template <class T>
std::int64_t expect_interrupted(const Result<T>& r, const TestBatch<T>& p) {
  EXPECT_TRUE(r.interrupted);
  std::int64_t finished = 0;
  for (std::int64_t i = 0; i < r.count; ++i) {
    const bool done = i < 2 && r.status[at(i)] == Status::diverged;
    finished += done;
    EXPECT_TRUE(done || r.status[at(i)] == Status::not_run) << status_name(r.status[at(i)]);
    EXPECT_EQ(r.steps[at(i)], 0);
    EXPECT_EQ(std::isnan(r.loss[at(i)]), !done);
    EXPECT_EQ(std::isnan(r.objective[at(i)]), !done);
    EXPECT_EQ(std::isnan(r.gradient_norm[at(i)]), !done);
  }
  EXPECT_TRUE(std::equal(r.x.begin(), r.x.end(), p.x0.begin(), p.x0.end()));
  return finished;
}

TEST(Api, CancelAndTimeLimitLeaveTheRestNotRun) {
  const TestBatch<double> p = endless<double>(5);
  for (const Device device : {Device::reference, Device::cpu}) {
    Options options{.loss = LeastSquares{},
                    .stop = {.max_steps = std::numeric_limits<int>::max(), .gradient_norm = 0},
                    .device = device};
    const LiveSolve<double>* running = nullptr;
    options.cancel = [&running] {
      const std::vector<Status> now = running->snapshot().status;
      return now[0] == Status::diverged && now[1] == Status::diverged;
    };
    LiveSolve<double> live(p.view(), options);
    running = &live;
    live.run();
    EXPECT_EQ(expect_interrupted(live.snapshot(), p), 2);
    options.cancel = nullptr;
    options.time_limit = 0.05;
    Result<double> r;
    EXPECT_GE(seconds_of([&] { r = solve(p.view(), options); }), 0.05);
    expect_interrupted(r, p);
  }
}

TEST(Api, CallsFromSeveralThreadsAtOnce) {
  constexpr int callers = 6;
  std::vector<TestBatch<float>> batches;
  std::vector<Options> options(callers);
  std::vector<Result<float>> expected;
  for (int k = 0; k < callers; ++k) {
    batches.push_back(make_batch<float>({40 + k, 20 + 5 * k, 20 + 5 * k, 2 + k, true, k % 2 == 1}));
    options[at(k)].loss = loss_at(at(k));
    options[at(k)].optimizer =
        optimizer_at(at(k % 2), fitting_step(options[at(k)].loss, 20 + 5 * k, 2 + k));
    options[at(k)].stop.max_steps = 60;
    options[at(k)].device = k == 5 ? Device::reference : Device::cpu;
    options[at(k)].threads = 1 + k % 3;
    expected.push_back(solve(batches[at(k)].view(), options[at(k)]));
  }
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::vector<Result<float>> got(callers);
    std::vector<std::thread> threads;
    for (std::size_t k = 0; k < callers; ++k)
      threads.emplace_back([&, k] { got[k] = solve(batches[k].view(), options[k]); });
    for (std::thread& t : threads) t.join();
    for (std::size_t k = 0; k < callers; ++k)
      EXPECT_EQ(difference(got[k], expected[k]), "") << "caller " << k;
  }
}

TEST(Api, StationaryStartsAreWarnedOf) {
  TestBatch<double> p = make_batch<double>({4, 5, 5, 2});
  p.x0 = {0.5, 0.5, 0, 0, 0, 0, 0.25, 0};
  Options options{.loss = CoshL2{}, .optimizer = GradientDescent{1e-3}, .device = Device::cpu};
  EXPECT_THAT(solve(p.view(), options).warnings,
              testing::ElementsAre(
                  "the gradient is exactly zero at the start of 2 instances, the first is instance "
                  "1: descent cannot leave it"));
  p.x0.clear();
  EXPECT_THAT(solve(p.view(), options).warnings, testing::ElementsAre(HasSubstr("of 4 instances")));
  options.loss = SinhL2{};
  EXPECT_THAT(solve(p.view(), options).warnings, testing::IsEmpty());
}

TEST(Api, PlanSummaryIsFilled) {
  const EmulatedGpuScope scope;
  const TestBatch<float> p = make_batch<float>({10, 40, 40, 8});
  Options options{.stop = {.max_steps = 2},
                  .trace = TraceKind::shifts,
                  .trace_full = true,  // so that no packs are taken, on any processor
                  .device = Device::cpu,
                  .threads = 2};
  PlanSummary s = solve(p.view(), options).plan;
  EXPECT_EQ(s.road, "cpu");
  EXPECT_THAT(s.isa, HasSubstr("x86-64"));
  EXPECT_EQ(s.size_class, "lanes16");
  EXPECT_EQ(s.lanes, 16);
  EXPECT_DOUBLE_EQ(s.padding, 1 - 40 / 48.0);
  EXPECT_EQ(s.chunks, 1);
  EXPECT_EQ(s.threads, std::min(2, core_count()));
  EXPECT_GT(s.workspace_bytes,
            s.threads * 64 * 10 * 4);  // of each thread, 64 padded rows, A and b and w at least
  options.device = Device::reference;
  s = solve(p.view(), options).plan;
  EXPECT_EQ(s.road, "reference");
  EXPECT_EQ(s.isa, "");
  EXPECT_EQ(s.lanes, 1);
  EXPECT_EQ(s.padding, 0);
  EXPECT_EQ(s.threads, 1);
  options.device = Device::cuda;
  s = solve(p.view(), options).plan;
  EXPECT_EQ(s.road, "cuda");
  EXPECT_EQ(s.size_class, "lanes8_64x16");
  EXPECT_EQ(s.lanes, 8);
  EXPECT_EQ(s.chunks, 1);
  const std::int64_t whole = s.workspace_bytes;
  EXPECT_GT(whole, 10 * 40 * 9 * 4);
  options.memory_limit = whole - 1;
  s = solve(p.view(), options).plan;
  EXPECT_GT(s.chunks, 1);
  EXPECT_LT(s.workspace_bytes, whole);
}

TEST(Api, DevicesSayWhatIsUsable) {
  const EmulatedGpuScope scope;
  std::vector<DeviceReport> all = devices();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].name, "reference");
  EXPECT_EQ(all[1].name, "cpu");
  EXPECT_THAT(all[1].description, HasSubstr("threads"));
  EXPECT_EQ(all[2].name, "cuda");
  EXPECT_THAT(all[2].description, HasSubstr("emulated GPU"));
  for (const DeviceReport& r : all) EXPECT_EQ(r.unavailable, "");
  emulated_gpu_state().unavailable = "the test took it away";
  all = devices();
  EXPECT_EQ(all[2].unavailable, "the test took it away");
  EXPECT_EQ(all[2].description, "");
}

}  // namespace
}  // namespace softreg
