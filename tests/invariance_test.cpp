// Batch invariance: the bits of an instance depend on its own numbers and on the options alone,
// never on the batch it came in. Every batch below is rearranged (size, order, repetition,
// neighbours), cut (threads, memory limits), stored differently (ragged, shared, by columns) and
// solved again, and every instance must come back with the bits of the first time. One comparison:
// all results of one instance.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>

#include "aligned.hpp"
#include "batches.hpp"
#include "cpu_isa.hpp"
#include "kernels/emulated_gpu.hpp"
#include "plan.hpp"
#include "prepare.hpp"
#include "solve.hpp"
#include "tile_placement.hpp"

namespace softreg {
namespace {

constexpr std::size_t losses = std::variant_size_v<AnyLoss>;
constexpr std::size_t optimizers = std::variant_size_v<AnyOptimizer>;

struct Case {
  std::size_t loss, optimizer;
  BatchRecipe recipe;
  Options options;
  std::string text() const {
    return name_of(options.loss) + (optimizer ? ", nesterov" : ", gradient_descent") + ", " +
           std::to_string(recipe.n_min) + ":" + std::to_string(recipe.n_max) + " x " +
           std::to_string(recipe.d);
  }
};

// Every loss with every optimizer and every shape; regularisers, the ball and traces go round.
std::vector<Case> cases(std::int64_t count, const std::vector<std::array<std::int64_t, 3>>& shapes,
                        int steps) {
  std::vector<Case> all;
  for (std::size_t l = 0; l < losses; ++l)
    for (std::size_t o = 0; o < optimizers; ++o)
      for (const auto& [n_min, n_max, d] : shapes) {
        const std::size_t k = all.size();
        Case c{l, o, {count, n_min, n_max, d}, {}};
        c.recipe.seed = 100 + k;
        c.recipe.starts = k % 5 != 4 || l >= 5;
        c.recipe.weights = k % 3 == 1;
        c.recipe.step_sizes = k % 4 == 2;
        c.options.loss = loss_at(l);
        c.options.optimizer = optimizer_at(o, fitting_step(c.options.loss, n_max, d));
        c.options.stop = {.max_steps = steps, .gradient_norm = k % 2 ? 1e-3 : 0, .check_every = 4};
        if (k % 3 == 2) c.options.ridge = 0.125;
        if (k % 7 == 3) c.options.logit_weight = 0.25;
        if (k % 4 == 3) c.options.ball = 0.75;
        if (k % 6 == 1) c.options.trace = TraceKind::loss;
        if (k % 6 == 4) {
          c.options.trace = k % 12 == 4 ? TraceKind::shifts : TraceKind::bounds;
          c.options.trace_full = true;
        }
        all.push_back(c);
      }
  return all;
}

// Solves `rounds` rearrangements of the case's batch, of at most `largest` instances each, and
// compares every instance with its first solve. Returns the number of comparisons.
template <class T>
std::int64_t rearrange(const Case& c, Device device, int rounds, std::int64_t largest) {
  const TestBatch<T> base = make_batch<T>(c.recipe);
  Options options = c.options;
  options.device = device;
  options.threads = 1;
  const Result<T> expected = solve(base.view(), options);
  const std::int64_t least = bytes_of_longest(base, options);
  const int threads[] = {1, 2, 3, 8};
  Rng rng(c.recipe.seed);
  std::int64_t compared = 0;
  for (int round = 0; round < rounds; ++round) {
    Picks picks(at(draw(rng, 1, largest)));
    for (std::int64_t& i : picks) i = draw(rng, 0, base.count - 1);
    const bool ragged = !base.offsets.empty() || draw(rng, 0, 1) == 1;
    const TestBatch<T> batch = base.pick(picks, ragged);
    options.threads = threads[draw(rng, 0, 3)];
    // On the CPU the limit decides how many workspaces there are, on CUDA where chunks are cut.
    options.memory_limit = draw(rng, 0, 1) ? 0 : draw(rng, least, 3 * least);
    const Result<T> got = solve(batch.view(), options);
    for (std::size_t k = 0; k < picks.size(); ++k, ++compared)
      EXPECT_EQ(difference(got, static_cast<std::int64_t>(k), expected, picks[k]), "")
          << c.text() << ": instance " << picks[k] << " at position " << k << " of " << picks.size()
          << ", " << options.threads << " threads, memory limit " << options.memory_limit
          << (ragged ? ", ragged" : ", uniform");
    if (testing::Test::HasFailure()) break;
  }
  return compared;
}

const std::vector<std::array<std::int64_t, 3>> shapes = {{1, 1, 1},    {7, 7, 3},    {32, 32, 8},
                                                         {33, 33, 5},  {5, 70, 6},   {100, 100, 4},
                                                         {12, 12, 20}, {257, 257, 2}};

TEST(Invariance, Cpu) {
  std::int64_t compared = 0;
  for (const Case& c : cases(24, shapes, 9)) {
    compared += rearrange<float>(c, Device::cpu, sanitized ? 3 : 25, 40);
    compared += rearrange<double>(c, Device::cpu, sanitized ? 3 : 25, 40);
    if (HasFailure()) return;
  }
  std::printf("[count] batch invariance comparisons: %lld\n", static_cast<long long>(compared));
  EXPECT_GE(compared, sanitized ? 10'000 : 100'000);
}

TEST(Invariance, Reference) {
  std::int64_t compared = 0;
  for (const Case& c : cases(12, shapes, 9)) {
    compared += rearrange<float>(c, Device::reference, 2, 24);
    compared += rearrange<double>(c, Device::reference, 2, 24);
    if (HasFailure()) return;
  }
  std::printf("[count] batch invariance comparisons, reference: %lld\n",
              static_cast<long long>(compared));
  EXPECT_GE(compared, 4'000);
}

TEST(Invariance, EmulatedCuda) {
  if (thread_sanitizer)
    GTEST_SKIP() << "an emulated kernel is one thread; backends_test has the host's";
  const EmulatedGpuScope scope;
  std::int64_t compared = 0;
  for (const Case& c : cases(6, {{7, 7, 3}, {20, 70, 6}}, 3)) {
    compared += rearrange<float>(c, Device::cuda, 2, 8);
    compared += rearrange<double>(c, Device::cuda, 2, 8);
    if (HasFailure()) return;
  }
  std::printf("[count] batch invariance comparisons, emulated CUDA: %lld\n",
              static_cast<long long>(compared));
  EXPECT_GE(compared, 300);
}

// Copies of one A, b, x0 and w give what the shared arrays give.
template <class T>
std::int64_t share(const Case& c, Device device) {
  BatchRecipe one = c.recipe;
  one.count = 1;
  const TestBatch<T> single = make_batch<T>(one);
  const TestBatch<T> others = make_batch<T>(c.recipe);
  std::int64_t compared = 0;
  // Bit k of the form: the k-th array is shared.
  for (int form = 0; form < 16; ++form) {
    TestBatch<T> lean = others, full = others;
    const auto choose = [&](int k, std::vector<T> TestBatch<T>::*array) {
      if (!(form >> k & 1)) return;
      lean.*array = single.*array;
      (full.*array).clear();
      for (std::int64_t i = 0; i < others.count; ++i)
        (full.*array).insert((full.*array).end(), (single.*array).begin(), (single.*array).end());
    };
    choose(0, &TestBatch<T>::a);
    choose(1, &TestBatch<T>::b);
    choose(2, &TestBatch<T>::x0);
    choose(3, &TestBatch<T>::w);
    Options options = c.options;
    options.device = device;
    options.threads = 1;
    const Result<T> expected = solve(full.view(), options), got = solve(lean.view(), options);
    EXPECT_EQ(difference(got, expected), "") << c.text() << ", form " << form;
    compared += others.count;
  }
  return compared;
}

TEST(Invariance, SharedArraysAreCopies) {
  std::int64_t compared = 0;
  for (const Case& c : cases(8, {{7, 7, 3}, {33, 33, 5}}, 9)) {
    compared += share<float>(c, Device::cpu) + share<double>(c, Device::cpu);
    compared += share<float>(c, Device::reference) + share<double>(c, Device::reference);
    if (HasFailure()) return;
  }
  const EmulatedGpuScope scope;
  for (const Case& c : cases(3, {{9, 9, 2}}, 2)) compared += share<float>(c, Device::cuda);
  std::printf("[count] shared arrays against copies: %lld\n", static_cast<long long>(compared));
  EXPECT_GE(compared, 10'000);
}

// The batch as the CPU backend hands it to the lanes of one instruction set.
template <class T>
Result<T> solve_on(CpuSolve* lanes, const TestBatch<T>& p, const Options& options) {
  const Described<T> problem(p.view(), options);
  const Prepared<T> prepared = prepare(problem, options, false);
  Result<T> r;
  r.count = p.count;
  r.d = p.d;
  r.x.resize(at(p.count * p.d));
  r.status.resize(at(p.count));
  r.steps.resize(at(p.count));
  r.loss.resize(at(p.count));
  r.objective = r.gradient_norm = r.loss;
  std::vector<Outcome<T>> outcome(at(p.count));
  Batch<T> b = problem.batch;
  b.step_size = prepared.step_size.data();
  b.x = r.x.data();
  b.outcome = outcome.data();
  const CpuPlan plan = plan_cpu(shape_of(problem, options, false), 1, 0);
  const Team alone;
  for (std::int64_t i = 0; i < p.count; ++i) {
    AlignedVector<T> workspace(at(plan.workspace_values));
    lanes(sizeof(T), static_cast<int>(options.loss.index()), &b, i, workspace.data(), &alone);
    r.status[at(i)] = outcome[at(i)].status;
    r.steps[at(i)] = outcome[at(i)].steps;
    r.loss[at(i)] = outcome[at(i)].loss;
    r.objective[at(i)] = outcome[at(i)].objective;
    r.gradient_norm[at(i)] = outcome[at(i)].gradient_norm;
  }
  return r;
}

template <class T>
std::int64_t compare_isa(const CpuIsa& isa, const Case& c) {
  Case plain = c;
  plain.options.trace = TraceKind::none;
  plain.options.trace_full = false;
  plain.options.device = Device::cpu;
  plain.options.threads = 1;
  const TestBatch<T> p = make_batch<T>(plain.recipe);
  EXPECT_EQ(difference(solve_on(isa.solve, p, plain.options), solve(p.view(), plain.options)), "")
      << isa.name << ", " << plain.text();
  return p.count;
}

TEST(Invariance, EveryInstructionSetGivesTheSameBits) {
  for (const CpuIsa& isa : cpu_isas()) {
    if (!isa.usable) {
      std::printf("[note] this processor has no %s: not compared\n", isa.name);
      continue;
    }
    std::int64_t compared = 0;
    for (const Case& c : cases(6, shapes, 9))
      compared += compare_isa<float>(isa, c) + compare_isa<double>(isa, c);
    std::printf("[count] instances on %s against the backend's own choice: %lld\n", isa.name,
                static_cast<long long>(compared));
    EXPECT_GT(compared, 1000);
  }
}

}  // namespace
}  // namespace softreg
