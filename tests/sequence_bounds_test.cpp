// What is reported of a sequence: the drift against softmax restated in long double, its bounds
// against singular values, no violation on walks of every kind, the minimiser's bound against the
// minimisers themselves, and why it is left out.
#include <gtest/gtest.h>

#include <Eigen/Core>
#include <cstdio>
#include <map>

#include "matrix_batches.hpp"
#include "model/spectrum.hpp"

namespace softreg {
namespace {

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class T>
Rows rows_of(const std::vector<T>& v, std::int64_t first, std::int64_t rows, std::int64_t cols) {
  Rows m(rows, cols);
  for (std::int64_t i = 0; i < rows * cols; ++i) m.data()[i] = double(v[at(first * cols + i)]);
  return m;
}

// softmax of every row of z
Rows softmax(const Rows& z) {
  using Long = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Long u = z.cast<long double>();
  for (Eigen::Index r = 0; r < u.rows(); ++r) {
    u.row(r) = (u.row(r).array() - u.row(r).maxCoeff()).exp();
    u.row(r) /= u.row(r).sum();
  }
  return u.cast<double>();
}

// A result at any x, as if descent had ended there.
template <class T>
Result<T> ended_at(const std::vector<T>& x, std::int64_t count) {
  Result<T> r;
  r.count = count;
  r.d = std::ssize(x) / count;
  r.x = x;
  r.status.assign(at(count), Status::converged);
  r.gradient_norm.assign(at(count), T(0));
  return r;
}

// Contexts that walk: each array is the one before and a step of about `size`.
template <class T>
void walk(std::vector<T>& v, std::int64_t each, double size, Rng& rng) {
  for (std::size_t i = at(each); i < v.size(); ++i)
    v[i] = v[i - at(each)] + static_cast<T>(size * (2 * uniform(rng) - 1));
}

// The report of n x m softmaxes, of which a vector problem has one row: z = A1 X A2^T.
template <class T>
std::int64_t expect_restated(const SequenceReport& r, const TestMatrixBatch<T>& p, bool vector) {
  double sum = 0;
  const auto logits = [&p](std::int64_t i) -> Rows {
    return rows_of(p.a1, i * p.n, p.n, p.d1) * rows_of(p.x0, i * p.d1, p.d1, p.d2) *
           rows_of(p.a2, i * p.m, p.m, p.d2).transpose();
  };
  for (std::int64_t i = 1; i < p.count; ++i) {
    const Rows one = rows_of(p.a1, (i - 1) * p.n, p.n, p.d1),
               a1 = rows_of(p.a1, i * p.n, p.n, p.d1);
    const Rows two = rows_of(p.a2, (i - 1) * p.m, p.m, p.d2),
               a2 = rows_of(p.a2, i * p.m, p.m, p.d2);
    const Rows x = rows_of(p.x0, (i - 1) * p.d1, p.d1, p.d2),
               dx = rows_of(p.x0, i * p.d1, p.d1, p.d2) - x;
    const double drift = (softmax(logits(i)) - softmax(logits(i - 1))).norm();
    const double widest = std::max(spectral(one), spectral(a1));
    const double bound =
        std::min((widest * spectral(a2) * dx.norm() + spectral(a1 - one) * spectral(a2) * x.norm() +
                  widest * spectral(a2 - two) * x.norm()) /
                     2,
                 std::sqrt(2.0 * double(p.n)));
    // f is rounded in 1e-16, and the restated norms in 1e-15 of themselves.
    EXPECT_NEAR(r.drift[at(i)], drift, 1e-14);
    EXPECT_NEAR(r.drift_bound[at(i)], bound, 1e-12 * bound) << (vector ? "vector" : "matrix");
    EXPECT_NEAR(r.x_shift[at(i)], dx.norm(), 1e-14);
    EXPECT_NEAR(r.drift_bound_z[at(i)], (logits(i) - logits(i - 1)).norm() / 2, 1e-12);
    sum += bound;
  }
  EXPECT_TRUE(std::isnan(r.drift[0]) && std::isnan(r.drift_bound[0]) && std::isnan(r.x_shift[0]));
  EXPECT_NEAR(r.summed_bound, sum, 1e-12 * sum);
  EXPECT_NEAR(r.total_drift, (softmax(logits(p.count - 1)) - softmax(logits(0))).norm(), 1e-14);
  EXPECT_NEAR(r.total_bound_z, (logits(p.count - 1) - logits(0)).norm() / 2, 1e-12);
  EXPECT_EQ(r.largest_drift, std::sqrt(2.0 * double(p.n)));
  EXPECT_EQ(r.transitions, p.count - 1);
  for (const BoundReport& bound : r.bounds) EXPECT_EQ(bound.violations, 0) << bound.id;
  return p.count - 1;
}

template <class T>
TestMatrixBatch<T> walking(const MatrixRecipe& recipe, double size) {
  TestMatrixBatch<T> p = make_matrix_batch<T>(recipe);
  Rng rng(recipe.seed);
  walk(p.a1, p.n * p.d1, size, rng);
  walk(p.a2, p.m * p.d2, size, rng);
  walk(p.x0, p.d1 * p.d2, size, rng);
  p.step_size.clear();
  return p;
}

template <class T>
std::int64_t restate() {
  std::int64_t compared = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const double size = std::pow(10.0, -double(seed % 4));
    TestMatrixBatch<T> p = walking<T>({.count = 6,
                                       .n_min = 3,
                                       .n_max = 3,
                                       .m_min = 4,
                                       .m_max = 4,
                                       .d1 = 2,
                                       .d2 = 3,
                                       .seed = seed},
                                      size);
    compared += expect_restated(sequence_report(p.view(), ended_at(p.x0, 6), {}), p, false);
    p = walking<T>({.count = 6, .m_min = 7, .m_max = 7, .d2 = 3, .seed = seed}, size);
    p.a1.assign(6, T(1));
    const VectorProblem<T> v{.count = 6, .n = 7, .d = 3, .a = p.a2, .b = p.b};
    compared += expect_restated(sequence_report(v, ended_at(p.x0, 6), {}), p, true);
  }
  return compared;
}

TEST(SequenceBounds, MeasureWhatIsRestatedInLongDouble) {
  std::printf("[count] transitions against formulas restated: %lld\n",
              static_cast<long long>(restate<double>() + restate<float>()));
}

// The same probe between two problems gives the same bits.
TEST(SequenceBounds, AreThoseOfChangedData) {
  const TestMatrixBatch<double> p = walking<double>(
      {.count = 8, .n_min = 3, .n_max = 3, .m_min = 4, .m_max = 4, .d1 = 2, .d2 = 3}, 0.1);
  const SequenceReport r = sequence_report(p.view(), ended_at(p.x0, 8), {});
  const TestMatrixBatch<double> from = p.pick({0, 1, 2, 3, 4, 5, 6}),
                                to = p.pick({1, 2, 3, 4, 5, 6, 7});
  const Result<double> moved = measure_data_shift(from.view(), to.view(), {});
  for (std::int64_t i = 1; i < 8; ++i) EXPECT_EQ(r.drift[at(i)], moved.shifts[at(i - 1)].f_max);
}

// Walks with steps from 1e-6 to 10: blocks that share X, several softmaxes, one.
template <class T>
std::int64_t walks(double factor) {
  std::int64_t judged = 0, violations = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const double size = std::pow(10.0, 1 - double(seed % 8));
    TestMatrixBatch<T> p = walking<T>({.count = 12,
                                       .n_min = 2,
                                       .n_max = 2,
                                       .m_min = 5,
                                       .m_max = 5,
                                       .d1 = 2,
                                       .d2 = 3,
                                       .seed = seed},
                                      size);
    const WrittenOut<T> several(p);
    const VectorProblem<T> one{
        .count = 12, .n = 5, .d = 3, .a = p.a2, .b = std::span(p.b).first(5)};
    TestMatrixBatch<T> blocks = p;
    blocks.count = 6;
    blocks.n = blocks.m = 0;
    blocks.x0.clear();
    for (std::int64_t k = 0; k <= 12; ++k) {
      blocks.offsets1.push_back(2 * k);
      blocks.offsets2.push_back(5 * k);
      if (k % 2 == 0) blocks.instances.push_back(k);
    }
    std::vector<T> first(p.x0.begin(), p.x0.begin() + 6 * 6), short_x;
    for (std::int64_t i = 0; i < 12; ++i)
      short_x.insert(short_x.end(), &p.x0[at(6 * i)], &p.x0[at(6 * i)] + 3);
    for (const SequenceReport& r :
         {sequence_report(p.view(), ended_at(p.x0, 12), {}, factor),
          sequence_report(several.view(), ended_at(p.x0, 12), {}, factor),
          sequence_report(one, ended_at(short_x, 12), {.loss = CrossEntropy{}}, factor),
          sequence_report(blocks.view(), ended_at(first, 6), {.loss = RescaledL2{}}, factor)})
      for (const BoundReport& bound : r.bounds) {
        judged += bound.updates;
        violations += bound.violations;
        if (factor == 1) {
          EXPECT_EQ(bound.violations, 0) << bound.id << ", size " << size;
        }
      }
  }
  EXPECT_EQ(violations > 0, factor < 1);
  return judged;
}

