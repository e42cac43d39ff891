// Batches for tests of whole solves: seeded arrays that a test owns and may rearrange, share or
// poison, options that go with them, and results compared instance by instance, bit for bit.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "sanitized.hpp"
#include "softreg/softreg.hpp"
#include "solve.hpp"

namespace softreg {

using Rng = std::mt19937_64;
using Picks = std::vector<std::int64_t>;

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// Uniformly one of [low, high]; the standard's distributions differ between libraries.
inline std::int64_t draw(Rng& rng, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(rng() % static_cast<std::uint64_t>(high - low + 1));
}
inline double uniform(Rng& rng) { return std::ldexp(static_cast<double>(rng() >> 11), -53); }

// The rows of a batch: all instances n, or ragged and drawn from [n_min, n_max].
struct BatchRecipe {
  std::int64_t count = 1, n_min = 1, n_max = 1, d = 1;
  bool starts = true, weights = false, step_sizes = false;
  std::uint64_t seed = 1;
};

// A step size below 1 / curvature of every loss for the batches below: |A| is about sqrt(n/d) + 1,
// and the exponential losses curve up to e^4 times more at |z| <= 2.
inline double gentle_step(std::int64_t n, std::int64_t d) {
  const double norm = std::sqrt(static_cast<double>(n) / static_cast<double>(d)) + 1;
  return 1 / (64 * norm * norm);
}

template <class T>
struct TestBatch {
  std::int64_t count = 0, n = 0, d = 0;
  std::vector<T> a, b, x0, w;
  std::vector<double> step_size;
  std::vector<std::int64_t> offsets;  // empty: every instance has n rows

  VectorProblem<T> view() const { return {count, n, d, a, b, offsets, x0, step_size, w}; }
  std::int64_t first_row(std::int64_t i) const { return offsets.empty() ? i * n : offsets[at(i)]; }
  std::int64_t rows(std::int64_t i) const { return first_row(i + 1) - first_row(i); }

  // A batch of the chosen instances, in this order; any may be chosen more than once. ragged: with
  // offsets, even where all have the same number of rows.
  TestBatch pick(const Picks& which, bool ragged) const {
    TestBatch out;
    out.count = static_cast<std::int64_t>(which.size());
    out.n = ragged ? 0 : n;
    out.d = d;
    if (ragged) out.offsets.push_back(0);
    const auto append = [](auto& to, const auto& from, std::int64_t first, std::int64_t size) {
      if (from.empty()) return;
      to.insert(to.end(), from.begin() + first, from.begin() + first + size);
    };
    for (const std::int64_t i : which) {
      append(out.a, a, first_row(i) * d, rows(i) * d);
      append(out.b, b, first_row(i), rows(i));
      append(out.w, w, first_row(i), rows(i));
      append(out.x0, x0, i * d, d);
      append(out.step_size, step_size, i, 1);
      if (ragged) out.offsets.push_back(out.offsets.back() + rows(i));
    }
    return out;
  }
};

// Entries of A are uniform with variance 1/d (|row| is about 1), x0 about 1/2 in length per
// coordinate, so |z| stays small and no start is stationary; b is positive with a sum just below 1;
// weights in (0, 1/2). Step sizes, if asked for, differ between instances.
template <class T>
TestBatch<T> make_batch(const BatchRecipe& r) {
  Rng rng(r.seed);
  TestBatch<T> p;
  p.count = r.count;
  p.d = r.d;
  const bool ragged = r.n_min != r.n_max;
  p.n = ragged ? 0 : r.n_min;
  if (ragged) {
    p.offsets.push_back(0);
    for (std::int64_t i = 0; i < r.count; ++i)
      p.offsets.push_back(p.offsets.back() + draw(rng, r.n_min, r.n_max));
  }
  const double spread = std::sqrt(3.0 / static_cast<double>(r.d));
  const std::int64_t all = p.first_row(r.count);
  for (std::int64_t k = 0; k < all * r.d; ++k)
    p.a.push_back(static_cast<T>(spread * (2 * uniform(rng) - 1)));
  for (std::int64_t i = 0; i < r.count; ++i) {
    std::vector<double> b;
    for (std::int64_t k = 0; k < p.rows(i); ++k) b.push_back(0.05 + uniform(rng));
    const double sum = std::accumulate(b.begin(), b.end(), 0.0) / 0.999;
    for (const double v : b) p.b.push_back(static_cast<T>(v / sum));
  }
  for (std::int64_t k = 0; r.starts && k < r.count * r.d; ++k)
    p.x0.push_back(static_cast<T>(2 * uniform(rng) - 1) / T(2));
  for (std::int64_t k = 0; r.weights && k < all; ++k)
    p.w.push_back(static_cast<T>(uniform(rng) / 2));
  for (std::int64_t i = 0; r.step_sizes && i < r.count; ++i)
    p.step_size.push_back((0.5 + uniform(rng)) * gentle_step(p.rows(i), r.d));
  return p;
}

// The k-th loss and optimizer of the catalogue, with a step size that suits the batches above:
// `auto` where it is proven, else one below 1 / curvature for |z| <= 2.
template <std::size_t K = 0>
AnyLoss loss_at(std::size_t k) {
  if constexpr (K + 1 < std::variant_size_v<AnyLoss>)
    if (k != K) return loss_at<K + 1>(k);
  return std::variant_alternative_t<K, AnyLoss>{};
}
inline std::string name_of(const AnyLoss& loss) {
  return std::visit([](const auto& l) { return std::string(l.name); }, loss);
}
inline bool has_proven_step(const AnyLoss& loss) {
  return std::holds_alternative<SoftmaxL2>(loss) || std::holds_alternative<CrossEntropy>(loss) ||
         std::holds_alternative<LeastSquares>(loss);
}

inline AnyOptimizer optimizer_at(std::size_t k, double step_size) {
  return k == 0 ? AnyOptimizer(GradientDescent{step_size}) : AnyOptimizer(Nesterov{step_size});
}
inline double fitting_step(const AnyLoss& loss, std::int64_t n, std::int64_t d) {
  if (has_proven_step(loss)) return automatic_step_size;
  return gentle_step(n, d);
}

// What the longest instance alone takes: the least memory with which any batch of these can run.
template <class T>
std::int64_t bytes_of_longest(const TestBatch<T>& base, const Options& options) {
  std::int64_t longest = 0;
  for (std::int64_t i = 1; i < base.count; ++i)
    if (base.rows(i) > base.rows(longest)) longest = i;
  const TestBatch<T> one = base.pick({longest}, true);
  return LiveSolve<T>(one.view(), options).plan().workspace_bytes;
}

// Equal bits, except that every NaN equals every other: its sign and payload mean nothing.
template <class T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(a) && std::isnan(b)) return true;
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Of two summaries, number by number.
template <class Summary>
bool same_members(Summary a, Summary b) {
  bool all = true;
  each_member(a, b, [&all](const auto& one, const auto& two) { all = all && same(one, two); });
  return all;
}

