// prepare(): every screening status is forced, messages name what is wrong, neighbours are
// unharmed, automatic step sizes are the documented formulas, and threads change nothing.
#include "prepare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>

#include "matrix_norm.hpp"
#include "softreg/error.hpp"

namespace softreg {
namespace {

using testing::HasSubstr;

const double nan_value = std::nan("");

template <class T>
struct Owned {
  std::vector<T> a, b, x0, w;
  std::vector<double> step_size;
  std::vector<std::int64_t> offsets;
  std::int64_t count, n, d;
  VectorProblem<T> view() const { return {count, n, d, a, b, offsets, x0, step_size, w}; }
};

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

template <class T>
Prepared<T> prepare(const VectorProblem<T>& problem, const Options& options,
                    bool need_operator_norm) {
  return softreg::prepare(Described<T>(problem, options), options, need_operator_norm);
}

template <class T>
Owned<T> gaussian(std::int64_t count, std::int64_t n, std::int64_t d, unsigned seed = 1) {
  std::mt19937_64 rng(seed);
  std::normal_distribution<double> normal;
  Owned<T> p{{}, {}, {}, {}, {}, {}, count, n, d};
  for (std::int64_t k = 0; k < count * n * d; ++k) p.a.push_back(static_cast<T>(normal(rng)));
  p.b.assign(at(count * n), T(1) / static_cast<T>(n));
  p.x0.assign(at(count * d), T(0.5));
  p.w.assign(at(count * n), T(0.25));
  return p;
}

template <class T>
class PrepareOf : public testing::Test {};
using Both = testing::Types<float, double>;
TYPED_TEST_SUITE(PrepareOf, Both, );

TYPED_TEST(PrepareOf, EveryPlacementOfANonFiniteNumberIsFoundAndHurtsNobodyElse) {
  using T = TypeParam;
  const Owned<T> good = gaussian<T>(5, 4, 3);
  const Prepared<T> expected = prepare(good.view(), {}, true);
  std::int64_t placements = 0;
  for (const double bad : {nan_value, HUGE_VAL, -HUGE_VAL})
    for (std::vector<T> Owned<T>::*array :
         {&Owned<T>::a, &Owned<T>::b, &Owned<T>::x0, &Owned<T>::w})
      for (std::size_t k = 0; k < (good.*array).size(); ++k, ++placements) {
        Owned<T> p = good;
        (p.*array)[k] = static_cast<T>(bad);
        const std::int64_t hit = static_cast<std::int64_t>(k / ((p.*array).size() / 5));
        const Prepared<T> got = prepare(p.view(), {}, true);
        for (std::int64_t i = 0; i < 5; ++i) {
          ASSERT_EQ(got.status[at(i)], i == hit ? Status::bad_input : Status::not_run);
          if (i == hit) continue;
          ASSERT_EQ(got.step_size[at(i)], expected.step_size[at(i)]);
          ASSERT_EQ(got.operator_norm[at(i)], expected.operator_norm[at(i)]);
        }
        ASSERT_EQ(got.messages.size(), 1u);
        ASSERT_EQ(got.messages[0].instance, hit);
      }
  std::printf("[count] poisoned placements screened (%zu bytes): %lld\n", sizeof(T),
              static_cast<long long>(placements));
}

TYPED_TEST(PrepareOf, MessagesNameArrayPlaceAndValue) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(6, 4, 3);
  p.a[at(1 * 12 + 2 * 3 + 1)] = static_cast<T>(nan_value);
  p.b[at(2 * 4 + 3)] = static_cast<T>(HUGE_VAL);
  p.x0[at(3 * 3 + 2)] = static_cast<T>(-HUGE_VAL);
  p.w[at(4 * 4 + 1)] = static_cast<T>(nan_value);
  p.b[at(5 * 4 + 2)] = T(-0.25);
  const Prepared<T> got = prepare(p.view(), {}, false);
  ASSERT_EQ(got.messages.size(), 5u);
  const auto expect = [&](std::size_t k, std::int64_t instance, std::int64_t row,
                          const std::string& text) {
    EXPECT_EQ(got.messages[k].instance, instance);
    EXPECT_EQ(got.messages[k].row, row);
    EXPECT_EQ(got.messages[k].text, text);
  };
  expect(0, 1, 2, "A[2,1] is nan but must be finite");
  expect(1, 2, 3, "b[3] is inf but must be finite");
  expect(2, 3, -1, "x0[2] is -inf but must be finite");
  expect(3, 4, 1, "w[1] is nan but must be finite");
  expect(4, 5, 2,
         "b[2] is -0.25 but the automatic step size of softmax_l2 needs b >= 0: give a step size");
}

TYPED_TEST(PrepareOf, BadTargets) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(3, 4, 2);
  p.b[1] = T(-1e-30);
  p.b[at(4 + 3)] = T(0.5);  // sum 1.25
  const auto statuses = [&](const Options& o) { return prepare(p.view(), o, false).status; };
  const Status bad = Status::bad_target, good = Status::not_run;
  EXPECT_EQ(statuses({}), (std::vector<Status>{bad, bad, good}));
  EXPECT_EQ(statuses({.optimizer = Nesterov{}}), (std::vector<Status>{bad, bad, good}));
  EXPECT_EQ(statuses({.optimizer = GradientDescent{0.1}}), (std::vector<Status>{good, good, good}));
  EXPECT_EQ(statuses({.loss = CrossEntropy{}}), (std::vector<Status>{bad, good, good}));
  EXPECT_EQ(statuses({.loss = CrossEntropy{}, .optimizer = GradientDescent{0.1}}),
            (std::vector<Status>{bad, good, good}));
  EXPECT_EQ(statuses({.loss = LeastSquares{}}), (std::vector<Status>{good, good, good}));
  EXPECT_THAT(
      prepare(p.view(), {}, false).messages[1].text,
      HasSubstr("b sums to 1.25 but the automatic step size of softmax_l2 needs at most 1"));
}

