// The CUDA backend from solve() to the launch and back, on a device made of host memory and the
// emulator: bits, chunks, memory, failures at every call. Streams: cuda_streams_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

#include "kernels/emulated_cases.hpp"
#include "kernels/lane_gpu.hpp"
#include "kernels/on_emulated_gpu.hpp"
#include "philox.hpp"
#include "sanitized.hpp"
#include "solve.hpp"

namespace softreg {
namespace {

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

class CudaBackend : public OnEmulatedGpu {};

// The numbers of a problem; rows: per instance.
template <class T>
struct Numbers {
  std::vector<T> a, b, x0, w;
  std::vector<double> step;
  std::vector<std::int64_t> offsets;
  VectorProblem<T> problem;

  Numbers(const std::vector<std::int64_t>& rows, std::int64_t d, std::uint64_t seed = 1) {
    const std::int64_t count = std::int64_t(rows.size());
    offsets.push_back(0);
    bool ragged = false;
    for (const std::int64_t n : rows) {
      offsets.push_back(offsets.back() + n);
      ragged |= n != rows[0];
    }
    const double reach = 1 / std::sqrt(double(d));  // logits of order one whatever the size
    const double longest = double(*std::max_element(rows.begin(), rows.end()));
    fill(a, offsets.back() * d, {seed, 0, 0}, -reach, reach);
    fill(b, offsets.back(), {seed, 0, 1}, 0.1 / longest, 1.9 / longest);
    fill(x0, count * d, {seed, 0, 2}, -1, 1);
    fill(w, offsets.back(), {seed, 0, 3}, 0, 1);
    fill(step, count, {seed, 0, 4}, 0.2 / longest, 0.8 / longest);  // no loss is steeper than n
    problem.count = count;
    problem.n = ragged ? 0 : rows[0];
    problem.d = d;
    problem.a = a;
    problem.b = b;
    problem.x0 = x0;
    if (ragged) problem.offsets = offsets;
    problem.step_size = step;
  }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;

