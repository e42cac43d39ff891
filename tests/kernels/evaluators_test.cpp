// Every kernel, run by the emulator, gives the bits of the memory placement on the lanes of
// its grid, whatever the order of the threads and the number of blocks; so do the CPU lanes and
// packs, whatever the instruction set.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <type_traits>

#include "aligned.hpp"
#include "cpu_isa.hpp"
#include "kernels/emulated_cases.hpp"
#include "kernels/emulated_gpu.hpp"
#include "plan.hpp"
#include "sanitized.hpp"
#include "tile_placement.hpp"

namespace softreg {
namespace {

using simt::Order;

template <class Variant>
struct AsTypes;
template <class... L>
struct AsTypes<std::variant<L...>> {
  using type = testing::Types<L...>;
  template <class Wanted>
  static constexpr int index() {
    int k = -1, found = -1;
    ((++k, found = std::is_same_v<Wanted, L> ? k : found), ...);
    return found;
  }
};

// A loss as a value, so that the comparisons below compile once for all losses.
struct LossChoice {
  int index;
  std::string name;
  bool distribution;        // of the target
  bool grows;               // fast, with the logits
  bool stationary_at_zero;  // a comparison from there would be vacuous
};
template <class L>
LossChoice choice() {
  return {AsTypes<AnyLoss>::index<L>(), std::string(L::name), L::normalized,
          !L::normalized && !std::is_same_v<L, LeastSquares>, std::is_same_v<L, CoshL2>};
}

constexpr std::string_view optimizers[] = {GradientDescent::name, Nesterov::name};
static_assert(std::variant_size_v<AnyOptimizer> == 2);

struct Tally {
  std::int64_t instances = 0;           // compared
  std::map<Status, std::int64_t> ends;  // of them
};

template <class T>
void count(const Instances<T>& instances, const Written<T>& w, Tally& tally) {
  Written<T> none;
  const Batch<T> batch = instances.batch(none);
  for (std::int64_t i = 0; i < batch.count; ++i) {
    const Outcome<T>& o = w.outcome[static_cast<std::size_t>(i)];
    ++tally.instances;
    ++tally.ends[o.status];
    // A start without a gradient would make every comparison vacuous. One row has no other softmax.
    if (o.status != Status::max_steps || o.steps == 0 || batch.rows_of(i) == 1 ||
        batch.step_size[i] < T(1e-10))  // meant to stall
      continue;
    const T* const x0 = batch.start_of(i);
    bool moved = false;
    for (std::int64_t j = 0; j < batch.parameters(); ++j)
      moved |= w.x[static_cast<std::size_t>(i * batch.parameters() + j)] != (x0 ? x0[j] : T(0));
    EXPECT_TRUE(moved) << "instance " << i << " never moved";
  }
}

// The launch that the conductor would make, with exactly the workspace that the plan counts.
// blocks: or clusters of them.
template <class T>
Written<T> emulated(const Instances<T>& instances, int policy, int loss, int optimizer, int blocks,
                    Order order, unsigned seed) {
  Written<T> w;
  Batch<T> batch = instances.batch(w);
  batch.optimizer = optimizer;
  const KernelPolicy& p = policies[policy];
  const std::vector<int>& rows = instances.description().rows;
  Extent most;
  for (std::int64_t i = 0; i < batch.count; ++i) most.cover(extent_of(batch, i));
  Launch launch;
  launch.policy = policy;
  launch.blocks = blocks * p.cluster();
  int taken = 0;
  batch.taken = &taken;
  launch.workspace_stride = kernel_workspace<T>(p, most, batch.watched());
  launch.shared_bytes =
      static_cast<int>(kernel_shared_bytes<T>(p, most, batch, batch.weights != nullptr));
  const std::size_t groups = static_cast<std::size_t>(blocks * p.instances_per_cluster());
  const std::size_t bytes = static_cast<std::size_t>(launch.workspace_stride) * sizeof(T);
  std::vector<unsigned char> workspace(groups * bytes, 0xff);  // NaN
  launch.workspace = workspace.data();
  emulate_launch(loss, launch, batch, order, seed);
  // An instance that is solved twice changes no bit.
  EXPECT_EQ(taken, batch.count) << p.name << ": not every instance was taken once";
  // Blocks run one after the other here; on a device they would meet in a part that they share.
  for (std::size_t g = 0; g < std::min(groups, rows.size()) && bytes > 0; ++g) {
    const auto part = workspace.begin() + static_cast<std::ptrdiff_t>(g * bytes);
    EXPECT_TRUE(std::any_of(part, part + static_cast<std::ptrdiff_t>(bytes),
                            [](unsigned char v) { return v != 0xff; }))
        << p.name << ": group " << g << " has not used its own part of the workspace";
  }
  return w;
}

// Whose order of sums is right: that of a policy's kernel, or (null) of the CPU lanes.
using Yardstick = const KernelPolicy*;

template <class T>
Written<T> expected(const Instances<T>& instances, Yardstick like, int loss, int optimizer) {
  Written<T> w;
  Batch<T> batch = instances.batch(w);
  batch.optimizer = optimizer;
  if (like)
    solve_like(*like, loss, batch);
  else
    solve_on_lanes(loss, cpu_lanes, batch);
  return w;
}

// With a tolerance that about half of the instances reach before the last step.
template <class T>
Instances<T> make(const Case& c, Yardstick like, const LossChoice& loss, int optimizer) {
  Instances<T> instances(c, loss.grows, loss.distribution);
  if (!instances.has(has_tolerance)) return instances;
  const Written<T> w = expected(instances, like, loss.index, optimizer);
  std::vector<double> norms;
  for (const Outcome<T>& o : w.outcome)
    if (o.status == Status::max_steps) norms.push_back(static_cast<double>(o.gradient_norm));
  std::sort(norms.begin(), norms.end());
  instances.tolerance = norms.empty() ? 1e-30 : 1.5 * norms[norms.size() / 2];
  if (instances.tolerance == 0) instances.tolerance = 1e-30;
  return instances;
}

// Shapes at the edges of a policy (rows R, parameters D) and of its lanes.
std::vector<Case> edge_cases(int R, int D, int lanes, int max_steps) {
  const auto uniform = [=](int n, int d, unsigned features) {
    return Case{std::vector<int>(5, n), d, features, max_steps, 4, 0};
  };
  // A row of every lane, if the policy has more.
  const int half = std::max(2, std::min(lanes, R - 1));
  std::vector<Case> all = {
      uniform(1, 1, has_tolerance),
      uniform(1, D, traces_loss | has_ball),
      uniform(R, D, has_bad_neighbours | traces_loss | has_tolerance),
      uniform(R - 1, D - 1, has_weights | shares_w | traces_shifts | traces_bounds),
      uniform(half, 2, has_ridge | has_ball | has_tolerance | has_bad_neighbours),
      uniform(
          half - 1, 3,
          shares_a | column_major | shares_x0 | traces_shifts | traces_bounds | has_bad_neighbours),
      uniform(std::min(half + 1, R), 1, has_weights | has_ridge | column_major | traces_loss),
      uniform(2, std::min(D, 5), has_bad_neighbours | shares_b | has_tolerance | has_idle_column),
      uniform(3, D, is_cancelled),
      {{half, 1, R, 2, R - 1, 7},
       D,
       has_bad_neighbours | traces_shifts | has_weights,
       max_steps,
       4,
       0},
      {{half + 1 > R ? R : half + 1, 5, 1},
       D - 1,
       starts_at_zero | column_major | has_tolerance,
       max_steps,
       4,
       0},
      // As evaluate() does: the start only.
      {{R, 3, half}, D, describes | has_weights | has_ridge, 0, 1, 0},
      {{5, 5, 5, 5}, std::min(D, 3), describes | starts_at_zero | column_major, 0, 1, 0},
      {{half, half + 1 > R ? half : half + 1, 1},
       std::min(D - 1, 2),
       describes | underflows,
       0,
       1,
       0},
      {{half, half}, 2, describes | shares_a | shares_b | has_bad_neighbours, 5, 3, 0},
      // Long enough to come to rest between two tests.
      {{1, 2, 3, 2}, 1, has_tolerance | has_bad_neighbours, 60, 7, 0},
  };
  for (std::size_t k = 0; k < all.size(); ++k) all[k].seed = 17 + k;
  return all;
}

// Few and short, because the emulator is slow with so many lanes.
std::vector<Case> cluster_cases(int R, int D, int lanes) {
  const int half = std::min(lanes, R - 1);
  std::vector<Case> all = {
      {{R, 1}, D, traces_loss | has_weights | has_ball, 2, 1, 0},
      {{R - 1, half}, D, column_major | has_ridge | traces_shifts, 2, 2, 0},
      {{half + 1, half - 1}, D / 2 + 1, has_tolerance | has_bad_neighbours | shares_x0, 3, 2, 0},
      {{half, R}, D - 1, describes | has_weights | underflows, 0, 1, 0}};
  for (std::size_t k = 0; k < all.size(); ++k) all[k].seed = 17 + k;
  return all;
}

constexpr struct {
  Order order;
  const char* name;
} orders[] = {{Order::ascending, "ascending"},
              {Order::descending, "descending"},
              {Order::shuffled, "shuffled"}};

// Compares the kernels of one loss. runs: thread orders per case, which rotate with the case.
template <class T>
void compare_kernels(const LossChoice& loss, int max_steps, int runs, Tally& tally) {
  unsigned turn = 0;
  for (int policy = 0; policy < policy_count; ++policy) {
    const KernelPolicy& p = policies[policy];
    if (!is_of_numbers<T>(p) || is_of_matrices(p)) continue;
    if (p.watches_bounds && !loss.distribution) continue;
    const bool stream = p.placement == Placement::stream, cluster = p.cluster() > 1;
    if (cluster && sanitized && loss.index > 0) continue;
    const bool one_pass = p.placement == Placement::one_pass;
    std::vector<Case> cases =
        cluster ? cluster_cases(one_pass ? 2 * p.lanes() + 1 : p.grid.rows, p.grid.parameters,
                                p.lanes())
                : edge_cases(stream ? 300 : p.grid.rows, stream ? 6 : p.grid.parameters, p.lanes(),
                             max_steps);
    // More tiles than are on their way at once.
    if (one_pass && p.grid.parameters <= 16)
      cases.push_back({{8 * p.lanes() + 1, 3}, p.grid.parameters - 1, 0, 2, 2, 17});
    // Where products have several rows of a lane at once, and more columns than they hold at once.
    if (stream) {
      cases.push_back({{1300}, 2, traces_loss, 2, 2, 33});
      cases.push_back({{40}, 150, has_ridge, 2, 2, 34});
    }
    for (Case c : cases) {
      if (cluster && (c.seed / 2 + unsigned(loss.index)) % 2 == 1) continue;  // two of four
      // Where a kernel reads and writes does not depend on the loss: in turn.
      if (sanitized && !cluster && (c.seed + unsigned(loss.index)) % 3 != 0) continue;
      if (p.watches_bounds)
        c.features |= traces_shifts | traces_bounds;
      else
        c.features &= ~unsigned{traces_bounds};
      if (!lies_by_columns(p)) c.features &= ~unsigned{column_major};
      if (stream) c.features = (c.features | column_major) & ~unsigned{has_idle_column};
      if (p.places > 1) {
        c.features |= shares_a;
        c.rows.assign(c.rows.size() + std::size_t(p.places),
                      c.rows[0]);  // more than a block takes at once
      }
      for (int optimizer = 0; optimizer < 2; ++optimizer) {
        if (loss.stationary_at_zero && (c.features & starts_at_zero)) continue;
        // In turn where one kernel has both, or where all is slow.
        const unsigned turn_of_loss = unsigned(loss.index) / 2;
        if ((stream || cluster || sanitized) && (c.seed + turn_of_loss) % 2 != unsigned(optimizer))
          continue;
        const Instances<T> instances = make<T>(c, &p, loss, optimizer);
        const Written<T> right = expected(instances, &p, loss.index, optimizer);
        count(instances, right, tally);
        tally.instances += std::int64_t(c.rows.size()) * (runs - 1);
        for (int run = 0; run < runs; ++run, ++turn) {
          const auto& [order, name] = orders[turn % 3];
          const int blocks = 1 + static_cast<int>(turn % 2);
          const std::string difference =
              emulated(instances, policy, loss.index, optimizer, blocks, order, turn)
                  .difference(right);
          ASSERT_EQ(difference, "")
              << loss.name << ", " << optimizers[optimizer] << ", " << sizeof(T) << " bytes, "
              << p.name << ", threads " << name << " (seed " << turn << "), " << blocks
              << " blocks, case " << c.seed - 17 << ": " << c.rows[0] << " x " << c.parameters;
        }
      }
    }
  }
}

template <class LossT>
struct Kernels : testing::Test {};
TYPED_TEST_SUITE(Kernels, AsTypes<AnyLoss>::type);
template <class LossT>
struct SlowKernels : testing::Test {};
TYPED_TEST_SUITE(SlowKernels, AsTypes<AnyLoss>::type);

void expect_every_end(const Tally& tally) {
  const auto ends = [&tally](Status s) {
    const auto found = tally.ends.find(s);
    return found == tally.ends.end() ? 0 : found->second;
  };
  for (const Status s : {Status::converged, Status::stalled, Status::max_steps, Status::diverged,
                         Status::overflow, Status::not_run})
    EXPECT_GT(ends(s), 0) << "no instance ended with status " << int(s);
}

// More instances than groups, which end at different steps: whoever is free takes the next, and
// groups that share a warp go on while one of them begins.
template <class T>
void compare_queues(const LossChoice& loss, Tally& tally) {
  for (int policy = 0; policy < policy_count; ++policy) {
    const KernelPolicy& p = policies[policy];
    if (!is_of_numbers<T>(p) || (!is_of_one_softmax(p) && p.places == 1)) continue;
    if (sanitized && p.lanes() > 32) continue;  // slow, and they only take turns
    if (p.cluster() > 1 && loss.index > 0) continue;
    const std::size_t many = static_cast<std::size_t>(2 * p.instances_per_cluster()) * 3 / 2;
    Case c{std::vector<int>(many, std::min(p.grid.rows, 7)),
           std::min(p.grid.parameters, 3),
           has_tolerance | has_bad_neighbours,
           p.cluster() > 1 ? 3 : 13,
           4,
           11};
    if (p.places > 1)
      c.features |= shares_a | column_major;
    else
      for (std::size_t k = 0; k < many; k += 3) c.rows[k] = 5;
    if (policy % 2 == 1) {  // no test between the first and the last step: nobody waits for one
      c.check_every = 1 << 30;
      c.features = traces_loss | (c.features & (shares_a | column_major));
    }
    const Instances<T> instances = make<T>(c, &p, loss, 1);
    const Written<T> right = expected(instances, &p, loss.index, 1);
    count(instances, right, tally);
    for (const auto& [order, name] : orders)
      ASSERT_EQ(emulated(instances, policy, loss.index, 1, 2, order, 3).difference(right), "")
          << loss.name << ", " << p.name << ", threads " << name;
  }
}

TYPED_TEST(Kernels, TakeInstancesFromAQueue) {
  Tally tally;
  compare_queues<float>(choice<TypeParam>(), tally);
  compare_queues<double>(choice<TypeParam>(), tally);
  std::printf("[count] emulated instances of queues, equal bit for bit: %lld (%s)\n",
              static_cast<long long>(tally.instances), choice<TypeParam>().name.c_str());
}

TYPED_TEST(Kernels, GiveTheBitsOfTheirLanes) {
  Tally tally;
  compare_kernels<float>(choice<TypeParam>(), 9, 1, tally);
  compare_kernels<double>(choice<TypeParam>(), 9, 1, tally);
  if (!sanitized) expect_every_end(tally);  // else of fewer instances
  std::printf("[count] emulated instances equal bit for bit: %lld (%s)\n",
              static_cast<long long>(tally.instances), choice<TypeParam>().name.c_str());
}
TYPED_TEST(SlowKernels, GiveTheBitsOfTheirLanesInEveryOrder) {
  Tally tally;
  compare_kernels<float>(choice<TypeParam>(), 41, 7, tally);
  compare_kernels<double>(choice<TypeParam>(), 41, 7, tally);
  expect_every_end(tally);
  std::printf("[count] emulated instances equal bit for bit: %lld (%s)\n",
              static_cast<long long>(tally.instances), choice<TypeParam>().name.c_str());
}

// Numbers outside the lanes that a visit replaces: each by one lane, after all lanes have read it,
// and before any reads it again.
TEST(RegisterPlacements, VisitBetweenBarriers) {
  using Policy = Float256x64;
  const Instances<float> instances({{100}, 50, 0, 1, 1, 17}, false, true);
  Written<float> written;
  const Batch<float> batch = instances.batch(written);
  constexpr auto shared_bytes = static_cast<std::size_t>(grid_shared_bytes<float>(Policy::policy));
  for (const auto& [order, name] : orders) {
    std::vector<int> visits(50);
    int wrong = 0;
    simt::emulate({1, Policy::policy.threads(), shared_bytes, order, 1}, [&] {
      RegisterPlacement<Policy, float, false> p(batch, simt::dynamic_shared());
      p.load();
      const auto expect = [&](int all) {
        for (const int v : visits) wrong += v != all;
      };
      const auto add = [&](int j, float) { ++visits[static_cast<std::size_t>(j)]; };
      for (int round = 0; round < 6; round += 2) {
        expect(round);
        p.visit(add);
        expect(round + 1);
        p.visit_gradient(add);
      }
    });
    EXPECT_EQ(wrong, 0) << "threads " << name;
    EXPECT_EQ(visits, std::vector<int>(50, 6)) << "threads " << name;
  }
}

// Whether no register has numbers in its upper half, with which code of the baseline is many times
// slower on some processors.
__attribute__((target("avx"))) bool registers_are_clean() {
  alignas(16) unsigned char upper[256];
  asm volatile(
      "vextractf128 $1, %%ymm0, (%0)\n vextractf128 $1, %%ymm1, 16(%0)\n"
      "vextractf128 $1, %%ymm2, 32(%0)\n vextractf128 $1, %%ymm3, 48(%0)\n"
      "vextractf128 $1, %%ymm4, 64(%0)\n vextractf128 $1, %%ymm5, 80(%0)\n"
      "vextractf128 $1, %%ymm6, 96(%0)\n vextractf128 $1, %%ymm7, 112(%0)\n"
      "vextractf128 $1, %%ymm8, 128(%0)\n vextractf128 $1, %%ymm9, 144(%0)\n"
      "vextractf128 $1, %%ymm10, 160(%0)\n vextractf128 $1, %%ymm11, 176(%0)\n"
      "vextractf128 $1, %%ymm12, 192(%0)\n vextractf128 $1, %%ymm13, 208(%0)\n"
      "vextractf128 $1, %%ymm14, 224(%0)\n vextractf128 $1, %%ymm15, 240(%0)"
      :
      : "r"(upper)
      : "memory");
  return std::ranges::all_of(upper, [](unsigned char byte) { return byte == 0; });
}
TEST(RegistersAreClean, SeesAnUpperHalf) {
  if (!__builtin_cpu_supports("avx")) GTEST_SKIP() << "no AVX here";
  asm volatile("vzeroupper" : : : "memory");
  EXPECT_TRUE(registers_are_clean());
  asm volatile("vcmpps $15, %%ymm13, %%ymm13, %%ymm13" : : : "xmm13");
  EXPECT_FALSE(registers_are_clean());
  asm volatile("vzeroupper" : : : "memory");
}

// As the CPU backend does it: instance by instance, with exactly the workspace that the plan
// counts.
template <class T>
Written<T> on_cpu(const Instances<T>& instances, const CpuIsa& isa, int loss, int optimizer) {
  Written<T> w;
  Batch<T> batch = instances.batch(w);
  batch.optimizer = optimizer;
  for (std::int64_t i = 0; i < batch.count; ++i) {
    BatchShape alone;
    alone.layout.count = 1;
    alone.layout.d2 = batch.d2;
    alone.layout.m = batch.rows_of(i);
    alone.value_bytes = int(sizeof(T));
    alone.watched = batch.watched();
    alone.describes = batch.output != nullptr;
    std::vector<T> workspace(static_cast<std::size_t>(plan_cpu(alone, 1, 0).workspace_values),
                             quiet_nan<T>());
    const Team team;
    isa.solve(int(sizeof(T)), loss, &batch, i, workspace.data(), &team);
    const bool clean = !isa.packs || registers_are_clean();
    EXPECT_TRUE(clean) << isa.name;
  }
  return w;
}

// All instances several times over, so that places empty and fill again next to running ones, in
// exactly the workspace that the plan counts.
template <class T>
Written<T> on_packs(const Instances<T>& instances, const CpuIsa& isa, int lanes, int loss,
                    int optimizer) {
  Written<T> w;
  Batch<T> batch = instances.batch(w);
  batch.optimizer = optimizer;
  batch.shift_f = batch.shift_x = nullptr;  // whole traces are not theirs
  struct Queue {
    std::int64_t count, taken = 0, published = 0;
    bool clean = true;
    std::int64_t next() {
      clean = clean && registers_are_clean();
      const std::int64_t turn = taken / count;
      return turn == 9 ? -1 : (taken++ + turn * turn) % count;
    }
  } all{batch.count};
  const PackQueue queue{lanes, batch.rows_of(0),
                        [](void* of) { return static_cast<Queue*>(of)->next(); },
                        [](void* of, std::int64_t) {
                          Queue& q = *static_cast<Queue*>(of);
                          q.clean = q.clean && registers_are_clean();
                          ++q.published;
                        },
                        &all};
  AlignedVector<T> workspace(static_cast<std::size_t>(
      pack_values(batch.rows_of(0), batch.parameters(), lanes, int(sizeof(T)), isa.register_bytes,
                  batch.watched(), batch.a2_shared)));
  std::ranges::fill(workspace, quiet_nan<T>());
  isa.packs(int(sizeof(T)), loss, &batch, &queue, workspace.data());
  const bool clean = registers_are_clean();
  EXPECT_TRUE(clean && all.clean) << isa.name;
  EXPECT_EQ(all.published, instances.has(is_cancelled) ? 0 : 9 * all.count);
  w.shift_f.clear();
  w.shift_x.clear();
  return w;
}

template <class T>
void compare_packs(const Instances<T>& instances, const Written<T>& right, const CpuIsa& isa,
                   const LossChoice& loss, int optimizer, const std::string& what) {
  const std::vector<int>& rows = instances.description().rows;
  const bool alike = std::ranges::all_of(rows, [&rows](int r) { return r == rows[0]; });
  if (!isa.packs || !alike || instances.has(describes)) return;
  Written<T> without = right;
  without.shift_f.clear();
  without.shift_x.clear();
  for (const int lanes : {1, shared_pack_lanes})
    if (lanes * int(sizeof(T)) < isa.register_bytes) {
      EXPECT_EQ(on_packs(instances, isa, lanes, loss.index, optimizer).difference(without), "")
          << what << ", in packs of " << lanes << " lanes";
    }
}

template <class T>
void compare_cpu(const LossChoice& loss, Tally& tally) {
  for (const auto& [R, D] : {std::pair{12, 4}, {32, 8}, {64, 16}, {300, 11}, {37, 90}})
    for (const Case& c : edge_cases(R, D, cpu_lanes, sanitized ? 9 : 41))
      for (int optimizer = 0; optimizer < 2; ++optimizer) {
        if (loss.stationary_at_zero && (c.features & starts_at_zero)) continue;
        const Instances<T> instances = make<T>(c, nullptr, loss, optimizer);
        const Written<T> right = expected(instances, nullptr, loss.index, optimizer);
        for (const CpuIsa& isa : cpu_isas()) {
          if (!isa.usable) continue;
          count(instances, right, tally);
          const std::string what = fmt::format("{}, {}, {} bytes, {}, case {}: {} x {}", loss.name,
                                               optimizers[optimizer], sizeof(T), isa.name,
                                               c.seed - 17, c.rows[0], c.parameters);
          ASSERT_EQ(on_cpu(instances, isa, loss.index, optimizer).difference(right), "") << what;
          compare_packs(instances, right, isa, loss, optimizer, what);
          ASSERT_FALSE(testing::Test::HasFailure());
        }
      }
}

template <class LossT>
struct CpuLanes : testing::Test {};
TYPED_TEST_SUITE(CpuLanes, AsTypes<AnyLoss>::type);

TYPED_TEST(CpuLanes, GiveTheBitsOfTheirLanesOnEveryInstructionSet) {
  Tally tally;
  compare_cpu<float>(choice<TypeParam>(), tally);
  compare_cpu<double>(choice<TypeParam>(), tally);
  if (!sanitized) expect_every_end(tally);  // else of fewer instances
  std::printf("[count] CPU instances equal bit for bit: %lld (%s, up to %s)\n",
              static_cast<long long>(tally.instances), choice<TypeParam>().name.c_str(),
              std::ranges::find_if(cpu_isas(), &CpuIsa::usable)->name);
}

}  // namespace
}  // namespace softreg
