// Interruption at any time: whatever moment a solve is cancelled at, finished instances have the
// bits of an undisturbed solve and the rest is as if it had never started. Snapshots taken
// meanwhile from other threads say the same.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "batches.hpp"
#include "kernels/emulated_gpu.hpp"
#include "solve.hpp"

namespace softreg {
namespace {

using Clock = std::chrono::steady_clock;

// Empty, or what is wrong with a partial result beside the whole one.
template <class T>
std::string partial(const Result<T>& got, const Result<T>& whole, const TestBatch<T>& p) {
  bool missing = false;
  for (std::int64_t i = 0; i < got.count; ++i) {
    if (got.status[at(i)] != Status::not_run) {
      if (const std::string d = difference(got, i, whole, i); !d.empty())
        return "instance " + std::to_string(i) + ": " + d;
      continue;
    }
    missing = true;
    if (got.steps[at(i)] != 0 || !std::isnan(got.loss[at(i)]) ||
        !std::isnan(got.objective[at(i)]) || !std::isnan(got.gradient_norm[at(i)]))
      return "instance " + std::to_string(i) + " was not run but has results";
    for (std::int64_t j = 0; j < p.d; ++j)
      if (!same(got.x[at(i * p.d + j)], p.x0[at(i * p.d + j)])) return "x is not x0";
  }
  return missing == got.interrupted ? "" : "interrupted is wrong";
}

template <class T>
std::int64_t finished(const Result<T>& r) {
  return r.count - std::count(r.status.begin(), r.status.end(), Status::not_run);
}

Options busy(Device device) {
  return {
      .optimizer = Nesterov{},
      // The CPU's packs would be done before anybody asked.
      .stop = {.max_steps = device == Device::cpu && !sanitized ? 4'000 : 400, .gradient_norm = 0},
      .trace = TraceKind::loss,
      .device = device,
      .threads = 2};
}

template <class T>
void interrupt_at_random(Device device, int times, const BatchRecipe& recipe,
                         const std::string& size_class = "") {  // how it begins
  const TestBatch<T> p = make_batch<T>(recipe);
  Options options = busy(device);
  const Clock::time_point start = Clock::now();
  const Result<T> whole = solve(p.view(), options);
  const std::chrono::duration<double> all = Clock::now() - start;
  EXPECT_FALSE(whole.interrupted);
  EXPECT_EQ(whole.plan.size_class.substr(0, size_class.size()), size_class);
  Rng rng(7);
  int interrupted = 0;
  std::int64_t kept = 0;
  for (int k = 0; k < times; ++k) {
    const double wait = uniform(rng) * 1.2 * all.count();
    const Clock::time_point begun = Clock::now();
    const auto due = [=] {
      return std::chrono::duration<double>(Clock::now() - begun).count() > wait;
    };
    options.cancel = nullptr;
    options.time_limit = 0;
    if (k % 2)
      options.cancel = due;
    else
      options.time_limit = std::max(wait, 1e-9);
    const Result<T> got = solve(p.view(), options);
    EXPECT_EQ(partial(got, whole, p), "") << "after " << wait << " s";
    interrupted += got.interrupted;
    kept += finished(got);
  }
  std::printf("[count] interruptions: %d of %d solves, %lld instances kept\n", interrupted, times,
              static_cast<long long>(kept));
  EXPECT_GT(interrupted, 0);
}

TEST(Interrupt, CpuAtRandomTimes) {
  interrupt_at_random<float>(Device::cpu, sanitized ? 10 : 30, {sanitized ? 100 : 500, 30, 30, 6});
}
TEST(Interrupt, RaggedPacksAtRandomTimes) {
  interrupt_at_random<float>(Device::cpu, sanitized ? 10 : 30, {sanitized ? 100 : 500, 20, 40, 6},
                             "packs1");
}
TEST(Interrupt, ReducedPacksAtRandomTimes) {
  interrupt_at_random<float>(Device::cpu, sanitized ? 10 : 30, {sanitized ? 100 : 500, 8, 8, 40},
                             "packs1_reduced");
}
TEST(Interrupt, ReferenceAtRandomTimes) {
  interrupt_at_random<double>(Device::reference, sanitized ? 6 : 20,
                              {sanitized ? 40 : 100, 30, 30, 6});
}

TEST(Interrupt, SnapshotsDuringARun) {
  const TestBatch<double> p = make_batch<double>({sanitized ? 100 : 400, 30, 30, 6});
  const Options options = busy(Device::cpu);
  const Result<double> whole = solve(p.view(), options);
  LiveSolve<double> live(p.view(), options);
  EXPECT_EQ(partial(live.snapshot(), whole, p), "") << "before run()";
  std::atomic<bool> done = false;
  std::vector<std::thread> readers;
  std::atomic<int> snapshots = 0;
  for (int k = 0; k < 2; ++k)
    readers.emplace_back([&] {
      std::int64_t before = 0;
      do {
        const Result<double> now = live.snapshot();
        EXPECT_EQ(partial(now, whole, p), "");
        EXPECT_GE(finished(now), before);
        before = finished(now);
        ++snapshots;
      } while (!done);
    });
  live.run();
  done = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(difference(live.snapshot(), whole), "");
  std::printf("[count] snapshots of a running solve: %d\n", snapshots.load());
}

TEST(Interrupt, RunsAtOnceKeepTheirOwnFlags) {
  const TestBatch<float> p = make_batch<float>({200, 30, 30, 6});
  Options forever = busy(Device::cpu);
  forever.trace = TraceKind::none;
  forever.stop.max_steps = std::numeric_limits<int>::max();
  std::atomic<bool> stop = false;
  forever.cancel = [&] { return stop.load(); };
  Result<float> cancelled;
  std::thread other([&] { cancelled = solve(p.view(), forever); });
  const Result<float> r = solve(p.view(), busy(Device::cpu));
  stop = true;
  other.join();
  EXPECT_EQ(finished(r), 200);
  EXPECT_EQ(finished(cancelled), 0);
  EXPECT_TRUE(cancelled.interrupted);
}

// A sequence's beginning has the bits of the whole, the rest has not run and keeps the last x.
TEST(Interrupt, ASequenceBetweenContexts) {
  const EmulatedGpuScope scope;
  TestBatch<double> p = make_batch<double>({100, 30, 30, 6});
  p.x0.resize(6);
  p.b[at(30 * 99)] = quiet_nan<double>();
  for (const Device device : {Device::reference, Device::cpu, Device::cuda}) {
    const int steps = device == Device::cuda ? 20 : sanitized ? 2'000 : 10'000;
    Options options{
        .stop = {.max_steps = steps, .gradient_norm = 0}, .sequence = true, .device = device};
    const Result<double> whole = solve(p.view(), options);
    const auto ran_of = [](const Result<double>& r) {
      return std::find(r.status.begin(), r.status.end(), Status::not_run) - r.status.begin();
    };
    const LiveSolve<double>* running = nullptr;
    options.cancel = [&] { return ran_of(running->snapshot()) >= 3; };
    LiveSolve<double> live(p.view(), options);
    running = &live;
    live.run();
    const Result<double> r = live.snapshot();
    const std::int64_t ran = ran_of(r);
    EXPECT_TRUE(r.interrupted);
    EXPECT_GE(ran, 3);
    EXPECT_LT(ran, 99);
    for (std::int64_t i = 0; i < ran; ++i) EXPECT_EQ(difference(r, i, whole, i), "");
    for (std::int64_t i = ran; i < r.count; ++i) {
      EXPECT_EQ(r.status[at(i)], Status::not_run);
      EXPECT_TRUE(std::equal(r.x.begin() + i * 6, r.x.begin() + i * 6 + 6,
                             whole.x.begin() + (ran - 1) * 6));
    }
  }
}

// Chunks are the grain on CUDA: what was fetched before the flag is kept, the rest has not run.
TEST(Interrupt, EmulatedCudaBetweenChunks) {
  const EmulatedGpuScope scope;
  const TestBatch<float> p = make_batch<float>({12, 30, 30, 4});
  Options options{.stop = {.max_steps = 4000, .gradient_norm = 0}, .device = Device::cuda};
  const Result<float> whole = solve(p.view(), options);
  const TestBatch<float> one = p.pick({0}, false);
  options.memory_limit = LiveSolve<float>(one.view(), options).plan().workspace_bytes;
  const LiveSolve<float>* running = nullptr;
  options.cancel = [&running] { return finished(running->snapshot()) > 0; };
  LiveSolve<float> live(p.view(), options);
  running = &live;
  EXPECT_EQ(live.plan().chunks, 12);
  live.run();
  const Result<float> got = live.snapshot();
  EXPECT_EQ(partial(got, whole, p), "");
  EXPECT_GT(finished(got), 0);
  EXPECT_LT(finished(got), 12);
}

}  // namespace
}  // namespace softreg
