// The CUDA backend on a real device, bit for bit. The yardstick is LaneGpu, whose launch is
// the memory evaluator that adds in the order of the policy's kernel. Every suite
// Gpu... is skipped, with the reason, where there is no device; the suite Emulated runs the same
// bodies at a smaller size behind the emulator, so that this file is tested on every machine.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <thread>

#include "batches.hpp"
#include "device.hpp"
#include "kernel_compiler.hpp"
#include "kernels/callers_memory.hpp"
#include "kernels/emulated_gpu.hpp"
#include "kernels/lane_gpu.hpp"
#include "matrix_batches.hpp"
#include "sanitized.hpp"

namespace softreg {
namespace {

struct Scale {
  std::int64_t count;
  int steps;
};

// The largest rows and parameters of each policy, and numbers that fill none of them.
struct ClassShape {
  std::string_view name;
  std::int64_t n, d;
};
constexpr ClassShape class_shapes[] = {{"lanes1_16x4", 16, 4},
                                       {"lanes1_16x4", 11, 3},
                                       {"lanes2_32x8", 32, 8},
                                       {"lanes2_32x8", 17, 5},
                                       {"lanes8_64x16", 64, 16},
                                       {"lanes8_64x16", 33, 9},
                                       {"lanes32_128x32", 128, 32},
                                       {"lanes32_128x32", 65, 17},
                                       {"lanes32_256x16", 256, 16},
                                       {"lanes32_256x16", 129, 2},
                                       {"lanes128_256x64", 256, 64},
                                       {"lanes128_256x64", 100, 33},
                                       {"lanes128_512x32", 512, 32},
                                       {"lanes128_512x32", 257, 5},
                                       {"lanes256_1024x64", 1024, 64},
                                       {"lanes256_1024x64", 600, 40},
                                       {"lanes2_16x4", 16, 4},
                                       {"lanes2_16x4", 11, 3},
                                       {"lanes8_32x8", 32, 8},
                                       {"lanes8_32x8", 17, 5},
                                       {"lanes16_64x16", 64, 16},
                                       {"lanes16_64x16", 33, 9},
                                       {"lanes64_128x32", 128, 32},
                                       {"lanes64_128x32", 65, 17},
                                       {"lanes64_256x8", 256, 8},
                                       {"lanes64_256x8", 129, 2},
                                       {"lanes256_256x64", 256, 64},
                                       {"lanes256_256x64", 100, 33},
                                       {"lanes2048_4096x128", 4096, 128},
                                       {"lanes2048_4096x128", 1025, 65},
                                       {"lanes2048_2048x128", 2048, 128},
                                       {"lanes2048_2048x128", 300, 120},
                                       {"stream2048_x16", 4097, 16},
                                       {"stream2048_x16", 10000, 7},
                                       {"stream2048_x128", 4097, 128},
                                       {"stream2048_x128", 5000, 17},
                                       {"stream2048_x8", 4097, 8},
                                       {"stream2048_x8", 10000, 7},
                                       {"stream2048_x32", 2049, 32},
                                       {"stream2048_x32", 5000, 9},
                                       {"block_shared", 300, 70},
                                       {"block_shared", 110, 133},
                                       {"block_stream", 300, 70},
                                       {"block_stream", 110, 133}};

Options options_of(std::size_t k, const AnyLoss& loss, const AnyOptimizer& optimizer,
                   const Scale& scale) {
  Options o;
  o.loss = loss;
  o.optimizer = optimizer;
  o.device = Device::cuda;
  o.stop = {.max_steps = scale.steps,
            .gradient_norm = k % 2 ? 1e-3 : 0,
            .check_every = 1 + static_cast<int>(k % 5)};
  if (k % 3 == 0) o.ridge = 0.25;
  if (k % 5 == 1) o.logit_weight = 0.5;
  if (k % 4 == 2) o.ball = 0.4;
  if (k % 3 == 1) o.trace = TraceKind::loss;
  if (k % 3 == 2) {
    o.trace = TraceKind::shifts;
    o.trace_full = k % 2 == 0;
  }
  return o;
}

// Every policy with every loss, optimizer and type that it has, against the same lanes on the host:
// one solve and one evaluation each. limit: the first so many shapes of each policy.
template <class T>
void expect_kernels_equal_lanes(const Scale& scale, bool every_shape, std::int64_t& compared) {
  std::size_t k = 0;
  std::map<std::string_view, int> compared_of;
  // Enough to be solved side by side, and one more.
  const std::int64_t shared_count =
      std::max(8 * gpu_source().open()->info().multiprocessors, BlockShared::policy.places) + 1;
  for (std::size_t s = 0; s < std::size(class_shapes); s += every_shape ? 1 : 2)
    for (std::size_t l = 0; l < std::variant_size_v<AnyLoss>; ++l)
      for (std::size_t o = 0; o < std::variant_size_v<AnyOptimizer>; ++o, ++k) {
        const auto [name, n, d] = class_shapes[every_shape ? s : s + 1];
        const bool shares = name == "block_shared";  // of instances that share A
        const KernelPolicy& policy = policies[choose_policy(
            {.rows = n, .parameters = d, .value_bytes = sizeof(T), .side_by_side = shares})];
        if (policy.name != name) continue;  // of the other type's
        if (policy.cluster() > 1 && scale.steps < 3 && (l + o) % 3 != 0)
          continue;  // slow to emulate
        ++compared_of[name];
        const AnyLoss loss = loss_at(l);
        if (shares && (l + o) % 4 != 0) continue;  // many, and the yardstick is slow
        const std::int64_t count = shares ? std::max(scale.count, shared_count) : scale.count;
        BatchRecipe recipe{count, n, n, d};
        recipe.weights = k % 4 == 1;
        recipe.starts = k % 7 != 3 || l >= 5;
        recipe.seed = k;
        const TestBatch<T> p = make_batch<T>(recipe);
        Options options = options_of(k, loss, optimizer_at(o, fitting_step(loss, n, d)), scale);
        if (shares) options.stop.max_steps = std::min(options.stop.max_steps, 10);
        // The kernels of the trace `bounds` have the lanes of block_stream.
        const bool bounds = name == "block_stream" && l < 3 && options.trace == TraceKind::shifts;
        if (bounds) options.trace = TraceKind::bounds;
        const std::string where = std::string(name) + ", " + name_of(loss) +
                                  (o ? ", nesterov" : ", gradient_descent") +
                                  (sizeof(T) == 4 ? ", f32" : ", f64");
        VectorProblem<T> problem = p.view();
        if (shares) problem.a = problem.a.first(at(n * d));
        const auto run = [&] { return solve(problem, options); };
        const Result<T> got = run();
        EXPECT_EQ(got.plan.size_class, std::string(name) + (bounds ? "_bounds" : ""));
        EXPECT_EQ(difference(got, on_lanes(run)), "") << where;
        const auto describe = [&] { return evaluate(problem, options); };
        EXPECT_EQ(differing(describe(), on_lanes(describe)), "") << where << ", evaluate";
        compared += 2 * count;
      }
  for (const KernelPolicy& p : policies)
    if (is_of_numbers<T>(p) && !is_of_matrices(p) && !p.watches_bounds) {
      EXPECT_GT(compared_of[p.name], 0) << p.name << " is met by no shape";
    }
}
void kernels_equal_lanes(const Scale& scale, bool every_shape) {
  std::int64_t compared = 0;
  expect_kernels_equal_lanes<float>(scale, every_shape, compared);
  expect_kernels_equal_lanes<double>(scale, every_shape, compared);
  std::printf("[count] kernel instances with the bits of the lanes: %lld\n",
              static_cast<long long>(compared));
}

// Ragged over several classes and cut into chunks: the bits of one launch per class.
template <class T>
void expect_chunks_change_nothing(const Scale& scale, std::int64_t longest) {
  BatchRecipe recipe{scale.count, 1, longest, 7};
  recipe.weights = true;
  const TestBatch<T> p = make_batch<T>(recipe);
  Options options = options_of(4, SoftmaxL2{}, Nesterov{}, scale);
  const Result<T> whole = solve(p.view(), options);
  EXPECT_EQ(difference(whole, on_lanes([&] { return solve(p.view(), options); })), "");
  const std::int64_t longest_alone = bytes_of_longest(p, options);
  for (const int parts : {2, 5}) {
    options.memory_limit = std::max(whole.plan.workspace_bytes / parts, longest_alone);
    const Result<T> cut = solve(p.view(), options);
    EXPECT_GT(cut.plan.chunks, whole.plan.chunks);
    EXPECT_LE(cut.plan.workspace_bytes, options.memory_limit);
    EXPECT_EQ(difference(cut, whole), "") << parts << " parts";
  }
}

// Shared arrays go over once and are read by all.
template <class T>
void expect_shared_arrays_work(const Scale& scale) {
  const TestBatch<T> one = make_batch<T>({1, 20, 20, 4, true, true});
  TestBatch<T> many = one;
  many.count = scale.count;
  for (const bool own_targets : {false, true}) {
    if (own_targets) many.b = make_batch<T>({scale.count, 20, 20, 4}).b;
    const Options options = options_of(3, CrossEntropy{}, GradientDescent{}, scale);
    const auto run = [&] { return solve(many.view(), options); };
    EXPECT_EQ(difference(run(), on_lanes(run)), "");
  }
}

// Several blocks and several softmaxes share x, ragged.
template <class T>
void expect_matrix_problems_equal_lanes(const Scale& scale) {
  for (const bool tied : {false, true}) {
    const TestMatrixBatch<T> p =
        make_matrix_batch<T>({scale.count, 1, 9, 1, 40, 3, 5, 3, tied, true, true});
    const WrittenOut<T> softmaxes(p);
    for (std::size_t l = 0; l < std::variant_size_v<AnyLoss>; ++l) {
      const Options options = options_of(l, loss_at(l), Nesterov{}, scale);
      const auto run = [&] { return solve(p.view(), options); };
      EXPECT_EQ(difference(run(), on_lanes(run)), "") << name_of(loss_at(l));
      const auto run_softmaxes = [&] { return solve(softmaxes.view(), options); };
      EXPECT_EQ(difference(run_softmaxes(), on_lanes(run_softmaxes)), "") << name_of(loss_at(l));
    }
  }
  // Two tiles to a block; instances of one block are resident, others are not.
  const TestMatrixBatch<T> p =
      make_matrix_batch<T>({scale.count, 60, 65, 70, 75, 3, 5, 2, false, true, true, 4});
  const auto run = [&] { return solve(p.view(), options_of(0, SoftmaxL2{}, Nesterov{}, scale)); };
  const Result<T> cuda = run();
  EXPECT_EQ(cuda.plan.size_class, "block_resident,block_tiles");
  EXPECT_EQ(difference(cuda, on_lanes(run)), "");
  const auto describe = [&] {
    return evaluate(p.view(), options_of(0, SoftmaxL2{}, Nesterov{}, scale));
  };
  EXPECT_EQ(differing(describe(), on_lanes(describe)), "");
  const TestMatrixBatch<T> unweighted =
      make_matrix_batch<T>({scale.count, 9, 9, 20, 20, 3, 5, 1, false, true, false, 4});
  const auto run_unweighted = [&] {
    return solve(unweighted.view(), options_of(1, SoftmaxL2{}, Nesterov{}, scale));
  };
  EXPECT_EQ(difference(run_unweighted(), on_lanes(run_unweighted)), "");
}

// Instances that overflow, diverge, do not move or are refused, among others.
template <class T>
void expect_statuses_of_the_lanes(const Scale& scale) {
  BatchRecipe recipe{std::max<std::int64_t>(scale.count, 10), 20, 20, 4};
  recipe.step_sizes = true;
  TestBatch<T> p = make_batch<T>(recipe);
  std::fill_n(p.a.begin() + 1 * 80, 80, T(sizeof(T) == 4 ? 1e38 : 1e300));
  std::fill_n(p.a.begin() + 2 * 80, 80, T(0));
  p.step_size[3] = 1e20;
  p.step_size[4] = 0;
  p.a[5 * 80 + 7] = quiet_nan<T>();
  p.x0[6 * 4] = infinity<T>();
  p.b[7 * 20] = -1;
  for (std::size_t l = 0; l < std::variant_size_v<AnyLoss>; ++l) {
    const AnyLoss loss = loss_at(l);
    Options options = options_of(1, loss, Nesterov{1}, scale);
    options.stop.check_every = 3;
    options.stop.gradient_norm = 1e-6;
    const Result<T> cuda = solve(p.view(), options);
    EXPECT_EQ(cuda.status[2], Status::converged);
    EXPECT_EQ(cuda.status[4], Status::bad_parameter);
    EXPECT_EQ(cuda.status[5], Status::bad_input);
    EXPECT_EQ(cuda.status[6], Status::bad_input);
    EXPECT_EQ(difference(cuda, on_lanes([&] { return solve(p.view(), options); })), "")
        << name_of(loss);
  }
}

template <class T>
void expect_solves_at_once_do_not_mix(const Scale& scale) {
  constexpr std::size_t callers = 3;
  std::vector<TestBatch<T>> batches;
  std::vector<Result<T>> expected, got(callers);
  for (std::size_t k = 0; k < callers; ++k) {
    batches.push_back(make_batch<T>({scale.count, 30, 30, 5 + static_cast<std::int64_t>(k)}));
    expected.push_back(solve(batches[k].view(), options_of(k, SoftmaxL2{}, Nesterov{}, scale)));
  }
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < callers; ++k)
    threads.emplace_back([&, k] {
      got[k] = solve(batches[k].view(), options_of(k, SoftmaxL2{}, Nesterov{}, scale));
    });
  for (std::thread& t : threads) t.join();
  for (std::size_t k = 0; k < callers; ++k)
    EXPECT_EQ(difference(got[k], expected[k]), "") << "caller " << k;
}

// A large batch: its first and its last instances against the lanes.
template <class T>
void expect_the_bits_of_some(std::int64_t count, std::int64_t n, std::int64_t d, int steps) {
  const TestBatch<T> p = make_batch<T>({count, n, n, d});
  const Options options = options_of(0, SoftmaxL2{}, Nesterov{}, {count, steps});
  const Result<T> cuda = solve(p.view(), options);
  const std::int64_t some = std::min<std::int64_t>(count, 500);
  for (const std::int64_t first : {std::int64_t{0}, count - some}) {
    VectorProblem<T> part = p.view();
    part.count = some;
    part.a = part.a.subspan(std::size_t(first * n * d), std::size_t(some * n * d));
    part.b = part.b.subspan(std::size_t(first * n), std::size_t(some * n));
    if (!part.x0.empty()) part.x0 = part.x0.subspan(std::size_t(first * d), std::size_t(some * d));
    const Result<T> right = on_lanes([&] { return solve(part, options); });
    for (std::int64_t i = 0; i < some; ++i)
      EXPECT_EQ(difference(cuda, first + i, right, i), "") << "instance " << first + i;
  }
}

// Kernels made at run time for shapes that fill no policy: the bits are still those of the lanes.
template <class T>
void expect_made_kernels_equal_lanes(const Scale& scale) {
  ::setenv("SOFTREG_SPECIALISE", "always", 1);
  std::size_t k = 0;
  for (std::size_t s = 1; s < std::size(class_shapes);
       s += 2) {  // those that do not fill their class
    const auto& [name, n, d] = class_shapes[s];
    const KernelPolicy& p = policies[choose_policy({n, d, sizeof(T)})];
    if (p.name != name || p.placement != Placement::registers || p.shared_rows > 0) continue;
    const TestBatch<T> batch = make_batch<T>({scale.count, n, n, d});
    const Options options = options_of(k++, SoftmaxL2{}, Nesterov{}, scale);
    const auto run = [&] { return solve(batch.view(), options); };
    const Result<T> got = run();
    EXPECT_EQ(got.plan.kernels, "specialised");
    EXPECT_EQ(difference(got, on_lanes(run)), "") << name << ", " << n << " x " << d;
  }
  EXPECT_GE(k, 6u);
  ::unsetenv("SOFTREG_SPECIALISE");
}

// The fast arithmetic against the portable one: x after a few steps from numbers about 1, in which
// a unit in the last place is 6e-8.
void expect_fast_kernels_near_portable_ones(const Scale& scale) {
  for (const auto& [name, n, d] : class_shapes) {
    const KernelPolicy& p = policies[choose_policy({n, d, sizeof(float)})];
    if (p.name != name || p.placement != Placement::registers) continue;
    const TestBatch<float> batch = make_batch<float>({scale.count, n, n, d});
    Options options = options_of(0, SoftmaxL2{}, GradientDescent{}, scale);
    const Result<float> portable = solve(batch.view(), options);
    options.arithmetic = Arithmetic::fast;
    const Result<float> fast = solve(batch.view(), options);
    EXPECT_EQ(fast.plan.kernels, "fast");
    for (std::size_t j = 0; j < fast.x.size(); ++j)
      ASSERT_NEAR(fast.x[j], portable.x[j], 2e-5 * (1 + std::abs(portable.x[j]))) << name;
  }
}

void expect_fast_bits_of_each_alone() {
  const TestBatch<float> batch = make_batch<float>({12, 33, 64, 13});
  Options options = options_of(0, CrossEntropy{}, Nesterov{}, {12, 30});
  options.arithmetic = Arithmetic::fast;
  const Result<float> all = solve(batch.view(), options);
  for (std::int64_t i = 0; i < 12; i += 5) {
    const TestBatch<float> one = batch.pick({i}, true);
    EXPECT_EQ(difference(solve(one.view(), options), 0, all, i), "") << i;
  }
}

// Arrays in memory of a real device, as CallersMemory has them in that of the emulated one.
class RealCallersMemory {
 public:
  RealCallersMemory() = default;
  ~RealCallersMemory() {
    for (void* const array : arrays_) gpu_->release(array);
  }
  RealCallersMemory(const RealCallersMemory&) = delete;
  RealCallersMemory& operator=(const RealCallersMemory&) = delete;