 private:
  template <class V>
  static void fill(std::vector<V>& v, std::int64_t n, RandomArray random, double low, double high) {
    for (std::int64_t i = 0; i < n; ++i)
      v.push_back(static_cast<V>(low + (high - low) * uniform_open(random.bits(std::uint64_t(i)))));
  }
};
std::vector<std::int64_t> uniform(std::int64_t count, std::int64_t n) {
  return std::vector<std::int64_t>(size(count), n);
}

Options on(Device device, int max_steps = 9) {
  Options o;
  o.stop = {max_steps, 0, 4};
  o.device = device;
  o.threads = 1;
  return o;
}

// Results as the arrays that a kernel writes, to compare them bit for bit.
template <class T>
Written<T> written(const Result<T>& r, std::int64_t first, std::int64_t count) {
  Written<T> w;
  const auto part = [&](const std::vector<T>& v) {
    const std::int64_t each = r.count > 0 ? std::int64_t(v.size()) / r.count : 0;
    return std::vector<T>(v.begin() + first * each, v.begin() + (first + count) * each);
  };
  for (std::int64_t i = first; i < first + count; ++i) {
    w.outcome.push_back({r.status[size(i)], r.steps[size(i)], r.loss[size(i)], r.objective[size(i)],
                         r.gradient_norm[size(i)]});
    if (!r.shifts.empty()) w.shifts.push_back(r.shifts[size(i)]);
  }
  w.x = part(r.x);
  w.losses = part(r.trace_loss);
  w.shift_f = part(r.shift_f);
  w.shift_x = part(r.shift_x);
  return w;
}
template <class T>
std::string difference(const Result<T>& a, const Result<T>& b) {
  return written(a, 0, a.count).difference(written(b, 0, b.count));
}
template <class T>
std::string difference(const Evaluation<T>& a, const Evaluation<T>& b) {
  Written<T> wa = written(a.at, 0, a.at.count), wb = written(b.at, 0, b.at.count);
  const auto rest = [](Written<T>& w, const Evaluation<T>& e) {
    w.output = e.output;
    w.dlogits = e.dlogits;
    w.gradient = e.gradient;
    w.attended = e.attended;
    w.log_mass = e.log_mass;
  };
  rest(wa, a);
  rest(wb, b);
  return wa.difference(wb);
}

template <class T>
struct CudaBits : CudaBackend {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CudaBits, Types);

template <int L = 0, class F>
void for_each_loss(F f) {
  if constexpr (L < std::variant_size_v<AnyLoss>) {
    f(std::variant_alternative_t<L, AnyLoss>{});
    for_each_loss<L + 1>(f);
  }
}

TYPED_TEST(CudaBits, AreTheLanesForEveryLossAndClass) {
  std::int64_t compared = 0;
  for_each_loss([&](AnyLoss loss) {
    for (const auto& [n, d] : {std::pair<std::ptrdiff_t, std::ptrdiff_t>{10, 3},
                               {20, 5},
                               {64, 16},
                               {100, 32},
                               {256, 3},
                               {50, 60}}) {
      const Numbers<TypeParam> numbers(uniform(5, n), d, std::uint64_t(n + d));
      for (const AnyOptimizer& optimizer :
           {AnyOptimizer(GradientDescent{}), AnyOptimizer(Nesterov{})}) {
        Options cuda = on(Device::cuda);
        cuda.loss = loss;
        cuda.optimizer = optimizer;
        cuda.ridge = 0.01;
        cuda.trace = TraceKind::loss;
        const auto run = [&] { return solve(numbers.problem, cuda); };
        const Result<TypeParam> r = run();
        ASSERT_EQ(difference(r, on_lanes(run)), "") << n << " x " << d;
        for (std::ptrdiff_t i = 0; i < 5; ++i)  // else nothing was compared
          EXPECT_FALSE(std::equal(numbers.x0.begin() + i * d, numbers.x0.begin() + (i + 1) * d,
                                  r.x.begin() + i * d))
              << "loss " << loss.index() << ", instance " << i << " of " << n << " x " << d
              << " never moved";
        compared += r.count;
      }
      Options cuda = on(Device::cuda);
      cuda.loss = loss;
      cuda.logit_weight = 0.3;
      const auto describe = [&] { return evaluate(numbers.problem, cuda); };
      ASSERT_EQ(difference(describe(), on_lanes(describe)), "");
      compared += numbers.problem.count;
    }
  });
  std::printf("[count] CUDA results equal to the lanes' bit for bit: %lld (%d bytes)\n",
              static_cast<long long>(compared), int(sizeof(TypeParam)));
}

TYPED_TEST(CudaBits, AreTheLanesWhateverIsSharedOrTraced) {
  for (int shares = 0; shares < 16; ++shares) {
    Numbers<TypeParam> numbers(uniform(6, 30), 4, 3);
    VectorProblem<TypeParam>& p = numbers.problem;
    if (shares & 1) p.a = p.a.first(30 * 4);
    if (shares & 2) p.b = p.b.first(30);
    p.w = shares & 4 ? std::span<const TypeParam>(numbers.w).first(30) : numbers.w;
    p.x0 = shares & 8 ? p.x0.first(4) : shares & 1 ? std::span<const TypeParam>{} : p.x0;
    Options cuda = on(Device::cuda);
    cuda.trace = TraceKind::shifts;
    cuda.trace_full = true;
    cuda.ball = 0.9;
    const auto run = [&] { return solve(p, cuda); };
    const auto describe = [&] { return evaluate(p, cuda); };
    ASSERT_EQ(difference(run(), on_lanes(run)), "") << shares;
    ASSERT_EQ(difference(describe(), on_lanes(describe)), "") << shares;
  }
}

// A lies by rows on the device where its rows pass by, also next to instances whose A does not, and
// where all share it.
TYPED_TEST(CudaBits, AreTheLanesWhereRowsPassBy) {
  if (sanitized) GTEST_SKIP() << "slow there, and evaluators_test has the kernels";
  constexpr std::int64_t long_rows = sizeof(TypeParam) == 4 ? 9500 : 4750;  // 260 KB
  for (const bool ragged : {false, true})
    for (const bool shared : {false, true}) {
      if (ragged && shared) continue;  // a batch that shares A is uniform
      Numbers<TypeParam> numbers(
          ragged ? std::vector<std::int64_t>{long_rows, 20, long_rows + 50} : uniform(2, long_rows),
          7, 9);
      if (shared) numbers.problem.a = numbers.problem.a.first(size(long_rows * 7));
      Options cuda = on(Device::cuda, 3);
      cuda.loss = shared ? AnyLoss(SoftmaxL2{}) : AnyLoss(CrossEntropy{});
      cuda.optimizer = Nesterov{};
      const auto run = [&] { return solve(numbers.problem, cuda); };
      const Result<TypeParam> r = run();
      EXPECT_THAT(r.plan.size_class,
                  testing::HasSubstr(sizeof(TypeParam) == 4 ? "stream2048_x16" : "stream2048_x8"));
      ASSERT_EQ(difference(r, on_lanes(run)), "") << ragged << shared;
      Options cpu = cuda;
      cpu.device = Device::reference;
      const Result<TypeParam> plain = solve(numbers.problem, cpu);
      for (std::size_t k = 0; k < r.x.size(); ++k)  // three steps from the same start
        ASSERT_NEAR(r.x[k], plain.x[k], 1e4 * double(rounding_unit<TypeParam>()));
    }
}

// Side by side, and with few of them one by one: the same bits.
TYPED_TEST(CudaBits, AreTheLanesWhereManyShareA) {
  const struct {
    std::int64_t n, d;
    const char* name;
  } shapes[] = {
      {300, 70, "block_shared"}, {130, 150, "block_shared"}, {65, 128, "block_shared_reduced"}};
  for (const auto& [n, d, name] : shapes)
    // One is not fit to run: 23 are too few for 3 multiprocessors, 24 are enough; 40 are more than
    // two blocks take at once.
    for (const int count : {24, 25, 41}) {
      emulated_gpu_state().multiprocessors = 3;
      Numbers<TypeParam> numbers(uniform(count, n), d, 9);
      numbers.problem.a = numbers.problem.a.first(size(n * d));
      numbers.b[size(3 * n + 1)] = quiet_nan<TypeParam>();
      Options cuda = on(Device::cuda, sanitized ? 3 : 11);
      cuda.optimizer = count == 25 ? AnyOptimizer(GradientDescent{}) : AnyOptimizer(Nesterov{});
      cuda.trace = count == 25 ? TraceKind::shifts : TraceKind::loss;
      const auto run = [&] { return solve(numbers.problem, cuda); };
      const Result<TypeParam> r = run();
      EXPECT_EQ(r.plan.size_class.starts_with("block_shared"), count > 24) << r.plan.size_class;
      ASSERT_EQ(difference(r, on_lanes(run)), "") << n << " x " << d << ", " << count;
      cuda.memory_limit = r.plan.workspace_bytes * 2 / 5;  // in several chunks
      if (count == 41) {
        EXPECT_EQ(r.plan.size_class, name);
        const Result<TypeParam> cut = run();
        EXPECT_GT(cut.plan.chunks, r.plan.chunks);
        ASSERT_EQ(difference(cut, r), "") << n << " x " << d;
      }
    }
}

TYPED_TEST(CudaBits, OfManyWithOneLargeAMayDependOnTheirNumber) {
  if (sanitized) GTEST_SKIP() << "slow there";
  constexpr std::int64_t long_rows = sizeof(TypeParam) == 4 ? 9500 : 4750;  // 260 KB
  Numbers<TypeParam> numbers(uniform(17, long_rows), 7, 9);
  numbers.problem.a = numbers.problem.a.first(size(long_rows * 7));
  Options cuda = on(Device::cuda, 2);
  cuda.batch_invariant = false;
  const auto run = [&] { return solve(numbers.problem, cuda); };
  const Result<TypeParam> r = run();
  EXPECT_EQ(r.plan.size_class, "block_shared");
  EXPECT_FALSE(r.plan.batch_invariant);
  cuda.batch_invariant = true;
  const Result<TypeParam> invariant = run();
  EXPECT_NE(invariant.plan.size_class, r.plan.size_class);
  EXPECT_TRUE(invariant.plan.batch_invariant);
  EXPECT_NE(difference(r, invariant), "");
  for (std::size_t k = 0; k < r.x.size(); ++k)  // two steps from the same start
    ASSERT_NEAR(r.x[k], invariant.x[k], 1e4 * double(rounding_unit<TypeParam>()));
}

TYPED_TEST(CudaBits, OfARaggedBatchAreThoseOfItsInstancesAlone) {
  const std::vector<std::int64_t> rows = {5, 300, 64, 1, 33, 1100, 200, 32, 128, 40, 7, 301};
  Numbers<TypeParam> numbers(rows, 7, 5);
  numbers.a[size(numbers.offsets[4] * 7 + 3)] = quiet_nan<TypeParam>();  // instance 4 is unfit
  numbers.problem.w = numbers.w;
  Options options = on(Device::cuda);
  options.optimizer = Nesterov{};
  options.trace = TraceKind::shifts;
  options.trace_full = true;
  const Result<TypeParam> all = solve(numbers.problem, options);
  EXPECT_THAT(all.plan.size_class, testing::HasSubstr("32x8"));
  EXPECT_THAT(all.plan.size_class, testing::HasSubstr(",block_stream"));
  EXPECT_EQ(all.status[4], Status::bad_input);
  Options cpu = options;
  cpu.device = Device::cpu;
  const Result<TypeParam> on_cpu = solve(numbers.problem, cpu);
  for (std::int64_t i = 0; i < all.count; ++i) {
    VectorProblem<TypeParam> alone = numbers.problem;
    const auto cut = [&](std::span<const TypeParam> v, std::int64_t width) {
      return v.subspan(size(numbers.offsets[size(i)] * width), size(rows[size(i)] * width));
    };
    alone.count = 1;
    alone.n = rows[size(i)];
    alone.offsets = {};
    alone.a = cut(alone.a, 7);
    alone.b = cut(alone.b, 1);
    alone.w = cut(alone.w, 1);
    alone.x0 = alone.x0.subspan(size(i * 7), 7);
    alone.step_size = alone.step_size.subspan(size(i), 1);
    const Result<TypeParam> one = solve(alone, options);
    ASSERT_EQ(written(all, i, 1).difference(written(one, 0, 1)), "") << "instance " << i;
    if (i != 4) {  // each class has its own order of sums; that of the CPU would show here
      const Written<TypeParam> a = written(all, i, 1), b = written(on_cpu, i, 1);
      if (rows[size(i)] > 1) {
        ASSERT_NE(a.difference(b), "") << "instance " << i;
      }
      for (std::size_t j = 0; j < a.x.size(); ++j)
        ASSERT_NEAR(a.x[j], b.x[j], sizeof(TypeParam) == 4 ? 1e-4 : 1e-12) << "instance " << i;
    }
  }
}

// Every array that a chunk may need, in a ragged batch of three classes.
template <class T>
struct Full : Numbers<T> {
  explicit Full(std::int64_t count)
      : Numbers<T>(
            [count] {
              std::vector<std::int64_t> rows;
              for (std::int64_t i = 0; i < count; ++i)
                rows.push_back(i % 7 == 0 ? 300 : 1 + 13 * i % 60);
              return rows;
            }(),
            3, 9) {
    this->problem.w = this->w;
  }
  static Options options() {
    Options o = on(Device::cuda, 5);
    o.trace = TraceKind::shifts;
    o.trace_full = true;
    o.optimizer = Nesterov{};
    return o;
  }
};

TYPED_TEST(CudaBits, DoNotDependOnMemory) {
  const Full<TypeParam> numbers(40);
  EmulatedGpuState& device = this->gpu;
  const Result<TypeParam> whole = solve(numbers.problem, numbers.options());
  const Evaluation<TypeParam> described = evaluate(numbers.problem, numbers.options());
  std::int64_t chunks = whole.plan.chunks;
  for (std::size_t memory = device.peak; memory > 40000; memory -= memory / 5) {
    for (const bool limited : {false, true}) {
      device.memory = limited ? std::size_t{1} << 30 : memory;
      device.peak = 0;
      Options options = numbers.options();
      if (limited) options.memory_limit = std::int64_t(memory);
      const LiveSolve<TypeParam> planned(numbers.problem, options);
      const Result<TypeParam> r = solve(numbers.problem, options);
      ASSERT_EQ(difference(r, whole), "") << memory;
      EXPECT_EQ(r.plan.chunks, planned.plan().chunks) << "the plan did not fit in " << memory;
      EXPECT_GE(r.plan.workspace_bytes, std::int64_t(device.peak));
      EXPECT_LE(r.plan.workspace_bytes, std::int64_t(memory));
      EXPECT_EQ(r.plan.workspace_bytes, planned.plan().workspace_bytes);
      device.peak = 0;
      const Evaluation<TypeParam> e = evaluate(numbers.problem, options);
      ASSERT_EQ(difference(e, described), "") << memory;
      EXPECT_GE(e.at.plan.workspace_bytes, std::int64_t(device.peak));
      EXPECT_LE(std::int64_t(device.peak), std::int64_t(memory));
      chunks = std::max(chunks, r.plan.chunks);
    }
  }
  EXPECT_GT(chunks, 3);
}

// The plan's bytes cover what is really allocated, whatever the arrays.
TYPED_TEST(CudaBits, NeedNoMoreMemoryThanThePlanSays) {
  EmulatedGpuState& device = this->gpu;
  for (unsigned variant = 0; variant < 256; variant += sanitized ? 5 : 1) {
    Numbers<TypeParam> numbers(uniform(2, variant % 2 ? 40 : 257), 3);
    VectorProblem<TypeParam>& p = numbers.problem;
    if (variant & 2) p.a = p.a.first(size(p.n * 3));
    if (variant & 4) p.b = p.b.first(size(p.n));
    if (variant & 8) p.x0 = p.x0.first(3);
    if (variant & 16) p.x0 = {};
    if (variant & 32)
      p.w = std::span<const TypeParam>(numbers.w).first(size(p.n) * (variant & 8 ? 1 : 2));
    Options options = on(Device::cuda, 1);  // one step: memory is the matter
    if (variant & 64) options.trace = TraceKind::loss;
    if (variant & 128) options.trace = variant & 2 ? TraceKind::bounds : TraceKind::shifts;
    options.trace_full = (variant & 128) && (variant & 64);
    device.peak = 0;
    EXPECT_GE(solve(p, options).plan.workspace_bytes, std::int64_t(device.peak)) << variant;
    device.peak = 0;
    EXPECT_GE(evaluate(p, options).at.plan.workspace_bytes, std::int64_t(device.peak)) << variant;
  }
}

using CudaMemory = CudaBackend;

TEST_F(CudaMemory, IsHalvedWhenTheDeviceHasLessThanItSays) {
  const Full<float> numbers(40);
  const Result<float> whole = solve(numbers.problem, numbers.options());
  gpu.reported = std::size_t{1} << 30;
  for (const std::size_t memory : {gpu.peak - 1, gpu.peak / 2, gpu.peak / 4}) {
    gpu.memory = memory;
    gpu.peak = 0;
    const Result<float> r = solve(numbers.problem, numbers.options());
    EXPECT_EQ(difference(r, whole), "");
    EXPECT_GT(r.plan.chunks, whole.plan.chunks);
    EXPECT_LE(gpu.peak, memory);
  }
}

TEST_F(CudaMemory, ThatCannotHoldOneInstanceIsAnErrorWithBothNumbers) {
  const Numbers<float> numbers(uniform(3, 1000), 10);  // A alone has 40000 bytes
  gpu.memory = 30000;
  try {
    solve(numbers.problem, on(Device::cuda));
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::out_of_memory);
    EXPECT_THAT(
        e.what(),
        testing::MatchesRegex(
            "instance 0 \\(1000 x 10, 4 bytes a number\\) needs [4-9][0-9][0-9][0-9][0-9] bytes "
            "of device memory but 28125 are available"));
    EXPECT_NE(e.hint(), "");
  }
  gpu.reported = 1000000;  // the truth comes out during the run
  LiveSolve<float> live(numbers.problem, on(Device::cuda));
  try {
    live.run();
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::out_of_memory);
    EXPECT_THAT(e.what(), testing::HasSubstr("instance 0 (1000 x 10, 4 bytes a number) needs "));
    EXPECT_THAT(e.what(), testing::HasSubstr("though 937500 were available"));
  }
  EXPECT_EQ(live.snapshot().status, std::vector<Status>(3, Status::not_run));
}

