// SimtGroup<L> under the emulator gives the bits of LaneGroup<L> and of a plain restatement of the
// reduction tree, and SimtGrid those of GridGroup: on every lane, in every thread order, with
// several groups per block or several blocks per group.
#include "softreg/model/group.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/emulator.hpp"
#include "kernels/grid_group.hpp"
#include "simt_grid.hpp"
#include "simt_group.hpp"

namespace softreg {
namespace {

using simt::Order;
constexpr Order orders[] = {Order::ascending, Order::descending, Order::shuffled};
std::int64_t compared = 0;
std::int64_t order_mattered = 0;

template <class S>
struct Component {
  using type = S;
};
template <class T, int K>
struct Component<Sums<T, K>> {
  using type = T;
};
template <class S>
using Scalar = typename Component<S>::type;

// Numbers per row whose sums round: all magnitudes from 1e-3 to 1e3 and both signs.
const std::vector<double> numbers = [] {
  std::vector<double> all;
  for (std::uint64_t i = 1; i <= 1001 * 8; ++i) {
    std::uint64_t x = (i ^ i << 31) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    const double u = static_cast<double>(x >> 11) * 0x1p-53;
    all.push_back((x & 1 ? 1 : -1) * std::pow(10.0, 6 * u - 3));
  }
  return all;
}();
template <class T>
T number(int i, int k) {
  return static_cast<T>(numbers[static_cast<std::size_t>(i * 8 + k)]);
}
template <class T>
void add_row(int i, T& sum) {
  sum = sum + number<T>(i, 0);
}
template <class T, int K>
void add_row(int i, Sums<T, K>& sum) {
  for (int k = 0; k < K; ++k) sum.v[k] = sum.v[k] + number<T>(i, k);
}
const auto row = [](int i, auto sum) {
  add_row(i, sum);
  return sum;
};
const auto back = [](int i, auto sum) {  // other values, so that two sums in a row differ
  add_row(1000 - i, sum);
  return sum;
};

template <class S>
bool same(const S& a, const S& b) {
  return std::memcmp(&a, &b, sizeof(S)) == 0;
}

// The tree as words: lanes of a warp in halves, then the first lanes of all warps in halves.
template <class S, class F>
S restated(int lanes, int n, F f) {
  std::vector<S> lane(static_cast<std::size_t>(lanes), S{});
  const auto at = [&](int l) -> S& { return lane[static_cast<std::size_t>(l)]; };
  for (int i = 0; i < n; ++i) at(i % lanes) = f(i, at(i % lanes));
  const int warp = std::min(lanes, 32), warps = lanes / warp;
  std::vector<S> partial;
  for (int w = 0; w < warps; ++w) {
    for (int o = warp / 2; o > 0; o /= 2)
      for (int l = 0; l < o; ++l) at(w * warp + l) = at(w * warp + l) + at(w * warp + l + o);
    partial.push_back(at(w * warp));
  }
  for (std::size_t o = partial.size() / 2; o > 0; o /= 2)
    for (std::size_t w = 0; w < o; ++w) partial[w] = partial[w] + partial[w + o];
  return partial[0];
}

template <class S>
struct Reductions {
  S sum, back;
  Scalar<S> max;
};
template <class S, class G>
Reductions<S> reduce(const G& g, int n) {
  using T = Scalar<S>;
  // No barrier between them but the groups' own.
  const S sum = g.template sum<S>(n, row);
  const S backwards = g.template sum<S>(n, back);
  const T max = g.template max<T>(n, [](int i) { return number<T>(i, 0); });
  return {sum, backwards, max};
}

// Runs `kernel(group, which)` for every group of a block of at least 64 threads.
template <int L, class F>
void for_groups(Order order, unsigned seed, std::size_t bytes_per_group, F kernel) {
  constexpr int block = std::max(L, 64);
  const std::size_t bytes = (SimtGroup<L>::scratch_bytes() + bytes_per_group + 15) / 16 * 16;
  simt::emulate({1, block, bytes * (block / L), order, seed}, [&] {
    const int which = simt::thread_index() / L;
    unsigned char* mine = static_cast<unsigned char*>(simt::dynamic_shared()) +
                          bytes * static_cast<std::size_t>(which);
    kernel(SimtGroup<L>{mine}, which, mine + SimtGroup<L>::scratch_bytes());
  });
}

template <int L, class S>
void compare_reductions() {
  using T = Scalar<S>;
  constexpr int groups = std::max(L, 64) / L;
  const auto rows = [](int n, int which) { return (n + 37 * which) % 301; };
  for (int n = 0; n <= 300; n += L > 256 ? 50 : 1) {  // 1024 fibers per block take their time
    std::vector<Reductions<S>> expected;
    for (int which = 0; which < groups; ++which) {
      const int m = rows(n, which);
      T max = -infinity<T>();
      for (int i = 0; i < m; ++i) max = std::max(max, number<T>(i, 0));
      expected.push_back({restated<S>(L, m, row), restated<S>(L, m, back), max});
      const Reductions<S> lanes = reduce<S>(LaneGroup<L>{}, m);
      ASSERT_TRUE(same(lanes.sum, expected.back().sum)) << L << " lanes, " << m << " rows";
      ASSERT_TRUE(same(lanes.back, expected.back().back));
      ASSERT_TRUE(same(lanes.max, expected.back().max));
      order_mattered += !same(restated<S>(1, m, row), expected.back().sum);
    }
    for (const Order order : orders)
      for_groups<L>(order, static_cast<unsigned>(n), 0, [&](auto g, int which, void*) {
        const auto got = reduce<S>(g, rows(n, which));
        const auto& want = expected[static_cast<std::size_t>(which)];
        ASSERT_TRUE(same(got.sum, want.sum)) << L << " lanes, " << n << " rows, group " << which;
        ASSERT_TRUE(same(got.back, want.back)) << L << " lanes, " << n << " rows";
        ASSERT_TRUE(same(got.max, want.max)) << L << " lanes, " << n << " rows";
        if (g.rank() == 0) compared += 3;
      });
    if (testing::Test::HasFailure()) return;
  }
}

// Every loop ends in a barrier: what it wrote is there, what it read may be overwritten.
template <int L>
void check_barriers(Order order, unsigned seed) {
  constexpr int n = 70;
  std::vector<int> wrong(static_cast<std::size_t>(std::max(L, 64)));
  for_groups<L>(order, seed, sizeof(int) * (n + 1), [&](auto g, int which, void* memory) {
    int* a = static_cast<int*>(memory);
    int* flag = a + n;
    int bad = 0;
    const int rounds = 2 + which % 3;  // groups of one warp leave at different times
    for (int round = 0; round < rounds; ++round) {
      g.for_each(n, [=](int i) { a[i] = round + i; });
      g.for_each(n, [&](int i) { bad += a[n - 1 - i] != round + n - 1 - i; });
      g.once([=] { *flag = round; });
      bad += *flag != round;
      g.sync();
      const int all = g.template serial<int>(n, [=](int i, int s) { return s + a[i]; });
      g.for_each(n, [=](int i) { a[i] = -1; });
      bad += all != n * round + n * (n - 1) / 2;
      // f writes what other lanes read afterwards, and the sum is used by all.
      const int sum = g.template sum<int>(n, [=](int i, int s) {
        a[i] = i;
        return s + i;
      });
      bad += sum != n * (n - 1) / 2;
      g.for_each(n, [&](int i) { bad += a[n - 1 - i] != n - 1 - i; });
      const double max = g.template max<double>(n, [=](int i) { return double{0} + a[n - 1 - i]; });
      g.for_each(n, [=](int i) { a[i] = 1000; });
      bad += max != n - 1;
    }
    wrong[static_cast<std::size_t>(simt::thread_index())] = bad;
  });
  for (const int bad : wrong) ASSERT_EQ(bad, 0) << L << " lanes, order " << static_cast<int>(order);
}

// A maximum over NaN and zeros of both signs: no tree is right, but all lanes must agree.
template <int L, class T>
void check_agreement(Order order, int shift) {
  std::vector<T> got(static_cast<std::size_t>(std::max(L, 64)));
  for_groups<L>(order, 1, 0, [&](auto g, int, void*) {
    const T values[] = {quiet_nan<T>(), T(0), -T(0), T(-1)};
    got[static_cast<std::size_t>(simt::thread_index())] = g.largest(values[(g.rank() + shift) % 4]);
  });
  for (std::size_t t = 0; t < got.size(); ++t)
    ASSERT_TRUE(same(got[t], got[t / L * L])) << L << " lanes, lane " << t % L;
}

// Products of factors that lie by rows and by columns; when multiply() returns every lane may read
// all of them.
template <int L, class T>
void check_products(Order order, unsigned seed) {
  for (const auto& [rows, columns, terms] :
       {std::array{1, 1, 3}, {3, L, 5}, {9, L / 2 + 1, 8}, {33, L / 2 + 3, 9}, {3, 16 * L, 2}}) {
    const auto values = [](int n, int k) {
      std::vector<T> all;
      for (int i = 0; i < n; ++i) all.push_back(number<T>(i % 1000, k));
      return all;
    };
    const std::vector<T> left = values(rows * terms, 1), right = values(columns * terms, 2);
    std::vector<T> expected, got(std::size_t(rows * columns));
    for (int i = 0; i < rows; ++i)
      for (int c = 0; c < columns; ++c) {
        T s = T(0);
        for (int j = 0; j < terms; ++j)
          s = fma_(left[std::size_t(i * terms + j)], right[std::size_t(j * columns + c)], s);
        expected.push_back(s);
      }
    const auto multiply = [&, rows = rows, columns = columns, terms = terms](const auto& g) {
      g.multiply(rows, columns, terms, Factor<T, 1>{left.data(), terms},
                 Factor<T>{right.data(), 1, columns},
                 [&](int i, int c, T s) { got[std::size_t(i * columns + c)] += s; });
    };
    multiply(LaneGroup<L>{});
    ASSERT_TRUE(got == expected) << rows << " x " << columns;
    std::fill(got.begin(), got.end(), T(0));
    std::atomic<int> wrong = 0;
    for_groups<L>(order, seed, 0, [&](const auto& g, int which, void*) {
      if (which > 0) return;  // which would add to the same
      multiply(g);
      wrong += !(got == expected);
    });
    ASSERT_EQ(wrong, 0) << L << " lanes, " << rows << " x " << columns;
  }
}

// A sum of each warp, then of all; between them a warp goes its own way.
template <int L, class S>
void check_parts(Order order, unsigned seed) {
  const auto of_parts = [](const auto& g) {
    typename std::decay_t<decltype(g)>::template OfParts<S> sums;
    g.each_part([&](const auto& part, int k) {
      for (int s = k; s < 20; s += g.part_count) {
        const S mine = part.template sum<S>(s, [=](int i, S sum) { return row(i + 3 * s, sum); });
        sums[k] = sums[k] + mine;
      }
    });
    return g.over_parts(sums);
  };
  constexpr int parts = LaneGroup<L>::part_count;
  std::vector<S> part(std::size_t{parts}, S{});
  for (int s = 0; s < 20; ++s) {
    S& of = part[std::size_t(s % parts)];
    of = of + restated<S>(std::min(L, 32), s, [=](int i, S sum) { return row(i + 3 * s, sum); });
  }
  for (std::size_t o = part.size() / 2; o > 0; o /= 2)
    for (std::size_t k = 0; k < o; ++k) part[k] = part[k] + part[k + o];
  ASSERT_TRUE(same(of_parts(LaneGroup<L>{}), part[0])) << L << " lanes";
  std::atomic<int> wrong = 0;
  for_groups<L>(order, seed, sizeof(int) * parts, [&](const auto& g, int, void* memory) {
    int* const told = static_cast<int*>(memory);
    for (int round = 0; round < 2; ++round) {
      ASSERT_TRUE(same(of_parts(g), part[0])) << L;
      g.for_each(parts, [=](int k) { told[k] = -1; });
      g.each_part([=](const auto& group, int k) { group.once([=] { told[k] = k; }); });
      for (int k = 0; k < parts; ++k) wrong += told[k] != k;
      g.sync();
    }
  });
  ASSERT_EQ(wrong, 0) << L << " lanes";
}

template <int L>
void check_cancellation(Order order) {
  const int set = 1, unset = 0;
  for_groups<L>(order, 1, 0, [&](auto g, int, void*) {
    ASSERT_TRUE(g.stops(&set));
    ASSERT_FALSE(g.stops(&unset));
    ASSERT_FALSE(g.stops(nullptr));
  });
}

template <int L>
struct Lanes {
  static constexpr int lanes = L;
};
template <class L>
struct GroupOfLanes : testing::Test {};
using Sizes = testing::Types<Lanes<1>, Lanes<2>, Lanes<8>, Lanes<32>, Lanes<64>, Lanes<128>,
                             Lanes<256>, Lanes<1024>>;
TYPED_TEST_SUITE(GroupOfLanes, Sizes);

TYPED_TEST(GroupOfLanes, ReducesInTheOrderOfLaneGroup) {
  constexpr int L = TypeParam::lanes;
  compared = order_mattered = 0;
  compare_reductions<L, float>();
  compare_reductions<L, double>();
  compare_reductions<L, Sums<float, 4>>();
  compare_reductions<L, Sums<double, 4>>();
  if constexpr (L == 256) compare_reductions<L, Sums<double, 8>>();  // fills the scratch
  EXPECT_TRUE(L == 1 || order_mattered > 10) << order_mattered;
  std::printf("[count] group reductions compared: %lld (%d lanes)\n",
              static_cast<long long>(compared), L);
}
TYPED_TEST(GroupOfLanes, EndsEveryLoopInABarrier) {
  for (const Order order : orders)
    for (unsigned seed = 0; seed < 10; ++seed) check_barriers<TypeParam::lanes>(order, seed);
}
TYPED_TEST(GroupOfLanes, AgreesAboutMaximaOfNaNAndZeros) {
  for (const Order order : orders)
    for (int shift = 0; shift < 4; ++shift) {
      check_agreement<TypeParam::lanes, float>(order, shift);
      check_agreement<TypeParam::lanes, double>(order, shift);
    }
}
TYPED_TEST(GroupOfLanes, MultipliesInTheOrderOfTerms) {
  for (const Order order : orders) {
    check_products<TypeParam::lanes, float>(order, 1);
    check_products<TypeParam::lanes, double>(order, 2);
  }
}
TYPED_TEST(GroupOfLanes, IsTakenApartIntoWarps) {
  for (const Order order : orders)
    for (unsigned seed = 0; seed < 3; ++seed) {
      check_parts<TypeParam::lanes, Sums<float, 4>>(order, seed);
      check_parts<TypeParam::lanes, Sums<double, 8>>(order, seed);  // fills the scratch
    }
}
TYPED_TEST(GroupOfLanes, AgreesAboutCancellation) {
  for (const Order order : orders) check_cancellation<TypeParam::lanes>(order);
}

// An instance of n rows and d columns for a LaneGrid: A, a number per column and one per row.
template <class T>
struct OnGrid {
  int n, d;
  static T a(int i, int j) { return number<T>((31 * i + 7 * j) % 1001, j % 8); }
  static T x(int j) { return number<T>(j, 3); }
  static T y(int i) { return number<T>(i % 1001, 5); }
  static T odd(int i) {  // whose maximum depends on the order
    const T values[] = {quiet_nan<T>(), T(0), -T(0), T(-1)};
    return values[i % 4];
  }
  static T logit(int i, int j, T s) { return s + a(i, j) * x(j); }
  static T gradient(int i, int j, T s) { return s + a(i, j) * y(i); }
  static T coordinate(int j, T s) { return s + x(j); }
  template <class S>
  static S of_row(int i, S s) {
    add_row(i % 1001, s);
    return s;
  }
};

// What the lanes of a grid must find.
template <class T>
struct GridSums {
  std::vector<T> logits, gradient, one_pass;
  T coordinates, sum, max, odd;
  Sums<T, 2> two;
  Sums<T, 3> three;
  Sums<T, 4> four;
};
template <class T>
GridSums<T> expected_on(const LaneGrid& grid, int n, int d) {
  using Data = OnGrid<T>;
  const GridGroup g{grid};
  GridSums<T> want;
  want.logits.resize(static_cast<std::size_t>(n));
  g.template fold<T>(n, d, Data::logit,
                     [&want](int i, T s) { want.logits[static_cast<std::size_t>(i)] = s; });
  for (int j = 0; j < d; ++j) {
    const auto add = [j](int i, T s) { return Data::gradient(i, j, s); };
    want.gradient.push_back(g.template sum_down<T>(n, j, add));
    want.one_pass.push_back(GridGroup{grid, true}.template sum_down<T>(n, j, add));
  }
  want.coordinates = g.template serial<T>(d, Data::coordinate);
  want.sum = g.template sum<T>(n, Data::template of_row<T>);
  want.two = g.template sum<Sums<T, 2>>(n, Data::template of_row<Sums<T, 2>>);
  want.three = g.template sum<Sums<T, 3>>(n, Data::template of_row<Sums<T, 3>>);
  want.four = g.template sum<Sums<T, 4>>(n, Data::template of_row<Sums<T, 4>>);
  want.max = g.template max<T>(n, Data::y);
  want.odd = g.template max<T>(grid.lanes, [n](int lane) { return Data::odd(lane + n); });
  return want;
}

// One lane's part, without a barrier between two sums. Returns what is wrong, if anything.
template <class T, class G>
std::string wrong_on(const G& g, int n, int d, const GridSums<T>& want) {
  using Data = OnGrid<T>;
  constexpr LaneGrid grid = G::grid();
  std::string wrong;
  const auto expect = [&](const auto& got, const auto& right, const char* what) {
    if (wrong.empty() && !same(got, right))
      wrong = std::string(what) + " on lane " + std::to_string(g.rank());
  };
  const int lane = g.rank();
  T own[G::own_columns], at[G::held_columns], down[G::held_columns], begun[G::held_columns];
  for (int p = 0; p < G::own_columns; ++p) own[p] = Data::x(grid.column(lane, p));
  g.gather_columns(own, at);
  for (int p = 0; p < G::held_columns; ++p)
    expect(at[p], Data::x(grid.column(lane, p)), "gathered column");
  for (int r = 0; r < G::own_rows; ++r) {
    T y[G::columns];
    g.gather_rows(Data::y(lane + r * G::lanes), y);
    for (int k = 0; k < G::columns; ++k)
      expect(y[k], Data::y(grid.row(lane, r * G::columns + k)), "gathered row");
    const T logit = g.along_row(T(0), [&](int k, T s) {
      for (int p = 0; p < G::held_columns; ++p) {
        const int j = grid.column(lane, p);
        if (j < d) s = Data::logit(grid.row(lane, r * G::columns + k), j, s);
      }
      return s;
    });
    const int i = lane + r * G::lanes;
    if (i < n) expect(logit, want.logits[static_cast<std::size_t>(i)], "logit");
  }
  const auto add_rows = [&](int first, int last, T(&s)[G::held_columns]) {
    for (int k = 0; k < G::held_rows; ++k)
      for (int p = first; p < last; ++p) {
        const int i = grid.row(lane, k);
        if (i < n) s[p] = Data::gradient(i, grid.column(lane, p), s[p]);
      }
  };
  g.down_columns(down, add_rows);
  for (int p = 0; p < G::held_columns; ++p) begun[p] = T(0);
  add_rows(0, G::held_columns, begun);
  g.scatter_columns(begun);
  T coordinates = T(0);
  for (int p = 0; p < G::own_columns; ++p) {
    const int j = grid.column(lane, p);
    if (j >= d) continue;
    expect(down[p], want.gradient[static_cast<std::size_t>(j)], "gradient");
    expect(begun[p], want.one_pass[static_cast<std::size_t>(j)], "gradient of one pass");
    coordinates = Data::coordinate(j, coordinates);
  }
  expect(g.total_of_columns(coordinates), want.coordinates, "total of columns");
  const auto own_rows = [=](auto s) {
    for (int i = lane; i < n; i += G::lanes) s = Data::of_row(i, s);
    return s;
  };
  expect(g.total(own_rows(T(0))), want.sum, "total");
  expect(g.total(own_rows(Sums<T, 2>{})), want.two, "total of two");
  T most = -infinity<T>();
  for (int i = lane; i < n; i += G::lanes) most = std::max(most, Data::y(i));
  expect(g.largest(most), want.max, "maximum");
  expect(g.total(own_rows(Sums<T, 3>{})), want.three, "total of three");
  expect(g.total(own_rows(Sums<T, 4>{})), want.four, "total of four");
  expect(g.largest(Data::odd(lane + n)), want.odd, "maximum of NaN and zeros");
  return wrong;
}

template <class T, int L, int C, int Blocks = 1>
void compare_grid() {
  constexpr int R = 3 * L, P = 16, block = Blocks > 1 ? L / Blocks : std::max(L, 64);
  constexpr int groups = Blocks > 1 ? 1 : block / L;
  using G = SimtGrid<T, L, C, R, P, Blocks>;
  constexpr std::size_t bytes = 2 * exchange_bytes<T>(G::grid(), Blocks);
  for (const int n : {1, L, L + 1, 2 * L, R - 1, R})
    for (const int d : {1, 7, P}) {
      if (Blocks > 1 && !(n == L + 1 && d == 7) && !(n == R - 1 && d == P)) continue;  // slow
      const GridSums<T> want = expected_on<T>(G::grid(), n, d);
      for (const Order order : orders) {
        std::string wrong;
        simt::emulate({Blocks, block, bytes * groups, order, unsigned(n + d), Blocks}, [&] {
          unsigned char* const shared = static_cast<unsigned char*>(simt::dynamic_shared());
          const int group = groups > 1 ? simt::thread_index() / L : 0;
          const std::string mine = wrong_on(G{shared + bytes * std::size_t(group)}, n, d, want);
          if (wrong.empty()) wrong = mine;
        });
        ASSERT_EQ(wrong, "") << L << " lanes, " << C << " columns, " << Blocks << " blocks, " << n
                             << " x " << d << ", order " << static_cast<int>(order);
        compared += n + d;
      }
    }
}
TEST(Grids, ReduceInTheOrderOfGridGroup) {
  compared = 0;
  compare_grid<float, 1, 1>();
  compare_grid<double, 2, 1>();
  compare_grid<float, 2, 2>();
  compare_grid<float, 8, 1>();
  compare_grid<double, 8, 8>();
  compare_grid<float, 32, 1>();
  compare_grid<double, 32, 2>();
  compare_grid<float, 32, 8>();
  compare_grid<double, 128, 1>();
  compare_grid<float, 128, 2>();
  compare_grid<float, 128, 8>();
  compare_grid<float, 128, 1, 2>();
  compare_grid<double, 256, 4, 4>();
  compare_grid<float, 512, 8, 8>();
  compare_grid<float, 2048, 8, 8>();
  std::printf("[count] sums of grids compared: %lld\n", static_cast<long long>(compared));
}

// What one lane does alone, all see; every block hears of a cancellation.
TEST(Grids, OfAClusterWaitForAllBlocks) {
  using Grid = SimtGrid<float, 256, 4, 256, 16, 4>;
  for (const Order order : orders) {
    const std::size_t bytes = 2 * exchange_bytes<float>(Grid::grid(), 4);
    const int set = 1, unset = 0;
    int value = 0, wrong = 0;
    simt::emulate({4, 64, bytes, order, 2, 4}, [&] {
      const Grid g(simt::dynamic_shared());
      for (int round = 1; round < 4; ++round) {
        g.once([&] { value = round; });
        wrong += value != round;
        g.sync();
      }
      wrong += !g.stops(&set) + g.stops(&unset);
    });
    EXPECT_EQ(wrong, 0);
  }
}

}  // namespace
}  // namespace softreg
