// evaluate(): loss, objective, gradient, f, log mass, A^T f and dL/dz against the oracle for every
// loss on the reference and the CPU backend, in every form a problem can take.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "instances.hpp"
#include "softreg/softreg.hpp"

namespace softreg {
namespace {

using instances::Case;
using instances::Gathered;
using instances::Instance;
using oracle::Real;
using oracle::Vector;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

struct Regulariser {
  double ridge = 0, weight = 0, ball = 0;
  bool weighted = false;
};
constexpr Regulariser regularisers[] = {
    {}, {.ridge = 0.3}, {.weight = 0.6}, {.ridge = 0.2, .weighted = true}, {.ball = 0.4}};

// Every number of an evaluation, instance by instance.
template <class L, class T>
class Checker {
 public:
  Checker(const Evaluation<T>& got, std::string where) : got_(got), where_(std::move(where)) {}

  void check(const oracle::Problem& p) {
    const oracle::PointAt want = oracle::evaluate<L>(p, p.x0);
    const std::size_t i = at(instance_++), n = at(p.n), d = at(p.d), row = first_row_;
    first_row_ += n;
    // n + d + 16 units of the largest number there is, times what a unit of the largest logit does.
    Real largest = 1, reach = 1;
    for (std::size_t r = 0; r < n; ++r) {
      largest = std::max({largest, std::abs(want.f[r]), std::abs(want.dlogits[r])});
      reach = std::max(reach, std::abs(want.z[r]));
    }
    if (std::is_same_v<L, RescaledL2>) largest *= std::exp(2 * want.log_mass);
    Real size = 0;
    for (const Real a : p.a) size = std::max(size, std::abs(a));
    const Real unit = std::numeric_limits<T>::epsilon() / 2;
    const Real rows = Real(p.n + p.d + 16) * unit * reach * largest;
    const Real columns = rows * (1 + size) * std::sqrt(Real(p.n));
    const Real norms = columns * Real(p.d) + (p.ball > 0 ? 4 * columns / p.step_size : 0);

    near(got_.at.loss[i], want.loss, rows * (1 + want.loss), "loss");
    near(got_.at.objective[i], want.objective, rows * (1 + want.objective), "objective");
    near(got_.at.gradient_norm[i], oracle::gradient_norm(p, p.x0, want.gradient), norms, "norm");
    for (std::size_t r = 0; r < n; ++r) {
      near(got_.output[row + r], want.f[r], rows, "f");
      near(got_.dlogits[row + r], want.dlogits[r], rows, "dL/dz");
    }
    for (std::size_t j = 0; j < d; ++j) {
      near(got_.gradient[i * d + j], want.gradient[j], columns, "gradient");
      near(got_.attended[i * d + j], want.attended[j], columns, "A^T f");
      EXPECT_EQ(got_.at.x[i * d + j], static_cast<T>(p.x0[j])) << "x = x0" << where_;
    }
    if (L::normalized) near(got_.log_mass[i], want.log_mass, rows, "log mass");
    EXPECT_EQ(got_.at.status[i], Status::max_steps) << where_;
    EXPECT_EQ(got_.at.steps[i], 0) << where_;
  }

  static long compared() { return compared_; }

 private:
  void near(T got, Real want, Real tolerance, const char* what) {
    ++compared_;
    EXPECT_LE(std::abs(got - want), tolerance)
        << what << " of instance " << instance_ - 1 << where_ << ": " << got << " for " << want;
  }

  const Evaluation<T>& got_;
  std::string where_;
  std::int64_t instance_ = 0;
  std::size_t first_row_ = 0;
  static inline long compared_ = 0;
};

// As the regularisers and the step size of a call.
template <class T>
oracle::Problem complete(oracle::Problem p, const Regulariser& r) {
  const auto rounded = [](double v) { return static_cast<Real>(static_cast<T>(v)); };
  if (r.weight != 0) p.w.assign(at(p.n), rounded(r.weight));
  p.ridge = rounded(r.ridge);
  p.ball = rounded(r.ball);
  p.step_size = rounded(0.1);
  return p;
}
template <class L>
Options options(const Regulariser& r, Device device) {
  Options o{.loss = L{}, .optimizer = GradientDescent{.step_size = 0.1}};
  o.ridge = r.ridge;
  o.logit_weight = r.weight;
  o.ball = r.ball;
  o.device = device;
  o.threads = 1;
  return o;
}
constexpr std::pair<Device, const char*> both[] = {{Device::reference, ", reference"},
                                                   {Device::cpu, ", cpu"}};

template <class L>
class EvaluateOf : public testing::Test {
 protected:
  // A batch against its instances, under every regulariser, on both backends.
  template <class T>
  void compare(const std::vector<Instance<T>>& parts, const Gathered<T>& batch,
               const std::string& form) {
    for (const Regulariser& r : regularisers)
      for (const auto& [device, name] : both) {
        const Evaluation<T> got = evaluate(batch.view(r.weighted), options<L>(r, device));
        Checker<L, T> checker(got, " (" + form + name + ", ridge " + std::to_string(r.ridge) + ")");
        for (const Instance<T>& part : parts)
          checker.check(complete<T>(instances::exact(part, r.weighted), r));
        EXPECT_EQ(got.log_mass.size(), L::normalized ? parts.size() : 0);
      }
  }