TEST_F(CudaMemory, OfTheHostIsHalvedToo) {
  const Numbers<double> numbers(uniform(12, 30), 4);
  const Result<double> whole = solve(numbers.problem, on(Device::cuda));
  const auto first = std::find(gpu.log.begin(), gpu.log.end(), "allocate_host") - gpu.log.begin();
  gpu.calls = 0;
  gpu.failure = ErrorKind::out_of_memory;
  gpu.fail_call = static_cast<int>(first) + 1;
  const Result<double> r = solve(numbers.problem, on(Device::cuda));
  EXPECT_EQ(difference(r, whole), "");
  EXPECT_GT(r.plan.chunks, whole.plan.chunks);
}

// One call after the other is made to fail, in a run of more chunks than streams.
template <class T>
std::int64_t fail_every_call(EmulatedGpuState& gpu, ErrorKind failure, bool stays_lost) {
  const Full<T> numbers(10);
  Options options = numbers.options();
  options.stop = {2, 0, 2};
  options.memory_limit = LiveSolve<T>(numbers.problem, options).plan().workspace_bytes * 7 / 8;
  gpu.calls = gpu.fail_call = gpu.most_in_flight = 0;
  const Result<T> whole = solve(numbers.problem, options);
  EXPECT_GT(whole.plan.chunks, gpu.most_in_flight + 1);
  EXPECT_GT(gpu.most_in_flight, 1);
  const int calls = gpu.calls;
  gpu.stays_lost = stays_lost;
  std::int64_t finished = 0, lost = 0, survived = 0;
  for (int n = 1; n <= calls; ++n) {
    gpu.calls = 0;
    gpu.fail_call = n;
    gpu.failure = failure;
    std::unique_ptr<LiveSolve<T>> live;
    bool failed = false;
    try {
      live = std::make_unique<LiveSolve<T>>(numbers.problem, options);
      live->run();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), failure) << e.what();
      failed = true;
    }
    EXPECT_EQ(gpu.in_use, 0u) << "call " << n;
    EXPECT_EQ(gpu.host_in_use, 0u) << "call " << n;
    EXPECT_EQ(gpu.misuse, "") << "call " << n;
    EXPECT_TRUE(failed || failure == ErrorKind::out_of_memory) << "call " << n;
    if (!live) continue;
    const Result<T> r = live->snapshot();
    for (std::int64_t i = 0; i < r.count; ++i) {
      const Status s = r.status[size(i)];
      if (s == Status::max_steps) {
        EXPECT_EQ(written(r, i, 1).difference(written(whole, i, 1)), "") << "call " << n;
        ++finished;
        continue;
      }
      EXPECT_TRUE(failed);
      EXPECT_EQ(s, failure == ErrorKind::device_lost ? Status::device_error : Status::not_run);
      EXPECT_EQ(r.steps[size(i)], 0);
      EXPECT_TRUE(std::isnan(r.loss[size(i)]));
      EXPECT_TRUE(std::equal(numbers.x0.begin() + i * 3, numbers.x0.begin() + i * 3 + 3,
                             r.x.begin() + i * 3));
      ++lost;
    }
    survived += !failed;
  }
  gpu.fail_call = 0;
  EXPECT_GT(finished, 0);
  EXPECT_GT(lost, 0);
  EXPECT_EQ(survived > 0, failure == ErrorKind::out_of_memory);
  EXPECT_EQ(difference(solve(numbers.problem, options), whole), "") << "a later solve";
  return calls;
}

