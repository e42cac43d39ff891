// Problems whose arrays lie in device memory: everything that comes of them is, bit for bit, what
// comes of the same numbers in host memory. On the emulated device, where nobody else may touch the
// caller's arrays (kernels/callers_memory.hpp); on a real one: gpu_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <optional>

#include "batches.hpp"
#include "device_memory.hpp"
#include "kernels/callers_memory.hpp"
#include "kernels/on_emulated_gpu.hpp"
#include "matrix_batches.hpp"
#include "prepare.hpp"
#include "softreg/error.hpp"

namespace softreg {
namespace {

using testing::HasSubstr;

class DeviceArrays : public OnEmulatedGpu {
 protected:
  static Options cuda(int max_steps = 5) {
    Options o;
    o.device = Device::cuda;
    o.stop = {max_steps, 0, 2};
    return o;
  }
};

template <class T>
std::string difference_of(const Prepared<T>& a, const Prepared<T>& b) {
  std::string d = differing("statuses", a.status, b.status);
  if (d.empty()) d = differing("step sizes", a.step_size, b.step_size);
  if (d.empty()) d = differing("norms", a.operator_norm, b.operator_norm);
  if (d.empty() && a.messages.size() != b.messages.size()) d = "other messages";
  for (std::size_t k = 0; d.empty() && k < a.messages.size(); ++k)
    if (a.messages[k].text != b.messages[k].text || a.messages[k].row != b.messages[k].row ||
        a.messages[k].instance != b.messages[k].instance)
      d = a.messages[k].text + " against " + b.messages[k].text;
  return d;
}
// The host's answer and the device's. The start of a problem on the device is the host's already.
template <class Problem>
std::string prepared_otherwise(const Problem& p, const Options& options) {
  using T = std::remove_const_t<typename decltype(p.b)::element_type>;
  const Prepared<T> host = prepare(Described<T>(p, options), options, true);
  CallersMemory memory;
  Problem there = on_device(memory, p);
  there.x0 = p.x0;
  return difference_of(prepare(Described<T>(there, options, Memory::device), options, true), host);
}
template <class Problem>
std::string solved_otherwise(const Problem& p, const Options& options,
                             const std::string& size_class = "") {
  CallersMemory memory;
  const Problem there = on_device(memory, p);
  const auto device = solve(there, options), host = solve(p, options);
  if (!size_class.empty() && device.plan.size_class != size_class)
    return "it is of " + device.plan.size_class;
  if (device.plan.size_class != host.plan.size_class) return "another class";
  return difference(device, host);
}

template <class T>
struct DeviceArraysOf : DeviceArrays {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(DeviceArraysOf, Types);

// Step sizes and norms of every kind of shape, from Gram matrices of the device.
TYPED_TEST(DeviceArraysOf, GiveTheHostsNormsAndStepSizes) {
  using T = TypeParam;
  std::int64_t compared = 0;
  for (const auto& [n, d] : {std::pair<std::int64_t, std::int64_t>{1, 1},
                             {7, 3},
                             {3, 7},
                             {64, 16},
                             {258, 5},
                             {514, 2},
                             {5, 259},
                             {300, 256},
                             {257, 260}}) {
    TestBatch<T> p = make_batch<T>({3, n, n, d, true, true, false, std::uint64_t(n + d)});
    for (const double scale : {1.0, 1e-30, 1e30, 0.0}) {
      for (T& v : p.a) v = static_cast<T>(v * scale);
      for (const AnyLoss& loss : {AnyLoss(SoftmaxL2{}), AnyLoss(CrossEntropy{})}) {
        Options o = this->cuda();
        o.loss = loss;
        o.ridge = 0.1;
        EXPECT_EQ(prepared_otherwise(p.view(), o), "") << n << " x " << d << " times " << scale;
        compared += 3;
      }
    }
  }
  const TestBatch<T> ragged = make_batch<T>({40, 1, 50, 6});
  EXPECT_EQ(prepared_otherwise(ragged.view(), this->cuda()), "");
  for (const bool tied : {false, true}) {
    const TestMatrixBatch<T> m = make_matrix_batch<T>({6, 1, 9, 1, 40, 3, 5, 3, tied, true, true});
    auto view = m.view();
    view.step_size = {};
    EXPECT_EQ(prepared_otherwise(view, this->cuda()), "");
    EXPECT_EQ(prepared_otherwise(WrittenOut<T>(m).view(), this->cuda()), "");
  }
  std::printf("[count] norms of A on the device: %lld\n", static_cast<long long>(compared));
}

// Many small ones: several chunks of parts, on both streams.
TYPED_TEST(DeviceArraysOf, AreExaminedInChunks) {
  using T = TypeParam;
  const TestBatch<T> p = make_batch<T>({300, 4, 9, 3, true, true});
  Options o = this->cuda();
  for (const Schedule s :
       {Schedule::late, Schedule::interleaved, Schedule::reversed, Schedule::early}) {
    this->gpu.schedule = s;
    o.memory_limit = 8192;
    const int before = this->gpu.jobs;
    EXPECT_EQ(prepared_otherwise(p.view(), o), "");
    EXPECT_GT(this->gpu.jobs - before, 10);
  }
}

// What is wrong with which instance, in the words of the host; its neighbours are unharmed.
TYPED_TEST(DeviceArraysOf, AreScreenedAsTheHostDoes) {
  using T = TypeParam;
  std::int64_t placements = 0;
  const TestBatch<T> good = make_batch<T>({4, 5, 5, 3, true, true});
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL})
    for (std::vector<T> TestBatch<T>::*array :
         {&TestBatch<T>::a, &TestBatch<T>::b, &TestBatch<T>::x0, &TestBatch<T>::w})
      for (std::size_t k = 0; k < (good.*array).size(); k += 7, ++placements) {
        TestBatch<T> p = good;
        (p.*array)[k] = static_cast<T>(bad);
        ASSERT_EQ(prepared_otherwise(p.view(), this->cuda()), "");
      }
  std::printf("[count] poisoned placements screened on the device (%zu bytes): %lld\n", sizeof(T),
              static_cast<long long>(placements));

