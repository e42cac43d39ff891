// Every constant of the theorems, held against its quantity on the families of gen.
#include "softreg/bound_constants.hpp"

#include <gtest/gtest.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "generate.hpp"
#include "model/spectrum.hpp"

namespace softreg {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using Rng = std::mt19937_64;

// 1/2 |f - b|^2 and 1/2 |u - a b|^2 at one z.
struct At {
  VectorXd u, f, c, g, e, rescaled;
  double mass, q;
  MatrixXd curvature, rescaled_curvature;
  At(const VectorXd& z, const VectorXd& b) {
    u = z.array().exp();
    mass = u.sum();
    f = u / mass;
    c = f - b;
    q = f.dot(c);
    g = f.cwiseProduct(c) - q * f;
    e = u - mass * b;
    const double be = b.dot(e);
    rescaled = u.cwiseProduct((e.array() - be).matrix());
    const VectorXd w = f.cwiseProduct(f + c), ub = u.cwiseProduct(b);
    curvature = MatrixXd((w - q * f).asDiagonal()) - w * f.transpose() - f * w.transpose() +
                (f.squaredNorm() + 2 * q) * f * f.transpose();
    rescaled_curvature = MatrixXd((u.cwiseProduct(u) + rescaled).asDiagonal()) -
                         ub * u.transpose() - u * ub.transpose() +
                         b.squaredNorm() * u * u.transpose();
  }
};

class Ledger {
 public:
  // measured <= 10^log10_bound
  void most(const std::string& name, double measured, double log10_bound) {
    if (!(measured > 0)) return;
    const double margin = log10_bound - std::log10(measured);
    ++count_;
    auto [entry, added] = closest_.try_emplace(name, margin);
    entry->second = std::min(entry->second, margin);
    EXPECT_GE(margin, -1e-9) << name;
  }
  void print() const {
    for (const auto& [name, margin] : closest_)
      std::printf("[count] %-28s closest log10(bound / measured) %.3g\n", name.c_str(), margin);
    std::printf("[count] constants held against their quantities: %lld\n",
                static_cast<long long>(count_));
  }
  std::int64_t count() const { return count_; }