TEST(SequenceBounds, AreNeverViolatedUnlessScaled) {
  std::printf("[count] transitions judged, a bound each: %lld\n",
              static_cast<long long>(walks<double>(1) + walks<float>(1)));
  walks<double>(0.01);
}

struct Regularised {
  double ridge, logit_weight;
};

// Contexts that walk from a common b, solved loosely and to the last bit.
template <class T>
void track(const Regularised& by, double tolerance, std::map<std::string, std::int64_t>& count) {
  Rng rng(17);
  for (int trial = 0; trial < 12; ++trial) {
    TestBatch<T> p = make_batch<T>(
        {.count = 10, .n_min = 12, .n_max = 12, .d = 3, .seed = std::uint64_t(trial + 1)});
    walk(p.a, 12 * 3, std::pow(10.0, -double(trial % 4)), rng);
    p.b.resize(12);
    p.x0.resize(3);
    Options options{.stop = {.max_steps = 100'000, .gradient_norm = tolerance},
                    .ridge = by.ridge,
                    .logit_weight = by.logit_weight,
                    .sequence = true,
                    .device = Device::reference};
    const Result<T> loose = solve(p.view(), options);
    const SequenceReport r = sequence_report(p.view(), loose, options);
    TestBatch<double> wide;
    wide.count = 10, wide.n = 12, wide.d = 3;
    wide.a.assign(p.a.begin(), p.a.end());
    wide.b.assign(p.b.begin(), p.b.end());
    options.stop.gradient_norm = 1e-14;
    const Result<double> sharp = solve(wide.view(), options);  // the minimisers
    for (std::int64_t i = 1; i < 10; ++i) {
      if (std::isnan(r.minimiser_bound[at(i)])) continue;
      double moved = 0, off = 0;
      for (std::int64_t j = 0; j < 3; ++j) {
        const double here = sharp.x[at(3 * i + j)], there = sharp.x[at(3 * i + j - 3)];
        moved += (here - there) * (here - there);
        off += (here - double(loose.x[at(3 * i + j)])) * (here - double(loose.x[at(3 * i + j)]));
      }
      EXPECT_LE(std::sqrt(moved), r.minimiser_bound[at(i)]);
      EXPECT_LE(std::sqrt(off), r.minimiser_bound[at(i)]);
      EXPECT_LE(r.x_shift[at(i)], r.minimiser_bound[at(i)]);
      ++count["tracked"];
      count["off the minimiser"] += std::sqrt(off) > 1e-9;
    }
    EXPECT_EQ(r.bounds[3].id, "D17S");
    EXPECT_EQ(r.bounds[3].violations, 0);
    count["judged"] += r.bounds[3].updates;
  }
}

TEST(SequenceBounds, OfMinimisersHoldForTheMinimisers) {
  std::map<std::string, std::int64_t> count;
  for (const Regularised& by : {Regularised{12, 0}, {0, 1}, {0.5, 1.5}}) {
    track<double>(by, 1e-2, count);
    track<double>(by, 1e-9, count);
    track<float>(by, 1e-3, count);
  }
  EXPECT_GT(count["judged"], 500);
  EXPECT_GT(count["off the minimiser"], 200);
  for (const auto& [what, times] : count)
    std::printf("[count] minimisers %s: %lld\n", what.c_str(), static_cast<long long>(times));
}

// |A| = 2 is known without rounding, as are the gradients: the formula to the last digits.
TEST(SequenceBounds, OfMinimisersAgainstHandValues) {
  const std::vector<double> a{2, 0, 0, 2, 2, 0, 0, 2.5}, b{0.5, 0.5}, x{0.1, 0, 0.1, 0.2};
  const VectorProblem<double> p{.count = 2, .n = 2, .d = 2, .a = a, .b = b};
  // The Hessian of the first is at least 3, of the second, whose |A| is 2.5, at least l.
  const double l = 6 - 0.75 * 6.25, grad = 1e-3;
  Result<double> r = ended_at(x, 2);
  r.gradient_norm = {0, grad};
  const SequenceReport report = sequence_report(p, r, {.ridge = 6});
  EXPECT_NEAR(report.minimiser_bound[1], (std::sqrt(0.5) + 0.75 * 6.25) / 3 * 0.5 + grad / l, 1e-9);
  // Weights: l = (4 - 3/4) times the least singular value's square.
  const SequenceReport weighted = sequence_report(p, r, {.logit_weight = 2});
  EXPECT_NEAR(weighted.minimiser_bound[1],
              (std::sqrt(0.5) + (0.75 + 8) * 6.25) / 13 * 0.5 + grad / 13, 1e-9);
  // A result that claims to have converged where it cannot have is found out.
  Result<double> far = r;
  far.x = {0, 0, 0, 2};
  std::vector<double> same_a(a.begin(), a.begin() + 4);
  const VectorProblem<double> still{.count = 2, .n = 2, .d = 2, .a = same_a, .b = b};
  EXPECT_EQ(sequence_report(still, far, {.ridge = 6}).bounds[3].violations, 1);
}

std::string why(const SequenceReport& r) {
  std::string text;
  std::int64_t left = r.transitions - r.bounds[3].updates;
  for (const auto& [reason, transitions] : r.without_minimiser_bound) {
    text += std::to_string(transitions) + ": " + reason + "; ";
    left -= transitions;
  }
  EXPECT_EQ(left, 0);
  return text;
}

TEST(SequenceBounds, SayWhyThereIsNoneOfTheMinimisers) {
  TestBatch<double> p = make_batch<double>({.count = 4, .n_min = 5, .n_max = 5, .d = 2});
  const Result<double> r = ended_at(p.x0, 4);
  const VectorProblem<double> each{.count = 4, .n = 5, .d = 2, .a = p.a, .b = p.b};
  VectorProblem<double> shared = each;
  shared.b = shared.b.first(5);
  EXPECT_EQ(why(sequence_report(shared, r, {.ridge = 50})), "");
  EXPECT_EQ(why(sequence_report(shared, r, {.loss = CrossEntropy{}, .ridge = 50})),
            "3: it is stated for the loss softmax_l2; ");
  EXPECT_EQ(why(sequence_report(shared, r, {.ridge = 50, .ball = 1})),
            "3: it is stated without a ball; ");
  EXPECT_EQ(why(sequence_report(shared, r, {})),
            "3: no ridge or logit weight proves the objective strongly convex; ");
  EXPECT_EQ(why(sequence_report(each, r, {.ridge = 50})),
            "3: b or w changes between the contexts; ");
  Result<double> two = r;
  two.gradient_norm[1] = infinity<double>();
  EXPECT_EQ(why(sequence_report(shared, two, {.ridge = 50})), "2: the gradient is not finite; ");
  const std::vector<double> stray(5, 1);
  shared.b = stray;
  EXPECT_EQ(why(sequence_report(shared, r, {.ridge = 50})),
            "3: b is not in the simplex, or f is not finite; ");
  const TestMatrixBatch<double> m = make_matrix_batch<double>(
      {.count = 3, .n_min = 2, .n_max = 2, .m_min = 4, .m_max = 4, .d1 = 2, .d2 = 2});
  EXPECT_EQ(why(sequence_report(m.view(), ended_at(m.x0, 3), {.ridge = 50})),
            "2: it is not stated for the matrix problem; ");
  EXPECT_EQ(why(sequence_report(WrittenOut<double>(m).view(), ended_at(m.x0, 3), {.ridge = 50})),
            "2: it is stated for one softmax; ");
}

TEST(SequenceBounds, PassOverWhatDidNotRun) {
  TestBatch<double> p = make_batch<double>({.count = 6, .n_min = 5, .n_max = 5, .d = 2});
  Result<double> r = ended_at(p.x0, 6);
  r.status[0] = Status::bad_input;
  r.status[3] = Status::bad_target;
  r.status[5] = Status::not_run;
  p.a[0] = p.a[3 * 10] = quiet_nan<double>();
  const SequenceReport all = sequence_report(p.view(), r, {});
  EXPECT_EQ(all.contexts, 3);
  EXPECT_EQ(all.transitions, 2);
  const TestBatch<double> kept = p.pick({1, 2, 4}, false);
  const SequenceReport some = sequence_report(kept.view(), ended_at(kept.x0, 3), {});
  EXPECT_EQ(all.drift[2], some.drift[1]);
  EXPECT_EQ(all.drift[4], some.drift[2]);
  EXPECT_EQ(all.total_drift, some.total_drift);
  for (const std::int64_t i : {0, 1, 3, 5}) EXPECT_TRUE(std::isnan(all.drift[at(i)])) << i;
  Result<double> none = r;
  none.status.assign(6, Status::not_run);
  const SequenceReport empty = sequence_report(p.view(), none, {});
  EXPECT_EQ(empty.transitions, 0);
  for (const double v :
       {empty.total_drift, empty.summed_bound, empty.total_bound_z, empty.largest_drift})
    EXPECT_TRUE(std::isnan(v));
}

TEST(SequenceBounds, EndWhenTheCallerSaysSo) {
  const TestBatch<double> p = make_batch<double>({.count = 6, .n_min = 5, .n_max = 5, .d = 2});
  for (const int asked : {1, 7, 8}) {  // six contexts, then their transitions
    int times = 0;
    const SequenceReport r = sequence_report(
        p.view(), ended_at(p.x0, 6), {.threads = 1, .cancel = [&] { return ++times == asked; }});
    EXPECT_TRUE(r.interrupted && r.bounds.empty() && r.drift.empty()) << asked;
    EXPECT_EQ(times, asked);
  }
}

// A drift that rounding hides has bounds all the same: the rows of A move by the same amount, so
// that z does and f does not.
TEST(SequenceBounds, AreThereWhereNothingDrifts) {
  const std::vector<double> a{1, 2, 4, 5}, b{0.5, 0.5}, x{1, 1};
  const VectorProblem<double> p{.count = 2, .n = 2, .d = 1, .a = a, .b = b};
  const SequenceReport r = sequence_report(p, ended_at(x, 2), {});
  EXPECT_LT(r.drift[1], 1e-15);
  EXPECT_NEAR(r.drift_bound_z[1], std::sqrt(18.0) / 2, 1e-15);
  EXPECT_EQ(r.total_bound_z, r.drift_bound_z[1]);
  EXPECT_TRUE(std::isnan(r.bounds[0].measured));
}

TEST(SequenceBounds, RefuseWhatTheyDoNotSpeakOf) {
  const TestBatch<double> p = make_batch<double>({.count = 3, .n_min = 5, .n_max = 5, .d = 2});
  const auto sentence = [](ErrorKind kind, const auto& call) {
    try {
      call();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind);
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(
      sentence(ErrorKind::usage,
               [&] { sequence_report(p.view(), ended_at(p.x0, 3), {.loss = LeastSquares{}}); }),
      "the bounds speak of a softmax, which the loss 'least_squares' does not have");
  EXPECT_EQ(sentence(ErrorKind::usage, [&] { sequence_report(p.view(), ended_at(p.x0, 2), {}); }),
            "the result has 2 instances of 3 parameters but the problem has 3 of 2");
  Result<double> short_one = ended_at(p.x0, 3);
  short_one.x.pop_back();
  EXPECT_EQ(sentence(ErrorKind::usage, [&] { sequence_report(p.view(), short_one, {}); }),
            "x of the result has 5 numbers but needs 6");
  short_one = ended_at(p.x0, 3);
  short_one.gradient_norm.clear();
  EXPECT_EQ(sentence(ErrorKind::usage, [&] { sequence_report(p.view(), short_one, {}); }),
            "gradient_norm of the result has 0 numbers but needs 3");
  const std::vector<std::int64_t> nothing{0};
  const VectorProblem<double> none{.d = 2, .offsets = nothing};
  Result<double> of_none;
  of_none.d = 2;
  EXPECT_EQ(sequence_report(none, of_none, {}).transitions, 0);
  const TestBatch<double> ragged = make_batch<double>({.count = 3, .n_min = 4, .n_max = 9, .d = 2});
  EXPECT_NE(sentence(ErrorKind::invalid_input,
                     [&] { sequence_report(ragged.view(), ended_at(ragged.x0, 3), {}); })
                .find("the contexts of a sequence have one shape"),
            std::string::npos);
}

}  // namespace
}  // namespace softreg