  TestBatch<T> p = good;
  p.b[3] = T(-1e-30);
  p.b[5 + 2] = T(3);  // a sum above 1
  p.a[2 * 15 + 4] = p.b[2 * 5] = static_cast<T>(std::nan(""));
  p.a[3 * 15] = std::numeric_limits<T>::max();  // |A|^2 is too large for a step size
  for (const AnyLoss& loss : {AnyLoss(SoftmaxL2{}), AnyLoss(CrossEntropy{})})
    for (const double step : {automatic_step_size, 0.1}) {
      Options o = this->cuda();
      o.loss = loss;
      o.optimizer = GradientDescent{step};
      EXPECT_EQ(prepared_otherwise(p.view(), o), "");
    }
  TestBatch<T> steps = good;
  steps.step_size = {0.1, 0, -1, std::nan("")};
  EXPECT_EQ(prepared_otherwise(steps.view(), this->cuda()), "");

  // Shared by all instances; several softmaxes; rows of B.
  TestBatch<T> one = make_batch<T>({1, 5, 5, 3, true, true});
  one.a[7] = static_cast<T>(std::nan(""));
  one.count = 3;
  EXPECT_EQ(prepared_otherwise(one.view(), this->cuda()), "");
  TestMatrixBatch<T> m = make_matrix_batch<T>({5, 2, 4, 2, 6, 3, 2, 2, false, true, true});
  m.step_size.clear();
  m.a1[4] = static_cast<T>(HUGE_VAL);
  m.a2.back() = static_cast<T>(std::nan(""));
  m.b[m.b.size() / 2] = T(-0.5);
  m.w[m.w.size() / 3] = static_cast<T>(-HUGE_VAL);
  EXPECT_EQ(prepared_otherwise(m.view(), this->cuda()), "");
  EXPECT_EQ(prepared_otherwise(WrittenOut<T>(m).view(), this->cuda()), "");
  m.b[m.b.size() / 2] = T(4);
  EXPECT_EQ(prepared_otherwise(m.view(), this->cuda()), "");
  // In an instance's first softmax, and not in its last; sums that differ from one to the next.
  TestMatrixBatch<T> rows = make_matrix_batch<T>({3, 3, 3, 4, 4, 2, 2, 1, false, true, true});
  rows.step_size.clear();
  for (std::size_t k = 0; k < rows.b.size(); ++k) rows.b[k] *= T(1) / T(1 + k / 4 % 3);
  Options o = this->cuda();
  o.loss = CrossEntropy{};
  EXPECT_EQ(prepared_otherwise(rows.view(), o), "");
  rows.b[12] = static_cast<T>(std::nan(""));
  EXPECT_EQ(prepared_otherwise(rows.view(), o), "");
  // Shared matrices, tied ones, one instance.
  for (const bool tied : {false, true}) {
    TestMatrixBatch<T> all = make_matrix_batch<T>({1, 5, 5, 5, 5, 3, 3, 1, tied, true, true});
    all.step_size.clear();
    EXPECT_EQ(prepared_otherwise(all.view(), o), "");
    all.count = 3;
    EXPECT_EQ(prepared_otherwise(all.view(), o), "");
    all.a1[7] = static_cast<T>(HUGE_VAL);
    EXPECT_EQ(prepared_otherwise(all.view(), o), "");
  }
}

// Every kind of class, in all orders of threads.
TYPED_TEST(DeviceArraysOf, AreSolvedToTheSameBits) {
  using T = TypeParam;
  constexpr bool f32 = sizeof(T) == 4;
  struct Case {
    std::int64_t count, n, d;
    std::string size_class;
  };
  const Case cases[] = {
      {9, 13, 4, f32 ? "lanes1_16x4" : "lanes2_16x4"},
      {5, 40, 11, f32 ? "lanes8_64x16" : "lanes16_64x16"},
      {3, 200, 40, f32 ? "lanes128_256x64" : "lanes256_256x64"},
      {3, 110, 133, "block_stream"},
      {2, f32 ? 5000 : 4200, f32 ? 16 : 8, f32 ? "stream2048_x16" : "stream2048_x8"}};
  unsigned k = 0;
  for (const auto& [count, n, d, size_class] : cases) {
    const TestBatch<T> p = make_batch<T>({count, n, n, d, true, k % 2 == 0});
    Options o = this->cuda(3);
    o.trace = k % 2 == 0 ? TraceKind::loss : TraceKind::shifts;
    this->gpu.order = simt::Order(k % 3);
    EXPECT_EQ(solved_otherwise(p.view(), o, size_class), "") << n << " x " << d;
    ++k;
  }
  this->gpu.order = simt::Order::ascending;

  Options o = this->cuda();
  // Ragged over several classes, in one piece and in chunks.
  const TestBatch<T> ragged = make_batch<T>({30, 1, 300, 7, true, true});
  EXPECT_EQ(solved_otherwise(ragged.view(), o), "");
  const std::int64_t whole = solve(ragged.view(), o).plan.workspace_bytes;
  o.memory_limit = std::max(whole / 4, bytes_of_longest(ragged, o));
  EXPECT_EQ(solved_otherwise(ragged.view(), o), "");
  o.memory_limit = 0;

  // Some instances do not run.
  TestBatch<T> holes = make_batch<T>({12, 20, 20, 4});
  for (const std::int64_t i : {0, 3, 4, 11}) holes.a[at(i * 80 + 5)] = static_cast<T>(std::nan(""));
  EXPECT_EQ(solved_otherwise(holes.view(), o), "");
  holes.x0.resize(4);  // one start for all
  EXPECT_EQ(solved_otherwise(holes.view(), o), "");
  // Without a start, with the sequence of contexts, traced.
  holes.x0.clear();
  EXPECT_EQ(solved_otherwise(holes.view(), o), "");
  o.sequence = true;
  EXPECT_EQ(solved_otherwise(holes.view(), o), "");
  o.sequence = false;
  o.trace = TraceKind::bounds;
  EXPECT_EQ(solved_otherwise(holes.view(), o), "");

  for (const bool tied : {false, true}) {
    const TestMatrixBatch<T> m = make_matrix_batch<T>({5, 1, 9, 1, 40, 3, 5, 3, tied, true, true});
    EXPECT_EQ(solved_otherwise(m.view(), this->cuda()), "") << (tied ? "tied" : "");
    EXPECT_EQ(solved_otherwise(WrittenOut<T>(m).view(), this->cuda()), "");
  }
  const TestMatrixBatch<T> uniform =
      make_matrix_batch<T>({3, 6, 6, 9, 9, 3, 4, 1, false, true, false});
  EXPECT_EQ(solved_otherwise(uniform.view(), this->cuda(), "block_resident"), "");
}

// What all instances share is read where it lies; only A by columns is turned, once.
TYPED_TEST(DeviceArraysOf, MayBeShared) {
  using T = TypeParam;
  const std::int64_t many = 8 * this->gpu.multiprocessors + BlockShared::policy.places + 1;
  for (const auto& [count, n, d] :
       {std::tuple<std::int64_t, std::int64_t, std::int64_t>{5, 20, 4}, {many, 110, 133}}) {
    TestBatch<T> p = make_batch<T>({1, n, n, d, true, true});
    p.count = count;
    EXPECT_EQ(solved_otherwise(p.view(), this->cuda(3), d == 133 ? "block_shared" : ""), "");
    p.b = make_batch<T>({count, n, n, d}).b;
    EXPECT_EQ(solved_otherwise(p.view(), this->cuda(3)), "");
  }
  TestMatrixBatch<T> m = make_matrix_batch<T>({1, 6, 6, 9, 9, 3, 4, 1, false, true, true});
  m.count = 4;
  m.step_size.assign(4, 0.01);
  EXPECT_EQ(solved_otherwise(m.view(), this->cuda()), "");
}

// An array need not lie where 16 bytes begin, nor be the only one at its place.
TYPED_TEST(DeviceArraysOf, MayLieAnywhere) {
  using T = TypeParam;
  constexpr bool f32 = sizeof(T) == 4;
  const auto expect_same = [&](std::int64_t count, std::int64_t n, std::int64_t d, bool shared,
                               const std::string& size_class) {
    TestBatch<T> p = make_batch<T>({shared ? 1 : count, n, n, d, true, true});
    p.count = count;
    CallersMemory memory;
    VectorProblem<T> there = p.view();
    for (std::span<const T>* array : {&there.a, &there.b, &there.x0, &there.w}) {
      std::vector<T> behind(array->begin(), array->end());
      behind.push_back(T(0));  // so that it begins one number before a page's last multiple of 16
      *array = memory.put(std::span<const T>(behind)).first(array->size());
    }
    there.memory = Memory::device;
    const Result<T> r = solve(there, this->cuda(2));
    EXPECT_EQ(r.plan.size_class, size_class);
    EXPECT_EQ(difference(r, solve(p.view(), this->cuda(2))), "") << n << " x " << d;
  };
  for (const bool shared : {false, true}) {
    expect_same(3, 40, 12, shared, f32 ? "lanes8_64x16" : "lanes16_64x16");
    expect_same(2, f32 ? 5000 : 4200, f32 ? 16 : 8, shared,
                f32 ? "stream2048_x16" : "stream2048_x8");
    expect_same(2, 110, 132, shared, "block_stream");
  }
  TestBatch<T> p = make_batch<T>({3, 20, 20, 5});
  CallersMemory memory;
  VectorProblem<T> there = on_device(memory, p.view()), here = p.view();
  there.w = there.b;
  here.w = here.b;
  EXPECT_EQ(difference(solve(there, this->cuda()), solve(here, this->cuda())), "");
}

TYPED_TEST(DeviceArraysOf, AreEvaluatedToTheSameBits) {
  using T = TypeParam;
  Options o = this->cuda();
  const auto expect_same = [&](const auto& p) {
    CallersMemory memory;
    EXPECT_EQ(differing(evaluate(on_device(memory, p), o), evaluate(p, o)), "");
  };
  expect_same(make_batch<T>({7, 20, 20, 5, true, true}).view());
  expect_same(make_batch<T>({7, 1, 30, 5}).view());
  expect_same(make_matrix_batch<T>({5, 1, 9, 1, 40, 3, 5, 3, false, true, true}).view());
  o.ball = 0.5;
  TestBatch<T> one = make_batch<T>({1, 20, 20, 5, true, true});
  expect_same(one.view());
  one.count = 4;
  expect_same(one.view());
}

// A reduction to fewer parameters is made on the host: on the device such an instance is solved as
// it is, to the same minimum.
TEST_F(DeviceArrays, AreNotReduced) {
  const TestBatch<double> p = make_batch<double>({3, 8, 8, 60});
  CallersMemory memory;
  const Result<double> device = solve(on_device(memory, p.view()), cuda(50)),
                       host = solve(p.view(), cuda(50));
  EXPECT_EQ(device.plan.size_class, "lanes256_256x64");
  EXPECT_THAT(host.plan.size_class, HasSubstr("_reduced"));
  for (std::size_t k = 0; k < device.x.size(); ++k)
    EXPECT_NEAR(device.x[k], host.x[k], 1e-13);  // fifty steps from numbers below one
}

// The memory limit holds for all of it, and nobody keeps host memory for what is gathered.
TEST_F(DeviceArrays, TakeNoMoreMemoryThanAllowed) {
  const TestBatch<float> p = make_batch<float>({400, 60, 60, 15});
  Options o = cuda();
  const std::int64_t whole = LiveSolve<float>(p.view(), o).plan().workspace_bytes;
  o.memory_limit = whole / 5;
  CallersMemory memory;
  const VectorProblem<float> there = on_device(memory, p.view());
  gpu.peak = 0;
  const Result<float> r = solve(there, o);
  EXPECT_GT(r.plan.chunks, 4);
  EXPECT_LE(gpu.peak, std::size_t(o.memory_limit));
  o.optimizer = GradientDescent{0.1};
  gpu.host_peak = 0;
  (void)solve(there, o);
  EXPECT_LE(gpu.host_peak, std::size_t(o.memory_limit) / 4);  // not for A as well
  o.optimizer = GradientDescent{};
  // Smaller than a triangle of a Gram matrix: A is fetched.
  const TestMatrixBatch<float> m = make_matrix_batch<float>({1, 260, 260, 2, 2, 250, 1});
  MatrixProblem<float> matrices = m.view();
  matrices.step_size = {};
  EXPECT_EQ(prepared_otherwise(matrices, cuda()), "");
  CallersMemory more;
  const MatrixProblem<float> matrices_there = on_device(more, matrices);
  o.memory_limit = LiveSolve<float>(matrices_there, cuda()).plan().workspace_bytes;
  EXPECT_LT(o.memory_limit, 2 * 250 * 251 / 2 * 8);
  gpu.peak = 0;
  EXPECT_EQ(difference(solve(matrices_there, o), solve(matrices, cuda())), "");
  EXPECT_LE(gpu.peak, std::size_t(o.memory_limit));
  EXPECT_EQ(difference(r, solve(p.view(), cuda())), "");
}

TEST_F(DeviceArrays, SurviveADeviceWithLessMemory) {
  const TestBatch<float> p = make_batch<float>({400, 60, 60, 15});
  const Result<float> expected = solve(p.view(), cuda());
  CallersMemory memory;
  const VectorProblem<float> there = on_device(memory, p.view());
  gpu.reported = std::size_t{1} << 30;
  gpu.memory = static_cast<std::size_t>(expected.plan.workspace_bytes / 5);
  EXPECT_EQ(difference(solve(there, cuda()), expected), "");
  gpu.memory = 400;
  try {
    (void)solve(there, cuda());
    FAIL() << "it fits";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::out_of_memory);
    EXPECT_THAT(e.what(), HasSubstr("bytes of device memory, and as many of pinned host memory"));
  }
}