// What of instance i of r differs from instance k of s; empty: nothing does.
template <class T>
std::string difference(const Result<T>& r, std::int64_t i, const Result<T>& s, std::int64_t k) {
  const auto number = [&](const char* what, auto a, auto b) {
    return same(a, b)
               ? std::string()
               : std::string(what) + " " + std::to_string(a) + " against " + std::to_string(b);
  };
  const auto slice = [&](const char* what, const auto& a, const auto& b) {
    if (a.size() / at(std::max<std::int64_t>(r.count, 1)) !=
        b.size() / at(std::max<std::int64_t>(s.count, 1)))
      return std::string(what) + " have different lengths";
    const std::size_t each = r.count ? a.size() / at(r.count) : 0;
    for (std::size_t j = 0; j < each; ++j)
      if (const std::string d = number(what, a[at(i) * each + j], b[at(k) * each + j]); !d.empty())
        return d + " at " + std::to_string(j);
    return std::string();
  };
  if (r.status[at(i)] != s.status[at(k)])
    return "status " + std::string(status_name(r.status[at(i)])) + " against " +
           std::string(status_name(s.status[at(k)]));
  std::string d = number("steps", r.steps[at(i)], s.steps[at(k)]);
  if (d.empty()) d = number("loss", r.loss[at(i)], s.loss[at(k)]);
  if (d.empty()) d = number("objective", r.objective[at(i)], s.objective[at(k)]);
  if (d.empty()) d = number("gradient_norm", r.gradient_norm[at(i)], s.gradient_norm[at(k)]);
  if (d.empty()) d = slice("x", r.x, s.x);
  if (d.empty()) d = slice("trace_loss", r.trace_loss, s.trace_loss);
  if (d.empty()) d = slice("shift_f", r.shift_f, s.shift_f);
  if (d.empty()) d = slice("shift_x", r.shift_x, s.shift_x);
  if (!d.empty()) return d;
  if (r.trace_step != s.trace_step || r.shifts.empty() != s.shifts.empty()) return "other traces";
  if (r.shifts.empty()) return "";
  if (!same_members(r.shifts[at(i)], s.shifts[at(k)]) || r.bounds.empty() != s.bounds.empty())
    return "shift summaries differ";
  if (r.bounds.empty()) return "";
  return same_members(r.bounds[at(i)], s.bounds[at(k)]) ? "" : "bound summaries differ";
}

// The first difference between two results of the same batch.
template <class T>
std::string difference(const Result<T>& r, const Result<T>& s) {
  if (r.count != s.count || r.d != s.d) return "different shapes";
  for (std::int64_t i = 0; i < r.count; ++i)
    if (const std::string d = difference(r, i, s, i); !d.empty())
      return "instance " + std::to_string(i) + ": " + d;
  return "";
}

// The same of arrays, and of evaluations.
template <class T>
std::string differing(const char* what, const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return std::string(what) + " have different lengths";
  for (std::size_t k = 0; k < a.size(); ++k)
    if (!same(a[k], b[k])) return std::string(what) + " differ at " + std::to_string(k);
  return "";
}
template <class T>
std::string differing(const Evaluation<T>& a, const Evaluation<T>& b) {
  std::string d = difference(a.at, b.at);
  if (d.empty()) d = differing("output", a.output, b.output);
  if (d.empty()) d = differing("dlogits", a.dlogits, b.dlogits);
  if (d.empty()) d = differing("gradient", a.gradient, b.gradient);
  if (d.empty()) d = differing("attended", a.attended, b.attended);
  if (d.empty()) d = differing("log_mass", a.log_mass, b.log_mass);
  return d;
}

}  // namespace softreg