TYPED_TEST(CudaBits, SurviveTheFailureOfAnyCall) {
  std::int64_t calls = 0;
  for (const Schedule schedule : {Schedule::late, Schedule::early}) {
    this->gpu.schedule = schedule;
    // Under sanitizers one kind for each type: what follows a failure knows no type.
    if (!sanitized || sizeof(TypeParam) == 4)
      for (const bool stays_lost : {false, true})
        calls += fail_every_call<TypeParam>(this->gpu, ErrorKind::device_lost, stays_lost);
    if (!sanitized || sizeof(TypeParam) == 8)
      calls += fail_every_call<TypeParam>(this->gpu, ErrorKind::out_of_memory, false);
  }
  std::printf("[count] failing device calls: %lld (%d bytes)\n", static_cast<long long>(calls),
              int(sizeof(TypeParam)));
}

using CudaCalls = CudaBackend;

TEST_F(CudaCalls, PlanWithoutTouchingTheDevicesMemory) {
  const Numbers<float> numbers(uniform(3, 30), 4);
  const LiveSolve<float> live(numbers.problem, on(Device::cuda));
  EXPECT_EQ(gpu.log, std::vector<std::string>{"info"});
  EXPECT_EQ(live.plan().road, "cuda");
  EXPECT_EQ(live.plan().size_class, "lanes2_32x8");
}