// Whichever call of the device fails: one sentence, nothing left behind, or the whole result.
TEST_F(DeviceArrays, LeaveNothingBehindWhenACallFails) {
  const TestBatch<float> p = make_batch<float>({6, 5, 30, 4, true, true});
  CallersMemory memory;
  const VectorProblem<float> there = on_device(memory, p.view());
  const Result<float> expected = solve(there, cuda());
  const int calls = gpu.calls;
  EXPECT_GT(calls, 25);
  for (const ErrorKind kind : {ErrorKind::device_lost, ErrorKind::out_of_memory})
    for (int k = 1; k <= calls; ++k) {
      gpu.calls = 0;
      gpu.fail_call = k;
      gpu.failure = kind;
      gpu.stays_lost = kind == ErrorKind::device_lost;
      std::optional<LiveSolve<float>> live;
      try {
        live.emplace(there, cuda());
        live->run();
        EXPECT_EQ(difference(live->snapshot(), expected), "") << k;
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), kind) << k << ": " << e.what();
        if (live && kind == ErrorKind::device_lost) {
          for (const Status status : live->snapshot().status)
            EXPECT_NE(status, Status::not_run) << k;
        }
      }
      EXPECT_EQ(gpu.in_use, 0u) << k;
      EXPECT_EQ(gpu.host_in_use, 0u) << k;
    }
}

