// Every wrong call is an Error of the right kind that names both numbers: each sentence once, and
// thousands of random calls that are spoilt in a known way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <optional>

#include "batches.hpp"
#include "kernels/emulated_gpu.hpp"
#include "solve.hpp"

namespace softreg {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_number = std::nan("");
constexpr std::int64_t most = std::numeric_limits<int>::max();

TestBatch<double> small() { return make_batch<double>({2, 3, 3, 2}); }
TestBatch<double> small_ragged() { return small().pick({0, 1}, true); }
Options on_cpu() { return {.device = Device::cpu}; }

struct Caught {
  ErrorKind kind;
  std::string sentence, hint;
};
template <class T>
std::optional<Caught> caught(const VectorProblem<T>& problem, const Options& options) {
  try {
    (void)solve(problem, options);
  } catch (const Error& e) {
    return Caught{e.kind(), e.what(), e.hint()};
  }
  return {};
}

// Spoils a problem of 2 instances, 3 rows and 2 parameters, and demands the kind and the sentence.
void expect_problem_error(const TestBatch<double>& good,
                          const std::function<void(VectorProblem<double>&)>& spoil,
                          const std::string& sentence) {
  VectorProblem<double> p = good.view();
  spoil(p);
  const auto error = caught(p, on_cpu());
  ASSERT_TRUE(error) << sentence;
  EXPECT_EQ(error->kind, ErrorKind::invalid_input);
  EXPECT_EQ(error->sentence, sentence);
}

TEST(Errors, EverySentenceAboutShapes) {
  const TestBatch<double> good = small();
  using P = VectorProblem<double>;
  const auto expect = [&](const std::function<void(P&)>& spoil, const std::string& sentence) {
    expect_problem_error(good, spoil, sentence);
  };
  expect([](P& p) { p.count = -1; }, "count is -1 but must not be negative");
  expect([](P& p) { p.d = 0; }, "d is 0 but must be at least 1");
  expect([](P& p) { p.d = -4; }, "d is -4 but must be at least 1");
  expect([](P& p) { p.d = most + 1; }, "d is 2147483648 but may be at most 2147483647");
  expect([](P& p) { p.n = 0; }, "n is 0 but must be at least 1");
  expect([](P& p) { p.n = most + 1; }, "n is 2147483648 but may be at most 2147483647");
  expect([](P& p) { p.count = std::int64_t{1} << 62; },
         "the batch is 4611686018427387904 x 3, more than 2^63 numbers");
  expect([](P& p) { p.count = std::int64_t{1} << 61; },
         "A is 6917529027641081856 x 2, more than 2^63 numbers");
  expect([](P& p) { p.a = p.a.first(11); },
         "argument 'A' has 11 numbers but needs 12 (or 6 if shared by all instances)");
  expect([](P& p) { p.a = {}; },
         "argument 'A' has 0 numbers but needs 12 (or 6 if shared by all instances)");
  expect([](P& p) { p.b = p.b.first(5); },
         "argument 'b' has 5 numbers but needs 6 (or 3 if shared by all instances)");
  expect([](P& p) { p.x0 = p.x0.first(3); },
         "argument 'x0' has 3 numbers but needs 4 (or 2 if shared by all instances)");
  expect([](P& p) { p.w = p.b.first(4); },
         "argument 'w' has 4 numbers but needs 6 (or 3 if shared by all instances)");
  const std::vector<double> steps(3, 0.1);
  expect([&](P& p) { p.step_size = steps; }, "argument 'step_size' has 3 numbers but needs 2");
  expect([](P& p) { p.count = 1; }, "argument 'A' has 12 numbers but needs 6");
}

TEST(Errors, EverySentenceAboutOffsets) {
  const TestBatch<double> good = small_ragged();
  using P = VectorProblem<double>;
  std::vector<std::int64_t> o;
  const auto expect = [&](std::vector<std::int64_t> offsets, const std::string& sentence) {
    o = std::move(offsets);
    expect_problem_error(
        good, [&](P& p) { p.offsets = o; }, sentence);
  };
  expect({0, 3}, "argument 'offsets' has 2 numbers but 2 instances need 3");
  expect({1, 3, 6}, "argument 'offsets' begins with 1 but must begin with 0");
  expect({0, 0, 6},
         "argument 'offsets' gives instance 0 the rows 0 to 0, but an instance has at least 1 row");
  expect({0, 5, 3},
         "argument 'offsets' gives instance 1 the rows 5 to 3, but an instance has at least 1 row");
  expect({0, 3, 3 + most + 1}, "instance 1 has 2147483648 rows but may have at most 2147483647");
  expect({0, 3, 7}, "argument 'A' has 12 numbers but needs 14");
  // A ragged batch shares nothing but x0.
  expect_problem_error(
      good, [](P& p) { p.b = p.b.first(3); }, "argument 'b' has 3 numbers but needs 6");
}

void expect_option_error(const Options& options, const std::string& sentence) {
  const TestBatch<double> good = small();
  const auto error = caught(good.view(), options);
  ASSERT_TRUE(error) << sentence;
  EXPECT_EQ(error->kind, ErrorKind::usage) << sentence;
  EXPECT_EQ(error->sentence, sentence);
}

TEST(Errors, EverySentenceAboutOptions) {
  expect_option_error({.stop = {.max_steps = -1}}, "max_steps is -1 but must be at least 0");
  expect_option_error({.stop = {.check_every = 0}}, "check_every is 0 but must be at least 1");
  expect_option_error({.stop = {.gradient_norm = -1e-6}},
                      "the tolerance is -1e-06 but must be zero or a positive finite number");
  expect_option_error({.stop = {.gradient_norm = nan_number}},
                      "the tolerance is nan but must be zero or a positive finite number");
  expect_option_error({.ridge = -0.5},
                      "ridge is -0.5 but must be zero or a positive finite number");
  expect_option_error({.ridge = inf}, "ridge is inf but must be zero or a positive finite number");
  expect_option_error({.ball = -2}, "ball is -2 but must be zero or a positive finite number");
  expect_option_error({.ball = nan_number},
                      "ball is nan but must be zero or a positive finite number");
  expect_option_error({.time_limit = -1},
                      "time_limit is -1 but must be zero or a positive finite number");
  expect_option_error({.logit_weight = -inf}, "logit_weight is -inf but must be a finite number");
  expect_option_error({.threads = -3}, "threads is -3 but must be at least 0");
  expect_option_error({.memory_limit = -1}, "memory_limit is -1 but must be at least 0");
  expect_option_error({.trace_full = true},
                      "a full trace was asked for but the trace is not 'shifts' or 'bounds'");
  expect_option_error({.trace = TraceKind::loss, .trace_full = true},
                      "a full trace was asked for but the trace is not 'shifts' or 'bounds'");
}

TEST(Errors, OptionsThatSinglePrecisionCannotHold) {
  const TestBatch<float> good = make_batch<float>({2, 3, 3, 2});
  const auto expect = [&](const Options& options, const std::string& sentence) {
    const auto error = caught(good.view(), options);
    ASSERT_TRUE(error) << sentence;
    EXPECT_EQ(error->kind, ErrorKind::usage) << sentence;
    EXPECT_EQ(error->sentence, sentence);
  };
  expect({.ball = 1e-46}, "ball is 1e-46 (0 in float32) but must be a positive finite number");
  expect({.ball = 1e39}, "ball is 1e+39 (inf in float32) but must be a positive finite number");
  expect({.ridge = 1e39}, "ridge is 1e+39 (inf in float32) but must be a finite number");
  expect({.logit_weight = -1e39},
         "logit_weight is -1e+39 (-inf in float32) but must be a finite number");
  EXPECT_FALSE(caught(good.view(), {.ridge = 1e-46}));
  EXPECT_FALSE(caught(small().view(), {.ball = 1e-46}));
}

TEST(Errors, EverySentenceAboutStepSizes) {
  for (const AnyLoss& loss :
       {AnyLoss{RescaledL2{}}, AnyLoss{ExpL2{}}, AnyLoss{CoshL2{}}, AnyLoss{SinhL2{}}})
    expect_option_error(
        {.loss = loss},
        "loss '" + name_of(loss) + "' has no proven step size, so 'auto' cannot be used with it");
  expect_option_error({.optimizer = GradientDescent{-0.5}},
                      "the step size is -0.5 but must be a positive finite number");
  expect_option_error({.optimizer = Nesterov{nan_number}},
                      "the step size is nan but must be a positive finite number");
  const TestBatch<float> single = make_batch<float>({2, 3, 3, 2});
  auto error = caught(single.view(), {.optimizer = GradientDescent{1e-60}});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::usage);
  EXPECT_EQ(error->sentence,
            "the step size is 1e-60 (0 in float32) but must be a positive finite number");
  error = caught(single.view(), {.loss = ExpL2{}});
  ASSERT_TRUE(error);
  EXPECT_THAT(error->hint, HasSubstr("--step-size"));
  // The option's step size does not matter where every instance has its own.
  TestBatch<float> own = single;
  own.step_size = {0.1, 0.2};
  EXPECT_FALSE(caught(own.view(), {.loss = ExpL2{}}));
}

