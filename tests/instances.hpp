// One generator of test instances: seeds, shapes and hard cases, the same numbers on every machine
// (integer arithmetic, sums and products only). Starts are never stationary: no coordinate of x0 is
// near zero. (n = 1 makes a softmax constant: there only a regulariser has a gradient.)
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "oracle.hpp"
#include "softreg/problem.hpp"

namespace softreg::instances {

// testing::Types of a catalogue.
template <class V>
struct TypesOf;
template <class... L>
struct TypesOf<std::variant<L...>> {
  using type = testing::Types<L...>;
};
template <class V>
using AsTypes = typename TypesOf<V>::type;

// Names of typed tests: TestOf/softmax_l2.
struct ByName {
  template <class L>
  static std::string GetName(int) {
    return std::string(L::name);
  }
};

// SplitMix64 (Steele, Lea and Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform(double low = 0, double high = 1) {
    return low + (high - low) * (static_cast<double>(bits() >> 11) * 0x1p-53);
  }
  double normal() {  // a sum of twelve uniforms: variance 1, |normal| <= 6
    double s = -6;
    for (int k = 0; k < 12; ++k) s += uniform();
    return s;
  }
  int below(int n) { return static_cast<int>(bits() % static_cast<std::uint64_t>(n)); }

 private:
  std::uint64_t state_;
};

enum class Case {
  plain,            // rows of variance 1/d, b in the simplex
  outlier,          // one row is 20 times longer: one logit leaves the others behind
  offset,           // all rows share a mean of 20: large logits, small differences
  one_hot,          // b is a unit vector
  near_duplicates,  // rows differ by 1e-3 only
  sparse,           // half of A and of b are zeros, the first of several rows of A is all zeros
  partial,          // b sums to 0.6
};
inline constexpr Case every_case[] = {Case::plain,   Case::outlier,         Case::offset,
                                      Case::one_hot, Case::near_duplicates, Case::sparse,
                                      Case::partial};
template <class I>
constexpr Case case_of(I k) {
  return every_case[static_cast<std::size_t>(k) % std::size(every_case)];
}

struct Shape {
  int n, d;
};
// n = 1, d > n, powers of two and their neighbours.
inline constexpr Shape every_shape[] = {{1, 1},   {1, 5},  {2, 1},  {2, 3},  {3, 8},
                                        {5, 2},   {8, 8},  {7, 17}, {16, 4}, {31, 3},
                                        {32, 16}, {33, 5}, {64, 2}, {65, 9}};

template <class T>
struct Instance {
  int n, d;
  std::vector<T> a, b, x0, w;  // (n, d), (n), (d), (n)
};

template <class T>
Instance<T> make(Case kind, Shape shape, std::uint64_t seed) {
  Random r(seed * 1000003 + static_cast<std::uint64_t>(kind) * 7919 +
           static_cast<std::uint64_t>(shape.n) * 65537 + static_cast<std::uint64_t>(shape.d));
  const int n = shape.n, d = shape.d;
  Instance<T> p{n, d, {}, {}, {}, {}};
  const double size = 1 / std::sqrt(static_cast<double>(d));
  std::vector<double> first;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < d; ++j) {
      double v = r.normal() * size;
      if (i == 0) first.push_back(v);
      if (kind == Case::outlier && i == n / 2) v *= 20;
      if (kind == Case::offset) v += 20 * size;
      if (kind == Case::near_duplicates)
        v = first[static_cast<std::size_t>(j)] + (i == 0 ? 0 : 1e-3 * v);
      if (kind == Case::sparse && i + 1 < n && (i == 0 || r.below(2) == 0)) v = 0;
      p.a.push_back(static_cast<T>(v));
    }
  std::vector<double> b;
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    double v = r.uniform(0.1, 1);
    if (kind == Case::sparse && i % 2 == 1) v = 0;
    b.push_back(v);
    sum += v;
  }
  if (kind == Case::partial) sum /= 0.6;
  const int hot = r.below(n);
  for (int i = 0; i < n; ++i)
    p.b.push_back(static_cast<T>(kind == Case::one_hot ? (i == hot ? 1 : 0)
                                                       : b[static_cast<std::size_t>(i)] / sum));
  for (int j = 0; j < d; ++j)
    p.x0.push_back(static_cast<T>(r.uniform(0.2, 0.9) * (r.below(2) == 0 ? 1 : -1)));
  for (int i = 0; i < n; ++i) p.w.push_back(static_cast<T>(r.uniform(0.1, 0.7)));
  return p;
}

// Instances as one batch: uniform if all have the same number of rows, else ragged.
template <class T>
struct Gathered {
  std::int64_t count, n, d;
  std::vector<T> a, b, x0, w;
  std::vector<std::int64_t> offsets;
  std::vector<double> step_size;
  VectorProblem<T> view(bool weighted) const {
    VectorProblem<T> p{count, n, d, a, b, offsets, x0, step_size, {}};
    if (weighted) p.w = w;
    return p;
  }
};
template <class T>
Gathered<T> gather(const std::vector<Instance<T>>& parts) {
  Gathered<T> g{
      static_cast<std::int64_t>(parts.size()), parts[0].n, parts[0].d, {}, {}, {}, {}, {}, {}};
  bool ragged = false;
  std::vector<std::int64_t> offsets{0};
  const auto append = [](std::vector<T>& to, const std::vector<T>& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const Instance<T>& p : parts) {
    append(g.a, p.a);
    append(g.b, p.b);
    append(g.x0, p.x0);
    append(g.w, p.w);
    offsets.push_back(offsets.back() + p.n);
    ragged = ragged || p.n != parts[0].n;
  }
  if (ragged) g.offsets = offsets;
  return g;
}

template <class T>
oracle::Vector exact(const std::vector<T>& v) {
  return oracle::Vector(v.begin(), v.end());
}
// The same instance for the oracle, exactly.
template <class T>
oracle::Problem exact(const Instance<T>& p, bool weighted) {
  return {p.n,         p.d, exact(p.a), exact(p.b), weighted ? exact(p.w) : oracle::Vector{},
          exact(p.x0), 0,   0,          0};
}

}  // namespace softreg::instances
