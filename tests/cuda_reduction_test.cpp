// Vector problems with fewer rows than columns, which CUDA solves in fewer parameters: an
// instance's bits do not depend on what lies beside it, nor on chunks, memory or threads; numbers
// that forbid the reduction, and failures, are seen. (That the results are right:
// backends_test.cpp.) LaneGpu is the device wherever kernels are not the matter: it is faster.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "batches.hpp"
#include "kernels/lane_gpu.hpp"
#include "kernels/on_emulated_gpu.hpp"

namespace softreg {
namespace {

constexpr std::int64_t d = 90;

// Ragged over classes: some instances are reduced and others not, some of them to columns that
// stay in memory.
template <class T>
TestBatch<T> ragged(std::uint64_t seed, bool starts, std::int64_t count = 24) {
  BatchRecipe recipe{.count = count, .n_min = 1, .n_max = d, .d = d, .starts = starts};
  recipe.weights = seed % 3 == 1;
  recipe.seed = seed;
  return make_batch<T>(recipe);
}
TestBatch<float> uniform(std::int64_t count, bool starts) {
  return make_batch<float>({.count = count, .n_min = 7, .n_max = 7, .d = 40, .starts = starts});
}

// Even ones for batches with starts, which are not reduced under a trace of shifts.
Options options_of(std::size_t k, int max_steps = 9) {
  Rng rng(k);
  Options o{.loss = loss_at(k % std::variant_size_v<AnyLoss>), .device = Device::cuda};
  o.threads = 1;
  o.optimizer = optimizer_at(at(draw(rng, 0, 1)), fitting_step(o.loss, d, d));
  o.stop = {.max_steps = max_steps, .gradient_norm = draw(rng, 0, 2) ? 0 : 1e-2, .check_every = 4};
  const TraceKind traces[][2] = {{TraceKind::none, TraceKind::loss},
                                 {TraceKind::shifts, TraceKind::bounds}};
  o.trace = traces[k % 2][draw(rng, 0, 1)];
  o.trace_full = o.trace == TraceKind::shifts;
  return o;
}

template <class T>
std::int64_t expect_same_alone(const TestBatch<T>& p, const Options& o) {
  const Result<T> whole = solve(p.view(), o);
  EXPECT_THAT(whole.plan.size_class, testing::HasSubstr("_reduced"));
  for (std::int64_t i = 0; i < p.count; ++i) {
    TestBatch<T> one = p.pick({i}, i % 2 == 0);
    if (one.offsets.empty()) one.n = p.rows(i);
    EXPECT_EQ(difference(solve(one.view(), o), 0, whole, i), "") << i;
  }
  return p.count;
}

TEST(CudaReduction, BitsDoNotDependOnTheBatch) {
  const std::int64_t compared = on_lanes([] {
    std::int64_t all = 0;
    for (std::size_t k = 0; k < (sanitized ? 4 : 14); ++k) {
      all += expect_same_alone(ragged<float>(k, k % 2 == 0), options_of(k));
      all += expect_same_alone(ragged<double>(k, k % 2 == 0), options_of(k));
    }
    return all;
  });
  std::printf("[count] instances that CUDA reduces, in batches and alone, bit for bit: %lld\n",
              static_cast<long long>(compared));
}

TEST(CudaReduction, KernelsGiveTheBitsOfTheLanes) {
  const EmulatedGpuScope scope;
  for (const std::size_t k : {2u, 3u}) {
    const TestBatch<float> p = ragged<float>(k, k % 2 == 0, 12);
    const auto run = [&] { return solve(p.view(), options_of(k, 3)); };
    EXPECT_EQ(difference(run(), on_lanes(run)), "");
  }
  EXPECT_EQ(emulated_gpu_state().misuse, "");
}

// The first `each` numbers for every instance.
void repeat(std::vector<float>& v, std::int64_t each) {
  for (std::size_t k = at(each); k < v.size(); ++k) v[k] = v[k - at(each)];
}
std::string difference_of(const VectorProblem<float>& p, const VectorProblem<float>& q) {
  for (const std::size_t k : {2u, 4u})
    for (const int threads : {1, 2}) {
      Options o = options_of(k);
      o.threads = threads;
      const auto run = [&o](const auto& r) { return on_lanes([&] { return solve(r, o); }); };
      EXPECT_THAT(run(p).plan.size_class, testing::HasSubstr("_reduced"));
      if (std::string found = difference(run(p), run(q)); !found.empty()) return found;
    }
  return "";
}

TEST(CudaReduction, TakesSharedArrays) {
  for (const std::int64_t n : {7, 66})
    for (const bool starts_too : {false, true}) {
      TestBatch<float> p = make_batch<float>({.count = 9, .n_min = n, .n_max = n, .d = d});
      repeat(p.a, n * d);
      if (starts_too) repeat(p.x0, d);
      VectorProblem<float> shared = p.view();
      shared.a = shared.a.first(at(n * d));
      if (starts_too) shared.x0 = shared.x0.first(at(d));
      EXPECT_EQ(difference_of(shared, p.view()), "") << n << ", " << starts_too;
    }
  TestBatch<float> p = ragged<float>(1, true);
  repeat(p.x0, d);
  VectorProblem<float> shared = p.view();
  shared.x0 = shared.x0.first(at(d));
  EXPECT_EQ(difference_of(shared, p.view()), "");
}

// Of some instances the start is far from the rows of A, of one A is too long for R, of another x
// is too long to come back.
TestBatch<float> with_forbidding_numbers(std::int64_t count) {
  TestBatch<float> p = uniform(count, true);
  for (const std::int64_t i : {0, 3})
    for (std::int64_t j = 0; j < p.d - p.n; ++j) {  // A does without these columns
      p.x0[at(i * p.d + j)] = 1000;
      for (std::int64_t r = 0; r < p.n; ++r) p.a[at((i * p.n + r) * p.d + j)] = 0;
    }
  for (std::int64_t j = 0; j < p.d; ++j) {
    p.a[at(4 * p.n * p.d + j)] = 3e38f;
    p.x0[at(4 * p.d + j)] = 1;
    p.x0[at(6 * p.d + j)] = 3e38f;
  }
  return p;
}
Options forbidden(TraceKind trace = TraceKind::loss) {
  Options o = options_of(0);
  o.optimizer = GradientDescent{0.1};
  o.trace = trace;
  return o;
}

TEST(CudaReduction, IsLeftWhereNumbersForbidIt) {
  const TestBatch<float> p = with_forbidding_numbers(9);
  const Result<float> r = on_lanes([&] {
    expect_same_alone(p, forbidden());
    return solve(p.view(), forbidden());
  });
  EXPECT_EQ(r.plan.chunks, 2);
  for (const std::int64_t i : {0, 3})
    for (std::int64_t j = 0; j < p.d - p.n; ++j)
      EXPECT_EQ(r.x[at(i * p.d + j)], 1000) << "no step moves it, so no rounding may";
  EXPECT_EQ(r.status[4], Status::overflow);
  for (std::int64_t j = 0; j < p.d; ++j) EXPECT_EQ(r.x[at(6 * p.d + j)], 3e38f);
}

TEST(CudaReduction, IsLeftWhereASharedAForbidsIt) {
  TestBatch<float> p = uniform(3, false);
  std::fill_n(p.a.begin(), p.d, 3e38f);
  for (std::int64_t i = 1; i < p.count; ++i)
    std::copy_n(p.a.begin(), p.n * p.d, p.a.begin() + i * p.n * p.d);
  VectorProblem<float> shared = p.view();
  shared.a = shared.a.first(at(p.n * p.d));
  for (const VectorProblem<float>& q : {p.view(), shared}) {
    const Result<float> r = on_lanes([&] { return solve(q, forbidden()); });
    EXPECT_EQ(r.plan.chunks, 2);
    EXPECT_EQ(difference(r, on_lanes([&] { return solve(p.view(), forbidden()); })), "");
  }
}

TEST(CudaReduction, IsLeftWhereTheLengthOfAStartCounts) {
  const auto reduced = [](bool starts, double ridge, TraceKind trace) {
    Options o = forbidden(trace);
    o.ridge = ridge;
    const auto run = [&] { return solve(uniform(2, starts).view(), o); };
    return on_lanes(run).plan.size_class.ends_with("_reduced");
  };
  for (const bool starts : {false, true}) {
    EXPECT_TRUE(reduced(starts, 0, TraceKind::loss));
    EXPECT_EQ(reduced(starts, 0.1, TraceKind::none), !starts);
    EXPECT_EQ(reduced(starts, 0, TraceKind::bounds), !starts);
  }
}

TEST(CudaReduction, OfASequenceIsThatOfItsContexts) {
  TestBatch<float> p = uniform(4, false);
  for (const std::size_t k : {2u, 3u}) {
    Options o = options_of(k);
    o.sequence = true;
    on_lanes([&] {
      const Result<float> sequence = solve(p.view(), o);
      o.sequence = false;
      for (std::int64_t i = 0; i < p.count; ++i) {
        TestBatch<float> one = p.pick({i}, false);
        if (i > 0) one.x0.assign(sequence.x.begin() + (i - 1) * p.d, sequence.x.begin() + i * p.d);
        EXPECT_EQ(difference(solve(one.view(), o), 0, sequence, i), "") << i;
      }
      return 0;
    });
  }
}

class CudaReductionOnADevice : public OnEmulatedGpu {
 protected:
  const TestBatch<float> batch = with_forbidding_numbers(30);
  Options options(std::int64_t memory_limit = 0) const {
    Options o = forbidden();
    o.stop = {.max_steps = 2, .gradient_norm = 0, .check_every = 2};
    o.memory_limit = memory_limit;
    return o;
  }
};

TEST_F(CudaReductionOnADevice, DoesNotDependOnMemory) {
  const Result<float> whole = solve(batch.view(), options());
  const std::int64_t some = LiveSolve<float>(batch.view(), options()).plan().workspace_bytes / 2;
  gpu.peak = 0;
  const Result<float> limited = solve(batch.view(), options(some));
  EXPECT_EQ(difference(limited, whole), "");
  EXPECT_GT(limited.plan.chunks, whole.plan.chunks);
  EXPECT_GE(limited.plan.workspace_bytes, std::int64_t(gpu.peak));
  gpu.reported = std::size_t{1} << 30;
  gpu.memory = at(some);
  for (const Schedule schedule : {Schedule::late, Schedule::reversed}) {
    gpu.schedule = schedule;
    gpu.log.clear();
    const Result<float> r = solve(batch.view(), options());
    EXPECT_EQ(difference(r, whole), "");
    EXPECT_GT(r.plan.chunks, whole.plan.chunks);
    EXPECT_EQ(std::count(gpu.log.begin(), gpu.log.end(), "launch"), r.plan.chunks);
  }
}

TEST_F(CudaReductionOnADevice, SurvivesTheFailureOfAnyCall) {
  const Result<float> whole = solve(batch.view(), options());
  const int calls = gpu.calls;
  std::int64_t finished = 0;
  for (int n = 1; n <= calls; ++n) {
    gpu.calls = 0;
    gpu.fail_call = n;
    std::unique_ptr<LiveSolve<float>> live;
    try {
      live = std::make_unique<LiveSolve<float>>(batch.view(), options());
      live->run();
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::device_lost);
    }
    if (!live) continue;
    const Result<float> r = live->snapshot();
    for (std::int64_t i = 0; i < r.count; ++i) {
      const bool lost = r.status[at(i)] == Status::device_error;
      if (!lost) {
        EXPECT_EQ(difference(r, i, whole, i), "") << n;
      }
      finished += !lost;
    }
  }
  EXPECT_GT(finished, 0);
}

// What waits for its second solve when the first one is over has not been solved.
TEST_F(CudaReductionOnADevice, CanBeCancelledBeforeTheSecondSolve) {
  Options cancelled = options();
  std::atomic<bool> wanted{false};
  std::atomic<int> answers{0};
  cancelled.cancel = [&] {
    if (wanted) ++answers;
    return wanted.load();
  };
  gpu.synchronized = [&](int) {
    wanted = true;
    while (answers < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  const Result<float> r = solve(batch.view(), cancelled);
  gpu.synchronized = nullptr;
  const Result<float> whole = solve(batch.view(), options());
  for (std::int64_t i = 0; i < r.count; ++i) {
    const bool waits = i == 0 || i == 3 || i == 4 || i == 6;
    EXPECT_EQ(r.status[at(i)] == Status::not_run, waits) << i;
    if (!waits) {
      EXPECT_EQ(difference(r, i, whole, i), "") << i;
    }
  }
}

}  // namespace
}  // namespace softreg
