// parallel_for: every item once, slots never shared, the lowest failure wins, nesting and
// concurrent callers work. Runs under ThreadSanitizer too (preset tsan).
#include "parallel.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <stdexcept>
#include <string>

namespace softreg {
namespace {

// Plain ints on purpose: a worker that ran an item twice at the same time would be a race that
// ThreadSanitizer reports.
void expect_each_item_once(std::int64_t count, int threads) {
  std::vector<int> done(static_cast<std::size_t>(count), 0);
  std::vector<std::atomic<int>> inside(static_cast<std::size_t>(worker_slots(threads)));
  std::atomic<int> shared_slots{0}, wrong_slots{0};
  parallel_for(count, threads, [&](std::int64_t i, int slot) {
    if (slot < 0 || slot >= worker_slots(threads)) {
      ++wrong_slots;
      return;
    }
    std::atomic<int>& users = inside[static_cast<std::size_t>(slot)];
    if (users.fetch_add(1) != 0) ++shared_slots;
    ++done[static_cast<std::size_t>(i)];
    users.fetch_sub(1);
  });
  EXPECT_EQ(wrong_slots, 0);
  EXPECT_EQ(shared_slots, 0);
  EXPECT_EQ(std::count(done.begin(), done.end(), 1), count) << count << " items, " << threads;
}

TEST(Parallel, EachItemOnceOnItsOwnSlot) {
  std::int64_t items = 0;
  for (int threads : {0, 1, 2, 3, 8, 64})
    for (std::int64_t count : {0, 1, 2, 3, 15, 16, 17, 127, 1000, 20000}) {
      expect_each_item_once(count, threads);
      items += count;
    }
  std::printf("[count] parallel items: %lld\n", static_cast<long long>(items));
}

TEST(Parallel, SlotsAreAtLeastOneAndBounded) {
  EXPECT_GE(worker_slots(0), 1);
  EXPECT_EQ(worker_slots(0), core_count());
#if SOFTREG_STD_THREADS
  EXPECT_EQ(worker_slots(3), 3);
  EXPECT_EQ(worker_slots(1'000'000'000), 1024);
#else
  EXPECT_EQ(worker_slots(core_count() + 1), core_count());
#endif
}

TEST(Parallel, OneThreadRunsInOrderOnTheCaller) {
  std::vector<std::int64_t> order;
  const auto caller = std::this_thread::get_id();
  parallel_for(100, 1, [&](std::int64_t i, int slot) {
    EXPECT_EQ(slot, 0);
    EXPECT_EQ(std::this_thread::get_id(), caller);
    order.push_back(i);
  });
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Parallel, SecondThreadJoins) {
  if (core_count() < 2) GTEST_SKIP() << "this process has one core";
  // The first item waits for another worker to do the second; a serial loop would never end, so it
  // gives up after ten seconds.
  std::atomic<bool> second{false};
  bool seen = false;
  parallel_for(2, 2, [&](std::int64_t i, int) {
    if (i == 1) {
      second = true;
      return;
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!second && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    seen = second;
  });
  EXPECT_TRUE(seen);
}

TEST(Parallel, SlowItemHoldsNobody) {
  if (core_count() < 2) GTEST_SKIP() << "this process has one core";
  // Item 0 waits until all items of the other chunks are done.
  constexpr std::int64_t count = 1000;
  std::atomic<std::int64_t> done{0};
  std::int64_t beside = 0;
  parallel_for(count, 2, [&](std::int64_t i, int) {
    if (i == 0) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
      while (done < count - 16 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
      beside = done;
    }
    ++done;
  });
  EXPECT_GE(beside, count - 16);
  EXPECT_EQ(done, count);
}

TEST(Parallel, LowestFailureIsRethrown) {
  for (int threads : {1, 2, 8})
    for (int round = 0; round < 50; ++round) {
      std::vector<int> done(2000, 0);
      std::string what;
      try {
        parallel_for(2000, threads, [&](std::int64_t i, int) {
          if (i % 100 == 77) throw std::runtime_error("item " + std::to_string(i));
          done[static_cast<std::size_t>(i)] = 1;
        });
      } catch (const std::runtime_error& e) {
        what = e.what();
      }
      EXPECT_EQ(what, "item 77") << threads;
      EXPECT_EQ(std::count(done.begin(), done.begin() + 77, 1), 77) << threads;
    }
}

TEST(Parallel, UsableAfterFailure) {
  EXPECT_THROW(parallel_for(10, 2, [](std::int64_t, int) { throw 7; }), int);
  expect_each_item_once(1000, 2);
}

TEST(Parallel, Nested) {
  std::vector<int> done(40 * 50, 0);
  parallel_for(40, 2, [&](std::int64_t outer, int) {
    parallel_for(50, 2, [&](std::int64_t inner, int) {
      ++done[static_cast<std::size_t>(outer * 50 + inner)];
    });
  });
  EXPECT_EQ(std::count(done.begin(), done.end(), 1), 2000);
}

TEST(Parallel, ConcurrentCallers) {
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) callers.emplace_back([] { expect_each_item_once(5000, 2); });
  for (std::thread& t : callers) t.join();
}

#if !SOFTREG_STD_THREADS
TEST(Parallel, CancelledTaskGroupOfTheCallerLosesNothing) {
  tbb::task_group_context outer;
  tbb::parallel_for(
      0, 1, 1,
      [&](int) {
        outer.cancel_group_execution();
        expect_each_item_once(5000, 2);
      },
      tbb::simple_partitioner(), outer);
}
#endif

}  // namespace
}  // namespace softreg