TEST_F(CudaCalls, AreNoneWhenNoInstanceIsFit) {
  Numbers<float> numbers(uniform(3, 30), 4);
  for (float& v : numbers.a) v = quiet_nan<float>();
  const Result<float> r = solve(numbers.problem, on(Device::cuda));
  EXPECT_EQ(r.status, std::vector<Status>(3, Status::bad_input));
  EXPECT_EQ(std::count(gpu.log.begin(), gpu.log.end(), "launch"), 0);
}

TEST_F(CudaCalls, WithoutADeviceAreAnErrorOrTheCpuAndOneWarning) {
  const Numbers<float> numbers(uniform(3, 30), 4);
  gpu.unavailable = "the driver is asleep";
  try {
    solve(numbers.problem, on(Device::cuda));
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::device_unavailable);
    EXPECT_THAT(e.what(), testing::HasSubstr("the driver is asleep"));
  }
  const Result<float> r = solve(numbers.problem, on(Device::automatic));
  EXPECT_EQ(r.plan.road, "cpu");
  ASSERT_EQ(r.warnings.size(), 1u);
  EXPECT_THAT(r.warnings[0], testing::HasSubstr("the driver is asleep"));
  EXPECT_EQ(difference(r, solve(numbers.problem, on(Device::cpu))), "");
  EXPECT_EQ(gpu.opened, 0);
}

