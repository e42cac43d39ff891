// Sequences: the bits of solving context by context, each from the x before, on every backend; what
// is refused, what a plan covers, and a device lost between contexts.
#include <gtest/gtest.h>

#include <cstdio>

#include "kernels/emulated_gpu.hpp"
#include "matrix_batches.hpp"
#include "solve.hpp"

namespace softreg {
namespace {

// The same, one solve after another, as a user would write it.
template <class T, class Pick>
Result<T> by_hand(std::int64_t i, const std::vector<T>& start, const Options& options, Pick pick) {
  auto one = pick(i);
  one.x0 = start;
  Options plain = options;
  plain.sequence = false;
  return solve(one.view(), plain);
}

// pick(i): a batch of instance i alone. start: empty where the problem has none.
template <class T, class Problem, class Pick>
std::int64_t expect_bits_by_hand(const Problem& problem, const std::vector<T>& start,
                                 Options options, const std::string& text, Pick pick) {
  options.sequence = true;
  const Result<T> sequence = solve(problem, options);
  EXPECT_TRUE(sequence.plan.sequence);
  std::vector<T> x = start;
  for (std::int64_t i = 0; i < sequence.count; ++i) {
    const Result<T> one = by_hand<T>(i, x, options, pick);
    EXPECT_EQ(difference(sequence, i, one, 0), "") << text << ", context " << i;
    if (!is_bad(one.status[0])) x = one.x;
  }
  return sequence.count;
}

struct Setting {
  Device device;
  Options options;
  std::string text;
};

// Emulated kernels and sanitizers are slow: fewer of them, and fewer steps.
std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const Device device : {Device::reference, Device::cpu, Device::cuda})
    for (const std::size_t optimizer : {0u, 1u})
      for (const TraceKind trace : {TraceKind::none, TraceKind::loss, TraceKind::bounds}) {
        const bool slow = sanitized || device == Device::cuda;
        if (slow && (trace == TraceKind::bounds) != (optimizer == 1)) continue;
        Options o{.optimizer = optimizer_at(optimizer, automatic_step_size),
                  .stop = {.max_steps = device == Device::cuda ? 3 : 11,
                           .gradient_norm = 1e-3,
                           .check_every = 4},
                  .ridge = trace == TraceKind::loss ? 0.1 : 0,
                  .ball = trace == TraceKind::bounds ? 0.8 : 0,
                  .trace = trace,
                  .device = device,
                  .threads = 2};
        all.push_back({device, o,
                       "device " + std::to_string(int(device)) + ", optimizer " +
                           std::to_string(optimizer) + ", trace " + std::to_string(int(trace))});
      }
  return all;
}

template <class T>
struct SequenceBits : testing::Test {
  const EmulatedGpuScope scope;
};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(SequenceBits, Types);

// Poisoned contexts, the first and the last among them, are passed over.
TYPED_TEST(SequenceBits, OfVectorProblems) {
  using T = TypeParam;
  std::int64_t compared = 0;
  for (const Setting& s : settings())
    for (const bool starts : {true, false})
      for (const Picks& poisoned : {Picks{}, Picks{3}, Picks{0, 1, 4, 5}}) {
        if (sanitized && starts == poisoned.empty()) continue;
        // Longer than wide, or what the CPU may reduce.
        const std::int64_t n = poisoned.size() == 1 ? 8 : 20, d = poisoned.size() == 1 ? 40 : 5;
        TestBatch<T> p = make_batch<T>({.count = 6, .n_min = n, .n_max = n, .d = d});
        for (const std::int64_t i : poisoned) p.a[at(p.first_row(i) * p.d + 2)] = quiet_nan<T>();
        std::vector<T> start;
        if (starts) start.assign(p.x0.begin(), p.x0.begin() + d);
        p.x0 = start;
        const auto alone = [&p](std::int64_t i) {
          TestBatch<T> bare = p;
          bare.x0.clear();
          return bare.pick({i}, false);
        };
        compared += expect_bits_by_hand<T>(p.view(), start, s.options, s.text, alone);
        TestBatch<T> ragged = p;  // the same rows by way of offsets
        for (std::int64_t i = 0; i <= p.count; ++i) ragged.offsets.push_back(n * i);
        ragged.n = 0;
        compared += expect_bits_by_hand<T>(ragged.view(), start, s.options, s.text, alone);
      }
  std::printf("[count] contexts with the bits of solving them by hand, vector: %lld\n",
              static_cast<long long>(compared));
}

