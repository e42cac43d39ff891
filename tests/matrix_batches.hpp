// Matrix problems for tests: seeded, uniform, shared or ragged, with blocks that share X, and the
// vector problem that the tensor trick says they are, with A1 (x) A2 written out.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>

#include "batches.hpp"

namespace softreg {

struct MatrixRecipe {
  std::int64_t count = 1;
  std::int64_t n_min = 1, n_max = 1, m_min = 1, m_max = 1;  // not equal: ragged
  std::int64_t d1 = 1, d2 = 1;
  std::int64_t most_blocks = 1;  // of an instance; more than 1: ragged
  bool tied = false, starts = true, weights = false;
  std::uint64_t seed = 1;
};

template <class T>
struct TestMatrixBatch {
  std::int64_t count = 0, n = 0, m = 0, d1 = 0, d2 = 0;
  std::vector<T> a1, a2, b, x0, w;  // a2 empty: tied
  std::vector<double> step_size;
  std::vector<std::int64_t> offsets1, offsets2, instances;

  MatrixProblem<T> view() const {
    return {count, n, m, d1, d2, a1, a2, b, offsets1, offsets2, instances, x0, step_size, w};
  }

  bool ragged() const { return !offsets1.empty(); }
  bool tied() const { return a2.empty(); }
  const std::vector<T>& second() const { return tied() ? a1 : a2; }
  std::int64_t first1(std::int64_t k) const { return ragged() ? offsets1[at(k)] : k * n; }
  std::int64_t first2(std::int64_t k) const {
    if (tied()) return first1(k);
    return ragged() ? offsets2[at(k)] : k * m;
  }
  std::int64_t first_block(std::int64_t i) const {
    return instances.empty() ? i : instances[at(i)];
  }
  std::int64_t logits(std::int64_t k) const {  // of the blocks before k
    std::int64_t sum = 0;
    for (std::int64_t j = 0; j < k; ++j)
      sum += (first1(j + 1) - first1(j)) * (first2(j + 1) - first2(j));
    return sum;
  }
  // The logit row of A1 (x) A2 that belongs to rows i of A1 and j of A2.
  template <class Real>
  void row(std::int64_t i, std::int64_t j, std::vector<Real>& to) const {
    for (std::int64_t p = 0; p < d1; ++p)
      for (std::int64_t q = 0; q < d2; ++q)
        to.push_back(Real(a1[at(i * d1 + p)]) * Real(second()[at(j * d2 + q)]));
  }

  // Instances `which`, in this order, with blocks of their own.
  TestMatrixBatch pick(const Picks& which) const {
    TestMatrixBatch out{std::ssize(which), 0, 0, d1, d2, {}, {}, {}, {}, {}, {}, {0}, {0}, {0}};
    const auto append = [](auto& to, const auto& from, std::int64_t first, std::int64_t last) {
      if (!from.empty()) to.insert(to.end(), from.begin() + first, from.begin() + last);
    };
    for (const std::int64_t i : which) {
      for (std::int64_t k = first_block(i); k < first_block(i + 1); ++k) {
        append(out.a1, a1, first1(k) * d1, first1(k + 1) * d1);
        append(out.a2, a2, first2(k) * d2, first2(k + 1) * d2);
        append(out.b, b, logits(k), logits(k + 1));
        append(out.w, w, logits(k), logits(k + 1));
        out.offsets1.push_back(out.offsets1.back() + first1(k + 1) - first1(k));
        out.offsets2.push_back(out.offsets2.back() + first2(k + 1) - first2(k));
      }
      append(out.x0, x0, i * d1 * d2, (i + 1) * d1 * d2);
      append(out.step_size, step_size, i, i + 1);
      out.instances.push_back(std::ssize(out.offsets1) - 1);
    }
    if (tied()) out.offsets2.clear();
    return out;
  }
};

// The same problem as a vector problem in d1 d2 dimensions, each row of Z a softmax of its own.
template <class T>
struct WrittenOut {
  std::int64_t count, d;
  std::vector<T> a, b, x0, w;
  std::vector<double> step_size;
  std::vector<std::int64_t> segments{0}, instances{0};

