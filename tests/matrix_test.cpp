// Matrix problems on every backend: against the papers' formulas in long double, against the vector
// problem with A1 (x) A2 written out, and against themselves in other batches, bit for bit.
#include <gtest/gtest.h>

#include <cstdio>
#include <limits>

#include "described.hpp"
#include "dual.hpp"
#include "every_loss.hpp"
#include "instances.hpp"
#include "kernels/emulated_gpu.hpp"
#include "matrix_batches.hpp"
#include "softreg/model/memory_solve.hpp"

namespace softreg {
namespace {

using oracle::Real;
using oracle::Vector;

constexpr Device devices_with_emulator[] = {Device::reference, Device::cpu, Device::cuda};

// n_min, n_max, m_min, m_max, d1, d2, most blocks. A tile of the CPU holds 64 rows, its lanes 16.
constexpr std::int64_t shapes[][7] = {
    {1, 1, 1, 1, 1, 1, 1},   {3, 3, 5, 5, 2, 4, 1},  {6, 6, 16, 16, 3, 1, 1},
    {5, 5, 17, 17, 2, 3, 1}, {1, 4, 1, 20, 3, 2, 3}, {2, 6, 3, 9, 2, 2, 4},
    {70, 70, 4, 4, 2, 2, 1}, {8, 8, 3, 3, 5, 5, 1},  {1, 1, 33, 33, 1, 4, 1},
    {4, 9, 10, 20, 4, 3, 1}, {4, 4, 6, 6, 9, 16, 1}, {12, 12, 5, 5, 3, 20, 1},
    {1, 9, 1, 9, 8, 3, 1},
};

template <class T>
TestMatrixBatch<T> batch_of(std::size_t shape, std::int64_t count, std::uint64_t seed,
                            bool weights = false, bool tied = false) {
  const auto& s = shapes[shape % std::size(shapes)];
  MatrixRecipe r{count, s[0], s[1], s[2], s[3], s[4], s[5], s[6], tied, true, weights, seed};
  return make_matrix_batch<T>(r);
}

// One instance by the papers' formulas: each row of Z is a vector problem with the matrix a1_i (x)
// A2; the losses and gradients add up.
template <class L, class T>
struct RowByRow {
  std::vector<oracle::Problem> rows;
  Real ridge;