// Long and short sides, with blocks that share X; n = 3 of 8 is where the CPU may reduce.
TYPED_TEST(SequenceBits, OfMatrixProblems) {
  using T = TypeParam;
  std::int64_t compared = 0;
  for (const Setting& s : settings())
    for (const bool starts : {true, false})
      for (const int blocks : {1, 2})
        for (const std::int64_t d1 : {2, 8}) {
          if (sanitized && starts == (blocks == 2)) continue;
          TestMatrixBatch<T> p = make_matrix_batch<T>({.count = 4 * blocks,
                                                       .n_min = 3,
                                                       .n_max = 3,
                                                       .m_min = 4,
                                                       .m_max = 4,
                                                       .d1 = d1,
                                                       .d2 = 3});
          p.count = 4;
          p.step_size.clear();
          p.x0.resize(starts ? at(d1 * 3) : 0);
          if (blocks == 2) {
            for (std::int64_t k = 0; k <= 8; ++k) {
              p.offsets1.push_back(3 * k);
              p.offsets2.push_back(4 * k);
            }
            p.instances = {0, 2, 4, 6, 8};
            p.n = p.m = 0;
          }
          TestMatrixBatch<T> bare = p;
          bare.x0.clear();
          compared += expect_bits_by_hand<T>(p.view(), p.x0, s.options, s.text,
                                             [&bare](std::int64_t i) { return bare.pick({i}); });
        }
  std::printf("[count] contexts with the bits of solving them by hand, matrix: %lld\n",
              static_cast<long long>(compared));
}

TEST(Sequence, OfSeveralSoftmaxesAndOfSharedData) {
  std::int64_t compared = 0;
  for (const Device device : {Device::reference, Device::cpu}) {
    const Options options{.stop = {.max_steps = 9}, .device = device};
    const TestMatrixBatch<double> p = make_matrix_batch<double>({.count = 5,
                                                                 .n_min = 3,
                                                                 .n_max = 3,
                                                                 .m_min = 4,
                                                                 .m_max = 4,
                                                                 .d1 = 2,
                                                                 .d2 = 2,
                                                                 .starts = false});
    const WrittenOut<double> several(p);
    compared += expect_bits_by_hand<double>(
        several.view(), {}, options, "several",
        [&p](std::int64_t i) { return WrittenOut<double>(p.pick({i})); });
    TestBatch<double> shared = make_batch<double>(
        {.count = 6, .n_min = 20, .n_max = 20, .d = 5, .starts = false, .step_sizes = true});
    shared.a.resize(20 * 5);
    const auto alone = [&shared](std::int64_t i) {
      TestBatch<double> one = shared;
      one.count = 1;
      one.b.assign(shared.b.begin() + 20 * i, shared.b.begin() + 20 * (i + 1));
      one.step_size = {shared.step_size[at(i)]};
      return one;
    };
    compared += expect_bits_by_hand<double>(shared.view(), {}, options, "shared A", alone);
  }
  std::printf("[count] contexts with the bits of solving them by hand, others: %lld\n",
              static_cast<long long>(compared));
}

std::string sentence(ErrorKind kind, const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind);
    return e.what();
  }
  return "";
}

TEST(Sequence, RefusesOtherShapesAndSeveralStarts) {
  const Options options{.sequence = true};
  const auto refusal = [&options](const auto& problem) {
    return sentence(ErrorKind::invalid_input, [&] { solve(problem, options); });
  };
  TestBatch<double> p = make_batch<double>({.count = 3, .n_min = 4, .n_max = 4, .d = 2});
  EXPECT_EQ(refusal(p.view()),
            "argument 'x0' has 6 numbers but a sequence needs 2: the start of its first context");
  p.x0.resize(2);
  p.offsets = {0, 4, 8, 13};
  p.a.resize(26, 1);
  p.b.resize(13, 0.1);
  EXPECT_EQ(
      refusal(p.view()),
      "instance 2 has 5 rows but instance 0 has 4: the contexts of a sequence have one shape");
  TestMatrixBatch<double> m = make_matrix_batch<double>(
      {.count = 4, .n_min = 3, .n_max = 3, .m_min = 2, .m_max = 2, .d1 = 2, .d2 = 2});
  EXPECT_EQ(refusal(m.view()),
            "argument 'X0' has 16 numbers but a sequence needs 4: the start of its first context");
  m.x0.clear();
  m.step_size.clear();
  m.offsets1 = {0, 3, 6, 9, 12};
  m.offsets2 = {0, 2, 4, 6, 8};
  m.instances = {0, 2, 3};
  m.count = 2;
  m.offsets1.pop_back();
  m.offsets2.pop_back();
  m.a1.resize(9 * 2);
  m.a2.resize(6 * 2);
  m.b.resize(9 * 2);
  EXPECT_EQ(
      refusal(m.view()),
      "instance 1 has 1 blocks but instance 0 has 2: the contexts of a sequence have one shape");
  m.offsets1 = {0, 3, 7, 9};
  m.instances = {0, 1, 2, 3};
  m.count = 3;
  m.b.resize(3 * 2 + 4 * 2 + 2 * 2);
  EXPECT_EQ(refusal(m.view()),
            "instance 1 has 4 rows of A1 but instance 0 has 3: the contexts of a sequence have one "
            "shape");
  const std::vector<double> seven(7, 0.1);
  const std::vector<std::int64_t> segments{0, 2, 3, 5, 7}, instances{0, 2, 4};
  VectorProblem<double> several{
      .count = 2, .d = 1, .a = seven, .b = seven, .segments = segments, .instances = instances};
  EXPECT_EQ(refusal(several),
            "instance 1 has 2 rows in softmax 1 but instance 0 has 1: the contexts of a sequence "
            "have one shape");
}