TYPED_TEST(PrepareOf, SumOfTheTargetMayRound) {
  using T = TypeParam;
  const T eps = std::numeric_limits<float>::epsilon();  // also in double: b may come from float
  Owned<T> p = gaussian<T>(1, 4, 2);
  p.b = {T(0.25), T(0.25), T(0.25), T(0.25) + 4 * eps};
  EXPECT_EQ(prepare(p.view(), {}, false).status[0], Status::not_run);
  p.b[3] = T(0.25) + 5 * eps;
  EXPECT_EQ(prepare(p.view(), {}, false).status[0], Status::bad_target);
}

TYPED_TEST(PrepareOf, StepSizesOfInstances) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(7, 4, 2);
  p.step_size = {0.5, 0, -1, nan_value, HUGE_VAL, 1e-300, 1e300};
  const Prepared<T> got = prepare(p.view(), {.loss = RescaledL2{}}, false);
  const Status bad = Status::bad_parameter, good = Status::not_run;
  const Status narrow = sizeof(T) == 4 ? bad : good;  // 1e-300 is 0 and 1e300 is inf in float
  EXPECT_EQ(got.status, (std::vector<Status>{good, bad, bad, bad, bad, narrow, narrow}));
  EXPECT_EQ(got.step_size[0], T(0.5));
  EXPECT_TRUE(got.operator_norm.empty());
  EXPECT_THAT(got.messages[1].text, HasSubstr("step_size is -1 (-1 in float"));
  if (sizeof(T) == 4)
    EXPECT_EQ(got.messages[4].text,
              "step_size is 1e-300 (0 in float32) but must be a positive finite number");
  else
    EXPECT_EQ(got.step_size[5], T(1e-300));
  EXPECT_EQ(prepare(p.view(), {}, true).operator_norm.size(), 7u);
}

TYPED_TEST(PrepareOf, LowestStatusWins) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(2, 4, 2);
  p.step_size = {-1, -1};
  p.b[0] = p.b[4] = T(-1);
  p.a[0] = static_cast<T>(nan_value);
  const Prepared<T> got = prepare(p.view(), {.loss = CrossEntropy{}}, false);
  EXPECT_EQ(got.status, (std::vector<Status>{Status::bad_input, Status::bad_target}));
}