  template <class T>
  void all_forms() {
    std::vector<Instance<T>> uniform, ragged;
    for (int i = 0; i < 6; ++i)
      uniform.push_back(instances::make<T>(i % 2 ? Case::plain : Case::one_hot, {19, 4}, at(i)));
    for (const int n : {5, 1, 33, 64, 2, 17})
      ragged.push_back(instances::make<T>(n % 2 ? Case::plain : Case::sparse, {n, 3}, at(n)));
    compare(uniform, instances::gather(uniform), "uniform");
    compare(ragged, instances::gather(ragged), "ragged");
    compare({uniform[2]}, instances::gather<T>({uniform[2]}), "a single instance");

    Gathered<T> shared = instances::gather(uniform);  // of A, b, w and x0 in turn
    std::vector<T> Instance<T>::*const arrays[] = {&Instance<T>::a, &Instance<T>::b,
                                                   &Instance<T>::w, &Instance<T>::x0};
    std::vector<T> Gathered<T>::*const places[] = {&Gathered<T>::a, &Gathered<T>::b,
                                                   &Gathered<T>::w, &Gathered<T>::x0};
    for (int k = 0; k < 4; ++k) {
      std::vector<Instance<T>> parts = uniform;
      for (Instance<T>& p : parts) p.*arrays[k] = uniform[0].*arrays[k];
      Gathered<T> batch = instances::gather(parts);
      batch.*places[k] = uniform[0].*arrays[k];
      compare(parts, batch, "array " + std::to_string(k) + " shared");
    }
    std::vector<Instance<T>> same(4, uniform[1]);
    shared = instances::gather<T>({uniform[1]});
    shared.count = 4;
    compare(same, shared, "everything shared");
  }
};
TYPED_TEST_SUITE(EvaluateOf, instances::AsTypes<AnyLoss>, instances::ByName);

TYPED_TEST(EvaluateOf, EqualsTheOracleInSinglePrecision) {
  this->template all_forms<float>();
  std::printf("[count] %s f32 numbers of evaluate(): %ld\n", TypeParam::name.data(),
              Checker<TypeParam, float>::compared());
}
TYPED_TEST(EvaluateOf, EqualsTheOracleInDoublePrecision) {
  this->template all_forms<double>();
  std::printf("[count] %s f64 numbers of evaluate(): %ld\n", TypeParam::name.data(),
              Checker<TypeParam, double>::compared());
}

TYPED_TEST(EvaluateOf, WithoutX0EvaluatesAtZero) {
  Instance<double> p = instances::make<double>(Case::plain, {9, 3}, 4);
  Gathered<double> batch = instances::gather<double>({p});
  batch.x0.clear();
  p.x0.assign(3, 0);
  for (const auto& [device, name] : both) {
    const Evaluation<double> got = evaluate(batch.view(false), options<TypeParam>({}, device));
    Checker<TypeParam, double> checker(got, name);
    checker.check(complete<double>(instances::exact(p, false), {}));
  }
}

// Where numbers do not fit the status says overflow, and the neighbours are unharmed. The losses of
// a distribution fit at any logits.
TYPED_TEST(EvaluateOf, OverflowHurtsOneInstanceOnly) {
  std::vector<Instance<float>> parts(3, instances::make<float>(Case::plain, {5, 2}, 6));
  const Instance<float> good = parts[0];
  for (float& a : parts[1].a) a *= 1e30f;
  for (const auto& [device, name] : both) {
    const Evaluation<float> got =
        evaluate(instances::gather(parts).view(false), options<TypeParam>({}, device));
    const Evaluation<float> alone =
        evaluate(instances::gather<float>({good}).view(false), options<TypeParam>({}, device));
    EXPECT_EQ(got.at.status[1], TypeParam::invariant ? Status::max_steps : Status::overflow)
        << name;
    EXPECT_EQ(std::isfinite(got.at.objective[1]) && std::isfinite(got.at.gradient_norm[1]),
              TypeParam::invariant);
    for (const std::size_t i : {std::size_t(0), std::size_t(2)}) {
      EXPECT_EQ(got.at.status[i], Status::max_steps);
      EXPECT_EQ(got.at.loss[i], alone.at.loss[0]);
      EXPECT_EQ(got.gradient[2 * i], alone.gradient[0]);
      EXPECT_EQ(got.dlogits[5 * i + 4], alone.dlogits[4]);
    }
  }
}

// No step is made: their sizes matter on a ball only, where the gradient norm depends on them.
TEST(Evaluate, StepSizesMatterOnABallOnly) {
  const std::vector<double> a{1, 2, 3, 4, 5, 6, 7, 8}, b{0.5, 0.5}, sizes{1, 0};
  const VectorProblem<double> problem{
      .count = 2, .n = 2, .d = 2, .a = a, .b = b, .step_size = sizes};
  EXPECT_EQ(evaluate(problem).at.status,
            (std::vector<Status>{Status::max_steps, Status::max_steps}));
  EXPECT_EQ(evaluate(problem, {.ball = 1}).at.status,
            (std::vector<Status>{Status::max_steps, Status::bad_parameter}));
  VectorProblem<double> wrong = problem;
  wrong.step_size = std::span(sizes).first(1);
  EXPECT_THROW(evaluate(wrong), Error);
}

}  // namespace
}  // namespace softreg