TEST(Errors, MemoryAndDeviceErrors) {
  const TestBatch<double> good = small();
  for (const Device device : {Device::cpu, Device::reference}) {
    Options options{.device = device, .threads = 1, .memory_limit = 100};
    const auto error = caught(good.view(), options);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind, ErrorKind::out_of_memory);
    EXPECT_THAT(error->sentence, AllOf(HasSubstr("needs"), HasSubstr("the memory limit is 100")));
    const TestBatch<double> one = good.pick({0}, false);  // never in packs, which take more
    options.memory_limit = 0;
    options.memory_limit = LiveSolve<double>(one.view(), options).plan().workspace_bytes;
    EXPECT_FALSE(caught(one.view(), options));
    --options.memory_limit;
    EXPECT_TRUE(caught(one.view(), options));
  }
  const EmulatedGpuScope scope;
  const auto error = caught(good.view(), {.device = Device::cuda, .memory_limit = 100});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::out_of_memory);
  EXPECT_THAT(error->sentence, AllOf(HasSubstr("instance 0 (3 x 2, 8 bytes a number)"),
                                     HasSubstr("100 are available")));
  emulated_gpu_state().unavailable = "the test took it away";
  const auto gone = caught(good.view(), {.device = Device::cuda});
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->kind, ErrorKind::device_unavailable);
  EXPECT_EQ(gone->sentence, "CUDA cannot be used: the test took it away");
  const Result<double> fallback = solve(good.view(), {});
  EXPECT_EQ(fallback.plan.road, "cpu");
  EXPECT_THAT(fallback.warnings,
              testing::ElementsAre("CUDA is not used: the test took it away; running on the CPU"));
}