TYPED_TEST(PrepareOf, AutomaticStepSizesAreTheFormulas) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(20, 9, 4);
  for (std::size_t k = 0; k < p.w.size(); ++k) p.w[k] = static_cast<T>(-0.1 * double(k % 11));
  for (const bool weighted : {false, true})
    for (const double ridge : {0.0, 0.7}) {
      Owned<T> q = p;
      if (!weighted) q.w.clear();
      const auto check = [&](const AnyLoss& loss, double curvature) {
        const Prepared<T> got =
            prepare(q.view(), {.loss = loss, .ridge = ridge, .logit_weight = 2}, false);
        for (std::int64_t i = 0; i < p.count; ++i) {
          double w2 = weighted ? 0 : 4;
          for (std::int64_t k = i * 9; weighted && k < (i + 1) * 9; ++k)
            w2 = std::max(w2, double(p.w[at(k)]) * double(p.w[at(k)]));
          const double norm = got.operator_norm[at(i)], norm2 = norm * norm;
          const double expected = 1 / ((curvature + w2 + ridge / norm2) * norm2);
          EXPECT_NEAR(double(got.step_size[at(i)]) / expected, 1,
                      2 * double(std::numeric_limits<T>::epsilon()));
          const Matrix<const T> a{p.a.data() + i * 36, 9, 4, 4, 1};
          EXPECT_EQ(norm, operator_norm_bound(a));
        }
      };
      check(SoftmaxL2{}, 0.625);
      double sum = 0;
      for (int k = 0; k < 9; ++k) sum += double(p.b[at(k)]);
      check(CrossEntropy{}, sum / 2);
      check(LeastSquares{}, 1);
    }
}

TYPED_TEST(PrepareOf, DegenerateDenominators) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(1, 3, 2);
  p.w.clear();
  p.a.assign(6, T(0));
  EXPECT_EQ(prepare(p.view(), {}, false).step_size[0], T(1));
  EXPECT_EQ(prepare(p.view(), {.ridge = 0.25}, false).step_size[0], T(4));
  EXPECT_EQ(prepare(p.view(), {}, false).operator_norm[0], 0);
  p.a.assign(6, std::numeric_limits<T>::denorm_min());  // |A|^2 is 0, or its inverse beyond T
  EXPECT_EQ(prepare(p.view(), {}, false).step_size[0], T(1));
  EXPECT_EQ(prepare(p.view(), {.ridge = 0.25}, false).step_size[0], T(4));
  p.a.assign(6, std::numeric_limits<T>::max());
  const Prepared<T> huge = prepare(p.view(), {}, false);
  EXPECT_EQ(huge.status[0], Status::bad_parameter);
  ASSERT_EQ(huge.messages.size(), 1u);
  EXPECT_THAT(huge.messages[0].text, HasSubstr("the automatic step size is 0 in float"));
  p.a.assign(6, T(1));
  if (sizeof(T) == 4) {
    const auto message = [&p](double multiple) {
      return prepare(p.view(), {.step_multiple = multiple}, false).messages.at(0).text;
    };
    EXPECT_THAT(message(1e300), HasSubstr("1e+300 times the automatic step size 0.2"));
    EXPECT_THAT(message(1e300), HasSubstr("is too large in float32"));
    EXPECT_THAT(message(1e-300), HasSubstr("is 0 in float32"));
  }
  p.b.assign(3, T(0));  // cross_entropy with nothing to fit
  EXPECT_EQ(prepare(p.view(), {.loss = CrossEntropy{}}, false).step_size[0], T(1));
}

TYPED_TEST(PrepareOf, SharedArrays) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(1, 8, 3);
  p.count = 150;
  const Prepared<T> shared = prepare(p.view(), {}, true);
  EXPECT_EQ(std::count(shared.step_size.begin(), shared.step_size.end(), shared.step_size[0]), 150);
  EXPECT_EQ(shared.operator_norm[149],
            operator_norm_bound(Matrix<const T>{p.a.data(), 8, 3, 3, 1}));
  for (std::vector<T> Owned<T>::*array :
       {&Owned<T>::a, &Owned<T>::b, &Owned<T>::x0, &Owned<T>::w}) {
    Owned<T> q = p;
    (q.*array).back() = static_cast<T>(nan_value);
    const Prepared<T> got = prepare(q.view(), {}, true);
    EXPECT_EQ(std::count(got.status.begin(), got.status.end(), Status::bad_input), 150);
    EXPECT_EQ(got.messages.size(), 100u);
    for (std::int64_t k = 0; k < 100; ++k) EXPECT_EQ(got.messages[at(k)].instance, k);
  }
  p.a.back() = static_cast<T>(nan_value);
  EXPECT_EQ(prepare(p.view(), {}, true).messages[7].text,
            "A[7,2], shared by all instances, is nan but must be finite");
}

