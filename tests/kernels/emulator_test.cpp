// The emulator finds what it is there to find: missing barriers, uninitialised and overrun shared
// memory, divergence, wrong masks; and it unwinds cleanly, from several threads at a time.
#include "kernels/emulator.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "kernels/fiber.hpp"
#include "simt.hpp"

namespace softreg::simt {
namespace {

constexpr Order orders[] = {Order::ascending, Order::descending, Order::shuffled};
constexpr unsigned all_lanes = 0xffffffffu;

// What emulate() throws, or "" if nothing.
template <class F>
std::string error_of(const Emulation& emulation, F kernel) {
  try {
    emulate(emulation, kernel);
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Emulator, EveryThreadOfEveryBlockRunsOnce) {
  for (const Order order : orders)
    for (const int block : {1, 5, 32, 33, 128, 1024}) {
      std::vector<int> runs(static_cast<std::size_t>(3 * block));
      emulate({3, block, 0, order, 7}, [&] {
        EXPECT_EQ(grid_size(), 3);
        ++runs[static_cast<std::size_t>(block_index() * block + thread_index())];
        sync_block();
        ++runs[static_cast<std::size_t>(block_index() * block + thread_index())];
      });
      for (const int r : runs) ASSERT_EQ(r, 2);
    }
}

TEST(Emulator, OrdersAreWhatTheySay) {
  const auto trace = [](Order order, unsigned seed) {
    std::vector<int> seen;
    emulate({1, 64, 0, order, seed}, [&] {
      seen.push_back(thread_index());
      sync_warp(all_lanes);
      seen.push_back(thread_index());
    });
    return seen;
  };
  const auto up = trace(Order::ascending, 0), down = trace(Order::descending, 0);
  for (int i = 0; i < 128; ++i) {  // one warp runs ahead of the other
    EXPECT_EQ(up[static_cast<std::size_t>(i)], i / 64 * 32 + i % 32);
    EXPECT_EQ(down[static_cast<std::size_t>(i)], 63 - (i / 64 * 32 + i % 32));
  }
  EXPECT_EQ(trace(Order::shuffled, 1), trace(Order::shuffled, 1));
  EXPECT_NE(trace(Order::shuffled, 1), trace(Order::shuffled, 2));
}

TEST(Emulator, EveryThreadOfEveryClusterRunsOnce) {
  for (const Order order : orders)
    for (const auto& shape : {std::pair{1, 64}, {2, 5}, {3, 33}, {8, 256}, {4, 512}}) {
      const int cluster = shape.first, block = shape.second, grid = 2 * cluster;
      std::vector<int> runs(static_cast<std::size_t>(grid * block));
      emulate({grid, block, 0, order, 7, cluster}, [&] {
        EXPECT_EQ(cluster_rank(), block_index() % cluster);
        for (int round = 0; round < 3; ++round) {
          ++runs[static_cast<std::size_t>(block_index() * block + thread_index())];
          if (round == 0) sync_block();
          if (round == 1) sync_cluster();
        }
      });
      for (const int r : runs) ASSERT_EQ(r, 3);
    }
}

// Thread t publishes t + 1; then everybody reads its mirror image. Without the barrier some order
// reads before the write.
std::vector<float> mirror(Order order, int block, bool barrier) {
  std::vector<float> out(static_cast<std::size_t>(block));
  emulate({1, block, sizeof(float) * static_cast<std::size_t>(block), order, 3}, [&] {
    float* s = static_cast<float*>(dynamic_shared());
    const int t = thread_index();
    s[t] = static_cast<float>(t + 1);
    if (barrier) sync_block();
    out[static_cast<std::size_t>(t)] = s[block - 1 - t];
  });
  return out;
}
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Emulator, MissingBarrierShowsAsDifferentBits) {
  for (const int block : {2, 32, 128}) {
    std::vector<float> expected;
    for (int t = 0; t < block; ++t) expected.push_back(static_cast<float>(block - t));
    for (const Order order : orders) EXPECT_TRUE(same_bits(mirror(order, block, true), expected));
    EXPECT_FALSE(
        same_bits(mirror(Order::ascending, block, false), mirror(Order::descending, block, false)));
  }
}

// A value that is overwritten too early: the reader's warp has not read it yet. Warps must be able
// to overtake each other by a whole warp collective for this to show.
TEST(Emulator, OvertakingWarpShowsAsDifferentBits) {
  const auto run = [](Order order, bool barrier) {
    std::vector<float> out(64);
    emulate({1, 64, sizeof(float), order, 5}, [&] {
      float* s = static_cast<float*>(dynamic_shared());
      if (thread_index() == 0) *s = 1;
      sync_block();
      out[static_cast<std::size_t>(thread_index())] = shuffle_xor(*s, 1, all_lanes);
      if (barrier) sync_block();
      if (thread_index() == 0) *s = 2;
    });
    return out;
  };
  EXPECT_TRUE(same_bits(run(Order::ascending, true), run(Order::descending, true)));
  EXPECT_FALSE(same_bits(run(Order::ascending, false), run(Order::descending, false)));
}

// The first thread of each block of the cluster writes its rank to all; then everybody reads what
// the others have written.
enum class Without { nothing, barrier, begin, end };
std::vector<float> gathered(Order order, int cluster, int block, Without without) {
  std::vector<float> out(static_cast<std::size_t>(2 * cluster * block));
  emulate(
      {2 * cluster, block, sizeof(float) * static_cast<std::size_t>(cluster), order, 5, cluster},
      [&] {
        float* s = static_cast<float*>(dynamic_shared());
        if (without != Without::begin) sync_cluster();
        if (without == Without::end && cluster_rank() == 1) return;
        if (thread_index() == 0)
          for (int b = 0; b < cluster; ++b)
            *in_block(s + cluster_rank(), b) = static_cast<float>(cluster_rank());
        if (without == Without::barrier)
          sync_block();
        else
          sync_cluster();
        for (int b = 0; b < cluster; ++b)
          out[static_cast<std::size_t>(block_index() * block + thread_index())] += s[b];
        sync_cluster();  // here only for those who come too early
      });
  return out;
}

TEST(Emulator, BlocksOfAClusterWriteToEachOther) {
  for (const Order order : orders)
    for (const auto& [cluster, block] : {std::pair{1, 32}, {2, 40}, {8, 64}})
      for (const float sum : gathered(order, cluster, block, Without::nothing))
        ASSERT_EQ(sum, static_cast<float>(cluster * (cluster - 1) / 2));
}

TEST(Emulator, MissingClusterBarrierShowsAsDifferentBits) {
  for (const int block : {1, 64})
    EXPECT_FALSE(same_bits(gathered(Order::ascending, 4, block, Without::barrier),
                           gathered(Order::ascending, 4, block, Without::nothing)));
}

TEST(Emulator, BlocksOfAClusterMeetBeforeAndAfterTheyWriteToEachOther) {
  const auto error = [](Without without, Order order) {
    try {
      gathered(order, 4, 64, without);
    } catch (const std::runtime_error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(error(Without::begin, Order::ascending),
            "block 0 asks for shared memory of block 0 of its cluster, which may not have begun");
  EXPECT_EQ(error(Without::begin, Order::descending),
            "block 7 asks for shared memory of block 4 of its cluster, which may not have begun");
  EXPECT_EQ(error(Without::end, Order::ascending),
            "block 2 asks for shared memory of block 1 of its cluster, which has returned");
  EXPECT_EQ(error(Without::end, Order::descending),
            "block 4 asks for shared memory of block 5 of its cluster, which has returned");
}

// Where a pointer outlives the block that it leads to.
TEST(Emulator, MemoryOfABlockThatHasReturnedIsGone) {
  const auto run = [](bool writes) {
    float read = 0;
    const std::string error = error_of({2, 1, 4, Order::ascending, 0, 2}, [&] {
      *static_cast<float*>(dynamic_shared()) = 1;
      sync_cluster();
      float* const other = in_block(static_cast<float*>(dynamic_shared()), 1 - cluster_rank());
      sync_cluster();
      if (cluster_rank() == 0) return;
      if (writes)
        *other = 2;
      else
        read = *other;
    });
    return std::pair{error, read};
  };
  EXPECT_EQ(run(true).first, "shared memory of block 0 was written after it had returned");
  EXPECT_EQ(run(false).first, "");
  EXPECT_TRUE(std::isnan(run(false).second));
}

TEST(Emulator, WrongPlacesInAClusterAreFound) {
  const auto asks = [](int rank, std::ptrdiff_t offset) {
    return error_of({2, 1, 100, Order::ascending, 0, 2}, [=] {
      sync_cluster();
      in_block(static_cast<unsigned char*>(dynamic_shared()) + offset, rank);
      sync_cluster();
    });
  };
  EXPECT_EQ(asks(1, 99), "");
  EXPECT_TRUE(has(asks(2, 0), "which has none of this number"));
  EXPECT_TRUE(has(asks(-1, 0), "which has none of this number"));
  EXPECT_TRUE(has(asks(1, 101), "by a place outside of its own"));
  EXPECT_TRUE(has(asks(1, -1), "by a place outside of its own"));
}

TEST(Emulator, SharedMemoryStartsAsNaNInEveryBlock) {
  int nans = 0;
  emulate({4, 32, 32 * sizeof(double)}, [&] {
    double& d = static_cast<double*>(dynamic_shared())[thread_index()];
    float f;
    std::memcpy(&f, &d, sizeof f);
    nans += std::isnan(d) + std::isnan(f);
    d = 1;
  });
  EXPECT_EQ(nans, 4 * 32 * 2);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>([] {
              void* p = nullptr;
              emulate({1, 1, 8}, [&] { p = dynamic_shared(); });
              return p;
            }()) %
                16,
            0u);
}

__attribute__((no_sanitize("address"))) void poke(unsigned char* p) { *p = 1; }

TEST(Emulator, WritesBesideSharedMemoryAreFound) {
  const auto at = [](std::ptrdiff_t offset, std::size_t bytes) {
    return error_of({3, 32, bytes}, [=] {
      if (block_index() == 1 && thread_index() == 9)
        poke(static_cast<unsigned char*>(dynamic_shared()) + offset);
    });
  };
  EXPECT_EQ(at(99, 100), "");
  EXPECT_EQ(at(100, 100), "block 1 wrote at byte 0 past its 100 bytes of shared memory");
  EXPECT_EQ(at(107, 100), "block 1 wrote at byte 7 past its 100 bytes of shared memory");
  EXPECT_EQ(at(-1, 100), "block 1 wrote 1 bytes before its 100 bytes of shared memory");
  EXPECT_EQ(at(0, 0), "block 1 wrote at byte 0 past its 0 bytes of shared memory");
}

TEST(EmulatorDeathTest, AddressSanitizerSeesAnOverrunAtOnce) {
  if (!address_sanitizer) GTEST_SKIP() << "built without AddressSanitizer";
  EXPECT_DEATH(emulate({1, 32, 32 * sizeof(float)},
                       [] { static_cast<volatile float*>(dynamic_shared())[32] = 1; }),
               "use-after-poison");
}

TEST(Emulator, DivergentBarriersSayWhoWaitsWhere) {
  for (const Order order : orders) {
    const std::string returned = error_of({2, 64, 0, order}, [] {
      if (block_index() == 0 || thread_index() != 40) sync_block();
    });
    EXPECT_EQ(returned,
              "divergent barrier in block 1 of 64 threads: threads 0 to 39 wait at "
              "sync_block(), threads 40 to 40 have returned, threads 41 to 63 wait at "
              "sync_block()");
    const std::string mixed = error_of({1, 32, 0, order}, [] {
      if (thread_index() < 16)
        sync_block();
      else
        sync_warp(all_lanes);
    });
    EXPECT_EQ(mixed,
              "divergent barrier in block 0 of 32 threads: threads 0 to 15 wait at "
              "sync_block(), threads 16 to 31 wait at sync_warp(0xffffffff)");
    const std::string cluster = error_of({4, 2, 0, order, 0, 2}, [] {
      if (block_index() != 3 || thread_index() != 0) sync_cluster();
    });
    EXPECT_EQ(cluster,
              "divergent barrier in block 2 of 2 threads: threads 0 to 1 wait at sync_cluster(); "
              "divergent barrier in block 3 of 2 threads: threads 0 to 0 have returned, "
              "threads 1 to 1 wait at sync_cluster()");
    // The block is shorter than the mask: lanes 16 to 31 do not exist.
    EXPECT_TRUE(has(error_of({1, 16, 0, order}, [] { sync_warp(all_lanes); }), "of 16 threads"));
  }
}

TEST(Emulator, LanesMustAgreeAboutACollective) {
  for (const Order order : orders) {
    const auto fails = [&](auto kernel) {
      return has(error_of({1, 32, 0, order}, kernel), "divergent barrier");
    };
    EXPECT_FALSE(fails([] { sync_warp(all_lanes); }));
    EXPECT_TRUE(fails([] { sync_warp(thread_index() == 3 ? 0xffffu : all_lanes); }));
    EXPECT_TRUE(fails([] {
      if (thread_index() == 3)
        sync_warp(all_lanes);
      else
        shuffle_xor(1, 1, all_lanes);
    }));
    EXPECT_TRUE(fails([] {
      if (thread_index() % 2 == 0)
        shuffle_xor(1.0f, 2, all_lanes);
      else
        shuffle_xor(1.0, 2, all_lanes);
    }));
  }
}

TEST(Emulator, AMaskHoldsItsOwnLaneAndTheOneItReads) {
  EXPECT_EQ(error_of({1, 32, 0}, [] { sync_warp(0xfffffffeu); }),
            "block 0: lane 0 takes part in a collective of thread 0 but is not in its member mask "
            "0xfffffffe");
  EXPECT_EQ(error_of({1, 32, 0}, [] { shuffle_xor(1, 8, 0xffu << (thread_index() & 24)); }),
            "block 0: lane 8 takes part in a collective of thread 0 but is not in its member mask "
            "0xff");
}

TEST(Emulator, ShufflesMoveFourAndEightBytes) {
  struct Pair {
    int a, b;
  };
  for (const Order order : orders)
    emulate({1, 64, 0, order, 11}, [] {
      const int t = thread_index();
      for (const int mask : {1, 2, 4, 8, 16, 31, 0}) {
        ASSERT_EQ(shuffle_xor(t, mask, all_lanes), t ^ mask);
        ASSERT_EQ(shuffle_xor(-0.5f * static_cast<float>(t), mask, all_lanes),
                  -0.5f * static_cast<float>(t ^ mask));
        ASSERT_EQ(shuffle_xor(1e300 * t, mask, all_lanes), 1e300 * (t ^ mask));
        const Pair p = shuffle_xor(Pair{t, ~t}, mask, all_lanes);
        ASSERT_TRUE(p.a == (t ^ mask) && p.b == ~(t ^ mask));
      }
    });
}

// Four groups of eight lanes take part in different numbers of collectives; two leave early.
TEST(Emulator, GroupsOfAWarpGoTheirOwnWays) {
  for (const Order order : orders) {
    std::vector<int> sums(64);
    emulate({1, 64, 0, order, 13}, [&] {
      const int t = thread_index(), group = t / 8;
      const unsigned mask = 0xffu << (t & 24);
      for (int round = 0; round < group; ++round) {
        int sum = t * (round + 1);
        for (int o = 4; o > 0; o /= 2) sum += shuffle_xor(sum, o, mask);
        sums[static_cast<std::size_t>(t)] += sum;
        sync_warp(mask);
      }
    });
    for (int t = 0; t < 64; ++t) {
      const int group = t / 8, eight = 64 * group + 28, rounds = group * (group + 1) / 2;
      ASSERT_EQ(sums[static_cast<std::size_t>(t)], eight * rounds);
    }
  }
}

// Masks change from one shuffle to the next: a value must not be replaced before it is read.
TEST(Emulator, OverlappingMasksKeepTheirValues) {
  for (const Order order : orders)
    for (unsigned seed = 0; seed < 20; ++seed)
      emulate({1, 4, 0, order, seed}, [] {
        const int t = thread_index();
        for (int round = 0; round < 4; ++round) {
          const int value = 10 * round + t;
          ASSERT_EQ(shuffle_xor(value, 1, 3u << (t & 2)), 10 * round + (t ^ 1));
          ASSERT_EQ(shuffle_xor(-value, 2, 5u << (t & 1)), -(10 * round + (t ^ 2)));
          ASSERT_EQ(shuffle_xor(value, 3, 15u), 10 * round + (t ^ 3));
        }
      });
}

// Every thread holds a resource; after an exception all of them must be gone, and the machine
// usable.
TEST(Emulator, ExceptionsUnwindEveryThread) {
  for (const Order order : orders)
    for (const int culprit : {0, 17, 95}) {
      const auto held = std::make_shared<int>(1);
      const auto kernel = [&] {
        const auto mine = held;
        const std::vector<int> memory(100, thread_index());
        sync_block();
        if (thread_index() == culprit) throw std::domain_error("thread " + std::to_string(culprit));
        for (int i = 0; i < 3; ++i) sync_warp(all_lanes);
        sync_block();
      };
      try {
        emulate({2, 96, 64, order, 1}, kernel);
        FAIL() << "no exception";
      } catch (const std::domain_error& e) {
        EXPECT_EQ(e.what(), "thread " + std::to_string(culprit));
      }
      EXPECT_EQ(held.use_count(), 1);
      EXPECT_TRUE(has(error_of({1, 96, 0, order},
                               [&] {
                                 const auto mine = held;
                                 if (thread_index() != culprit) sync_block();
                               }),
                      "divergent"));
      EXPECT_EQ(held.use_count(), 1);
      EXPECT_EQ(mirror(order, 96, true)[0], 96.0f);
    }
}

TEST(Emulator, WrongCallsAreRefused) {
  EXPECT_THROW(emulate({0, 32, 0}, [] {}), std::invalid_argument);
  EXPECT_THROW(emulate({1, 0, 0}, [] {}), std::invalid_argument);
  EXPECT_THROW(emulate({1, 1025, 0}, [] {}), std::invalid_argument);
  const auto clusters = [](int grid, int block, int cluster) {
    emulate({grid, block, 0, Order::ascending, 0, cluster}, [] {});
  };
  EXPECT_THROW(clusters(8, 32, 0), std::invalid_argument);
  EXPECT_THROW(clusters(9, 32, 9), std::invalid_argument);
  EXPECT_THROW(clusters(6, 32, 4), std::invalid_argument);
  EXPECT_THROW(clusters(8, 257, 8), std::invalid_argument);
  EXPECT_THROW(emulate({1, 1, 0}, [] { emulate({1, 1, 0}, [] {}); }), std::logic_error);
  EXPECT_THROW(thread_index(), std::logic_error);
  EXPECT_THROW(sync_block(), std::logic_error);
  EXPECT_THROW(sync_cluster(), std::logic_error);
}

TEST(Emulator, ThreadsEmulateAtTheSameTime) {
  std::atomic<int> wrong = 0, runs = 0;
  std::vector<std::thread> hosts;
  for (int h = 0; h < 4; ++h)
    hosts.emplace_back([&, h] {
      for (int i = 0; i < 25; ++i) {
        const int block = 32 << h % 3;
        const Order order = orders[(h + i) % 3];
        if (mirror(order, block, true)[0] != static_cast<float>(block)) ++wrong;
        if (error_of({1, block, 0, order}, [] {
              if (thread_index() == 0) sync_block();
            }).empty() != (block == 1))
          ++wrong;
        ++runs;
      }
    });
  for (std::thread& host : hosts) host.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(runs, 100);
}

// What a thread reads of its own place before it waits for a copy, after it, and after a second
// copy to the same place has begun that nobody has waited for yet.
std::vector<float> copied(Order order) {
  const float from[2] = {1, 2};
  std::vector<float> seen;
  emulate({1, 1, 16, order, 3}, [&] {
    float* const s = static_cast<float*>(dynamic_shared());
    *s = 0;
    copy_async<4>(s, from, true);
    commit_copies();
    seen.push_back(*s);
    wait_copies<0>();
    seen.push_back(*s);
    copy_async<4>(s, from + 1, true);
    commit_copies();
    copy_async<4>(s + 1, from, false);
    commit_copies();
    wait_copies<1>();
    seen.push_back(*s);
    seen.push_back(s[1]);
    wait_copies<0>();
    seen.push_back(s[1]);
  });
  return seen;
}
TEST(Emulator, CopiesArriveBetweenTheirBeginningAndTheWait) {
  const std::vector<float> late = copied(Order::ascending), early = copied(Order::descending);
  EXPECT_EQ(late[0], 0);
  EXPECT_EQ(early[0], 1);
  EXPECT_TRUE(std::isnan(late[3]));  // of the group that was not waited for
  EXPECT_EQ(early[3], 0);
  for (const std::vector<float>& seen : {late, early, copied(Order::shuffled)}) {
    EXPECT_EQ(seen[1], 1);
    EXPECT_EQ(seen[2], 2);
    EXPECT_EQ(seen[4], 0);
  }
}

TEST(Emulator, CopiesAreRefusedWhereADeviceWouldFail) {
  alignas(16) const float from[8] = {};
  const auto says = [&](auto kernel, const std::string& what) {
    try {
      emulate({1, 1, 32, Order::ascending}, kernel);
      ADD_FAILURE() << "no error: " << what;
    } catch (const std::runtime_error& e) {
      EXPECT_NE(std::string(e.what()).find(what), std::string::npos) << e.what();
    }
  };
  const auto shared = [] { return static_cast<float*>(dynamic_shared()); };
  says([&] { copy_async<16>(shared() + 6, from, true); }, "outside of its shared memory");
  says([&] { copy_async<16>(shared() + 1, from, true); }, "not aligned");
  says([&] { copy_async<8>(shared(), from + 1, true); }, "not aligned");
  says(
      [&] {
        copy_async<4>(shared(), from, true);
        commit_copies();
      },
      "thread 0 of block 0 returned while copies were on their way");
  // Of a group that was never committed nothing is waited for.
  says(
      [&] {
        copy_async<4>(shared(), from, true);
        wait_copies<0>();
      },
      "returned while copies were on their way");
}

TEST(Emulator, DeepStacksFit) {
  emulate({1, 64, 0}, [] {
    volatile char frame[150 * 1024];  // of 256 KB
    frame[0] = static_cast<char>(thread_index());
    frame[sizeof frame - 1] = static_cast<char>(thread_index());
    sync_block();
    ASSERT_EQ(frame[0], static_cast<char>(thread_index()));
    ASSERT_EQ(frame[sizeof frame - 1], static_cast<char>(thread_index()));
  });
}

TEST(Emulator, ReportsItsCost) {
  constexpr int steps = 2000;
  for (const Order order : orders) {
    const auto start = std::chrono::steady_clock::now();
    emulate({1, 32, 0, order, 1}, [] {
      float v = static_cast<float>(thread_index());
      for (int i = 0; i < steps; ++i) v = 0.5f * (v + shuffle_xor(v, 1 << i % 5, all_lanes));
      ASSERT_EQ(v, 15.5f);
    });
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
    std::printf("emulated butterfly step of 32 lanes: %.0f ns (order %d)\n", time.count() / steps,
                static_cast<int>(order));
  }
}

}  // namespace
}  // namespace softreg::simt