// Traces that no memory holds are an Error, not a crash.
TEST(Errors, TracesBeyondMemory) {
  if (sanitized)
    GTEST_SKIP() << "a sanitizer's allocator ends the process where there is no memory";
  const TestBatch<double> good = small();
  const Options options{.stop = {.max_steps = std::numeric_limits<int>::max()},
                        .trace = TraceKind::shifts,
                        .trace_full = true,
                        .device = Device::cpu};
  Picks picks(100'000, 0);
  const TestBatch<double> many = good.pick(picks, false);
  const auto error = caught(many.view(), options);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::out_of_memory);
}

// Nor are more instances than can be counted in memory.
TEST(Errors, InstancesBeyondMemory) {
  if (sanitized)
    GTEST_SKIP() << "a sanitizer's allocator ends the process where there is no memory";
  const TestBatch<double> good = small();
  VectorProblem<double> many = good.view();
  many.count = std::int64_t{1} << 58;
  many.a = many.a.first(6);
  many.b = many.b.first(3);
  many.x0 = {};
  many.step_size = {};
  many.w = {};
  const EmulatedGpuScope scope;
  for (const Device device : {Device::cpu, Device::cuda}) {
    const auto error = caught(many, {.device = device});
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind, ErrorKind::out_of_memory);
    EXPECT_THAT(error->sentence, HasSubstr("288230376151711744 instances"));
  }
}