TYPED_TEST(PrepareOf, Ragged) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(1, 12, 2);
  p.count = 3;
  p.n = 0;
  p.offsets = {0, 5, 6, 12};
  p.b.assign(12, T(0.125));
  p.x0 = {T(0), T(0)};
  const Prepared<T> good = prepare(p.view(), {}, true);
  EXPECT_EQ(good.status, std::vector<Status>(3, Status::not_run));
  EXPECT_EQ(good.operator_norm[1],
            operator_norm_bound(Matrix<const T>{p.a.data() + 10, 1, 2, 2, 1}));
  p.a[at(5 * 2)] = static_cast<T>(nan_value);
  p.b[6] = T(-1);
  const Prepared<T> got = prepare(p.view(), {}, true);
  EXPECT_EQ(got.status,
            (std::vector<Status>{Status::not_run, Status::bad_input, Status::bad_target}));
  EXPECT_EQ(got.messages[0].row, 0);
  EXPECT_EQ(got.messages[1].row, 0);
  EXPECT_EQ(got.operator_norm[0], good.operator_norm[0]);
}

TYPED_TEST(PrepareOf, LongArraysAreSearchedToTheLastNumber) {
  using T = TypeParam;
  const Owned<T> p = gaussian<T>(1, 1500, 3);
  for (const std::int64_t k : {0, 1, 1023, 1024, 1025, 3000, 4095, 4096, 4498, 4499}) {
    Owned<T> q = p;
    q.a[at(k)] = static_cast<T>(HUGE_VAL);
    const Prepared<T> got = prepare(q.view(), {}, false);
    ASSERT_EQ(got.status[0], Status::bad_input) << k;
    EXPECT_EQ(got.messages[0].row, k / 3);
  }
}

TYPED_TEST(PrepareOf, ThreadsChangeNothing) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(500, 10, 6, 3);
  for (std::size_t i = 0; i < 500; i += 3) p.a[i * 60 + i % 60] = static_cast<T>(nan_value);
  for (std::size_t i = 1; i < 500; i += 7) p.b[i * 10] = T(2);
  const Prepared<T> one = prepare(p.view(), {.threads = 1}, true);
  std::int64_t compared = 0;
  for (const int threads : {0, 2, 3, 16}) {
    const Prepared<T> many = prepare(p.view(), {.threads = threads}, true);
    EXPECT_EQ(one.status, many.status);
    ASSERT_EQ(one.messages.size(), 100u);
    ASSERT_EQ(many.messages.size(), 100u);
    for (std::size_t k = 0; k < 100; ++k) {
      EXPECT_EQ(one.messages[k].instance, many.messages[k].instance);
      EXPECT_EQ(one.messages[k].text, many.messages[k].text);
    }
    for (std::size_t i = 0; i < 500; ++i) {
      if (one.status[i] != Status::not_run) {
        EXPECT_TRUE(std::isnan(many.step_size[i]));
        continue;
      }
      EXPECT_EQ(one.step_size[i], many.step_size[i]);
      EXPECT_EQ(one.operator_norm[i], many.operator_norm[i]);
      compared += 2;
    }
  }
  EXPECT_GT(compared, 1000);
  // The position in the batch does not matter either.
  for (const std::int64_t i : {1, 2, 4, 250, 499}) {
    if (one.status[at(i)] != Status::not_run) continue;
    const Owned<T> alone{{p.a.begin() + i * 60, p.a.begin() + (i + 1) * 60},
                         {p.b.begin() + i * 10, p.b.begin() + (i + 1) * 10},
                         {},
                         {p.w.begin() + i * 10, p.w.begin() + (i + 1) * 10},
                         {},
                         {},
                         1,
                         10,
                         6};
    EXPECT_EQ(prepare(alone.view(), {}, true).step_size[0], one.step_size[at(i)]);
  }
}

