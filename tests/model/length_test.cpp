// length_of against long double over the whole range of exponents: no overflow or underflow on the
// way, infinite only where the true length does not fit, NaN and infinity passed on.
#include "softreg/model/length.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "instances.hpp"

namespace softreg {
namespace {

template <class T>
T length_of(const std::vector<T>& v) {
  const auto squares = [&v](T scale) {
    T s = 0;
    for (const T e : v) s = fma_(e * scale, e * scale, s);
    return s;
  };
  return softreg::length_of<T>(squares);
}
// The squares of all floats and doubles fit into a long double, subnormal ones included.
template <class T>
long double exact_length(const std::vector<T>& v) {
  long double sum = 0;
  for (const T e : v) sum += static_cast<long double>(e) * static_cast<long double>(e);
  return std::sqrt(sum);
}

template <class T>
class LengthOf : public testing::Test {
 protected:
  using Limits = std::numeric_limits<T>;
  static constexpr int lowest = Limits::min_exponent - Limits::digits;  // of subnormals
  static constexpr int highest = Limits::max_exponent - 1;

  // n additions of positive terms, a root, two exact scalings: n/2 + 3 units; what the chosen sum
  // lost to underflow is less than a unit. Below the normal range one spacing of subnormals.
  void compare(const std::vector<T>& v) {
    const long double want = exact_length(v);
    const T got = length_of(v);
    ++compared_;
    if (want > static_cast<long double>(Limits::max()) * (1 + unit)) {
      EXPECT_EQ(got, Limits::infinity());
    } else if (want < static_cast<long double>(Limits::max()) * (1 - 10 * unit)) {
      const long double n = static_cast<long double>(v.size());
      EXPECT_LE(std::abs(got - want), (n / 2 + 4) * unit * want + Limits::denorm_min())
          << "first " << v[0] << " of " << v.size() << ": " << got << " for " << want;
    }
  }
  static constexpr long double unit = Limits::epsilon() / 2;
  long compared_ = 0;
  instances::Random random_{7};
};
using Both = testing::Types<float, double>;
TYPED_TEST_SUITE(LengthOf, Both, );

TYPED_TEST(LengthOf, IsRightAtEveryExponent) {
  using T = TypeParam;
  for (int e = this->lowest; e <= this->highest; ++e)
    for (const int n : {1, 2, 3, 17, 256})
      for (const int spread : {0, 3, 40, this->highest - this->lowest}) {
        std::vector<T> v;
        for (int i = 0; i < n; ++i) {
          const int down = i == 0 ? 0 : this->random_.below(spread + 1);
          const double m = this->random_.uniform(1, 2) * (this->random_.below(2) ? 1 : -1);
          v.push_back(std::ldexp(static_cast<T>(m), std::max(e - down, this->lowest)));
        }
        this->compare(v);
        std::swap(v.front(), v.back());
        this->compare(v);
      }
  std::printf("[count] lengths of %d-byte numbers: %ld\n", int(sizeof(T)), this->compared_);
}

TYPED_TEST(LengthOf, NeverOverflowsOrVanishesOnTheWay) {
  using T = TypeParam;
  using Range = typename TestFixture::Limits;
  EXPECT_EQ(length_of<T>({Range::max()}), Range::max());
  EXPECT_EQ(length_of<T>({Range::max(), Range::max()}), Range::infinity());
  EXPECT_EQ(length_of<T>({Range::min()}), Range::min());
  EXPECT_GT(length_of<T>({Range::denorm_min()}), T(0));
  const T big = std::ldexp(T(1), this->highest), small = std::ldexp(T(1), this->lowest + 10);
  EXPECT_EQ(length_of<T>({3 * (big / 8), 4 * (big / 8)}), 5 * (big / 8));
  EXPECT_EQ(length_of<T>({3 * small, 4 * small}), 5 * small);
  EXPECT_EQ(length_of<T>({}), T(0));
  EXPECT_EQ(length_of<T>({T(0), -T(0)}), T(0));
  EXPECT_EQ(length_of<T>({T(-3), T(4)}), T(5));
}

TYPED_TEST(LengthOf, PassesNanAndInfinityOn) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const T big = std::numeric_limits<T>::max(), tiny = std::numeric_limits<T>::denorm_min();
  for (const T other : {T(0), T(1), big, tiny, -big}) {
    EXPECT_EQ(length_of<T>({inf, other}), inf);
    EXPECT_EQ(length_of<T>({other, -inf}), inf);
    EXPECT_TRUE(std::isnan(length_of<T>({nan, other})));
    EXPECT_TRUE(std::isnan(length_of<T>({other, nan})));
  }
  EXPECT_FALSE(std::isfinite(length_of<T>({inf, nan})));
}

}  // namespace
}  // namespace softreg