  template <class T>
  std::span<const T> put(std::span<const T> values) {
    if (values.empty()) return {};
    void* const array = gpu_->allocate(values.size_bytes());
    arrays_.push_back(array);
    gpu_->copy_in(0, array, values.data(), values.size_bytes());
    gpu_->synchronize(0);
    return {static_cast<const T*>(array), values.size()};
  }

 private:
  std::unique_ptr<Gpu> gpu_ = gpu_source().open();
  std::vector<void*> arrays_;
};

// Problems whose arrays lie on the device, against the lanes with the same numbers in host memory.
// Step sizes are given for some, and else made of Gram matrices of the device.
template <class Memory, class T>
void expect_device_arrays_equal_lanes(const Scale& scale) {
  const auto expect_same = [&](const auto& p, const Options& options) {
    const auto run = [&] { return solve(p, options); };
    Memory memory;
    EXPECT_EQ(difference(solve(on_device(memory, p), options), on_lanes(run)), "");
    const auto describe = [&] { return evaluate(p, options); };
    EXPECT_EQ(differing(evaluate(on_device(memory, p), options), on_lanes(describe)), "");
  };
  for (std::size_t k = 0; k < 8; ++k) {
    BatchRecipe recipe{scale.count, 1, 40 + 80 * std::int64_t(k % 3), 7};
    recipe.weights = k % 2 == 0;
    recipe.step_sizes = k % 4 == 3;
    recipe.seed = k;
    const TestBatch<T> ragged = make_batch<T>(recipe);
    const Options options = options_of(k, SoftmaxL2{}, Nesterov{}, scale);
    expect_same(ragged.view(), options);
    recipe.n_min = recipe.n_max;
    TestBatch<T> uniform = make_batch<T>(recipe);
    if (k % 3 == 1) uniform.a[7] = quiet_nan<T>();
    expect_same(uniform.view(), options);
    recipe.d = 70;  // by columns, in memory
    recipe.n_min = recipe.n_max = 300;
    if (k < 2) expect_same(make_batch<T>(recipe).view(), options);
  }
  for (const bool tied : {false, true}) {
    TestMatrixBatch<T> m =
        make_matrix_batch<T>({scale.count, 1, 9, 1, 40, 3, 5, 3, tied, true, true});
    if (tied) m.step_size.clear();
    expect_same(m.view(), options_of(0, CrossEntropy{}, Nesterov{}, scale));
  }
}

#define REQUIRE_GPU()                                                           \
  if (const std::string reason = devices().back().unavailable; !reason.empty()) \
  GTEST_SKIP() << reason

#define REQUIRE_NVRTC()                                                          \
  REQUIRE_GPU();                                                                 \
  if (const std::string reason = kernel_compiler().unavailable; !reason.empty()) \
  GTEST_SKIP() << reason

// Small enough for compute-sanitizer: every kernel once.
TEST(GpuSmall, KernelsEqualLanes) {
  REQUIRE_GPU();
  kernels_equal_lanes({3, 3}, false);
}
TEST(GpuSmall, MatrixProblemsEqualLanes) {
  REQUIRE_GPU();
  expect_matrix_problems_equal_lanes<float>({3, 3});
}
TEST(GpuSmall, StatusesAreThoseOfTheLanes) {
  REQUIRE_GPU();
  expect_statuses_of_the_lanes<float>({10, 6});
}

TEST(GpuSmall, DeviceArraysEqualLanes) {
  REQUIRE_GPU();
  expect_device_arrays_equal_lanes<RealCallersMemory, float>({4, 3});
}

// Each kernel takes seconds to make.
TEST(GpuMade, KernelsMadeAtRunTimeEqualLanes) {
  REQUIRE_NVRTC();
  expect_made_kernels_equal_lanes<float>({50, 30});
  expect_made_kernels_equal_lanes<double>({50, 30});
}
TEST(GpuMade, FastKernelsAreNearPortableOnes) {
  REQUIRE_NVRTC();
  expect_fast_kernels_near_portable_ones({50, 30});
}
TEST(GpuMade, FastBitsDoNotDependOnTheBatch) {
  REQUIRE_NVRTC();
  expect_fast_bits_of_each_alone();
}

TEST(Gpu, KernelsEqualLanes) {
  REQUIRE_GPU();
  kernels_equal_lanes({50, 60}, true);
}
TEST(Gpu, ChunksChangeNothing) {
  REQUIRE_GPU();
  expect_chunks_change_nothing<float>({3000, 40}, 600);
  expect_chunks_change_nothing<double>({3000, 40}, 600);
}
TEST(Gpu, DeviceArraysEqualLanes) {
  REQUIRE_GPU();
  expect_device_arrays_equal_lanes<RealCallersMemory, float>({3000, 30});
  expect_device_arrays_equal_lanes<RealCallersMemory, double>({3000, 30});
}
TEST(Gpu, SharedArrays) {
  REQUIRE_GPU();
  expect_shared_arrays_work<float>({2000, 40});
  expect_shared_arrays_work<double>({2000, 40});
}
TEST(Gpu, MatrixProblemsEqualLanes) {
  REQUIRE_GPU();
  expect_matrix_problems_equal_lanes<float>({100, 30});
  expect_matrix_problems_equal_lanes<double>({100, 30});
}
TEST(Gpu, StatusesAreThoseOfTheLanes) {
  REQUIRE_GPU();
  expect_statuses_of_the_lanes<float>({500, 30});
  expect_statuses_of_the_lanes<double>({500, 30});
}
TEST(Gpu, SolvesAtOnceDoNotMix) {
  REQUIRE_GPU();
  expect_solves_at_once_do_not_mix<float>({2000, 100});
}
TEST(Gpu, LargeBatchesGiveTheBitsOfTheCpu) {
  REQUIRE_GPU();
  expect_the_bits_of_some<float>(200'000, 64, 16, 40);
  expect_the_bits_of_some<double>(100'000, 32, 8, 40);
  expect_the_bits_of_some<double>(50'000, 128, 8, 40);
}
TEST(Gpu, StreamsOfLargeInstances) {
  REQUIRE_GPU();
  const TestBatch<float> p = make_batch<float>({600, 3000, 3000, 130});
  const Options options = options_of(0, SoftmaxL2{}, Nesterov{}, {600, 5});
  const auto run = [&] { return solve(p.view(), options); };
  EXPECT_EQ(difference(run(), on_lanes(run)), "");
}
// Many times as many as run at once.
TEST(Gpu, ClustersOfLargeInstances) {
  REQUIRE_GPU();
  const TestBatch<float> p = make_batch<float>({200, 1500, 4096, 100});
  const Options options = options_of(0, SoftmaxL2{}, Nesterov{}, {200, 20});
  const auto run = [&] { return solve(p.view(), options); };
  const Result<float> clusters = run();
  EXPECT_EQ(clusters.plan.size_class, "lanes2048_4096x128");
  EXPECT_EQ(difference(clusters, on_lanes(run)), "");
}

// More than 2^31 numbers of A: offsets in 64 bits all the way.
TEST(GpuLarge, BeyondTwoToTheThirtyOneNumbers) {
  REQUIRE_GPU();
  constexpr std::int64_t n = 32, d = 8, base = 4096, repeats = 2100, count = base * repeats;
  static_assert(count * n * d > std::int64_t{1} << 31);
  const std::int64_t free = sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE),
                     need = count * n * d * 4 * 3;
  if (free < need)
    GTEST_SKIP() << "needs " << need << " bytes of host memory but " << free << " are free";
  const TestBatch<float> few = make_batch<float>({base, n, n, d});
  TestBatch<float> many = few;
  many.count = count;
  for (std::vector<float> TestBatch<float>::*array :
       {&TestBatch<float>::a, &TestBatch<float>::b, &TestBatch<float>::x0}) {
    (many.*array).reserve((few.*array).size() * at(repeats));
    for (std::int64_t k = 1; k < repeats; ++k)
      (many.*array).insert((many.*array).end(), (few.*array).begin(), (few.*array).end());
  }
  Options options = options_of(1, SoftmaxL2{}, GradientDescent{0.1}, {count, 3});
  options.trace = TraceKind::none;
  const Result<float> expected = solve(few.view(), options), got = solve(many.view(), options);
  for (std::int64_t i = 0; i < count; ++i)
    ASSERT_EQ(difference(got, i, expected, i % base), "") << "instance " << i;
}

TEST(Emulated, KernelsEqualLanes) {
  if (sanitized)
    GTEST_SKIP() << "slow there; evaluators_test has the kernels, cuda_test the classes";
  const EmulatedGpuScope scope;
  kernels_equal_lanes({2, 2}, false);
}
TEST(Emulated, MadeKernelsAreLaunched) {
  const EmulatedGpuScope scope;
  emulated_gpu_state().specialises = true;
  expect_made_kernels_equal_lanes<float>({3, 3});
  EXPECT_GT(emulated_gpu_state().specialised_launches, 0);
}
TEST(Emulated, ChunksChangeNothing) {
  const EmulatedGpuScope scope;
  expect_chunks_change_nothing<float>({16, 3}, 300);
}
TEST(Emulated, DeviceArraysEqualLanes) {
  const EmulatedGpuScope scope;
  expect_device_arrays_equal_lanes<CallersMemory, float>({3, 2});
  expect_device_arrays_equal_lanes<CallersMemory, double>({3, 2});
}
TEST(Emulated, SharedArrays) {
  const EmulatedGpuScope scope;
  expect_shared_arrays_work<float>({5, 3});
}
TEST(Emulated, MatrixProblemsEqualLanes) {
  const EmulatedGpuScope scope;
  expect_matrix_problems_equal_lanes<float>({2, 2});
}
TEST(Emulated, StatusesAreThoseOfTheLanes) {
  const EmulatedGpuScope scope;
  expect_statuses_of_the_lanes<float>({10, 6});
  expect_statuses_of_the_lanes<double>({10, 6});
}
TEST(Emulated, LargeBatchesGiveTheBitsOfTheCpu) {
  const EmulatedGpuScope scope;
  expect_the_bits_of_some<float>(30, 40, 9, 4);
}

}  // namespace
}  // namespace softreg