TEST(Sequence, OfNoneAndOfOneContext) {
  TestBatch<float> p = make_batch<float>({.count = 1, .n_min = 4, .n_max = 4, .d = 2});
  EXPECT_EQ(difference(solve(p.view(), {.sequence = true}), solve(p.view(), {})), "");
  VectorProblem<float> none{.count = 0, .n = 4, .d = 2};
  EXPECT_EQ(solve(none, {.sequence = true}).count, 0);
}

// What a sequence is planned for is enough for every context of it.
TEST(Sequence, RunsInTheMemoryItWasPlannedFor) {
  const EmulatedGpuScope scope;
  TestMatrixBatch<float> p = make_matrix_batch<float>({.count = 3,
                                                       .n_min = 3,
                                                       .n_max = 3,
                                                       .m_min = 4,
                                                       .m_max = 4,
                                                       .d1 = 40,
                                                       .d2 = 30,
                                                       .starts = false});
  for (const Device device : {Device::reference, Device::cpu, Device::cuda}) {
    Options options{
        .stop = {.max_steps = 3}, .ridge = 0.1, .sequence = true, .device = device, .threads = 1};
    options.memory_limit = LiveSolve<float>(p.view(), options).plan().workspace_bytes;
    EXPECT_EQ(solve(p.view(), options).status, std::vector<Status>(3, Status::max_steps));
    --options.memory_limit;
    EXPECT_NE(sentence(ErrorKind::out_of_memory, [&] { solve(p.view(), options); }), "");
  }
}

TEST(Sequence, LosesTheDeviceForAllThatIsLeft) {
  const EmulatedGpuScope scope;
  EmulatedGpuState& gpu = emulated_gpu_state();
  TestBatch<float> p = make_batch<float>({.count = 4, .n_min = 30, .n_max = 30, .d = 4});
  p.x0.resize(4);
  const Options options{.stop = {.max_steps = 4}, .sequence = true, .device = Device::cuda};
  const Result<float> whole = solve(p.view(), options);
  const int calls = gpu.calls;
  int kept = 0;
  for (int n = 2; n <= calls; ++n) {
    gpu.calls = gpu.fail_call = 0;
    LiveSolve<float> live(p.view(), options);
    gpu.fail_call = n;
    EXPECT_NE(sentence(ErrorKind::device_lost, [&] { live.run(); }), "") << n;
    const Result<float> r = live.snapshot();
    std::int64_t ran = 0;
    while (r.status[at(ran)] == Status::max_steps) ++ran;
    for (std::int64_t i = 0; i < ran; ++i) EXPECT_EQ(difference(r, i, whole, i), "");
    for (std::int64_t i = ran; i < 4; ++i) EXPECT_EQ(r.status[at(i)], Status::device_error);
    kept += int(ran);
  }
  EXPECT_GT(kept, 0);
  EXPECT_EQ(gpu.in_use, 0u);
}

TEST(Sequence, MeansNothingToEvaluate) {
  const TestBatch<double> p = make_batch<double>({.count = 3, .n_min = 4, .n_max = 4, .d = 2});
  EXPECT_EQ(difference(evaluate(p.view(), {.sequence = true}).at, evaluate(p.view(), {}).at), "");
}

}  // namespace
}  // namespace softreg