template <class F>
void expect_error(ErrorKind kind, const std::string& words, F f) {
  try {
    f();
    FAIL() << "no error: " << words;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind);
    EXPECT_THAT(e.what(), HasSubstr(words));
  }
}

TEST_F(DeviceArrays, AreForCudaAlone) {
  const TestBatch<float> p = make_batch<float>({3, 10, 10, 4, true, true});
  CallersMemory memory;
  const VectorProblem<float> there = on_device(memory, p.view());
  for (const auto& [device, name] :
       {std::pair{Device::cpu, "cpu"}, {Device::reference, "reference"}})
    expect_error(ErrorKind::usage, std::string("which the device ") + name + " does not read",
                 [&, on = device] { (void)solve(there, {.device = on}); });
  EXPECT_EQ(solve(there).plan.road, "cuda");
  const Evaluation<float> evaluated = evaluate(there);
  expect_error(ErrorKind::usage, "only solve() and evaluate() read",
               [&] { (void)gradient_a(there, evaluated); });
  expect_error(ErrorKind::usage, "only solve() and evaluate() read",
               [&] { (void)measure_data_shift(there, there, {}); });
  const Result<float> solved = solve(there);
  expect_error(ErrorKind::usage, "only solve() and evaluate() read",
               [&] { (void)sequence_report(there, solved, {}); });
  gpu.unavailable = "there is none";
  try {
    (void)solve(there);
    FAIL() << "without a device";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::device_unavailable);
    EXPECT_EQ(e.hint(), "copy the arrays to host memory");
  }
}

