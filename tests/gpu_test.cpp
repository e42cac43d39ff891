// The CUDA backend on a real device, bit for bit. The yardstick is LaneGpu below: a Gpu of host
// memory whose launch is the memory evaluator on as many lanes as the policy has. Every suite
// Gpu... is skipped, with the reason, where there is no device; the suite Emulated runs the same
// bodies at a smaller size behind the emulator, so that this file is tested on every machine.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "batches.hpp"
#include "device.hpp"
#include "kernel_compiler.hpp"
#include "kernels/emulated_gpu.hpp"
#include "matrix_batches.hpp"

namespace softreg {
namespace {

class LaneGpu final : public Gpu {
 public:
  std::string name() const override { return "lanes of the CPU"; }
  DeviceInfo info() override { return {132, 2048, std::int64_t{1} << 40}; }
  void* allocate(std::size_t bytes) override { return std::malloc(bytes); }
  void release(void* memory) noexcept override { std::free(memory); }
  void* allocate_host(std::size_t bytes) override { return std::malloc(bytes); }
  void release_host(void* memory) noexcept override { std::free(memory); }
  void copy_in(void* device, const void* host, std::size_t bytes) override {
    std::memcpy(device, host, bytes);
  }
  void copy_out(void* host, const void* device, std::size_t bytes) override {
    std::memcpy(host, device, bytes);
  }
  void launch(int loss, const Launch& launch, const Batch<float>& batch) override {
    solve_on_lanes(loss, policies[launch.policy].lanes, batch);
  }
  void launch(int loss, const Launch& launch, const Batch<double>& batch) override {
    solve_on_lanes(loss, policies[launch.policy].lanes, batch);
  }
  void synchronize() override {}
};

// Runs f with LaneGpu in place of the device.
template <class F>
auto on_lanes(const F& f) {
  const GpuSource device = gpu_source();
  gpu_source().unavailable = [] { return std::string(); };
  gpu_source().open = []() -> std::unique_ptr<Gpu> { return std::make_unique<LaneGpu>(); };
  auto result = f();
  gpu_source() = device;
  return result;
}

template <class T>
std::string differing(const char* what, const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return std::string(what) + " have different lengths";
  for (std::size_t k = 0; k < a.size(); ++k)
    if (!same(a[k], b[k])) return std::string(what) + " differ at " + std::to_string(k);
  return "";
}
template <class T>
std::string differing(const Evaluation<T>& a, const Evaluation<T>& b) {
  std::string d = difference(a.at, b.at);
  if (d.empty()) d = differing("output", a.output, b.output);
  if (d.empty()) d = differing("dlogits", a.dlogits, b.dlogits);
  if (d.empty()) d = differing("gradient", a.gradient, b.gradient);
  if (d.empty()) d = differing("attended", a.attended, b.attended);
  if (d.empty()) d = differing("log_mass", a.log_mass, b.log_mass);
  return d;
}

struct Scale {
  std::int64_t count;
  int steps;
};

// The largest rows and parameters of each policy, and numbers that fill none of them.
struct ClassShape {
  int policy;
  std::int64_t n, d;
};
constexpr ClassShape class_shapes[] = {{0, 32, 8},  {0, 11, 3},  {1, 64, 16},  {1, 33, 9},
                                       {2, 128, 8}, {2, 65, 5},  {3, 256, 8},  {3, 129, 2},
                                       {4, 64, 32}, {4, 40, 17}, {5, 300, 12}, {5, 70, 33}};

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
  for (std::size_t s = 0; s < std::size(class_shapes); s += every_shape ? 1 : 2)
    for (std::size_t l = 0; l < std::variant_size_v<AnyLoss>; ++l)
      for (std::size_t o = 0; o < std::variant_size_v<AnyOptimizer>; ++o, ++k) {
        const auto [policy, n, d] = class_shapes[every_shape ? s : s + 1];
        if (policies[policy].max_value_bytes < static_cast<int>(sizeof(T))) continue;
        ASSERT_EQ(choose_policy({n, d, sizeof(T)}), policy);
        const AnyLoss loss = loss_at(l);
        BatchRecipe recipe{scale.count, n, n, d};
        recipe.weights = k % 4 == 1;
        recipe.starts = k % 7 != 3 || l >= 5;
        recipe.seed = k;
        const TestBatch<T> p = make_batch<T>(recipe);
        Options options = options_of(k, loss, optimizer_at(o, fitting_step(loss, n, d)), scale);
        // The kernels of the trace `bounds` have the lanes of block_stream.
        const bool bounds = policies[policy].placement == Placement::stream && l < 3 &&
                            options.trace == TraceKind::shifts;
        if (bounds) options.trace = TraceKind::bounds;
        const std::string where = std::string(policies[policy].name) + ", " + name_of(loss) +
                                  (o ? ", nesterov" : ", gradient_descent") +
                                  (sizeof(T) == 4 ? ", f32" : ", f64");
        const auto run = [&] { return solve(p.view(), options); };
        const Result<T> got = run();
        EXPECT_EQ(got.plan.size_class,
                  std::string(policies[policy].name) + (bounds ? "_bounds" : ""));
        EXPECT_EQ(difference(got, on_lanes(run)), "") << where;
        const auto describe = [&] { return evaluate(p.view(), options); };
        EXPECT_EQ(differing(describe(), on_lanes(describe)), "") << where << ", evaluate";
        compared += 2 * scale.count;
      }
}
void kernels_equal_lanes(const Scale& scale, bool every_shape) {
  std::int64_t compared = 0;
  expect_kernels_equal_lanes<float>(scale, every_shape, compared);
  expect_kernels_equal_lanes<double>(scale, every_shape, compared);
  std::printf("[count] kernel instances with the bits of the lanes: %lld\n",
              static_cast<long long>(compared));
}

// Ragged over several classes and cut into chunks: the bits of one launch per class, and where a
// class is a warp, of the CPU backend.
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
  options.memory_limit = 0;
  options.device = Device::cpu;
  const Result<T> cpu = solve(p.view(), options);
  std::int64_t warps = 0;
  for (std::int64_t i = 0; i < p.count; ++i)
    if (policies[choose_policy({p.rows(i), p.d, sizeof(T)})].lanes == 32) {
      ++warps;
      EXPECT_EQ(difference(whole, i, cpu, i), "") << "instance " << i;
    }
  EXPECT_GT(warps, 0);
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
void expect_statuses_of_the_cpu(const Scale& scale) {
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
    options.device = Device::cpu;
    EXPECT_EQ(difference(cuda, solve(p.view(), options)), "") << name_of(loss);
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

// A large batch against the CPU backend.
template <class T>
void expect_the_bits_of_the_cpu(std::int64_t count, std::int64_t n, std::int64_t d, int steps) {
  const TestBatch<T> p = make_batch<T>({count, n, n, d});
  Options options = options_of(0, SoftmaxL2{}, Nesterov{}, {count, steps});
  const Result<T> cuda = solve(p.view(), options);
  options.device = Device::cpu;
  EXPECT_EQ(difference(cuda, solve(p.view(), options)), "");
}

// Kernels made at run time for shapes that fill no policy: the bits are still those of the lanes.
template <class T>
void expect_made_kernels_equal_lanes(const Scale& scale) {
  ::setenv("SOFTREG_SPECIALISE", "always", 1);
  std::size_t k = 0;
  for (const auto& [policy, n, d] : class_shapes) {
    const KernelPolicy& p = policies[policy];
    if (p.placement != Placement::registers || d == p.max_parameters ||
        p.max_value_bytes < static_cast<int>(sizeof(T)))
      continue;
    const TestBatch<T> batch = make_batch<T>({scale.count, n, n, d});
    const Options options = options_of(k++, SoftmaxL2{}, Nesterov{}, scale);
    const auto run = [&] { return solve(batch.view(), options); };
    const Result<T> got = run();
    EXPECT_EQ(got.plan.kernels, "specialised");
    EXPECT_EQ(difference(got, on_lanes(run)), "") << p.name << ", " << n << " x " << d;
  }
  EXPECT_GE(k, 3u);
  ::unsetenv("SOFTREG_SPECIALISE");
}

#define REQUIRE_GPU()                                                           \
  if (const std::string reason = devices().back().unavailable; !reason.empty()) \
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
TEST(GpuSmall, StatusesAreThoseOfTheCpu) {
  REQUIRE_GPU();
  expect_statuses_of_the_cpu<float>({10, 6});
}

TEST(GpuSmall, KernelsMadeAtRunTimeEqualLanes) {
  REQUIRE_GPU();
  if (const std::string reason = kernel_compiler().unavailable; !reason.empty())
    GTEST_SKIP() << reason;
  expect_made_kernels_equal_lanes<float>({50, 30});
  expect_made_kernels_equal_lanes<double>({50, 30});
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
TEST(Gpu, StatusesAreThoseOfTheCpu) {
  REQUIRE_GPU();
  expect_statuses_of_the_cpu<float>({500, 30});
  expect_statuses_of_the_cpu<double>({500, 30});
}
TEST(Gpu, SolvesAtOnceDoNotMix) {
  REQUIRE_GPU();
  expect_solves_at_once_do_not_mix<float>({2000, 100});
}
TEST(Gpu, LargeBatchesGiveTheBitsOfTheCpu) {
  REQUIRE_GPU();
  expect_the_bits_of_the_cpu<float>(200'000, 64, 16, 40);
  expect_the_bits_of_the_cpu<double>(100'000, 32, 8, 40);
  expect_the_bits_of_the_cpu<double>(50'000, 128, 8, 40);
}
TEST(Gpu, StreamsOfLargeInstances) {
  REQUIRE_GPU();
  const TestBatch<float> p = make_batch<float>({600, 3000, 3000, 64});
  const Options options = options_of(0, SoftmaxL2{}, Nesterov{}, {600, 5});
  const auto run = [&] { return solve(p.view(), options); };
  EXPECT_EQ(difference(run(), on_lanes(run)), "");
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
  const EmulatedGpuScope scope;
  kernels_equal_lanes({2, 2}, false);
}
TEST(Emulated, KernelsMadeAtRunTimeEqualLanes) {
  const EmulatedGpuScope scope;
  emulated_gpu_state().specialises = true;
  expect_made_kernels_equal_lanes<float>({3, 3});
  EXPECT_GT(emulated_gpu_state().specialised_launches, 0);
}
TEST(Emulated, ChunksChangeNothing) {
  const EmulatedGpuScope scope;
  expect_chunks_change_nothing<float>({16, 3}, 300);
}
TEST(Emulated, SharedArrays) {
  const EmulatedGpuScope scope;
  expect_shared_arrays_work<float>({5, 3});
}
TEST(Emulated, MatrixProblemsEqualLanes) {
  const EmulatedGpuScope scope;
  expect_matrix_problems_equal_lanes<float>({2, 2});
}
TEST(Emulated, StatusesAreThoseOfTheCpu) {
  const EmulatedGpuScope scope;
  expect_statuses_of_the_cpu<float>({10, 6});
  expect_statuses_of_the_cpu<double>({10, 6});
}
TEST(Emulated, LargeBatchesGiveTheBitsOfTheCpu) {
  const EmulatedGpuScope scope;
  expect_the_bits_of_the_cpu<float>(30, 40, 9, 4);
}

}  // namespace
}  // namespace softreg
