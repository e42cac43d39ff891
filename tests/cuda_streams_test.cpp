// Chunks on several streams of the emulated device: the same bits whatever order their work is done
// in, memory within the limit and taken once, and what a failure or an interruption in the middle
// leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "batches.hpp"
#include "kernels/on_emulated_gpu.hpp"

namespace softreg {
namespace {

constexpr Schedule schedules[] = {Schedule::late, Schedule::interleaved, Schedule::reversed,
                                  Schedule::early};

class CudaStreams : public OnEmulatedGpu {
 protected:
  // Ragged over three classes, in a dozen chunks.
  static TestBatch<float> ragged() {
    TestBatch<float> p = make_batch<float>({.count = 36, .n_min = 1, .n_max = 60, .d = 3});
    Picks picks(at(p.count));
    std::iota(picks.begin(), picks.end(), 0);
    const TestBatch<float> tall =
        make_batch<float>({.count = 4, .n_min = 270, .n_max = 320, .d = 3});
    for (std::int64_t i = 0; i < tall.count; ++i) {
      p.offsets.push_back(p.offsets.back() + tall.rows(i));
      ++p.count;
    }
    p.a.insert(p.a.end(), tall.a.begin(), tall.a.end());
    p.b.insert(p.b.end(), tall.b.begin(), tall.b.end());
    p.x0.insert(p.x0.end(), tall.x0.begin(), tall.x0.end());
    return p;
  }
  static Options options(std::int64_t memory_limit = 0) {
    Options o{.optimizer = Nesterov{},
              .stop = {.max_steps = 4, .gradient_norm = 0, .check_every = 2},
              .trace = TraceKind::loss,
              .device = Device::cuda,
              .threads = 1};
    o.memory_limit = memory_limit;
    return o;
  }
  // What is finished has the bits of the whole; returns how many that are.
  static std::int64_t expect_part(const Result<float>& r, const Result<float>& whole) {
    std::int64_t finished = 0;
    for (std::int64_t i = 0; i < r.count; ++i) {
      if (r.status[at(i)] == Status::not_run || r.status[at(i)] == Status::device_error) continue;
      EXPECT_EQ(difference(r, i, whole, i), "") << "instance " << i;
      ++finished;
    }
    return finished;
  }
  std::int64_t calls(const char* name) const {
    return std::count(gpu.log.begin(), gpu.log.end(), name);
  }
  const TestBatch<float> batch = ragged();
  const std::int64_t limit = 3 * bytes_of_longest(batch, options());
};

TEST_F(CudaStreams, DoNotChangeBitsInWhateverOrderTheyWork) {
  const Result<float> whole = solve(batch.view(), options());
  std::int64_t compared = 0;
  for (const Schedule schedule : schedules)
    for (const std::int64_t memory : {limit, limit * 2 / 3, limit / 3}) {
      gpu.schedule = schedule;
      gpu.most_in_flight = 0;
      const Result<float> r = solve(batch.view(), options(memory));
      EXPECT_EQ(difference(r, whole), "") << int(schedule) << ", " << memory;
      EXPECT_EQ(gpu.misuse, "") << int(schedule) << ", " << memory;
      EXPECT_GT(r.plan.chunks, 2 * most_streams);
      // What fits only alone is solved alone.
      EXPECT_EQ(gpu.most_in_flight, memory == limit ? 3 : memory == limit / 3 ? 1 : 2);
      compared += r.count;
    }
  std::printf("[count] instances solved on streams in various orders: %lld\n",
              static_cast<long long>(compared));
}

// Arrays that all share are copied in on one stream and read on all.
TEST_F(CudaStreams, WaitForWhatTheyShare) {
  TestBatch<float> p = make_batch<float>({.count = 12, .n_min = 30, .n_max = 30, .d = 4});
  p.a.resize(30 * 4);
  p.x0.resize(4);
  const Result<float> whole = solve(p.view(), options());
  for (const Schedule schedule : schedules) {
    gpu.schedule = schedule;
    gpu.log.clear();
    const Result<float> r = solve(p.view(), options(whole.plan.workspace_bytes - 256));
    EXPECT_EQ(difference(r, whole), "") << int(schedule);
    EXPECT_GT(r.plan.chunks, 1);
    // Once, whatever the number of chunks.
    EXPECT_EQ(calls("in"), 2 + r.plan.chunks);
  }
}

TEST_F(CudaStreams, CopyInTheNextChunkBeforeTheyWaitForTheLast) {
  const LiveSolve<float> planned(batch.view(), options(limit));
  gpu.log.clear();
  const Result<float> r = solve(batch.view(), options(limit));
  std::string order, right = "iLoiLoiLo";
  for (const std::string& call : gpu.log)
    if (call == "in" || call == "out" || call == "launch" || call == "sync")
      order += call == "launch" ? 'L' : call[0];
  for (std::int64_t k = most_streams; k < r.plan.chunks; ++k) right += "siLo";
  EXPECT_EQ(order, right + "sss");
  EXPECT_EQ(r.plan.chunks, planned.plan().chunks);
}

TEST_F(CudaStreams, TakeMemoryOnceAndNoMoreThanTheLimit) {
  const std::int64_t least = limit / 3;
  for (std::int64_t memory = least; memory < 2 * limit; memory += limit / 10) {
    gpu.log.clear();
    gpu.peak = 0;
    gpu.most_in_flight = 0;
    const Result<float> r = solve(batch.view(), options(memory));
    EXPECT_LE(std::int64_t(gpu.peak), memory);
    EXPECT_EQ(r.plan.workspace_bytes, std::int64_t(gpu.peak));
    EXPECT_EQ(calls("allocate"), gpu.most_in_flight) << r.plan.chunks << " chunks";
    EXPECT_EQ(calls("allocate_host"), gpu.most_in_flight);
    EXPECT_EQ(calls("launch"), r.plan.chunks);
  }
}

// Seen from outside while the device works: nothing is published that has not arrived.
TEST_F(CudaStreams, PublishWhatTheyHaveWaitedFor) {
  const Result<float> whole = solve(batch.view(), options());
  for (const Schedule schedule : schedules) {
    gpu.schedule = schedule;
    LiveSolve<float> live(batch.view(), options(limit));
    std::int64_t waits = 0, before = 0;
    gpu.synchronized = [&](int) {
      const std::int64_t now = expect_part(live.snapshot(), whole);
      EXPECT_EQ(now > before, waits > 0);  // the chunk before this one
      before = now;
      ++waits;
    };
    live.run();
    gpu.synchronized = nullptr;
    EXPECT_EQ(waits, live.plan().chunks);
    EXPECT_EQ(difference(live.snapshot(), whole), "");
  }
}

TEST_F(CudaStreams, ThatRunOutOfMemoryFinishWhatIsInFlight) {
  const Result<float> whole = solve(batch.view(), options());
  gpu.reported = std::size_t{1} << 30;
  for (const Schedule schedule : schedules)
    for (std::int64_t memory = limit; memory >= limit / 3; memory -= limit / 9) {
      gpu.schedule = schedule;
      gpu.memory = static_cast<std::size_t>(memory);
      gpu.log.clear();
      gpu.peak = 0;
      const std::int64_t launched = gpu.launches;
      const Result<float> r = solve(batch.view(), options(3 * limit));
      EXPECT_EQ(difference(r, whole), "") << memory;
      EXPECT_LE(std::int64_t(gpu.peak), memory);
      // No chunk is solved twice.
      EXPECT_EQ(gpu.launches - launched, r.plan.chunks) << memory;
      EXPECT_EQ(calls("launch"), r.plan.chunks) << memory;
    }
}

// A stream reserves memory for the largest of its chunks, which is not there: those before it,
// which are smaller, are solved all the same.
TEST_F(CudaStreams, ReserveNoMoreThanThereIs) {
  TestBatch<float> p;
  p.d = 2;
  p.offsets = {0};
  for (const std::int64_t n : {5, 60, 100, 5000}) {  // each of another class; two on stream 0
    const TestBatch<float> one = make_batch<float>({.n_min = n, .n_max = n, .d = 2});
    p.a.insert(p.a.end(), one.a.begin(), one.a.end());
    p.b.insert(p.b.end(), one.b.begin(), one.b.end());
    p.offsets.push_back(p.offsets.back() + n);
    ++p.count;
  }
  const Result<float> whole = solve(p.view(), options());
  const std::int64_t longest = bytes_of_longest(p, options());
  gpu.reported = std::size_t{1} << 30;
  gpu.memory = static_cast<std::size_t>(longest);
  EXPECT_EQ(difference(solve(p.view(), options()), whole), "");
  gpu.memory -= 256;
  LiveSolve<float> live(p.view(), options());
  try {
    live.run();
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::out_of_memory);
    EXPECT_THAT(e.what(), testing::StartsWith("instance 3 (5000 x 2, 4 bytes a number) needs " +
                                              std::to_string(longest)));
  }
  EXPECT_EQ(expect_part(live.snapshot(), whole), 3);
}

TEST_F(CudaStreams, NameTheChunkWhoseLaunchFails) {
  gpu.log.clear();
  const Result<float> whole = solve(batch.view(), options(limit));
  const std::vector<std::string> log = gpu.log;
  std::vector<std::string> sentences;
  for (const bool stays_lost : {false, true}) {
    int launch = 0;
    for (std::size_t n = 0; n < log.size(); ++n) {
      if (log[n] != "launch") continue;
      gpu.calls = 0;
      gpu.fail_call = int(n) + 1;
      gpu.stays_lost = stays_lost;
      LiveSolve<float> live(batch.view(), options(limit));
      try {
        live.run();
        ADD_FAILURE() << "no error";
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::device_lost);
        sentences.push_back(e.what());
      }
      // Chunks in flight are finished if the device still can, those before them in any case.
      const std::int64_t kept = expect_part(live.snapshot(), whole);
      EXPECT_EQ(kept > 0, launch >= (stays_lost ? most_streams : 1)) << launch;
      ++launch;
    }
    EXPECT_EQ(launch, whole.plan.chunks);
  }
  for (const std::string& s : sentences)
    EXPECT_THAT(s, testing::MatchesRegex("emulated GPU: .*; launching lanes[0-9]+_[0-9]+x[0-9]+ "
                                         "with [0-9]+ instances, [0-9]+ to [0-9]+"));
  EXPECT_THAT(sentences.back(), testing::EndsWith(" with 1 instances, 39 to 39"));
}

TEST_F(CudaStreams, EndWithTheChunksInFlightWhenCancelled) {
  const Result<float> whole = solve(batch.view(), options());
  Options cancelled = options(limit);
  std::atomic<bool> wanted{false};
  std::atomic<int> answers{0};
  cancelled.cancel = [&] {
    if (wanted) ++answers;
    return wanted.load();
  };
  gpu.log.clear();
  gpu.synchronized = [&](int) {
    wanted = true;
    while (answers < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  const Result<float> r = solve(batch.view(), cancelled);
  gpu.synchronized = nullptr;
  EXPECT_TRUE(r.interrupted);
  EXPECT_EQ(calls("launch"), most_streams);
  EXPECT_EQ(calls("sync"), most_streams);
  const std::int64_t kept = expect_part(r, whole);
  EXPECT_GT(kept, 0);
  EXPECT_LT(kept, r.count);
}

}  // namespace
}  // namespace softreg
