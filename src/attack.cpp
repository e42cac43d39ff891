// Adversarial search: projected gradient ascent of measured / bound over A, x and the step dx.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "described.hpp"
#include "matrix_norm.hpp"
#include "parallel.hpp"
#include "philox.hpp"
#include "shift_probe.hpp"
#include "softreg/bounds.hpp"
#include "softreg/error.hpp"
#include "subscript.hpp"
#include "validate.hpp"

namespace softreg {
namespace {

double length(const double* v, std::int64_t n) {
  double s = 0;
  for (std::int64_t i = 0; i < n; ++i) s += v[i] * v[i];
  return std::sqrt(s);
}

void shorten(double* v, std::int64_t n, double most) {
  const double has = length(v, n);
  for (std::int64_t i = 0; i < n && has > most; ++i) v[i] *= most / has;
}

// One start: A (n, d), x (d) and dx (d), one after another, and what a probe says of them.
class Climber {
 public:
  Climber(int loss, const Batch<double>& batch, std::int64_t i, std::uint64_t seed)
      : batch_(batch), n_(batch.rows_of(i)), d_(batch.d2), probe_(loss) {
    const Matrix<const double> a = batch.a_of(i);
    for (int r = 0; r < n_; ++r)
      for (int j = 0; j < d_; ++j) v_.push_back(a(r, j));
    const double* const x = batch.start_of(i);
    for (int j = 0; j < d_; ++j) v_.push_back(x ? x[j] : 0);
    const RandomArray random{seed, static_cast<std::uint64_t>(i), 0};
    for (int j = 0; j < d_; ++j)
      v_.push_back(uniform_open(random.bits(static_cast<std::uint64_t>(j))) - 0.5);
    radius_ = std::max(1.0, operator_norm_bound(a));
    project(v_);
    batch_.count = 1;
    batch_.target = batch.target_of(i);
    batch_.weights = nullptr;
    batch_.weight = 0;
    batch_.ridge = batch_.ball = 0;
    batch_.n = 1;
    batch_.m = n_;
    batch_.blocks = batch_.begin1 = batch_.begin2 = batch_.begin_z = nullptr;
    batch_.a2_shared = batch_.target_shared = batch_.start_shared = false;
    batch_.shifts = &shifts_;
    batch_.bounds = &bounds_;
  }
  Climber(const Climber&) = delete;
  Climber& operator=(const Climber&) = delete;

  // Where the climb ended.
  const ShiftSummary<double>& shifts() const { return shifts_; }
  const BoundSummary<double>& bounds() const { return bounds_; }

  // Bound number k: D8, then those of BoundIndex.
  void climb(int k, int steps) {
    double length_of_step = radius_ / 8, margin = margin_at(v_, k);
    std::vector<double> slope(v_.size()), next;
    for (int step = 0; step < steps && length_of_step > 1e-9; ++step) {
      next = v_;
      for (std::size_t p = 0; p < v_.size(); ++p) {
        const double h = 1e-6 * (1 + std::abs(v_[p]));
        next[p] = v_[p] + h;
        slope[p] = (margin_at(next, k) - margin) / h;
        if (!std::isfinite(slope[p])) slope[p] = 0;
        next[p] = v_[p];
      }
      halve_step(k, margin);
      const double steep = length(slope.data(), std::int64_t(slope.size()));
      if (steep == 0) break;
      next = v_;
      for (std::size_t p = 0; p < v_.size(); ++p) next[p] -= length_of_step * slope[p] / steep;
      project(next);
      const double reached = margin_at(next, k);
      length_of_step *= reached < margin ? 1.5 : 0.4;
      if (!(reached < margin)) continue;
      margin = reached;
      v_ = next;
    }
    margin_at(v_, k);  // the last that was tried may have been refused
  }

 private:
  // Bounds that are attained are so in the limit of short steps, where the slope along dx vanishes.
  void halve_step(int k, double& margin) {
    std::vector<double> next = v_;
    for (std::size_t p = next.size() - at(d_); p < next.size(); ++p) next[p] /= 2;
    project(next);
    const double reached = margin_at(next, k);
    if (!(reached < margin)) return;
    margin = reached;
    v_ = next;
  }

  // |A| <= |A|_F <= R, |x| <= R, and a step that rounding does not drown.
  void project(std::vector<double>& v) const {
    const std::int64_t size = std::int64_t{n_} * d_;
    double* const dx = v.data() + size + d_;
    shorten(v.data(), size, radius_);
    shorten(v.data() + size, d_, radius_);
    shorten(dx, d_, radius_);
    const double has = length(dx, d_);
    for (int j = 0; j < d_ && has < shortest_step; ++j)
      dx[j] = has > 0 ? dx[j] * shortest_step / has : shortest_step;
  }

  double margin_at(const std::vector<double>& v, int k) {
    const std::int64_t size = std::int64_t{n_} * d_;
    moved_.assign(v.begin() + size, v.begin() + size + d_);
    for (int j = 0; j < d_; ++j) moved_[at(j)] += v[at(size + d_ + j)];
    const double norm = operator_norm_bound(Matrix<const double>{v.data(), n_, d_, d_, 1});
    Batch<double> from = batch_, to = batch_;
    from.a2 = to.a2 = v.data();
    from.start = v.data() + size;
    to.start = moved_.data();
    from.operator_norm = to.operator_norm = &norm;
    probe_.compare(from, to, 0);
    const BoundWatch<double> w = k == 0 ? shifts_.sharp.seen() : bounds_.seen(k - 1);
    return w.measured > 0 ? w.margin : std::numeric_limits<double>::infinity();
  }

  static constexpr double shortest_step = 1e-4;
  Batch<double> batch_;
  int n_, d_;
  double radius_;
  std::vector<double> v_, moved_;
  ShiftSummary<double> shifts_{};
  BoundSummary<double> bounds_{};
  ShiftProbe<double> probe_;
};

void attack_all(int loss, const Batch<double>& batch, int steps, std::uint64_t seed, int threads,
                const std::function<void(std::int64_t)>& finished, Result<double>& r) {
  parallel_for(batch.count, threads, [&](std::int64_t i, int) {
    Climber climber(loss, batch, i, seed);
    climber.climb(static_cast<int>(i % (bound_count + 1)), steps);
    r.shifts[at(i)] = climber.shifts();
    r.bounds[at(i)] = climber.bounds();
    if (finished) finished(i);
  });
}

}  // namespace

Result<double> attack_bounds(const VectorProblem<double>& problem, const Options& options,
                             int steps, std::uint64_t seed,
                             const std::function<void(std::int64_t)>& finished) {
  validate(problem);
  validate_softmax(options.loss);
  const Described<double> described(problem, options);
  validate(described.batch);
  for (std::int64_t i = 0; i < problem.count; ++i)
    if (described.batch.segments_of(i) != 1)
      throw Error(ErrorKind::usage, "instance " + std::to_string(i) + " has " +
                                        std::to_string(described.batch.segments_of(i)) +
                                        " softmaxes, but an attack takes one");
  Result<double> r;
  r.count = problem.count;
  r.shifts.resize(at(r.count));
  r.bounds.resize(at(r.count));
  attack_all(static_cast<int>(options.loss.index()), described.batch, steps, seed, options.threads,
             finished, r);
  return r;
}

}  // namespace softreg