 private:
  std::map<std::string, double> closest_;
  std::int64_t count_ = 0;
};

struct Instance {
  MatrixXd a;
  VectorXd b, x;
};

Instance drawn(std::int64_t i, double radius, Rng& rng) {
  GenerateOptions o;
  o.family = static_cast<Family>(i % 6);
  const int rows[] = {2, 5, 12}, columns[] = {1, 3, 6};
  o.n_min = o.n_max = rows[rng() % 3];
  o.d = columns[rng() % 3];
  o.count = i + 1;
  o.radius = radius;
  o.seed = 77;
  const auto n = static_cast<std::size_t>(o.n_min), d = static_cast<std::size_t>(o.d);
  std::vector<double> a(n * d), b(n), x(d);
  generate_instance(o, i, a, b, x);
  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Instance out{Eigen::Map<const Rows>(a.data(), o.n_min, o.d),
               Eigen::Map<const VectorXd>(b.data(), o.n_min),
               Eigen::Map<const VectorXd>(x.data(), o.d)};
  if (i % 4 == 1) {  // a target of its own
    for (double& v : out.b) v = double(rng() % 1000 + 1);
    out.b /= out.b.sum() * (1 + 1e-12);
  }
  return out;
}

// y: another x on the ball; A2: another A with |A2| <= R.
void hold(const Instance& p, const VectorXd& y, const MatrixXd& a2, double r, Ledger& ledger) {
  const std::int64_t n = p.a.rows();
  const auto log10 = [](double v) { return std::log10(v); };
  const At s(p.a * p.x, p.b), t(p.a * y, p.b), m(a2 * p.x, p.b);
  const double dx = (y - p.x).norm(), da = spectral(a2 - p.a), u_moved = (t.u - s.u).norm();
  ledger.most("P0 u", s.u.norm(), log10_paper_u(n, r));
  ledger.most("P1 u", u_moved, log10_paper_u_lipschitz(n, r) + log10(dx));
  ledger.most("P1A u", (m.u - s.u).norm(), log10_paper_u_lipschitz(n, r) + log10(da));
  ledger.most("P4 f", (t.f - s.f).norm(), log10_paper_f_lipschitz(n, r) + log10(dx));
  ledger.most("P6 f", (t.f - s.f).norm(), log10_paper_constant(n, r) + log10(dx));
  ledger.most("P6A f", (m.f - s.f).norm(), log10_paper_constant(n, r) + log10(da));
  ledger.most("D1 u", s.u.maxCoeff(), log10_largest_u(r));
  ledger.most("D2 a", s.mass, log10_mass_most(n, r));
  ledger.most("D3 1/a", 1 / s.mass, -log10_mass_least(n, r));
  ledger.most("D4 u^2", s.u.squaredNorm(), log10_u_square_most(n, r));
  ledger.most("D5 u", u_moved, log10_u_lipschitz(r) + log10(dx));
  ledger.most("D8 f", (t.f - s.f).norm(), log10(f_lipschitz(r) * dx));
  ledger.most("D8A f", (m.f - s.f).norm(), log10(f_lipschitz(p.x.norm()) * da));
  ledger.most("D9 h", (t.f.cwiseProduct(t.c) - s.f.cwiseProduct(s.c)).norm(),
              log10(h_lipschitz(r) * dx));
  ledger.most("D10 q", std::abs(t.q - s.q), log10(q_lipschitz(r) * dx));
  const VectorXd curvature = eigenvalues(s.curvature);
  ledger.most("D11 most", curvature.maxCoeff(), log10(curvature_most));
  ledger.most("D11 least", -curvature.minCoeff(), log10(-curvature_least));
  const VectorXd gradient = p.a.transpose() * s.g;
  ledger.most("D12 gradient", (p.a.transpose() * t.g - gradient).norm(),
              log10(gradient_lipschitz(r) * dx));
  const double hessian = spectral(p.a.transpose() * (t.curvature - s.curvature) * p.a);
  ledger.most("D13 Hessian", hessian, log10(hessian_lipschitz(r) * dx));
  ledger.most("P7 Hessian", hessian, log10_paper_hessian_lipschitz(n, r) + log10(dx));
  ledger.most("P7 Hessian, H2O", hessian, log10_h2o_hessian_lipschitz(n, r) + log10(dx));
  ledger.most("D14 gradient", gradient.norm(), log10(gradient_most(r)));
  ledger.most("D17 gradient in A", (a2.transpose() * m.g - gradient).norm(),
              log10(gradient_lipschitz_in_a(spectral(a2), p.x.norm()) * da));
  ledger.most("D18 e", (t.e - s.e).norm(),
              log10_rescaled_error_lipschitz(n, p.b.norm(), r) + log10(dx));
  ledger.most("D19 rescaled gradient", (p.a.transpose() * (t.rescaled - s.rescaled)).norm(),
              log10_rescaled_gradient_lipschitz(n, r) + log10(dx));
  ledger.most("D20 rescaled Hessian", spectral(s.rescaled_curvature),
              log10_rescaled_curvature(n, r));
}

TEST(BoundConstants, HoldOnTheFamiliesOfGen) {
  Rng rng(9);
  std::normal_distribution<double> normal;
  Ledger ledger;
  for (std::int64_t i = 0; i < 3000; ++i) {
    const double radii[] = {1, 2, 4, 6}, r = radii[rng() % 4] * (1 + 1e-12);
    const Instance p = drawn(i, r / (1 + 1e-12), rng);
    const double size = std::pow(10.0, -double(rng() % 4));
    VectorXd y = p.x;
    MatrixXd a2 = p.a;
    for (double& v : y) v += size * normal(rng);
    y *= std::min(1.0, r / y.norm());
    a2 += size * MatrixXd::NullaryExpr(a2.rows(), a2.cols(), [&] { return normal(rng); });
    a2 *= std::min(1.0, r / spectral(a2));
    // What the ball takes back of a step may leave nothing but rounding.
    if ((y - p.x).norm() < 1e-6 || (a2 - p.a).norm() < 1e-6) continue;
    hold(p, y, a2, r, ledger);
  }
  ledger.print();
  EXPECT_GE(ledger.count(), 50'000);
}

// Regularised so that the Hessian is at least l, which the constant promises.
TEST(BoundConstants, WeightsMakeTheProblemConvex) {
  Rng rng(4);
  for (std::int64_t i = 0; i < 300; ++i) {
    const Instance p = drawn(6 * i, 2, rng);
    const VectorXd singular = singular_values(p.a);
    const double least = singular(singular.size() - 1), l = 0.3;
    if (p.a.rows() < p.a.cols() || least < 1e-3) continue;
    const At s(p.a * p.x, p.b);
    const MatrixXd z =
        s.curvature + square_weight_for(l, least) * MatrixXd::Identity(p.a.rows(), p.a.rows());
    const MatrixXd hessian = p.a.transpose() * z * p.a;
    EXPECT_GE(eigenvalues(hessian).minCoeff(), l * (1 - 1e-9));
    EXPECT_NEAR(strong_convexity(0, square_weight_for(l, least), singular(0), least), l, 1e-12);
    const double weight = double(i % 4) / 4, ridge = 0.2;  // below and above 3/4
    const MatrixXd weighted =
        p.a.transpose() * (s.curvature + weight * MatrixXd::Identity(p.a.rows(), p.a.rows())) *
            p.a +
        ridge * MatrixXd::Identity(p.a.cols(), p.a.cols());
    EXPECT_GE(eigenvalues(weighted).minCoeff(),
              strong_convexity(ridge, weight, singular(0), least) - 1e-9);
  }
}

TEST(BoundConstants, AgainstHandValues) {
  EXPECT_NEAR(std::pow(10, log10_mass_most(4, 1)), 3 + std::exp(1.0) + 1, 1e-12);
  EXPECT_NEAR(std::pow(10, log10_mass_least(4, 2)), 4 * std::exp(-2.0), 1e-12);
  EXPECT_NEAR(std::pow(10, log10_u_square_most(4, 1)), 3 + std::exp(2.0) + 2, 1e-12);
  EXPECT_NEAR(std::pow(10, log10_paper_u_lipschitz(9, 1)), 6 * std::exp(1.0), 1e-12);
  EXPECT_NEAR(log10_h2o_hessian_lipschitz(10, 1), 2 + 40 * std::log10(std::exp(1.0)), 1e-12);
  EXPECT_NEAR(std::pow(10, log10_rescaled_curvature(4, 0)), 14, 1e-12);
  EXPECT_NEAR(minimiser_lipschitz(0.5, 1, 2), (std::sqrt(0.5) + 4.75) / 0.5, 1e-12);
  EXPECT_EQ(strong_convexity(4, 0, 2, 1), 1);
  EXPECT_EQ(strong_convexity(4, 2.75, 2, 1), 6);
  EXPECT_EQ(strong_convexity(0, 0.5, 2, 1), -1);
  EXPECT_EQ(softmaxes_shift(1, 2, 3, 0, 0, 0.5, 100), 0.5);
  EXPECT_EQ(softmaxes_shift(1, 2, 3, 1, 1, 1, 100), (2 + 6 + 3) / 2.0);
  EXPECT_EQ(softmaxes_shift(10, 20, 3, 0, 0, 5, 2), 2);
}

}  // namespace
}  // namespace softreg
