// The plan: which class an instance belongs to at every boundary, chunks that cover every instance
// exactly once and fit in memory, sizes beyond 2^31 and 2^33, ten million instances.
#include "plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "cpu_lanes.hpp"
#include "sanitized.hpp"
#include "softreg/error.hpp"
#include "solve_kernel.hpp"

namespace softreg {
namespace {

constexpr std::int64_t GB = 1000 * 1000 * 1000;
constexpr DeviceInfo h100{132, 2048, 80 * GB, 15}, h200{132, 2048, 141 * GB, 15};

std::string_view class_of(std::int64_t rows, std::int64_t parameters, int value_bytes) {
  return policies[choose_policy({rows, parameters, value_bytes})].name;
}

// The table restated: the first class that holds (rows, parameters) numbers of value_bytes.
std::string_view restated(std::int64_t rows, std::int64_t parameters, int value_bytes,
                          bool clusters = true, bool side_by_side = false) {
  const auto within = [=](std::int64_t r, std::int64_t p) { return rows <= r && parameters <= p; };
  const auto in_cluster = [=](std::int64_t r, std::int64_t p) {  // with more than 256 KB of A
    return clusters && within(r, p) && rows * parameters > (256 << 10) / value_bytes;
  };
  constexpr std::int64_t any = std::int64_t{1} << 30;
  if (value_bytes == 4) {
    if (within(16, 4)) return "lanes1_16x4";
    if (within(32, 8)) return "lanes2_32x8";
    if (within(64, 16)) return "lanes8_64x16";
    if (within(128, 32)) return "lanes32_128x32";
    if (within(256, 16)) return "lanes32_256x16";
    if (within(256, 64)) return "lanes128_256x64";
    if (within(512, 32)) return "lanes128_512x32";
    if (within(1024, 64)) return "lanes256_1024x64";
    if (in_cluster(4096, 128)) return "lanes2048_4096x128";
    if (in_cluster(any, 16)) return "stream2048_x16";
    if (in_cluster(any, 128)) return "stream2048_x128";
  } else {
    if (within(16, 4)) return "lanes2_16x4";
    if (within(32, 8)) return "lanes8_32x8";
    if (within(64, 16)) return "lanes16_64x16";
    if (within(128, 32)) return "lanes64_128x32";
    if (within(256, 8)) return "lanes64_256x8";
    if (within(256, 64)) return "lanes256_256x64";
    if (in_cluster(2048, 128)) return "lanes2048_2048x128";
    if (in_cluster(any, 8)) return "stream2048_x8";
    if (in_cluster(any, 32)) return "stream2048_x32";
  }
  return side_by_side ? "block_shared" : "block_stream";
}

TEST(Policy, IsTheRestatedOneAtEveryBoundary) {
  std::int64_t choices = 0;
  for (const int bytes : {4, 8})
    for (const std::int64_t n :
         {1,   15,  16,  17,  31,   32,   33,   63,   64,   65,   127,  128,  129,  255,    256,
          257, 511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 1 << 20})
      for (const std::int64_t d :
           {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1 << 20}) {
        EXPECT_EQ(class_of(n, d, bytes), restated(n, d, bytes)) << n << " x " << d << ", " << bytes;
        EXPECT_EQ(
            policies[choose_policy(
                         {.rows = n, .parameters = d, .value_bytes = bytes, .clusters = false})]
                .name,
            restated(n, d, bytes, false));
        ++choices;
      }
  EXPECT_EQ(class_of(64, 32, 4), "lanes32_128x32");
  EXPECT_EQ(class_of(1024, 64, 8), "lanes2048_2048x128");
  EXPECT_EQ(class_of(1024, 65, 4), "lanes2048_4096x128");
  EXPECT_EQ(class_of(512, 128, 4), "block_stream");
  std::printf("[count] policies chosen: %lld\n", static_cast<long long>(choices));
}

TEST(Policy, PaddingOfTilesIsThatOfTheirLanes) {
  BatchShape s;
  s.layout.count = 1;
  s.layout.m = 5000;
  s.layout.d2 = 17;
  const std::vector<std::int64_t> runs = {0};
  const CudaPlan plan = plan_cuda(s, runs, {132, 2048, std::int64_t{1} << 40, 15});
  EXPECT_EQ(policies[plan.chunks.at(0).policy].name, "stream2048_x128");
  EXPECT_DOUBLE_EQ(plan.padding, 1 - 5000.0 * 17 / (3 * 2048.0 * 128));
}

TEST(Policy, BoundsHaveKernelsOfTheirOwn) {
  for (const int bytes : {4, 8}) {
    Shape vector{5, 2, bytes}, matrix{5, 2, bytes, 3, true, 100};
    vector.bounds = matrix.bounds = true;
    EXPECT_EQ(policies[choose_policy(vector)].name, "block_stream_bounds");
    EXPECT_EQ(policies[choose_policy(matrix)].name, "block_tiles_bounds");
    matrix.bounds = false;
    EXPECT_EQ(policies[choose_policy(matrix)].name, "block_resident");
  }
}

TEST(Policy, HoldsWhatAnIndexCanCountAndNoMore) {
  const std::int64_t most = policies[policy_count - 1].grid.rows;
  for (const KernelPolicy& p : policies) {
    EXPECT_LE(p.grid.rows, most) << p.name;
    EXPECT_LE(p.grid.rows + p.lanes(), std::int64_t{0x7fffffff}) << p.name;
    EXPECT_LE(p.grid.parameters + p.lanes(), std::int64_t{0x7fffffff}) << p.name;
  }
  EXPECT_EQ(class_of(most, 1, 4), "block_stream");
  EXPECT_EQ(class_of(1, most, 8), "block_stream");
  EXPECT_EQ(choose_policy({most + 1, 1, 4}), -1);
  EXPECT_EQ(choose_policy({1, most + 1, 8}), -1);
  EXPECT_EQ(choose_policy({std::int64_t{1} << 40, 1, 4}), -1);
  BatchShape s;
  s.layout.count = 2;
  s.layout.m = most + 1;
  s.layout.d2 = 1;
  const std::vector<std::int64_t> runs = {1};
  try {
    plan_cuda(s, runs, {132, 2048, std::int64_t{1} << 60});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_input);
    EXPECT_THAT(e.what(), testing::HasSubstr(
                              "instance 1 (2147483392 x 1, 4 bytes a number) is too large: at most "
                              "2147483391 rows"));
  }
}

// Every policy fits a multiprocessor: what the launcher and the emulator take for granted.
TEST(Policy, IsALaunchableShape) {
  for (const KernelPolicy& p : policies) {
    EXPECT_EQ(p.threads() % 32, 0) << p.name;
    EXPECT_LE(p.threads(), 1024) << p.name;
    EXPECT_EQ(p.threads() * p.cluster() % p.lanes(), 0) << p.name;
    EXPECT_TRUE(p.lanes() <= 32 || p.lanes() == p.threads() * p.cluster()) << p.name;
    EXPECT_LE(p.cluster(), 8) << p.name;  // more a device need not have
    EXPECT_LE(p.threads() * p.occupancy.blocks, 2048) << p.name;
    if (p.placement == Placement::registers) {
      EXPECT_TRUE(is_possible(p.grid)) << p.name;
      const int rows = p.grid.held_rows() - p.shared_rows;
      EXPECT_LE(rows * p.grid.held_columns() * p.value_bytes, 128 * 4) << p.name;
      EXPECT_LE(
          p.occupancy.blocks * p.groups_per_cluster() *
              (p.value_bytes == 4 ? grid_shared_bytes<float>(p) : grid_shared_bytes<double>(p)),
          max_shared_bytes)
          << p.name;
    }
    if (p.placement == Placement::one_pass) {
      EXPECT_TRUE(is_possible(p.grid)) << p.name;
      EXPECT_LE(
          p.value_bytes == 4 ? one_pass_shared_bytes<float>(p) : one_pass_shared_bytes<double>(p),
          max_shared_bytes)
          << p.name;
    }
  }
  for (int k = 0; k < policy_count; ++k)
    visit_policy(k, [k]<class P>() { EXPECT_EQ(P::policy.name, policies[k].name); });
}

std::vector<std::int64_t> first_instances(std::int64_t count) {
  std::vector<std::int64_t> runs(static_cast<std::size_t>(count));
  std::iota(runs.begin(), runs.end(), 0);
  return runs;
}

// Columns of A after a reduction, restated; 0 without one.
int restated_columns(const BatchShape& s, std::int64_t n) {
  const int d = s.layout.d2;
  if (d <= 32 || 4 * n > 3 * d || s.describes || (s.started && s.watched != Watched::nothing))
    return 0;
  const std::string_view name =
      s.watched == Watched::bounds ? "block_stream" : restated(n, n, s.value_bytes);
  const auto x = name.rfind('x');
  const int columns = name == "block_stream" ? static_cast<int>((n + 15) / 16 * 16)
                                             : std::atoi(std::string(name.substr(x + 1)).c_str());
  return columns < d ? columns : 0;
}

// What every plan owes, whatever the batch; returns nothing, fails the test or the property.
void check_plan(const CudaPlan& plan, const BatchShape& s, std::span<const std::int64_t> runs,
                const DeviceInfo& device) {
  std::vector<std::int64_t> sorted = plan.order;
  std::sort(sorted.begin(), sorted.end());
  RC_ASSERT(std::equal(sorted.begin(), sorted.end(), runs.begin(), runs.end()));
  const bool large = s.layout.m * s.layout.d2 * s.value_bytes > 256 << 10;
  const bool side_by_side =
      s.a2_shared && std::int64_t(runs.size()) >= (large ? 4 : 8) * device.multiprocessors;
  std::int64_t next = 0;
  std::size_t number = 0;
  int policy = -1;
  for (const Chunk& c : plan.chunks) {
    RC_ASSERT(c.first == next);
    RC_ASSERT(c.last > c.first);
    RC_ASSERT(c.policy >= policy);
    std::int64_t rows = 0, workspace = 0;
    for (std::int64_t k = c.first; k < c.last; ++k) {
      const std::int64_t i = plan.order[static_cast<std::size_t>(k)], n = s.layout.rows_of(i);
      // In parentheses: RapidCheck's own || would look before the first.
      RC_ASSERT((k == c.first || i > plan.order[static_cast<std::size_t>(k) - 1]));
      RC_ASSERT(c.columns == restated_columns(s, n));
      RC_ASSERT(policies[c.policy].name ==
                (s.watched == Watched::bounds
                     ? "block_stream_bounds"
                     : restated(n, c.columns > 0 ? n : s.layout.d2, s.value_bytes,
                                device.clusters > 0, side_by_side && c.last - c.first >= 16)));
      rows += n;
      Extent e = extent_of(s.layout, i);
      if (c.columns > 0) e.parameters = c.columns;
      workspace = std::max(workspace, kernel_workspace<float>(policies[c.policy], e, s.watched));
    }
    const std::int64_t columns = c.columns > 0 ? c.columns : s.layout.d2;
    RC_ASSERT(c.amount.rows == rows && c.amount.rows2 == rows);
    RC_ASSERT(c.amount.instances == c.last - c.first);
    RC_ASSERT(c.amount.blocks == c.last - c.first && c.amount.rows1 == c.last - c.first);
    RC_ASSERT(c.workspace_values == workspace);
    const KernelPolicy& p = policies[c.policy];
    RC_ASSERT(c.blocks >= 1);
    RC_ASSERT(c.blocks % p.cluster() == 0);
    const std::int64_t groups = std::int64_t(c.blocks) / p.cluster() * p.instances_per_cluster();
    RC_ASSERT(groups - p.instances_per_cluster() < c.last - c.first);
    RC_ASSERT(c.groups == std::min(groups, c.last - c.first));
    RC_ASSERT(c.blocks <= (p.cluster() > 1 ? device.clusters * p.cluster()
                                           : device.multiprocessors * p.occupancy.blocks));
    RC_ASSERT(c.staged_bytes <= c.bytes && c.staged_bytes % 256 == 0);
    // Never less than the bare numbers.
    const std::int64_t bare = (s.a2_shared ? 0 : rows * columns) + (s.target_shared ? 0 : rows) +
                              (p.places > 1 ? groups : c.groups) * workspace +
                              (c.last - c.first) * (columns + 1 + s.trace_values);
    const std::int64_t begins = s.layout.begin2 ? 4 * (c.last - c.first + 1) * 8 : 0;
    RC_ASSERT(c.bytes >= bare * s.value_bytes + begins);
    const StreamMemory& stream = plan.streams[number % plan.streams.size()];
    RC_ASSERT(c.bytes <= stream.bytes && c.staged_bytes <= stream.staged_bytes);
    ++number;
    next = c.last;
    policy = c.policy;
  }
  RC_ASSERT(next == std::int64_t(runs.size()));
  RC_ASSERT(plan.streams.size() <= std::min<std::size_t>(plan.chunks.size(), most_streams));
  std::int64_t bytes = plan.chunks.empty() ? 0 : plan.shared_bytes;
  for (std::size_t k = 0; k < plan.streams.size(); ++k) {
    std::int64_t most = 0;
    for (std::size_t c = k; c < plan.chunks.size(); c += plan.streams.size())
      most = std::max(most, plan.chunks[c].bytes);
    RC_ASSERT(plan.streams[k].bytes == most);
    bytes += most;
  }
  RC_ASSERT(bytes == plan.bytes);
  RC_ASSERT(plan.bytes <= device.memory_bytes);
  RC_ASSERT(plan.padding >= 0 && plan.padding < 1);
}

bool same(const Amount& a, const Amount& b) {
  const auto list = [](const Amount& x) {
    const Extent& e = x.largest;
    return std::array{x.instances, x.blocks,   x.rows1,      x.rows2,    x.rows,
                      e.rows,      e.segments, e.parameters, e.attended, e.longest};
  };
  return list(a) == list(b);
}
bool same(const CudaPlan& a, const CudaPlan& b) {
  return a.order == b.order && a.bytes == b.bytes && a.padding == b.padding &&
         std::equal(a.chunks.begin(), a.chunks.end(), b.chunks.begin(), b.chunks.end(),
                    [](const Chunk& x, const Chunk& y) {
                      return x.policy == y.policy && x.first == y.first && x.last == y.last &&
                             same(x.amount, y.amount) && x.blocks == y.blocks &&
                             x.workspace_values == y.workspace_values && x.bytes == y.bytes &&
                             x.staged_bytes == y.staged_bytes;
                    });
}

// Offsets of the drawn rows live as long as the shape.
struct Drawn {
  BatchShape shape;
  std::vector<std::int64_t> offsets, runs;
  Drawn() = default;
  Drawn(const Drawn&) = delete;
  Drawn& operator=(const Drawn&) = delete;
};
void draw(Drawn& d) {
  BatchShape& s = d.shape;
  const auto flag = [] { return *rc::gen::inRange(0, 2) == 1; };
  const auto any_rows = [] {
    return *rc::gen::element<std::int64_t>(1, 2, 31, 32, 33, 64, 65, 100, 128, 129, 256, 257, 1000,
                                           3000, 70000);
  };
  s.layout.count = *rc::gen::inRange<std::int64_t>(1, 40);
  s.layout.d2 = *rc::gen::element(1, 3, 8, 9, 16, 17, 32, 33, 100, 500);
  s.value_bytes = flag() ? 4 : 8;
  s.weighted = flag();
  s.started = flag();
  s.start_shared = flag();
  s.weights_shared = flag();
  s.watched = *rc::gen::element(Watched::nothing, Watched::shifts, Watched::bounds);
  s.describes = flag();
  s.trace_values = flag() ? *rc::gen::inRange<std::int64_t>(1, 2000) : 0;
  if (flag()) {
    d.offsets = {0};
    for (std::int64_t i = 0; i < s.layout.count; ++i)
      d.offsets.push_back(d.offsets.back() + any_rows());
    s.layout.begin2 = s.layout.begin_z = d.offsets.data();
    s.weights_shared = false;  // without a common shape nothing is shared by rows
  } else {
    s.layout.m = any_rows();
    s.a2_shared = flag();
    s.target_shared = flag();
  }
  for (std::int64_t i = 0; i < s.layout.count; ++i)
    if (*rc::gen::inRange(0, 5) > 0) d.runs.push_back(i);
}

// RapidCheck reads it at its first use: enough plans, and the same ones in every run.
const int rapidcheck_parameters = setenv("RC_PARAMS", "max_success=10000 seed=20230429", 0);

TEST(CudaPlan, CoversEveryInstanceOnceWithinMemory) {
  ASSERT_EQ(rapidcheck_parameters, 0);
  std::int64_t plans = 0, refused = 0, cut = 0;
  const bool held = rc::check("10,000 plans", [&] {
    Drawn d;
    draw(d);
    const BatchShape& s = d.shape;
    const int multiprocessors = *rc::gen::element(1, 2, 132);
    const int clusters = multiprocessors / 9;
    const DeviceInfo everything{multiprocessors, 2048, std::int64_t{1} << 60, clusters};
    const CudaPlan whole = plan_cuda(s, d.runs, everything);
    check_plan(whole, s, d.runs, everything);
    const DeviceInfo device{multiprocessors, 2048,
                            std::max<std::int64_t>(1, whole.bytes / *rc::gen::inRange(1, 20)),
                            clusters};
    ++plans;
    std::int64_t largest = 0;  // instance
    for (const std::int64_t i : d.runs)
      largest = std::max(largest, plan_cuda(s, std::vector<std::int64_t>{i}, everything).bytes);
    try {
      const CudaPlan plan = plan_cuda(s, d.runs, device);
      check_plan(plan, s, d.runs, device);
      RC_ASSERT(same(plan, plan_cuda(s, d.runs, device)));
      RC_ASSERT(largest <= device.memory_bytes);
      RC_ASSERT(plan.chunks.size() >= whole.chunks.size());
      cut += plan.chunks.size() > whole.chunks.size();
      // With a little more memory, not more chunks, unless more of them are in flight.
      const DeviceInfo more{multiprocessors, 2048, device.memory_bytes + 900, clusters};
      const CudaPlan wider = plan_cuda(s, d.runs, more);
      RC_ASSERT((wider.chunks.size() <= plan.chunks.size() ||
                 wider.streams.size() > plan.streams.size()));
      // What a plan takes is enough for it.
      RC_ASSERT(same(whole, plan_cuda(s, d.runs, {multiprocessors, 2048, whole.bytes, clusters})));
    } catch (const Error& e) {
      RC_ASSERT(e.kind() == ErrorKind::out_of_memory);
      RC_ASSERT(largest > device.memory_bytes);
      const std::string text = e.what();
      RC_ASSERT(text.find(std::to_string(device.memory_bytes) + " are available") !=
                std::string::npos);
      ++refused;
    }
  });
  EXPECT_TRUE(held);
  EXPECT_GE(plans, 10000);
  EXPECT_GT(refused, 100);
  EXPECT_GT(cut, 1000);
  std::printf("[count] plans: %lld (%lld refused, %lld cut for memory)\n",
              static_cast<long long>(plans), static_cast<long long>(refused),
              static_cast<long long>(cut));
}

TEST(CudaPlan, HalvesCoverTheirChunk) {
  const bool held = rc::check("halves", [] {
    Drawn d;
    draw(d);
    const DeviceInfo device{132, 2048, std::int64_t{1} << 60};
    const CudaPlan plan = plan_cuda(d.shape, d.runs, device);
    for (const Chunk& c : plan.chunks) {
      if (c.last - c.first == 1) {
        try {
          halve(c, d.shape, plan.order, device);
          RC_FAIL("one instance was halved");
        } catch (const Error& e) {
          RC_ASSERT(e.kind() == ErrorKind::out_of_memory);
          RC_ASSERT(std::string(e.what()).find(std::to_string(plan.shared_bytes + c.bytes)) !=
                    std::string::npos);
        }
        continue;
      }
      const std::vector<Chunk> halves = halve(c, d.shape, plan.order, device);
      RC_ASSERT(halves.size() == 2u);
      RC_ASSERT(halves[0].first == c.first && halves[1].last == c.last);
      // Each half is the chunk that a plan of its instances alone has.
      std::int64_t at = c.first;
      for (const Chunk& h : halves) {
        RC_ASSERT(h.first == at);
        RC_ASSERT(h.bytes <= c.bytes);
        const std::span<const std::int64_t> part =
            std::span(plan.order)
                .subspan(static_cast<std::size_t>(h.first),
                         static_cast<std::size_t>(h.last - h.first));
        const CudaPlan alone = plan_cuda(d.shape, part, device);
        RC_ASSERT(alone.chunks.size() == 1u);
        RC_ASSERT(alone.chunks[0].bytes == h.bytes && same(alone.chunks[0].amount, h.amount));
        RC_ASSERT(alone.chunks[0].blocks == h.blocks && alone.chunks[0].policy == h.policy);
        at = h.last;
      }
      RC_ASSERT(at == c.last);
    }
  });
  EXPECT_TRUE(held);
}

CudaPlan plan_uniform(std::int64_t count, std::int64_t n, std::int64_t d, const DeviceInfo& device,
                      int value_bytes = 4) {
  BatchShape s;
  s.layout.count = count;
  s.layout.m = n;
  s.layout.d2 = static_cast<int>(d);
  s.value_bytes = value_bytes;
  return plan_cuda(s, first_instances(count), device);
}

constexpr std::int64_t MiB = 1 << 20;

TEST(CudaPlan, HasChunksThatOverlapAndFillTheDevice) {
  // A sixteenth of the batch, neither less than is worth a launch nor more than a copy needs.
  EXPECT_EQ(chunk_goal(1, 1), 32 * MiB);
  EXPECT_EQ(chunk_goal(512 * MiB, 1), 32 * MiB);
  EXPECT_EQ(chunk_goal(1024 * MiB, 1), 64 * MiB);
  EXPECT_EQ(chunk_goal(std::int64_t{1} << 40, 1), 256 * MiB);
  // More if it takes more to keep the device busy, up to what is staged at a time.
  EXPECT_EQ(chunk_goal(1024 * MiB, 100 * MiB), 100 * MiB);
  EXPECT_EQ(chunk_goal(1024 * MiB, 1024 * MiB - 1), 1024 * MiB - 1);
  EXPECT_EQ(chunk_goal(std::int64_t{1} << 40, std::int64_t{1} << 50), 1024 * MiB);

  EXPECT_EQ(plan_uniform(50'000, 16, 4, h100).chunks.size(), 1u);  // of 18 MB
  const CudaPlan small = plan_uniform(1'000'000, 16, 4, h100);     // of 380 MB
  EXPECT_EQ(small.chunks.size(), 11u);
  EXPECT_EQ(small.streams.size(), 3u);
  // Of 270 KB: a sixteenth of all is more than a third of the 132 blocks that run at once.
  EXPECT_EQ(plan_uniform(10'000, 1024, 64, h100).chunks[0].amount.instances, 624);
  // Of 10 MB: a third of 132, one for each multiprocessor.
  EXPECT_EQ(plan_uniform(10'000, 10'000, 256, h100).chunks[0].amount.instances, 43);
}

TEST(CudaPlan, OfBatchesBeyond32BitsIsCutIntoChunks) {
  const struct {
    std::int64_t count, n, d, elements;  // of A
  } batches[] = {{1 << 21, 64, 16, std::int64_t{1} << 31},
                 {(1 << 21) + 1, 64, 16, (std::int64_t{1} << 31) + 1024},
                 {1 << 22, 256, 8, std::int64_t{1} << 33},
                 {(1 << 22) + 1, 256, 8, (std::int64_t{1} << 33) + 2048}};
  for (const auto& [count, n, d, elements] : batches)
    for (const DeviceInfo& device : sanitized ? std::vector{h200} : std::vector{h100, h200}) {
      const CudaPlan plan = plan_uniform(count, n, d, device);
      const std::int64_t per_instance = (n * d + n + d + 1) * 4 + 20;  // A, b, x, step; outcome
      const std::int64_t fit = (256 * MiB - 11 * 256) / per_instance;
      EXPECT_EQ(std::int64_t(plan.chunks.size()), (count + fit - 1) / fit);
      EXPECT_EQ(plan.chunks.back().last, count);
      EXPECT_LE(plan.bytes, 3 * 256 * MiB);
      EXPECT_GT(plan.bytes, 3 * (256 * MiB - 2 * per_instance));
      std::int64_t rows = 0;
      for (const Chunk& c : plan.chunks) rows += c.amount.rows;
      EXPECT_EQ(rows * d, elements);
    }
}

TEST(CudaPlan, ReducesToACheaperClassOrToLessMemory) {
  const auto solved = [](std::int64_t n, std::int64_t d, int value_bytes) {
    const Chunk c = plan_uniform(1, n, d, h200, value_bytes).chunks[0];
    return std::string(policies[c.policy].name) + " " + std::to_string(c.columns);
  };
  EXPECT_EQ(solved(32, 128, 4), "lanes32_128x32 32");
  EXPECT_EQ(solved(32, 128, 8), "lanes64_128x32 32");
  EXPECT_EQ(solved(3, 33, 4), "lanes1_16x4 4");
  EXPECT_EQ(solved(65, 128, 4), "block_stream 80");
  EXPECT_EQ(solved(40, 64, 4), "lanes128_256x64 0");  // it would be the same
  EXPECT_EQ(solved(97, 128, 4), "block_stream 0");    // more than 3/4
  EXPECT_EQ(solved(8, 32, 4), "lanes32_128x32 0");    // of few parameters
  DeviceInfo device = h200;
  device.specialise = Specialise::always;
  const CudaPlan made = plan_uniform(1, 30, 128, device);
  EXPECT_EQ(
      made.specialised[static_cast<std::size_t>(made.chunks[0].policy)]->policy.least_parameters,
      32);
  // Decompositions take host memory while the device has their chunk: 42,256 bytes and some each.
  EXPECT_EQ(plan_uniform(10'000, 32, 128, h200).chunks[0].amount.instances, 256 * MiB / 43'280);

  BatchShape s;
  s.layout.count = 10'000;
  s.layout.m = 32;
  s.layout.d2 = 128;
  s.a2_shared = true;
  const std::vector<std::int64_t> runs = first_instances(10'000);
  EXPECT_EQ(plan_cuda(s, runs, h200).chunks.size(), 1u);  // one decomposition
  EXPECT_EQ(plan_cuda(s, runs, h200).shared_bytes, 32 * 32 * 4);
  EXPECT_EQ(plan_cuda(s, runs, h200, false).chunks[0].columns, 0);
  EXPECT_EQ(plan_cuda(s, runs, h200, false).shared_bytes, 32 * 128 * 4);
}

TEST(CudaPlan, OfOneGiantOrALargeSharedMatrixGoesBeyondAChunk) {
  // One instance of more than 2^33 numbers: 8.6e9 x 4 bytes of A.
  const CudaPlan giant = plan_uniform(1, std::int64_t{1} << 30, 9, h100);
  EXPECT_EQ(giant.chunks[0].amount.rows, std::int64_t{1} << 30);
  EXPECT_GT(giant.bytes, (std::int64_t{1} << 30) * (9 + 1 + 2) * 4);
  EXPECT_THROW(plan_uniform(1, std::int64_t{1} << 30, 9, h100, 8), Error);
  EXPECT_EQ(plan_uniform(1, std::int64_t{1} << 30, 9, h200, 8).chunks.size(), 1u);
  // 4 GB of A that a thousand targets share do not make a chunk of each.
  BatchShape s;
  s.layout.count = 1000;
  s.layout.m = 10000;
  s.layout.d2 = 100000;
  s.a2_shared = true;
  EXPECT_LE(plan_cuda(s, first_instances(1000), h100).chunks.size(), 24u);
}

TEST(CudaPlan, OfAStreamSharesItsWorkspaceAmongResidentBlocks) {
  const CudaPlan few = plan_uniform(10, 3000, 20, h200);
  EXPECT_EQ(few.chunks[0].blocks, 10);
  const CudaPlan many = plan_uniform(100000, 3000, 20, h200);
  EXPECT_EQ(many.chunks[0].blocks, 132 * BlockStream::policy.occupancy.blocks);
  const std::int64_t values = MemoryWorkspace<float>::size({3000, 1, 20, 0, 3000});
  EXPECT_EQ(many.chunks[0].workspace_values, values);
}

TEST(CudaPlan, OfClustersCountsThoseThatRunAtOnce) {
  for (const int bytes : {4, 8}) {
    const std::int64_t n = bytes == 4 ? 4096 : 2048;
    const CudaPlan few = plan_uniform(3, n, 128, h100, bytes);
    EXPECT_EQ(few.chunks[0].blocks, 3 * 8);
    EXPECT_EQ(few.chunks[0].groups, 3);
    EXPECT_EQ(few.padding, 0);
    const CudaPlan many = plan_uniform(300, n, 128, h100, bytes);
    EXPECT_EQ(many.chunks[0].blocks, 15 * 8);
    EXPECT_EQ(many.chunks[0].groups, 15);
    EXPECT_EQ(many.chunks[0].workspace_values, 0);
    EXPECT_EQ(many.occupancy, 256.0 / 2048);
    // An eighth of A, all but what is in registers.
    EXPECT_GT(many.chunks[0].shared_bytes, n * 128 * bytes / 8 / 2);
    EXPECT_LE(many.chunks[0].shared_bytes, max_shared_bytes);
    DeviceInfo without = h100;
    without.clusters = 0;
    const CudaPlan stream = plan_uniform(300, n, 128, without, bytes);
    EXPECT_EQ(policies[stream.chunks[0].policy].name, "block_stream");
  }
}

TEST(CudaPlan, OfManyWithOneLargeAMayDependOnTheirNumber) {
  BatchShape s;
  s.layout.count = 4 * 132;
  s.layout.m = 5000;
  s.layout.d2 = 100;
  s.a2_shared = true;
  const auto planned = [&s](std::int64_t count, bool batch_invariant, const char* name) {
    s.batch_invariant = batch_invariant;
    const CudaPlan plan = plan_cuda(s, first_instances(count), h100);
    EXPECT_EQ(policies[plan.chunks.at(0).policy].name, name);
    return plan;
  };
  EXPECT_TRUE(planned(528, true, "stream2048_x128").batch_invariant);
  EXPECT_TRUE(planned(527, false, "stream2048_x128").batch_invariant);
  const CudaPlan many = planned(528, false, "block_shared");
  EXPECT_FALSE(many.batch_invariant);
  EXPECT_EQ(many.chunks[0].blocks, 528 / 16);
  EXPECT_EQ(many.chunks[0].groups, 528);
  EXPECT_EQ(planned(533, false, "block_shared").chunks[0].blocks, 34);
  s.layout.d2 = 200;  // of these classes anyway
  EXPECT_TRUE(planned(528, false, "block_shared").batch_invariant);
  EXPECT_TRUE(planned(527, false, "block_stream").batch_invariant);
  s.a2_shared = false;
  EXPECT_TRUE(planned(528, false, "block_stream").batch_invariant);
  s.layout.m = 4000;
  s.layout.d2 = 100;
  s.a2_shared = true;
  EXPECT_TRUE(planned(528, false, "lanes2048_4096x128").batch_invariant);  // on chip
}

TEST(CudaPlan, OfMatricesKeepsInSharedMemoryWhatFits) {
  struct {
    std::int64_t n, d;
    int value_bytes;
    const char* name;
  } const cases[] = {{64, 16, 4, "block_resident"},  {64, 16, 8, "block_resident"},
                     {128, 16, 4, "block_resident"}, {128, 16, 8, "block_tiles"},
                     {512, 64, 4, "block_tiles"},    {8192, 128, 4, "block_tiles"}};
  for (const auto& c : cases) {
    BatchShape s;
    s.layout.count = 5;
    s.layout.matrix = true;
    s.layout.n = s.layout.m = c.n;
    s.layout.d1 = s.layout.d2 = static_cast<int>(c.d);
    s.value_bytes = c.value_bytes;
    const CudaPlan plan = plan_cuda(s, first_instances(5), h200);
    const Chunk& chunk = plan.chunks[0];
    EXPECT_EQ(policies[chunk.policy].name, c.name) << c.n << " x " << c.d;
    EXPECT_LE(chunk.shared_bytes, max_shared_bytes);
    // A tile of Z and u is among it, and B if the instance is resident.
    const bool resident = policies[chunk.policy].placement == Placement::resident;
    const std::int64_t tile = std::min(c.n * c.n, std::max(Extent::tile, c.n));
    EXPECT_GT(chunk.shared_bytes, ((resident ? c.n * c.n : 0) + 2 * tile) * c.value_bytes);
    // Nothing of size n m is in the workspace.
    EXPECT_LE(chunk.workspace_values, 3 * c.d * c.d + c.n + c.n * c.d);
    EXPECT_EQ(chunk.workspace_values == 0, resident);
    const std::int64_t two_each[] = {0, 2, 4, 6, 8, 10};
    s.layout.blocks = two_each;
    const CudaPlan blocks = plan_cuda(s, first_instances(5), h200);
    EXPECT_EQ(policies[blocks.chunks[0].policy].name, "block_tiles");
  }
}

// The most of each of two that fit is more than shared memory; one of 8-byte numbers does not fit.
TEST(CudaPlan, OfMatricesJudgesEachInstance) {
  const std::int64_t rows1[] = {0, 3000, 3002}, rows2[] = {0, 2, 6002}, logits[] = {0, 6000, 18000};
  BatchShape s;
  s.layout.count = 2;
  s.layout.matrix = true;
  s.layout.d1 = s.layout.d2 = 4;
  s.layout.begin1 = rows1;
  s.layout.begin2 = rows2;
  s.layout.begin_z = logits;
  const CudaPlan plan = plan_cuda(s, first_instances(2), h200);
  ASSERT_EQ(plan.chunks.size(), 1u);
  EXPECT_EQ(policies[plan.chunks[0].policy].placement, Placement::resident);
  EXPECT_EQ(plan.chunks[0].shared_bytes, max_shared_bytes);
  s.value_bytes = 8;
  EXPECT_EQ(policies[plan_cuda(s, first_instances(2), h200).chunks[0].policy].placement,
            Placement::tiles);
}

// A row of 30,000 logits does not fit: one has its place in the workspace, and no logits are in
// shared memory.
TEST(CudaPlan, OfLongRowsHasOneInTheWorkspace) {
  BatchShape s;
  s.layout.count = 1;
  s.layout.matrix = true;
  s.layout.n = 10;
  s.layout.d1 = s.layout.d2 = 4;
  s.layout.m = 30000;
  const Chunk chunk = plan_cuda(s, first_instances(1), h200).chunks[0];
  EXPECT_EQ(chunk.workspace_values, 2 * 30000 + 3 * 16 + 10 + 10 * 4);
  EXPECT_EQ(chunk.shared_bytes, matrix_shared_bytes<float>(0));
}

TEST(CudaPlan, OfTenMillionInstancesRunsEachOnce) {
  const std::int64_t count = sanitized ? 3000000 : 10000000;
  std::vector<std::int64_t> offsets = {0};
  for (std::int64_t i = 0; i < count; ++i) offsets.push_back(offsets.back() + 1 + i * 7919 % 300);
  const std::vector<std::int64_t> runs = first_instances(count);
  for (const bool ragged : {false, true}) {
    BatchShape s;
    s.layout.count = count;
    s.layout.m = 100;
    s.layout.d2 = 8;
    s.weighted = s.weights_shared = true;
    if (ragged) s.layout.begin2 = s.layout.begin_z = offsets.data();
    const CudaPlan plan = plan_cuda(s, runs, {132, 2048, 4 * GB});
    EXPECT_GT(plan.chunks.size(), 5u);
    std::vector<bool> seen(static_cast<std::size_t>(count));
    std::int64_t next = 0;
    for (const Chunk& chunk : plan.chunks) {
      EXPECT_EQ(chunk.first, next);
      EXPECT_EQ(chunk.amount.instances, chunk.last - chunk.first);
      next = chunk.last;
    }
    EXPECT_EQ(next, count);
    for (const std::int64_t i : plan.order) seen[static_cast<std::size_t>(i)] = true;
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), count);
  }
}

// 2^28 softmaxes of one logit each are fewer than 2^31, but each fills sixteen lanes.
TEST(CpuPlan, RefusesPaddingThatAnIntCannotCount) {
  BatchShape s;
  s.layout.matrix = true;
  s.layout.count = s.layout.m = 1;
  s.layout.d1 = s.layout.d2 = 1;
  s.layout.n = 1 << 26;
  EXPECT_EQ(plan_cpu(s, 2, 0).threads, 2);
  s.layout.n = 1 << 28;
  try {
    plan_cpu(s, 2, 0);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_input);
    EXPECT_STREQ(e.what(),
                 "instance 0 (268435456 logits, X 1 x 1, 4 bytes a number) takes 4294967296 logits "
                 "on the CPU, where rows are padded to 16, but at most 2147483647 are supported");
  }
}

TEST(CpuPlan, TakesAsManyThreadsAsAskedForAndMemoryAllows) {
  BatchShape s;
  s.layout.count = 100;
  s.layout.m = 33;
  s.layout.d2 = 4;
  const CpuPlan free = plan_cpu(s, 8, 0);
  EXPECT_EQ(free.threads, 8);
  EXPECT_EQ(free.workspace_values, 48 * (4 + 2) + 2 * 48 + 3 * 4 + 1);
  EXPECT_EQ(free.bytes, 8 * 1792);  // 397 numbers of 4 bytes, aligned to 256
  EXPECT_DOUBLE_EQ(free.padding, 1 - 33.0 / 48);
  EXPECT_EQ(plan_cpu(s, 8, 3 * 1792 + 1791).threads, 3);
  EXPECT_EQ(plan_cpu(s, 8, 1792).threads, 1);
  EXPECT_EQ(plan_cpu(s, 200, 0).threads, 100);  // no more than instances
  try {
    plan_cpu(s, 8, 1791);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::out_of_memory);
    EXPECT_THAT(e.what(),
                testing::HasSubstr("needs a workspace of 1792 bytes but the memory limit is 1791"));
    EXPECT_NE(e.hint(), "");
  }
}

TEST(CpuPlan, PutsSmallInstancesSideBySide) {
  // As few lanes each as let all of them fit the first-level cache.
  EXPECT_EQ(pack_lanes(16, 4, 4, CpuCore{64}), 1);
  EXPECT_EQ(pack_lanes(64, 8, 4, CpuCore{64}), 1);
  EXPECT_EQ(pack_lanes(64, 16, 4, CpuCore{64}), 4);
  EXPECT_EQ(pack_lanes(128, 16, 4, CpuCore{64}), 4);
  EXPECT_EQ(pack_lanes(128, 17, 4, CpuCore{64}), 0);
  EXPECT_EQ(pack_lanes(64, 16, 8, CpuCore{64}), 4);
  EXPECT_EQ(pack_lanes(64, 17, 8, CpuCore{32}), 0);  // four lanes are the whole register
  // An A that all share need not fit; b, w, z and u must, the second cache.
  EXPECT_EQ(pack_lanes(1454, 792, 4, CpuCore{64}, true), 1);
  EXPECT_EQ(pack_lanes(1454, 793, 4, CpuCore{64}, true), 0);
  EXPECT_EQ(pack_lanes(64, 16, 4, CpuCore{64}, true), 1);
  // What is traced may come from the second cache.
  EXPECT_EQ(pack_lanes(64, 16, 4, CpuCore{64}, false, Watched::shifts), 1);
  EXPECT_EQ(pack_lanes(64, 17, 4, CpuCore{64}, false, Watched::shifts), 4);
  EXPECT_EQ(pack_lanes(128, 32, 4, CpuCore{64}, false, Watched::bounds), 1);
  EXPECT_EQ(pack_lanes(256, 64, 4, CpuCore{64}, false, Watched::bounds), 4);
  EXPECT_EQ(pack_lanes(256, 65, 4, CpuCore{64}, false, Watched::bounds), 0);
  // Larger caches hold more.
  const CpuCore large{64, 48 << 10, 2 << 20};
  EXPECT_EQ(pack_lanes(192, 16, 4, large), 4);
  EXPECT_EQ(pack_lanes(193, 16, 4, large), 0);
  EXPECT_EQ(pack_lanes(96, 16, 4, large, false, Watched::shifts), 1);
  EXPECT_EQ(pack_lanes(1454, 793, 4, large, true), 1);
  EXPECT_EQ(pack_lanes(256, 65, 4, large, false, Watched::bounds), 4);

  BatchShape s;
  s.layout.count = 100;
  s.layout.m = 33;
  s.layout.d2 = 4;
  const auto packs = [](const CpuPlan& p) {
    return std::string(p.packs1 ? "1" : "") + (p.packs4 ? "4" : "") + (p.lanes ? "+" : "");
  };
  const CpuPlan plan = plan_cpu(s, 4, 0, {64});
  EXPECT_EQ(packs(plan), "1");
  EXPECT_EQ(plan.threads, 4);
  // A, b, w, z, u of 33 rows, filled up to 40; x, the point, the gradient; sixteen times
  EXPECT_EQ(plan.pack_values, (40 * (4 + 4) + 3 * 4) * 16);
  EXPECT_EQ(plan.bytes, 4 * plan.pack_values * 4);
  EXPECT_EQ(plan.padding, 0);
  EXPECT_EQ(packs(plan_cpu(s, 99, 0, {64})), "1");
  EXPECT_EQ(packs(plan_cpu(s, 100, 0, {64})), "+");  // one for every thread
  EXPECT_EQ(plan_cpu(s, 4, 2 * plan.bytes / 4, {64}).threads, 2);
  EXPECT_EQ(packs(plan_cpu(s, 4, plan.bytes / 4 - 1, {64})), "+");

  // With one A for all, half of each thread's places have to be taken.
  s.a2_shared = true;
  EXPECT_EQ(plan_cpu(s, 4, 0, {64}).pack_values, (40 * 4 + 3 * 4) * 16);
  s.layout.m = 300;
  EXPECT_EQ(packs(plan_cpu(s, 12, 0, {64})), "1");
  EXPECT_EQ(packs(plan_cpu(s, 13, 0, {64})), "4");
  EXPECT_EQ(plan_cpu(s, 13, 0, {64}).pack_values, (80 * (4 + 4) + 3 * 4) * 16);
  s.layout.m = 24;
  s.layout.d2 = 33;  // reduced: each place has its own
  const std::int64_t own = pack_shape(s, 24, {64}, true).values;
  EXPECT_TRUE(pack_shape(s, 24, {64}, true).reduced);
  s.a2_shared = false;
  EXPECT_EQ(pack_shape(s, 24, {64}).values, own);
  s.layout.d2 = 4;
  s.layout.m = 33;

  // What they cannot do, or is not worth while, goes one by one. The bits are the same.
  EXPECT_EQ(packs(plan_cpu(s, 4, 0, {})), "+");
  s.watched = Watched::shifts;
  EXPECT_EQ(packs(plan_cpu(s, 4, 0, {64})), "1");
  // f and z of the step before, x; 16 numbers of the sizes
  EXPECT_EQ(plan_cpu(s, 4, 0, {64}).pack_values, plan.pack_values + (16 + 2 * 33 + 4) * 16);
  // Each instance has four lanes, or one where there are enough to fill half of their places.
  s.layout.m = 200;
  EXPECT_EQ(packs(plan_cpu(s, 12, 0, {64})), "1");
  EXPECT_EQ(packs(plan_cpu(s, 13, 0, {64})), "4");
  s.layout.m = 33;
  s.trace_values = 1000;  // of every update
  EXPECT_EQ(packs(plan_cpu(s, 4, 0, {64})), "+");
  s.watched = Watched::nothing;
  EXPECT_EQ(packs(plan_cpu(s, 4, 0, {64})), "1");  // losses
  s.trace_values = 0;
  s.describes = true;
  EXPECT_EQ(packs(plan_cpu(s, 4, 0, {64})), "+");
  s.describes = false;

  // Of a ragged batch each shape for itself: 7 rows twice, 129 twice, 9 once; then 3,000 twice.
  std::vector<std::int64_t> begin{0, 7, 136, 145, 152, 281};
  s.layout.count = 5;
  s.layout.begin2 = s.layout.begin_z = begin.data();
  EXPECT_EQ(packs(plan_cpu(s, 1, 0, {64})), "14+");
  EXPECT_EQ(plan_cpu(s, 1, 0, {64}).workspace_values, plan_cpu(s, 1, 0, {}).workspace_values);
  begin = {0, 7, 14, 3014, 6014, 6021};
  EXPECT_EQ(packs(plan_cpu(s, 1, 0, {64})), "1+");
  begin = {0, 7, 15, 24, 34, 45};
  EXPECT_EQ(packs(plan_cpu(s, 1, 0, {64})), "+");

  // What a reduction takes lies beside the largest workspace, which another shape may have.
  s.layout.d2 = 33;
  begin = {0, 24, 48, 79, 110, 141};
  const CpuPlan both = plan_cpu(s, 2, 0, {32});
  const PackShape reduced = pack_shape(s, 24, {32}), whole = pack_shape(s, 31, {32});
  EXPECT_TRUE(reduced.reduced && !whole.reduced && whole.values > reduced.values);
  EXPECT_GE(both.bytes,
            2 * (whole.values * 4 + reduced.reduction_bytes + both.workspace_values * 4));
  EXPECT_EQ(plan_cpu(s, 2, both.bytes, {32}).threads, 2);
  EXPECT_EQ(plan_cpu(s, 2, both.bytes - 1, {32}).threads, 1);
}

TEST(ResultBytes, CountsWhatIsReturnedAndDoesNotOverflow) {
  BatchShape s;
  s.layout.count = 10;
  s.layout.m = 7;
  s.layout.d2 = 3;
  EXPECT_EQ(result_bytes(s), 10 * ((3 + 3) * 4 + 8));
  s.describes = true;  // gradient, attended, log mass; output, dlogits
  EXPECT_EQ(result_bytes(s), 10 * ((3 + 3) * 4 + 8 + (3 + 3 + 1) * 4 + 2 * 7 * 4));
  s.describes = false;
  s.trace_values = std::int64_t{1} << 32;
  s.layout.count = std::int64_t{1} << 40;
  EXPECT_EQ(result_bytes(s), std::numeric_limits<std::int64_t>::max());
}

TEST(CpuPlan, HoldsTheLongestInstanceAndEverythingAskedFor) {
  const bool held = rc::check("CPU plans", [] {
    Drawn d;
    draw(d);
    const BatchShape& s = d.shape;
    const int threads = *rc::gen::inRange(1, 65);
    const CpuPlan plan = plan_cpu(s, threads, 0);
    RC_ASSERT(plan.threads >= 1 && plan.threads <= threads && plan.threads <= s.layout.count);
    std::int64_t longest = 0;
    for (std::int64_t i = 0; i < s.layout.count; ++i)
      longest = std::max(longest, (s.layout.all_rows_of(i) + 15) / 16 * 16);
    const std::int64_t dimension = s.layout.d2;
    std::int64_t traced = 0;
    if (s.watched != Watched::nothing) traced = 16 + 2 * longest + dimension;
    // The gradient of the step before, nine numbers of its softmax, |f - b|; what is judged.
    if (s.watched == Watched::bounds) traced += dimension + 9 + 1 + 4 * bound_count;
    // A, b, w, z, u; x, the point, the gradient; the shift; of a trace 16 numbers of the sizes, f,
    // z and x of the step before. What evaluate() describes goes straight to the results.
    RC_ASSERT(plan.workspace_values == longest * (dimension + 4) + 3 * dimension + 1 + traced);
    RC_ASSERT(!plan.team);
    RC_ASSERT(plan.bytes >= plan.threads * plan.workspace_values * s.value_bytes);
    RC_ASSERT(plan.padding >= 0 && plan.padding < 1);
    const std::int64_t limit = plan.bytes / *rc::gen::inRange(1, 10);
    const std::int64_t one = plan.bytes / plan.threads;
    if (limit < one) {
      RC_ASSERT_THROWS_AS(plan_cpu(s, threads, limit), Error);
    } else {
      const CpuPlan limited = plan_cpu(s, threads, limit);
      RC_ASSERT(limited.bytes <= limit);
      RC_ASSERT(limited.threads == plan.threads || limited.bytes + one > limit);
      RC_ASSERT(limited.workspace_values == plan.workspace_values);
    }
  });
  EXPECT_TRUE(held);
}

}  // namespace
}  // namespace softreg