TYPED_TEST(PrepareOf, EmptyBatch) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(1, 4, 2);
  p.count = 0;  // A, b and w are then shared by nobody
  p.x0.clear();
  const Prepared<T> got = prepare(p.view(), {}, true);
  EXPECT_TRUE(got.status.empty());
  EXPECT_TRUE(got.operator_norm.empty());
}

std::string refusal(const Options& options, bool own_step_sizes) {
  try {
    check_step_size(options, own_step_sizes);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::usage);
    return e.what();
  }
  return "";
}

TYPED_TEST(PrepareOf, MultiplesOfTheAutomaticStepSize) {
  using T = TypeParam;
  Owned<T> p = gaussian<T>(20, 9, 4);
  const Prepared<T> proven = prepare(p.view(), {}, false);
  for (const double multiple : {0.25, 2.0, 64.0}) {
    const Prepared<T> got = prepare(p.view(), {.step_multiple = multiple}, false);
    EXPECT_EQ(got.status, proven.status);
    for (std::int64_t i = 0; i < p.count; ++i)  // by powers of two nothing is rounded anew
      EXPECT_EQ(got.step_size[at(i)], static_cast<T>(multiple) * proven.step_size[at(i)]);
  }
  for (T& a : p.a) a = 0;
  p.w.clear();
  EXPECT_EQ(prepare(p.view(), {.step_multiple = 3}, false).step_size[0], T(3));
}

TEST(Prepare, MultiplesBelongToTheAutomaticStepSize) {
  for (const double bad : {0.0, -1.0, nan_value, HUGE_VAL})
    EXPECT_THAT(refusal({.step_multiple = bad}, false), HasSubstr("positive finite number"));
  EXPECT_THAT(refusal({.optimizer = Nesterov{0.5}, .step_multiple = 2}, false),
              HasSubstr("only one of them can hold"));
  EXPECT_THAT(refusal({.step_multiple = 2}, true), HasSubstr("only one of them can hold"));
}

TEST(Prepare, LossesWithoutAProvenStepSizeAskForOne) {
  EXPECT_EQ(refusal(Options(), false), "");
  EXPECT_EQ(refusal({.loss = CrossEntropy{}}, false), "");
  EXPECT_EQ(refusal({.loss = LeastSquares{}, .optimizer = Nesterov{}}, false), "");
  for (const AnyLoss& loss :
       std::initializer_list<AnyLoss>{RescaledL2{}, ExpL2{}, CoshL2{}, SinhL2{}}) {
    EXPECT_THAT(refusal({.loss = loss}, false), HasSubstr("has no proven step size"));
    EXPECT_THAT(refusal({.loss = loss, .optimizer = Nesterov{}}, false), HasSubstr("step size"));
    EXPECT_EQ(refusal({.loss = loss}, true), "");
    EXPECT_EQ(refusal({.loss = loss, .optimizer = Nesterov{0.5}}, false), "");
  }
  EXPECT_EQ(refusal({.loss = RescaledL2{}}, false),
            "loss 'rescaled_l2' has no proven step size, so 'auto' cannot be used with it");
}

TEST(Prepare, StepSizeOfTheOptionIsCheckedAtOnce) {
  for (const double bad : {-1.0, nan_value, HUGE_VAL, -HUGE_VAL}) {
    EXPECT_THAT(refusal({.optimizer = GradientDescent{bad}}, false),
                HasSubstr("must be a positive finite number"));
    EXPECT_THAT(refusal({.optimizer = Nesterov{bad}}, true), HasSubstr("positive finite"));
  }
  const Owned<float> p = gaussian<float>(1, 4, 2);
  EXPECT_THROW(prepare(p.view(), {.optimizer = GradientDescent{1e-300}}, false), Error);
  EXPECT_THROW(prepare(p.view(), {.optimizer = GradientDescent{1e300}}, false), Error);
}

}  // namespace
}  // namespace softreg
