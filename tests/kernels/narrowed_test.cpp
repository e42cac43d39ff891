// Kernels that are compiled for what their instances have in common: held to their rows and without
// what a plain batch has not, they give the bits of their class; with the fast arithmetic they
// agree with it as far as that arithmetic goes.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "every_loss.hpp"
#include "fast.hpp"
#include "kernels/emulated_cases.hpp"
#include "kernels/emulated_gpu.hpp"
#include "sanitized.hpp"
#include "solve_kernel.hpp"

namespace softreg {
namespace {

template <class Class, int Least, int Most, int D, bool Plain = true>
struct Narrowed {
  static constexpr KernelPolicy policy = narrowed(Class::policy, Least, Most, D, Plain);
  static constexpr int least_rows = Least, most_rows = Most, parameters = D;
};

template <std::size_t K = 0, class F>
void each_loss(F f) {
  if constexpr (K < std::variant_size_v<AnyLoss>) {
    f.template operator()<std::variant_alternative_t<K, AnyLoss>>();
    each_loss<K + 1>(f);
  }
}

template <class PolicyT, class LossT, class T, class A = T>
Written<T> emulated(const Instances<T>& instances, int optimizer, simt::Order order) {
  constexpr KernelPolicy p = PolicyT::policy;
  Written<T> w;
  Batch<T> batch = instances.batch(w);
  batch.optimizer = optimizer;
  int taken = 0;
  batch.taken = &taken;
  const std::size_t shared =
      static_cast<std::size_t>(grid_shared_bytes<T>(p)) * std::size_t(p.groups_per_cluster());
  simt::emulate({2, p.threads(), shared, order, 5},
                [&] { solve_kernel<PolicyT, LossT, T, A>(batch, nullptr, 0, 0, false); });
  return w;
}

// Of n rows and fewer, if the kernel allows for fewer.
template <class T, class PolicyT>
Instances<T> instances_of(unsigned features, int max_steps = 17) {
  std::vector<int> rows(static_cast<std::size_t>(PolicyT::policy.groups_per_cluster() + 3),
                        PolicyT::most_rows);
  for (std::size_t k = 0; k < rows.size(); k += 2) rows[k] = PolicyT::least_rows;
  const Case c{rows, PolicyT::parameters, features, max_steps, 4, 3};
  Instances<T> instances(c, false, true);
  instances.tolerance = 1e-3;
  return instances;
}

template <class Class, int Least, int Most, int D, class LossT, class T, bool Plain = true>
void expect_the_bits_of_the_class(int loss) {
  using PolicyT = Narrowed<Class, Least, Most, D, Plain>;
  std::vector<unsigned> all = {unsigned{has_tolerance},
                               traces_loss | column_major | has_bad_neighbours,
                               starts_at_zero | has_bad_neighbours};
  if (!Plain)
    all = {has_weights | has_ridge | traces_loss, has_ball | column_major | starts_at_zero,
           describes | has_weights};
  for (const unsigned features : all) {
    const Instances<T> instances = instances_of<T, PolicyT>(features);
    for (int optimizer = 0; optimizer < 2; ++optimizer) {
      Written<T> right;
      Batch<T> batch = instances.batch(right);
      batch.optimizer = optimizer;
      solve_like(Class::policy, loss, batch);
      const simt::Order order = optimizer ? simt::Order::shuffled : simt::Order::descending;
      EXPECT_EQ((emulated<PolicyT, LossT, T>(instances, optimizer, order).difference(right)), "")
          << Class::policy.name << ", features " << features << ", rows " << Least << " to " << Most
          << ", " << LossT::name;
    }
  }
}

TEST(Narrowed, GiveTheBitsOfTheirClass) {
  expect_the_bits_of_the_class<Float16x4, 11, 11, 3, SoftmaxL2, float>(0);
  expect_the_bits_of_the_class<Float32x8, 32, 32, 8, SoftmaxL2, float>(0);
  expect_the_bits_of_the_class<Float64x16, 33, 40, 13, SoftmaxL2, float>(0);
  expect_the_bits_of_the_class<Float64x16, 64, 64, 16, CrossEntropy, float>(2);
  expect_the_bits_of_the_class<Float128x32, 96, 96, 21, SoftmaxL2, float>(0);
  expect_the_bits_of_the_class<Float128x32, 33, 96, 32, SoftmaxL2, float, false>(0);
  expect_the_bits_of_the_class<Float256x64, 256, 256, 64, SoftmaxL2, float>(0);
  expect_the_bits_of_the_class<Double32x8, 17, 24, 8, SoftmaxL2, double>(0);
  if (sanitized) return;  // slow
  expect_the_bits_of_the_class<Float1024x64, 700, 768, 64, SoftmaxL2, float>(0);
  expect_the_bits_of_the_class<Float1024x64, 512, 512, 33, SoftmaxL2, float>(0);
}

// The emulator's approximations are those of the C library, within one unit in the last place, so
// that what is compared here is the source. Of f about 1: |x' - x| after a few steps, in float.
template <class Class, class LossT>
void expect_near_the_class(int loss) {
  for (const unsigned flags : {unsigned{traces_loss}, traces_loss | has_weights}) {
    using PolicyT = Narrowed<Class, Class::policy.grid.rows, Class::policy.grid.rows,
                             Class::policy.grid.parameters, false>;
    // With weights these steps diverge: of several only rounding would be left to compare.
    const int max_steps = flags & has_weights ? 1 : 17;
    const Instances<float> instances = instances_of<float, PolicyT>(flags, max_steps);
    Written<float> exact;
    Batch<float> batch = instances.batch(exact);
    solve_like(Class::policy, loss, batch);
    const Written<float> fast =
        emulated<PolicyT, LossT, float, Fast<float>>(instances, 0, simt::Order::shuffled);
    EXPECT_NE(fast.difference(exact), "") << "nothing was approximated";
    const auto expect_near = [](float value, float expected, float units) {
      EXPECT_NEAR(value, expected, units * (1 + std::abs(expected)));
    };
    for (std::size_t k = 0; k < exact.x.size(); ++k) expect_near(fast.x[k], exact.x[k], 2e-5f);
    for (std::size_t i = 0; i < exact.outcome.size(); ++i) {
      EXPECT_EQ(fast.outcome[i].steps, exact.outcome[i].steps);
      expect_near(fast.outcome[i].loss, exact.outcome[i].loss, 1e-5f);
      expect_near(fast.outcome[i].objective, exact.outcome[i].objective, 1e-5f);
      expect_near(fast.outcome[i].gradient_norm, exact.outcome[i].gradient_norm, 1e-5f);
    }
  }
}

// Which kernel an instance meets depends on its neighbours.
template <class One, class Other>
void expect_equal_bits() {
  const Case c{{33, 40, 36, 33, 40, 38}, One::parameters, traces_loss, 17, 4, 3};
  const Instances<float> instances(c, false, true);
  const auto order = simt::Order::shuffled;
  const Written<float> one = emulated<One, SoftmaxL2, float, Fast<float>>(instances, 0, order);
  EXPECT_EQ((emulated<Other, SoftmaxL2, float, Fast<float>>(instances, 0, order).difference(one)),
            "");
}

TEST(Fast, BitsDoNotDependOnTheNeighbours) {
  expect_equal_bits<Narrowed<Float64x16, 33, 40, 13>, Narrowed<Float64x16, 1, 64, 13>>();
  expect_equal_bits<Narrowed<Float64x16, 33, 40, 16>, Narrowed<Float64x16, 9, 57, 16, false>>();
}

// That a loss can be computed with Fast at all, whether or not its lanes are so few that it may
// take its sums in turn.
template <class PolicyT>
void expect_every_loss() {
  const Instances<float> instances = instances_of<float, PolicyT>(traces_loss);
  each_loss([&]<class LossT>() {
    const Written<float> fast =
        emulated<PolicyT, LossT, float, Fast<float>>(instances, 0, simt::Order::ascending);
    EXPECT_TRUE(std::isfinite(fast.outcome[1].loss)) << LossT::name;
  });
}
TEST(Fast, HasWhatEveryLossNeeds) {
  expect_every_loss<Narrowed<Float64x16, 64, 64, 16>>();
  expect_every_loss<Narrowed<Float256x16, 64, 64, 16>>();
}

TEST(Fast, AgreesWithTheClass) {
  expect_near_the_class<Float16x4, SoftmaxL2>(0);
  expect_near_the_class<Float64x16, SoftmaxL2>(0);
  expect_near_the_class<Float128x32, SoftmaxL2>(0);
  expect_near_the_class<Float128x32, CrossEntropy>(2);
}

}  // namespace
}  // namespace softreg