  RowByRow(const TestMatrixBatch<T>& p, std::int64_t i, Real ridge_of) : ridge(ridge_of) {
    std::int64_t logit = p.logits(p.first_block(i));
    for (std::int64_t k = p.first_block(i); k < p.first_block(i + 1); ++k)
      for (std::int64_t r = p.first1(k); r < p.first1(k + 1); ++r) {
        oracle::Problem row;
        row.d = static_cast<int>(p.d1 * p.d2);
        for (std::int64_t j = p.first2(k); j < p.first2(k + 1); ++j, ++logit, ++row.n) {
          p.row(r, j, row.a);
          row.b.push_back(p.b[at(logit)]);
          if (!p.w.empty()) row.w.push_back(p.w[at(logit)]);
        }
        rows.push_back(row);
      }
  }
  struct At {
    Real loss = 0, objective = 0;
    Vector gradient;
    std::vector<oracle::PointAt> each;
  };
  At at_point(const Vector& x) const {
    At out;
    out.objective = ridge / 2 * oracle::length(x) * oracle::length(x);
    for (const Real v : x) out.gradient.push_back(ridge * v);
    for (const oracle::Problem& row : rows) {
      out.each.push_back(oracle::evaluate<L>(row, x));
      out.loss += out.each.back().loss;
      out.objective += out.each.back().objective;
      for (std::size_t j = 0; j < x.size(); ++j) out.gradient[j] += out.each.back().gradient[j];
    }
    return out;
  }
};

// The roundings that a number of size about `scale` may have passed: its sums have at most
// `terms` terms, a trajectory makes `steps` updates with gentle steps, which magnify nothing.
template <class T>
double allowed(double scale, std::int64_t terms, int steps) {
  return 4 * (steps + 2) * double(terms + 16) * (1 + scale) *
         double(std::numeric_limits<T>::epsilon());
}

std::int64_t oracle_instances = 0;

template <class L>
class MatrixOracle : public testing::Test {
 protected:
  template <class T, class Opt>
  void compare(std::size_t shape, Device device, std::uint64_t seed) {
    const bool weighted = seed % 3 == 1;
    const TestMatrixBatch<T> p = batch_of<T>(shape, 4, seed, weighted, seed % 5 == 2);
    Options o{.loss = L{}, .optimizer = Opt{}};
    o.stop = {.max_steps = 6, .gradient_norm = 0, .check_every = 4};
    o.ridge = seed % 2 == 0 ? 0.25 : 0;
    o.device = device;
    o.threads = 1 + static_cast<int>(seed % 2);
    const Result<T> r = solve(p.view(), o);
    const Evaluation<T> e = evaluate(p.view(), o);
    const std::int64_t d = p.d1 * p.d2;
    std::int64_t logit = 0, softmax = 0;
    for (std::int64_t i = 0; i < p.count; ++i, ++oracle_instances) {
      const RowByRow<L, T> rows(p, i, o.ridge);
      oracle::Problem whole;
      whole.step_size = static_cast<T>(p.step_size[at(i)]);
      for (std::int64_t j = 0; j < d; ++j) whole.x0.push_back(p.x0[at(i * d + j)]);
      const auto terms = static_cast<std::int64_t>(rows.rows.size()) * rows.rows[0].n + d;
      const auto near = [&](const char* what, T got, Real want, Real scale, int steps) {
        ASSERT_LE(std::abs(Real(got) - want), allowed<T>(double(std::abs(scale)), terms, steps))
            << what << ", instance " << i << ", shape " << shape << ", seed " << seed;
      };
      const auto start = rows.at_point(whole.x0);
      near("loss", e.at.loss[at(i)], start.loss, start.loss, 0);
      near("objective", e.at.objective[at(i)], start.objective, start.objective, 0);
      Real largest = 0;
      for (const auto& row : start.each)
        for (std::size_t j = 0; j < row.dlogits.size(); ++j) largest += std::abs(row.dlogits[j]);
      near("gradient norm", e.at.gradient_norm[at(i)], oracle::length(start.gradient), largest, 0);
      for (std::int64_t j = 0; j < d; ++j)
        near("gradient", e.gradient[at(i * d + j)], start.gradient[at(j)], largest, 0);
      for (std::size_t s = 0; s < start.each.size(); ++s, ++softmax) {
        const auto& row = start.each[s];
        if (L::normalized) near("log mass", e.log_mass[at(softmax)], row.log_mass, row.log_mass, 0);
        Vector attended(at(p.d2), 0);  // f A2: what A^T f is for a row a1 that is 1
        const std::int64_t block_row = softmax;
        for (std::size_t j = 0; j < row.f.size(); ++j, ++logit) {
          near("f", e.output[at(logit)], row.f[j], row.f[j], 0);
          near("dlogits", e.dlogits[at(logit)], row.dlogits[j], largest, 0);
        }
        std::int64_t k = 0;
        while (p.first1(k + 1) <= block_row) ++k;
        for (std::size_t j = 0; j < row.f.size(); ++j)
          for (std::int64_t q = 0; q < p.d2; ++q)
            attended[at(q)] +=
                row.f[j] * Real(p.second()[at((p.first2(k) + std::int64_t(j)) * p.d2 + q)]);
        for (std::int64_t q = 0; q < p.d2; ++q)
          near("attended", e.attended[at(softmax * p.d2 + q)], attended[at(q)], 2 * row.f[0] + 2,
               0);
      }
      const Vector x = oracle::iterate(
          whole, Opt{}, 6, [&](int, const Vector& at_x) { return rows.at_point(at_x).gradient; });
      for (std::int64_t j = 0; j < d; ++j) near("x", r.x[at(i * d + j)], x[at(j)], 1, 6);
      const auto end = rows.at_point(x);
      near("loss at the end", r.loss[at(i)], end.loss, end.loss + largest, 6);
    }
  }
};
TYPED_TEST_SUITE(MatrixOracle, instances::AsTypes<AnyLoss>, instances::ByName);

TYPED_TEST(MatrixOracle, SolveAndEvaluateOnEveryBackend) {
  const EmulatedGpuScope scope;
  for (const Device device : devices_with_emulator) {
    // The emulator is slow; without sanitizers each shape is still met by every loss.
    const std::uint64_t rounds = sanitized || device == Device::cuda ? 1 : 3;
    for (std::size_t shape = 0; shape < std::size(shapes); ++shape)
      for (std::uint64_t k = 0; k < rounds && !(sanitized && shape % 3 != 0); ++k) {
        const std::uint64_t seed = 100 * shape + k + static_cast<std::uint64_t>(device);
        if (!sanitized || shape % 2 == 0)
          this->template compare<double, GradientDescent>(shape, device, seed);
        if (!sanitized || shape % 2 == 1)
          this->template compare<float, Nesterov>(shape, device, seed + 1);
      }
  }
  std::printf("[count] %lld matrix instances against the oracle\n",
              static_cast<long long>(oracle_instances));
}

// The tensor trick: the same iterates as the vector problem in d1 d2 dimensions.
TEST(Matrix, EqualsTheVectorProblemWrittenOut) {
  const EmulatedGpuScope scope;
  std::int64_t compared = 0;
  for (const Device device : devices_with_emulator)
    for (std::size_t k = 0; k < (sanitized ? 6u : device == Device::cuda ? 13u : 60u); ++k) {
      TestMatrixBatch<double> p = batch_of<double>(k, 3, 50 + k, k % 3 == 0, k % 4 == 3);
      const WrittenOut<double> out(p);
      Options o{.loss = loss_at(k % std::variant_size_v<AnyLoss>),
                .optimizer = optimizer_at(k % 2, automatic_step_size)};
      o.stop = {.max_steps = 25, .gradient_norm = 0, .check_every = 5};
      o.trace = k % 2 == 0 ? TraceKind::loss : TraceKind::none;
      o.ball = k % 5 == 4 ? 0.7 : 0;
      o.device = device;
      const Result<double> r = solve(p.view(), o), s = solve(out.view(), o);
      ASSERT_EQ(r.status, s.status);
      for (std::size_t j = 0; j < r.x.size(); ++j) ASSERT_NEAR(r.x[j], s.x[j], 1e-12) << k;
      for (std::size_t j = 0; j < r.trace_loss.size(); ++j)
        ASSERT_NEAR(r.trace_loss[j], s.trace_loss[j], 1e-12 * (1 + std::abs(s.trace_loss[j]))) << k;
      compared += r.count;
    }
  std::printf("[count] %lld instances against A1 (x) A2 written out\n",
              static_cast<long long>(compared));
}

// More logits than a tile in memory holds.
TEST(Matrix, InSeveralTilesEqualsTheVectorProblem) {
  const auto p = make_matrix_batch<double>({3, 70, 71, 61, 62, 2, 2, 2, false, true, true, 3});
  EXPECT_GT(p.offsets1.size(), 4u) << "no instance of two blocks";
  ASSERT_GT(70 * 61, Extent::tile);
  const WrittenOut<double> out(p);
  const Options o{.stop = {.max_steps = 10, .gradient_norm = 0}, .device = Device::reference};
  const auto expect_near = [](const std::vector<double>& got, const std::vector<double>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t j = 0; j < got.size(); ++j) EXPECT_NEAR(got[j], want[j], 1e-12);
  };
  const Result<double> r = solve(p.view(), o);
  EXPECT_NE(r.x, p.x0);
  expect_near(r.x, solve(out.view(), o).x);
  const Evaluation<double> e = evaluate(p.view(), o), f = evaluate(out.view(), o);
  expect_near(e.output, f.output);
  expect_near(e.log_mass, f.log_mass);
  expect_near(e.gradient, f.gradient);
  // f A of a softmax of A1 (x) A2 is a1 (x) (f A2), where a1 is its row of A1.
  for (std::size_t row = 0; row < p.a1.size() / 2; ++row)
    for (std::size_t k = 0; k < 4; ++k)
      EXPECT_NEAR(f.attended[4 * row + k], p.a1[2 * row + k / 2] * e.attended[2 * row + k % 2],
                  1e-12);
}

// <A x, y> = <x, A^T y> of the Kronecker operator and of a dense one with several segments.
TEST(Matrix, OperatorsAreAdjoint) {
  for (std::size_t k = 0; k < 200; ++k) {
    const TestMatrixBatch<double> p = batch_of<double>(k, 2, 900 + k);
    const Described<double> described(p.view(), {});
    for (std::int64_t i = 0; i < 2; ++i) {
      const Extent e = extent_of(described.batch, i);
      std::vector<double> kept(at(e.attended)), x, y, ax(at(e.rows)), aty(at(e.parameters));
      const Kronecker<double> op{described.batch, i, kept.data(), 40};
      Rng rng(k);
      for (std::int64_t j = 0; j < e.parameters; ++j) x.push_back(uniform(rng) - 0.5);
      for (std::int64_t j = 0; j < e.rows; ++j) y.push_back(uniform(rng) - 0.5);
      op.each_tile([&](const RowTile& tile) {
        op.apply(LaneGroup<1>(), tile, x.data(), ax.data() + tile.first);
        op.attend(LaneGroup<1>(), tile, y.data() + tile.first, aty.data());
      });
      op.gather(LaneGroup<1>(), aty.data());
      const double left = std::inner_product(ax.begin(), ax.end(), y.begin(), 0.0);
      const double right = std::inner_product(x.begin(), x.end(), aty.begin(), 0.0);
      EXPECT_NEAR(left, right, 1e-12 * (1 + std::abs(left)));
    }
  }
}

// The sum of the instances' objectives at x0, as a function of dual numbers: one entry of the
// arrays carries a derivative through the whole evaluator.
template <class L>
struct DualObjective {
  using D = Dual<double>;
  const TestMatrixBatch<double>& p;
  const Described<double> described;
  std::vector<D> a1, a2, b, x0, w, x;

