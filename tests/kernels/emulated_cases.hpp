// Small hard batches for tests of kernels: the arrays that a Batch views, what a solve writes, and
// a comparison of two results bit for bit.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "philox.hpp"
#include "softreg/model/batch.hpp"

namespace softreg {

// What a batch has besides A, b and x0; one bit each.
enum Feature : unsigned {
  has_weights = 1u << 0,
  has_ridge = 1u << 1,
  has_ball = 1u << 2,
  starts_at_zero = 1u << 3,
  shares_a = 1u << 4,
  shares_b = 1u << 5,
  shares_w = 1u << 6,
  shares_x0 = 1u << 7,
  column_major = 1u << 8,
  traces_loss = 1u << 9,
  traces_shifts = 1u << 10,
  describes = 1u << 11,  // as evaluate() does
  has_tolerance = 1u << 12,
  has_bad_neighbours = 1u << 13,  // instances that diverge, overflow, stall or have large logits
  is_cancelled = 1u << 14,
  traces_bounds = 1u << 16,    // besides shifts
  has_idle_column = 1u << 17,  // the last one is all zeros; not with column_major
  underflows =
      1u << 15,  // products of A with x0 and with b are -0: padding must not change its sign
};

struct Case {
  std::vector<int> rows;  // one per instance; all equal: uniform
  int parameters;
  unsigned features;
  int max_steps, check_every;
  std::uint64_t seed;
  bool ragged() const {
    for (const int n : rows)
      if (n != rows[0]) return true;
    return false;
  }
};

template <class T>
bool same_bits(T a, T b) {  // NaN is NaN: a device has only one, the CPU many
  return std::memcmp(&a, &b, sizeof(T)) == 0 || (a != a && b != b);
}

// What a solve writes.
template <class T>
struct Written {
  std::vector<Outcome<T>> outcome;
  std::vector<ShiftSummary<T>> shifts;
  std::vector<BoundSummary<T>> bounds;
  std::vector<T> x, losses, shift_f, shift_x, output, dlogits, gradient, attended, log_mass;

  // Empty, or the first place where the two differ. Places that neither has written are equal.
  std::string difference(const Written& other) const {
    std::string d;
    const auto compare = [&d](const char* name, const auto& a, const auto& b, auto... fields) {
      for (std::size_t i = 0; i < a.size() && d.empty(); ++i) {
        std::size_t k = 0;
        ((d = !d.empty() || same_bits(a[i].*fields, b[i].*fields)
                  ? d
                  : place(name, i, double(a[i].*fields), double(b[i].*fields)) + ", field " +
                        std::to_string(k),
          ++k),
         ...);
      }
    };
    using O = Outcome<T>;
    compare("outcome", outcome, other.outcome, &O::status, &O::steps, &O::loss, &O::objective,
            &O::gradient_norm);
    const auto summaries = [&d](const char* name, auto a, auto b) {
      for (std::size_t i = 0; i < a.size() && d.empty(); ++i) {
        int k = 0;
        each_member(a[i], b[i], [&](auto& one, auto& two) {
          if (d.empty() && !same_bits(one, two))
            d = place(name, i, double(one), double(two)) + ", field " + std::to_string(k);
          ++k;
        });
      }
    };
    summaries("shifts", shifts, other.shifts);
    summaries("bounds", bounds, other.bounds);
    const auto arrays = [&d](const char* name, const std::vector<T>& a, const std::vector<T>& b) {
      if (a.size() != b.size()) d = std::string(name) + " differ in length";
      for (std::size_t i = 0; i < a.size() && d.empty(); ++i)
        if (!same_bits(a[i], b[i])) d = place(name, i, double(a[i]), double(b[i]));
    };
    arrays("x", x, other.x);
    arrays("losses", losses, other.losses);
    arrays("shift_f", shift_f, other.shift_f);
    arrays("shift_x", shift_x, other.shift_x);
    arrays("output", output, other.output);
    arrays("dlogits", dlogits, other.dlogits);
    arrays("gradient", gradient, other.gradient);
    arrays("attended", attended, other.attended);
    arrays("log_mass", log_mass, other.log_mass);
    return d;
  }

 private:
  static std::string place(const char* name, std::size_t i, double a, double b) {
    char text[120];
    std::snprintf(text, sizeof text, "%s[%zu]: %a and %a", name, i, a, b);
    return text;
  }
};

// The arrays of a case. `small`: logits and step size for losses that grow fast.
template <class T>
class Instances {
 public:
  Instances(const Case& c, bool small, bool distribution) : case_(c) {
    const std::size_t count = c.rows.size(), d = static_cast<std::size_t>(c.parameters);
    offsets_.push_back(0);
    for (const int n : c.rows) offsets_.push_back(offsets_.back() + n);
    const std::size_t first = static_cast<std::size_t>(c.rows[0]);
    const std::size_t rows = static_cast<std::size_t>(offsets_.back());
    fill(a_, (has(shares_a) ? first : rows) * d, 0, [](double v) { return v; });
    fill(b_, has(shares_b) ? first : rows, 1, [](double v) { return (v + 1.2) / 2; });
    fill(w_, has(shares_w) ? first : rows, 2, [](double v) { return v; });
    fill(x0_, (has(shares_x0) ? 1 : count) * d, 3, [](double v) { return v; });
    fill(step_, count, 4, [small](double v) { return (small ? 0.02 : 0.4) * (1.5 + v); });
    norm_.assign(count, T(5));
    for (T& v : a_) v *= small ? T(0.5) : T(1.5);
    if (distribution) normalise();
    if (has(has_bad_neighbours)) spoil();
    if (has(underflows)) shrink();
    if (has(has_idle_column))
      for (std::size_t k = d - 1; k < a_.size(); k += d) a_[k] = T(0);
  }