TEST(ErrorsDeathTest, UnknownInstructionSetIsAnError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // the choice is made once in a process
  EXPECT_EXIT(
      {
        setenv("SOFTREG_ISA", "sparc", 1);
        const TestBatch<double> good = small();
        const auto error = caught(good.view(), on_cpu());
        std::fprintf(stderr, "%s\n", error ? error->sentence.c_str() : "no error");
        std::_Exit(error ? static_cast<int>(error->kind) : 0);
      },
      testing::ExitedWithCode(2), "SOFTREG_ISA is .sparc. but it must be one of .*x86-64-v3");
}

// Random right calls, each spoilt in one known way.
template <class T>
struct BadCall {
  TestBatch<T> batch;
  VectorProblem<T> problem;
  Options options;
  ErrorKind kind;
};

template <class T>
void spoil_shape(BadCall<T>& c, Rng& rng) {
  VectorProblem<T>& p = c.problem;
  c.kind = ErrorKind::invalid_input;
  // Cuts an array, but never to a size that would be right: one number, or all of it, or empty.
  const auto cut = [&](auto& array) {
    array = array.first(array.size() - 1 - (array.size() > 4 ? rng() % 2 : 0));
  };
  switch (draw(rng, 0, 9)) {
    case 0:
      p.count = -draw(rng, 1, 1'000'000);
      break;
    case 1:
      p.d = -draw(rng, 0, 1'000'000);
      break;
    case 2:
      p.d = most + draw(rng, 1, 1'000'000);
      break;
    case 3:
      p.count = draw(rng, std::int64_t{1} << 59, std::int64_t{1} << 62);
      break;
    case 4:
      cut(p.a);
      break;
    case 5:
      cut(p.b);
      break;
    case 6:
      p.d = p.count * p.d + draw(rng, 1, 5);
      break;  // p.count * p.d itself would share A and x0
    case 7:
      p.count += draw(rng, 1, 5);
      break;
    case 8:
      p.a = {};
      break;
    default:
      p.b = {};
      break;
  }
}
template <class T>
void spoil_offsets(BadCall<T>& c, Rng& rng) {
  std::vector<std::int64_t>& o = c.batch.offsets;
  c.kind = ErrorKind::invalid_input;
  const std::size_t k = at(draw(rng, 1, c.problem.count));
  switch (draw(rng, 0, 4)) {
    case 0:
      o[0] = draw(rng, 1, 9);
      break;
    case 1:
      o[k] = o[k - 1];
      break;
    case 2:
      o[k] = -draw(rng, 1, 1'000'000);
      break;
    case 3:
      o[k] = o[k - 1] + most + draw(rng, 1, 1'000'000);
      break;
    default:
      o.push_back(o.back() + draw(rng, 1, 9));
      break;
  }
  c.problem.offsets = o;
}
template <class T>
void spoil_option(BadCall<T>& c, Rng& rng) {
  Options& o = c.options;
  c.kind = ErrorKind::usage;
  const double bad[] = {nan_number, inf, -inf, -1e-300, -1, -1e300};
  const double number = bad[draw(rng, 0, 5)];
  switch (draw(rng, 0, 10)) {
    case 0:
      o.stop.max_steps = static_cast<int>(-draw(rng, 1, most));
      break;
    case 1:
      o.stop.check_every = static_cast<int>(-draw(rng, 0, most));
      break;
    case 2:
      o.stop.gradient_norm = number;
      break;
    case 3:
      o.ridge = number;
      break;
    case 4:
      o.ball = number;
      break;
    case 5:
      o.time_limit = number;
      break;
    case 6:
      o.logit_weight = bad[draw(rng, 0, 2)];
      break;
    case 7:
      o.threads = static_cast<int>(-draw(rng, 1, most));
      break;
    case 8:
      o.memory_limit = -draw(rng, 1, std::int64_t{1} << 62);
      break;
    case 9:
      o.trace = draw(rng, 0, 1) ? TraceKind::loss : TraceKind::none;
      o.trace_full = true;
      break;
    default:
      std::visit([&](auto& opt) { opt.step_size = number; }, o.optimizer);
      break;
  }
}
template <class T>
void spoil_machine(BadCall<T>& c, Rng& rng) {
  switch (draw(rng, 0, 2)) {
    case 0:
      c.options.memory_limit = draw(rng, 1, 255);  // a workspace is at least 256 bytes
      c.kind = ErrorKind::out_of_memory;
      break;
    case 1:
      c.options.device = Device::cuda;
      c.kind = ErrorKind::device_unavailable;
      break;
    default:
      c.options.loss = draw(rng, 0, 1) ? AnyLoss{RescaledL2{}} : AnyLoss{SinhL2{}};
      c.options.optimizer = optimizer_at(rng() % 2, automatic_step_size);
      c.problem.step_size = {};
      c.kind = ErrorKind::usage;
      break;
  }
}