  explicit DualObjective(const TestMatrixBatch<double>& of)
      : p(of),
        described(of.view(), {}),
        a1(of.a1.begin(), of.a1.end()),
        a2(of.a2.begin(), of.a2.end()),
        b(of.b.begin(), of.b.end()),
        x0(of.x0.begin(), of.x0.end()),
        w(of.w.begin(), of.w.end()),
        x(of.x0.size()) {}

  double derivative(D& entry) {
    entry.d = 1;
    Batch<D> batch;
    static_cast<Layout&>(batch) = described.batch;
    const std::vector<D> steps(at(p.count), D(1));
    std::vector<Outcome<D>> outcome(at(p.count));
    batch.a1 = a1.data();
    batch.a2 = p.tied() ? a1.data() : a2.data();
    batch.target = b.data();
    batch.weights = w.empty() ? nullptr : w.data();
    batch.start = x0.data();
    batch.step_size = steps.data();
    batch.stop = {0, 0, 1};
    batch.x = x.data();
    batch.outcome = outcome.data();
    double sum = 0;
    for (std::int64_t i = 0; i < p.count; ++i) {
      std::vector<D> memory(at(memory_solve_values<D>(extent_of(batch, i), Watched::nothing)));
      solve_in_memory<Kronecker<D>, L>(LaneGroup<1>(), batch, i, memory.data());
      sum += outcome[at(i)].objective.d;
    }
    entry.d = 0;
    return sum;
  }
};

template <class L>
class MatrixGradientsTest : public testing::Test {};
TYPED_TEST_SUITE(MatrixGradientsTest, instances::AsTypes<AnyLoss>, instances::ByName);

TYPED_TEST(MatrixGradientsTest, AreDerivatives) {
  int compared = 0;
  for (std::size_t k = 0; k < (sanitized ? 4u : 12u); ++k) {
    const TestMatrixBatch<double> p = batch_of<double>(k, 2, 300 + k, k % 2 == 1, k % 3 == 2);
    const Evaluation<double> e = evaluate(p.view(), {.loss = TypeParam{}, .device = Device::cpu});
    const MatrixGradients<double> g = gradients(p.view(), e);
    DualObjective<TypeParam> objective(p);
    const auto compare = [&](const char* what, std::vector<Dual<double>>& a,
                             const std::vector<double>& has) {
      ASSERT_EQ(has.size(), a.size()) << what;
      for (std::size_t j = 0; j < a.size(); j += 1 + a.size() / 23, ++compared)
        EXPECT_NEAR(has[j], objective.derivative(a[j]), 1e-12 * (1 + std::abs(has[j])))
            << what << " entry " << j << ", case " << k;
    };
    compare("A1", objective.a1, g.a1);
    compare("A2", objective.a2, g.a2);
    compare("X", objective.x0, e.gradient);
  }
  std::printf("[count] %s gradients in A1, A2 and X by dual numbers: %d\n", TypeParam::name.data(),
              compared);
}

// Bits do not depend on the batch: position, neighbours, raggedness, threads, chunks.
template <class T>
void expect_invariance(Device device, int rounds, std::int64_t& compared) {
  for (int round = 0; round < rounds; ++round) {
    Rng rng(static_cast<std::uint64_t>(round) + 77);
    const TestMatrixBatch<T> p =
        batch_of<T>(rng() % std::size(shapes), 6, rng() % 1000, rng() % 2 == 0);
    Options o{.loss = loss_at(rng() % std::variant_size_v<AnyLoss>),
              .optimizer = optimizer_at(rng() % 2, automatic_step_size)};
    o.stop = {.max_steps = 9, .gradient_norm = 0, .check_every = 4};
    o.trace = rng() % 2 == 0 ? TraceKind::shifts : TraceKind::loss;
    o.device = device;
    o.threads = 1;
    const Result<T> whole = solve(p.view(), o);
    for (int turn = 0; turn < 4; ++turn) {
      Picks which;
      for (std::int64_t k = draw(rng, 1, 7); k > 0; --k) which.push_back(draw(rng, 0, 5));
      const TestMatrixBatch<T> part = p.pick(which);
      o.threads = static_cast<int>(draw(rng, 1, 5));
      const Result<T> r = solve(part.view(), o);
      for (std::size_t k = 0; k < which.size(); ++k, ++compared)
        ASSERT_EQ(difference(r, std::int64_t(k), whole, which[k]), "") << "round " << round;
    }
  }
}
TEST(Matrix, BitsDoNotDependOnTheBatch) {
  const EmulatedGpuScope scope;
  std::int64_t compared = 0;
  for (const Device device : devices_with_emulator) {
    const bool emulated = device == Device::cuda;
    const int rounds = sanitized ? (emulated ? 1 : 4) : emulated ? 4 : 60;
    expect_invariance<float>(device, rounds, compared);
    if (sanitized && emulated) continue;
    expect_invariance<double>(device, rounds, compared);
  }
  std::printf("[count] %lld matrix instances in other batches, bit for bit\n",
              static_cast<long long>(compared));
}

// What the plan says is what runs.
TEST(Matrix, PlansNameTheirClasses) {
  const auto class_of = [](const auto& problem) {
    return solve(problem, {.stop = {.max_steps = 1}, .device = Device::cpu}).plan.size_class;
  };
  EXPECT_EQ(class_of(make_matrix_batch<float>({2, 9, 9, 5, 5, 3, 2}).view()), "tiles16");
  EXPECT_EQ(class_of(make_matrix_batch<float>({2, 9, 9, 5, 5, 3, 20}).view()), "tiles16_reduced");
  // Vector problems with one softmax each, with several, and both.
  const std::vector<float> a{1, 2, 3, 4, 5, 6}, b{0.5f, 0.5f, 0.25f, 0.75f, 1, 0};
  VectorProblem<float> p{.count = 2, .d = 1, .a = a, .b = b};
  const std::vector<std::int64_t> two{0, 2, 6}, three{0, 2, 4, 6}, one_each{0, 1, 2},
      one_and_two{0, 1, 3};
  p.segments = two;
  p.instances = one_each;
  EXPECT_EQ(class_of(p), "lanes16");
  p.segments = three;
  p.instances = one_and_two;
  EXPECT_EQ(class_of(p), "lanes16,tiles16");
}

// Blocks of many shapes, in tiles with and without a remainder: each alone has the bits that it has
// among the others.
TEST(Matrix, BitsDoNotDependOnOtherShapes) {
  Options o{.device = Device::cpu};
  o.stop = {.max_steps = 3, .gradient_norm = 0, .check_every = 2};
  std::int64_t compared = 0;
  const auto all_alike = [&]<class T>(T, std::uint64_t seed) {
    const std::int64_t count = sanitized ? 40 : 400;
    const TestMatrixBatch<T> p =
        make_matrix_batch<T>({count, 1, 150, 1, 300, 5, 7, 1, false, true, false, seed});
    const Result<T> whole = solve(p.view(), o);
    for (std::int64_t i = 0; i < count; ++i, ++compared)
      ASSERT_EQ(difference(solve(p.pick({i}).view(), o), 0, whole, i), "") << "instance " << i;
  };
  all_alike(float{}, 31);
  all_alike(double{}, 32);
  std::printf("[count] %lld matrix instances of many shapes, bit for bit\n",
              static_cast<long long>(compared));
}

TEST(Matrix, ShapesThatDisagreeAreRefusedWithBothNumbers) {
  const std::vector<double> numbers(1000);
  const auto first = [&](std::size_t n) { return std::span<const double>(numbers).first(n); };
  const auto message = [](const MatrixProblem<double>& p) -> std::string {
    try {
      solve(p, {});
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  // Two instances, A1 3 x 2, A2 5 x 4.
  const MatrixProblem<double> good{.count = 2,
                                   .n = 3,
                                   .m = 5,
                                   .d1 = 2,
                                   .d2 = 4,
                                   .a1 = first(12),
                                   .a2 = first(40),
                                   .b = first(30)};
  const MatrixProblem<double> tied{.count = 2, .n = 3, .d1 = 2, .a1 = first(12), .b = first(18)};
  EXPECT_EQ(message(good), "accepted");
  EXPECT_EQ(message(tied), "accepted");
  struct Case {
    const MatrixProblem<double>& from;
    void (*change)(MatrixProblem<double>& p, const std::vector<double>& n);
    std::vector<std::string> words;
  };
  static const std::vector<std::int64_t> two{0, 3, 6}, three{0, 1, 2, 6}, down{0, 4, 3};
  using P = MatrixProblem<double>;
  using N = std::vector<double>;
  const Case cases[] = {
      {good, [](P& p, const N& n) { p.a1 = std::span(n).first(11); }, {"A1", "11", "12"}},
      {good, [](P& p, const N& n) { p.a2 = std::span(n).first(41); }, {"A2", "41", "40"}},
      {good, [](P& p, const N& n) { p.b = std::span(n).first(29); }, {"B", "29", "30"}},
      {good, [](P& p, const N& n) { p.x0 = std::span(n).first(17); }, {"X0", "17", "16"}},
      {good, [](P& p, const N& n) { p.w = std::span(n).first(31); }, {"w", "31", "30"}},
      {good,
       [](P& p, const N& n) { p.step_size = std::span(n).first(3); },
       {"step_size", "3", "2"}},
      {good, [](P& p, const N&) { p.d1 = 0; }, {"d1", "0"}},
      {good, [](P& p, const N&) { p.m = -5; }, {"m", "-5"}},
      {good, [](P& p, const N&) { p.d1 = p.d2 = 1 << 20; }, {"X", "1048576"}},
      {good, [](P& p, const N&) { p.offsets1 = two, p.offsets2 = three; }, {"offsets", "3", "4"}},
      {good, [](P& p, const N&) { p.offsets1 = two, p.offsets2 = down; }, {"offsets2", "4", "3"}},
      {good, [](P& p, const N&) { p.instances = two; }, {"instances", "offsets1"}},
      {tied, [](P& p, const N&) { p.m = 4; }, {"A2", "n is 3", "m is 4"}},
      {tied, [](P& p, const N&) { p.d2 = 5; }, {"A2", "d1 is 2", "d2 is 5"}}};
  for (const Case& c : cases) {
    P p = c.from;
    c.change(p, numbers);
    const std::string text = message(p);
    for (const std::string& word : c.words)
      EXPECT_NE(text.find(word), std::string::npos) << "'" << word << "' in: " << text;
  }
}

// A poisoned instance gets its status and a message that names the place; its neighbours' bits
// stay.
TEST(Matrix, PoisonedInstancesAreIsolatedAndNamed) {
  const EmulatedGpuScope scope;
  for (const Device device : devices_with_emulator) {
    const TestMatrixBatch<double> p = batch_of<double>(1, 5, 4);  // n 3, m 5, d1 2, d2 4
    Options o{.device = device};
    o.stop = {.max_steps = 5, .gradient_norm = 0, .check_every = 2};
    const Result<double> good = solve(p.view(), o);
    struct Poison {
      std::vector<double> TestMatrixBatch<double>::*array;
      std::size_t place;
      double value;
      Status status;
      std::int64_t row;
      std::string text;
    };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const std::int64_t i = 2;
    using B = TestMatrixBatch<double>;
    const Poison poisons[] = {
        {&B::a1, 2 * 6 + 3, nan, Status::bad_input, 1, "A1[1,1] is nan but must be finite"},
        {&B::a2, 2 * 20 + 9, nan, Status::bad_input, 2, "A2[2,1] is nan but must be finite"},
        {&B::b, 2 * 15 + 7, nan, Status::bad_input, 1, "B[1,2] is nan but must be finite"},
        {&B::x0, 2 * 8, nan, Status::bad_input, -1, "X0[0] is nan but must be finite"},
        {&B::step_size, 2, -1, Status::bad_parameter, -1,
         "step_size is -1 (-1 in float64) but must be a positive finite number"}};
    for (const Poison& poison : poisons) {
      TestMatrixBatch<double> q = p;
      (q.*poison.array)[poison.place] = poison.value;
      const Result<double> r = solve(q.view(), o);
      EXPECT_EQ(r.status[i], poison.status);
      ASSERT_EQ(r.messages.size(), 1u);
      EXPECT_EQ(r.messages[0].text, poison.text);
      EXPECT_EQ(r.messages[0].row, poison.row);
      for (const std::int64_t k : {0, 1, 3, 4}) EXPECT_EQ(difference(r, k, good, k), "");
    }
    // A row of B that no simplex has, named, with the automatic step size.
    TestMatrixBatch<double> q = p;
    q.step_size.clear();
    for (std::size_t j = 0; j < 5; ++j) q.b[2 * 15 + 10 + j] = 0.5;
    const Result<double> r = solve(q.view(), o);
    EXPECT_EQ(r.status[i], Status::bad_target);
    EXPECT_EQ(r.messages[0].row, 2);
    EXPECT_EQ(r.messages[0].text.substr(0, 24), "row 2 of B sums to 2.5 b");
  }
}

// The automatic step: 1 / (5/8 sum over blocks |A1|^2 |A2|^2), and descent with it is monotone.
TEST(Matrix, AutomaticStepSizeDescends) {
  for (std::size_t k = 0; k < 40; ++k) {
    TestMatrixBatch<double> p = batch_of<double>(k, 3, 70 + k);
    p.step_size.clear();
    for (const AnyLoss& loss :
         {AnyLoss{SoftmaxL2{}}, AnyLoss{CrossEntropy{}}, AnyLoss{LeastSquares{}}}) {
      Options o{.loss = loss, .trace = TraceKind::loss, .device = Device::cpu};
      o.stop = {.max_steps = 40, .gradient_norm = 0, .check_every = 1};
      const Result<double> r = solve(p.view(), o);
      for (std::int64_t i = 0; i < p.count; ++i)
        for (std::size_t t = 1; t < 41; ++t)
          EXPECT_LE(r.trace_loss[at(i) * 41 + t],
                    r.trace_loss[at(i) * 41 + t - 1] * (1 + 1e-14) + 1e-18);
    }
  }
}

// A1 and A2 may be the same numbers and yet other matrices.
TEST(Matrix, AutomaticStepSizeOfMatricesThatShareTheirNumbers) {
  const std::vector<double> a{4, 0, 0, 4, 0, 0}, copy = a;
  const std::vector<double> b{0.2, 0.3, 0.5, 0.6, 0.3, 0.1};  // x = 0 is not stationary
  Options o{.device = Device::reference};
  o.stop = {.max_steps = 2, .gradient_norm = 0, .check_every = 1};
  const MatrixProblem<double> p{
      .count = 1, .n = 2, .m = 3, .d1 = 3, .d2 = 2, .a1 = a, .a2 = a, .b = b};
  MatrixProblem<double> q = p;
  q.a2 = copy;
  const Result<double> one = solve(p, o), two = solve(q, o);
  EXPECT_EQ(difference(one, 0, two, 0), "");
}

// A1 times a power of two and A2 divided by it are the same problem, also where squares of A
// overflow or vanish: the same bits, in all parameters and in fewer.
TEST(Matrix, BitsDoNotDependOnTheScaleOfA) {
  for (std::size_t k = 0; k < std::size(shapes); ++k)
    for (const int exponent : {-75, 75}) {
      const TestMatrixBatch<float> p = batch_of<float>(k, 2, 700 + k);
      TestMatrixBatch<float> q = p;
      for (float& v : q.a1) v = std::ldexp(v, exponent);
      for (float& v : q.a2) v = std::ldexp(v, -exponent);
      for (const Device device : {Device::reference, Device::cpu}) {
        Options o{.device = device};
        o.stop = {.max_steps = 6, .gradient_norm = 0, .check_every = 2};
        EXPECT_EQ(difference(solve(p.view(), o), solve(q.view(), o)), "") << "shape " << k;
      }
    }
}

// Where descent on fewer parameters would tell of another X than the one returned, the CPU goes the
// whole way, as the reference does.
TEST(Matrix, ReductionGivesWayToTheNumbers) {
  Options o{.loss = LeastSquares{}};
  o.stop = {.max_steps = 2000, .gradient_norm = 1e-3};
  o.trace = TraceKind::loss;
  const auto expect_reference = [&o](const TestMatrixBatch<float>& p, const char* what) {
    o.device = Device::reference;
    const Result<float> want = solve(p.view(), o);
    o.device = Device::cpu;
    const Result<float> got = solve(p.view(), o);
    EXPECT_EQ(got.status, want.status) << what;
    EXPECT_NEAR(got.loss[0], want.loss[0], 1e-3 * std::abs(want.loss[0]) + 1e-9) << what;
    for (const float v : got.x) EXPECT_TRUE(std::isfinite(v)) << what;
  };
  // n, m = 1, 3 rows, d1, d2 = 4, 3 columns. Steps are lost in the rounding of this X0.
  TestMatrixBatch<float> p{1, 1, 3, 4, 3, {}, {}, {.7f, .2f, .09f}, {}, {}, {}, {}, {}, {}};
  p.a1.assign(4, 1);
  p.a2 = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  const auto start_at = [&p](float size) {
    p.x0.clear();
    for (const float sign : {1.f, -1.f, 1.f, -1.f}) p.x0.insert(p.x0.end(), 3, sign * size);
  };
  for (const float size : {1e5f, 1e8f}) {
    start_at(size);
    expect_reference(p, "a long X0");
  }
  // After a step Y is finite and X is not.
  o.loss = CrossEntropy{};
  o.optimizer = GradientDescent{3.4e38};
  o.stop = {.max_steps = 1, .gradient_norm = 1e-6, .check_every = 1};
  p.a1.assign(4, .5f);
  p.x0.assign(12, 0);
  std::fill_n(p.x0.begin(), 3, 3.4e38f);
  expect_reference(p, "X beyond float");
  // R is not finite and A2 is: rows of length 4e38.
  o.optimizer = GradientDescent{automatic_step_size};
  TestMatrixBatch<float> q{1,  1,  2,  2,  4, {1e-38f, 1e-38f}, {}, {.7f, .29f}, {},
                           {}, {}, {}, {}, {}};
  q.a2 = {2e38f, 2e38f, 2e38f, 2e38f, -2e38f, -2e38f, -2e38f, -2e38f};
  expect_reference(q, "R beyond float");
}

// D8 row by row, summed: |S' - S|_F <= 1/2 |Z' - Z|_F, never violated on any backend.
TEST(Matrix, ShiftsStayBelowTheirBounds) {
  const EmulatedGpuScope scope;
  for (const Device device : devices_with_emulator)
    for (std::size_t k = 0; k < 10; ++k) {
      Options o{.trace = TraceKind::shifts, .device = device};
      o.stop = {.max_steps = 10, .gradient_norm = 0, .check_every = 5};
      TestMatrixBatch<float> p = batch_of<float>(k, 3, 500 + k);
      p.step_size.clear();
      const Result<float> r = solve(p.view(), o);
      for (const ShiftSummary<float>& s : r.shifts) {
        EXPECT_EQ(s.updates, 10);
        EXPECT_EQ(s.sharp.violations + s.paper.violations + s.paper_at_4.violations, 0);
      }
    }
}

}  // namespace
}  // namespace softreg