TEST_F(DeviceArrays, MustLieWhereTheyAreSaidTo) {
  const TestBatch<float> p = make_batch<float>({3, 10, 10, 4, true, true});
  CallersMemory memory;
  const VectorProblem<float> there = on_device(memory, p.view());
  const auto expect_refused = [&](const std::string& name,
                                  std::span<const float> VectorProblem<float>::*array) {
    VectorProblem<float> mixed = there;
    mixed.*array = p.view().*array;
    expect_error(
        ErrorKind::invalid_input,
        "argument '" + name + "' is in host memory, but the problem's memory is said to be",
        [&] { (void)solve(mixed, cuda()); });
  };
  expect_refused("A", &VectorProblem<float>::a);
  expect_refused("b", &VectorProblem<float>::b);
  expect_refused("x0", &VectorProblem<float>::x0);
  expect_refused("w", &VectorProblem<float>::w);
  const TestMatrixBatch<float> m = make_matrix_batch<float>({2, 3, 3, 4, 4, 2, 2});
  MatrixProblem<float> matrices = on_device(memory, m.view());
  matrices.a2 = m.a2;
  expect_error(ErrorKind::invalid_input, "argument 'A2' is in host memory",
               [&] { (void)solve(matrices, cuda()); });
  matrices = on_device(memory, m.view());
  matrices.a1 = m.a1;
  expect_error(ErrorKind::invalid_input, "argument 'A1' is in host memory",
               [&] { (void)solve(matrices, cuda()); });
  VectorProblem<float> longer = there;
  longer.count = 4;
  longer.a = {there.a.data(), there.a.size() / 3 * 4};
  longer.b = there.b.first(10);
  longer.x0 = longer.w = {};
  expect_error(ErrorKind::invalid_input, "argument 'A' is at its end in host memory",
               [&] { (void)solve(longer, cuda()); });
  VectorProblem<float> nothing{.count = 0, .n = 3, .d = 2};
  nothing.memory = Memory::device;
  EXPECT_EQ(solve(nothing, cuda()).count, 0);
}

TEST_F(DeviceArrays, AreFetchedInPieces) {
  CallersMemory memory;
  const std::vector<float> values = make_batch<float>({1, 10, 10, 10}).a;
  const std::unique_ptr<Gpu> device = gpu_source().open();
  for (const std::int64_t bytes : {4, 12, 396, 400, 1000})
    EXPECT_EQ(fetched(*device, memory.put(std::span<const float>(values)).data(), 100, bytes),
              values);
}

// The examination of the test itself: the host may not read what lies there.
TEST_F(DeviceArrays, AreOutOfTheHostsReach) {
  CallersMemory memory;
  const std::vector<float> values{1, 2};
  const std::span<const float> there = memory.put(std::span<const float>(values));
  EXPECT_DEATH(
      {
        volatile float v = there[0];
        (void)v;
      },
      "");
}

}  // namespace
}  // namespace softreg