  explicit WrittenOut(const TestMatrixBatch<T>& p)
      : count(p.count), d(p.d1 * p.d2), b(p.b), x0(p.x0), w(p.w), step_size(p.step_size) {
    for (std::int64_t i = 0; i < p.count; ++i) {
      for (std::int64_t k = p.first_block(i); k < p.first_block(i + 1); ++k)
        for (std::int64_t r = p.first1(k); r < p.first1(k + 1); ++r) {
          for (std::int64_t j = p.first2(k); j < p.first2(k + 1); ++j) p.row(r, j, a);
          segments.push_back(segments.back() + p.first2(k + 1) - p.first2(k));
        }
      instances.push_back(std::ssize(segments) - 1);
    }
  }
  VectorProblem<T> view() const {
    VectorProblem<T> v{count, 0, d, a, b, {}, x0, step_size, w};
    v.segments = segments;
    v.instances = instances;
    return v;
  }
};

// Entries of A1 and A2 are uniform with variance 1/d, X0 about 1/2 per coordinate, so |z| stays
// small and no start is stationary; each row of B is positive with a sum just below 1. Step sizes
// are below 1 / curvature of every loss.
template <class T>
TestMatrixBatch<T> make_matrix_batch(const MatrixRecipe& r) {
  Rng rng(r.seed);
  TestMatrixBatch<T> p;
  p.count = r.count;
  p.d1 = r.d1;
  p.d2 = r.tied ? r.d1 : r.d2;
  const bool ragged = r.most_blocks > 1 || r.n_min != r.n_max || r.m_min != r.m_max;
  std::vector<std::int64_t> rows{0}, columns{0};
  if (r.most_blocks > 1) p.instances.push_back(0);
  for (std::int64_t i = 0; i < r.count; ++i) {
    for (std::int64_t k = draw(rng, 1, r.most_blocks); k > 0; --k) {
      rows.push_back(rows.back() + draw(rng, r.n_min, r.n_max));
      columns.push_back(r.tied ? rows.back() : columns.back() + draw(rng, r.m_min, r.m_max));
    }
    if (r.most_blocks > 1) p.instances.push_back(std::ssize(rows) - 1);
  }
  const auto fill = [&](std::vector<T>& v, std::int64_t numbers, double low, double high) {
    for (std::int64_t k = 0; k < numbers; ++k)
      v.push_back(static_cast<T>(low + (high - low) * uniform(rng)));
  };
  const double spread1 = std::sqrt(3.0 / double(p.d1)), spread2 = std::sqrt(3.0 / double(p.d2));
  fill(p.a1, rows.back() * p.d1, -spread1, spread1);
  if (!r.tied) fill(p.a2, columns.back() * p.d2, -spread2, spread2);
  double most = 1;
  for (std::size_t k = 0; k + 1 < rows.size(); ++k) {
    const std::int64_t n = rows[k + 1] - rows[k], m = columns[k + 1] - columns[k];
    for (std::int64_t i = 0; i < n; ++i) {
      std::vector<double> b;
      for (std::int64_t j = 0; j < m; ++j) b.push_back(0.05 + uniform(rng));
      const double sum = std::accumulate(b.begin(), b.end(), 0.0) / 0.999;
      for (const double v : b) p.b.push_back(static_cast<T>(v / sum));
    }
    most = std::max(most, double(n * m));
  }
  if (r.starts) fill(p.x0, r.count * p.d1 * p.d2, -0.5, 0.5);
  if (r.weights) fill(p.w, std::ssize(p.b), 0, 0.5);
  for (std::int64_t i = 0; i < r.count; ++i)
    p.step_size.push_back((0.5 + uniform(rng)) / (16 * most * double(r.most_blocks)));
  if (ragged) {
    p.offsets1 = rows;
    if (!r.tied) p.offsets2 = columns;
  } else {
    p.n = r.n_min;
    p.m = r.tied ? r.n_min : r.m_min;
  }
  return p;
}

}  // namespace softreg