  // A batch that writes to `to`, which is made ready for it.
  Batch<T> batch(Written<T>& to) const {
    Batch<T> b;
    const std::size_t count = case_.rows.size(), d = static_cast<std::size_t>(case_.parameters);
    const std::size_t rows = static_cast<std::size_t>(offsets_.back());
    b.count = static_cast<std::int64_t>(count);
    b.d2 = case_.parameters;
    b.m = case_.ragged() ? 0 : case_.rows[0];
    b.begin2 = b.begin_z = case_.ragged() ? offsets_.data() : nullptr;
    b.a2 = a_.data();
    b.target = b_.data();
    b.weights = has(has_weights) ? w_.data() : nullptr;
    b.start = has(starts_at_zero) ? nullptr : x0_.data();
    b.a2_shared = has(shares_a);
    b.target_shared = has(shares_b);
    b.weights_shared = has(shares_w);
    b.start_shared = has(shares_x0);
    b.column_major = has(column_major);
    b.step_size = step_.data();
    b.ridge = has(has_ridge) ? T(0.1) : T(0);
    b.ball = has(has_ball) ? T(0.8) : T(0);
    b.stop = {case_.max_steps, tolerance, case_.check_every};
    static constexpr int set = 1, unset = 0;
    b.cancelled = has(is_cancelled) ? &set : &unset;
    const auto room = [](std::vector<T>& v, std::size_t n) {
      v.assign(n, T(-77));  // a place that nobody may write keeps this
      return v.data();
    };
    b.x = room(to.x, count * d);
    to.outcome.assign(count, {});
    b.outcome = to.outcome.data();
    b.tests = case_.max_steps / case_.check_every + 2;
    const std::size_t tests = static_cast<std::size_t>(b.tests);
    const std::size_t steps = static_cast<std::size_t>(case_.max_steps);
    if (has(traces_loss)) b.losses = room(to.losses, count * tests);
    if (has(traces_shifts)) {
      to.shifts.assign(count, {});
      b.shifts = to.shifts.data();
      b.operator_norm = norm_.data();
      if (has(traces_bounds)) {
        to.bounds.assign(count, {});
        b.bounds = to.bounds.data();
      }
      b.shift_f = room(to.shift_f, count * steps);
      b.shift_x = room(to.shift_x, count * steps);
    }
    if (has(describes)) {
      b.output = room(to.output, rows);
      b.dlogits = room(to.dlogits, rows);
      b.gradient = room(to.gradient, count * d);
      b.attended = room(to.attended, count * d);
      b.log_mass = room(to.log_mass, count);
    }
    return b;
  }

  const Case& description() const { return case_; }
  bool has(unsigned feature) const { return (case_.features & feature) != 0; }
  double tolerance = 0;

 private:
  template <class F>
  void fill(std::vector<T>& v, std::size_t n, std::uint8_t array, F f) {
    const RandomArray random{case_.seed, 0, array};
    v.resize(n);
    for (std::size_t i = 0; i < n; ++i)
      v[i] = static_cast<T>(f(2 * uniform_open(random.bits(i)) - 1));
  }
  void normalise() {
    std::size_t first = 0;
    for (std::size_t i = 0; first < b_.size(); ++i) {
      const std::size_t end = first + static_cast<std::size_t>(case_.rows[i]);
      T sum = 0;
      for (std::size_t r = first; r < end; ++r) sum += b_[r];
      for (; first < end; ++first) b_[first] /= sum;
    }
  }
  // Every second instance is a bad one: diverging, overflowing, stalling, or with large logits.
  void spoil() {
    const T huge = sizeof(T) == 4 ? T(1e30) : T(1e200);
    for (std::size_t i = 1; i < case_.rows.size(); i += 2) {
      const std::uint64_t kind = (i / 2 + case_.seed) % 4;
      if (kind == 0) step_[i] = huge;
      if (kind == 2) step_[i] = 1 / huge;
      if ((kind == 1 || kind == 3) && !has(shares_a)) {
        const std::size_t d = static_cast<std::size_t>(case_.parameters);
        for (std::size_t k = static_cast<std::size_t>(offsets_[i]) * d;
             k < static_cast<std::size_t>(offsets_[i + 1]) * d; ++k)
          a_[k] *= kind == 1 ? huge * huge / T(1e12) * T(10) : T(60);
      }
    }
  }

  void shrink() {
    const T tiny = sizeof(T) == 4 ? T(1e-30) : T(1e-200);
    for (T& v : a_) v = tiny * (v < T(0) ? -v : v);
    for (T& v : b_) v *= tiny;
    for (T& v : x0_) v = -tiny * (v < T(0) ? -v : v);
  }

  Case case_;
  std::vector<std::int64_t> offsets_;
  std::vector<T> a_, b_, w_, x0_, step_, norm_;
};

}  // namespace softreg