TEST_F(CudaCalls, AreChosenAutomaticallyWhereThereIsADevice) {
  const Numbers<float> numbers(uniform(3, 30), 4);
  const Result<float> r = solve(numbers.problem, on(Device::automatic));
  EXPECT_EQ(r.plan.road, "cuda");
  EXPECT_TRUE(r.warnings.empty());
  bool described = false;
  for (const DeviceReport& d : devices())
    if (d.name == "cuda") {
      described = true;
      EXPECT_EQ(d.unavailable, "");
      EXPECT_EQ(d.description, "emulated GPU, 2 multiprocessors, 1073741824 bytes free");
    }
  EXPECT_TRUE(described);
}

TEST_F(CudaCalls, ToADeviceThatCannotBeOpenedAreAnError) {
  const Numbers<float> numbers(uniform(3, 30), 4);
  gpu.open_failure = "the device is held by another process";
  try {
    solve(numbers.problem, on(Device::cuda));
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::device_unavailable);
    EXPECT_THAT(e.what(), testing::HasSubstr("held by another process"));
  }
  gpu.open_failure = "";
  LiveSolve<float> live(numbers.problem, on(Device::cuda));
  gpu.open_failure = "the device has gone";
  EXPECT_THROW(live.run(), Error);
  EXPECT_EQ(live.snapshot().status, std::vector<Status>(3, Status::not_run));
}

// Threads of the device in another order, and another number of multiprocessors: the same bits.
TEST_F(CudaCalls, GiveTheSameBitsOnAnotherDevice) {
  const Full<float> numbers(14);
  Options options = numbers.options();
  const Result<float> whole = solve(numbers.problem, options);
  for (const simt::Order order : {simt::Order::descending, simt::Order::shuffled})
    for (const int multiprocessors : {1, 132}) {
      gpu.order = order;
      options.threads = multiprocessors == 1 ? 1 : 3;  // that gather the instances
      gpu.seed = static_cast<unsigned>(multiprocessors);
      gpu.multiprocessors = multiprocessors;
      EXPECT_EQ(difference(solve(numbers.problem, options), whole), "");
    }
}

}  // namespace
}  // namespace softreg