template <class T>
void bad_call(Rng& rng, std::array<int, 5>& kinds) {
  BadCall<T> c{{}, {}, {}, ErrorKind::internal};
  const bool ragged = draw(rng, 0, 2) == 0;
  BatchRecipe recipe{draw(rng, 2, 6), draw(rng, 2, 9), 0, draw(rng, 2, 5)};
  recipe.n_max = recipe.n_min;
  recipe.weights = draw(rng, 0, 1) == 1;
  recipe.step_sizes = draw(rng, 0, 1) == 1;
  recipe.seed = rng();
  c.batch = make_batch<T>(recipe);
  if (ragged) {
    Picks everything(at(recipe.count));
    std::iota(everything.begin(), everything.end(), 0);
    c.batch = c.batch.pick(everything, true);
  }
  c.problem = c.batch.view();
  c.options.loss = loss_at(at(draw(rng, 0, 6)));
  c.options.optimizer =
      optimizer_at(rng() % 2, fitting_step(c.options.loss, recipe.n_min, recipe.d));
  c.options.stop.max_steps = 3;
  c.options.device = draw(rng, 0, 1) ? Device::cpu : Device::reference;
  const std::int64_t family = draw(rng, 0, 3);
  if (family == 0) spoil_shape(c, rng);
  if (family == 1 && ragged) spoil_offsets(c, rng);
  if (family == 2 || (family == 1 && !ragged)) spoil_option(c, rng);
  if (family == 3) spoil_machine(c, rng);
  const auto error = caught(c.problem, c.options);
  ASSERT_TRUE(error) << "no error in family " << family << ", seed " << recipe.seed;
  ASSERT_EQ(error->kind, c.kind) << error->sentence;
  ASSERT_GT(error->sentence.size(), 15u);
  ASSERT_EQ(error->sentence.find('\n'), std::string::npos);
  ++kinds[at(static_cast<std::int64_t>(family))];
}

TEST(Errors, BadCallsHaveTypedErrors) {
  const EmulatedGpuScope scope;
  emulated_gpu_state().unavailable = "the test took it away";
  Rng rng(5);
  std::array<int, 5> kinds{};
  constexpr int calls = 6000;
  for (int k = 0; k < calls && !HasFatalFailure(); ++k)
    if (k % 2)
      bad_call<float>(rng, kinds);
    else
      bad_call<double>(rng, kinds);
  std::printf("[count] bad calls with typed errors: %d\n",
              kinds[0] + kinds[1] + kinds[2] + kinds[3]);
  for (int k = 0; k < 4; ++k) EXPECT_GT(kinds[at(k)], calls / 10);
}

}  // namespace
}  // namespace softreg
