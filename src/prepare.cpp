// See prepare.hpp. Two passes over the instances, both threaded: screening, then norms and step
// sizes. Texts are written afterwards, in the order of the instances, for the first hundred only.
#include "prepare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "matrix_norm.hpp"
#include "parallel.hpp"
#include "screening.hpp"
#include "softreg/error.hpp"

namespace softreg {
namespace {

constexpr std::size_t most_messages = 100;

template <class T>
constexpr std::string_view dtype_name = sizeof(T) == 4 ? "float32" : "float64";

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

template <class T>
bool is_positive_finite(T v) {
  return v > T(0) && std::isfinite(v);
}

// The loss's largest curvature in z where one is proven, else nothing. mass: the largest sum of b
// of one softmax.
//   softmax_l2: 5/8 for b >= 0 with sum b <= 1 (D11). With J = diag(f) - f f^T, V = v^T J v and
//     delta = v - <f, v> of a unit v the Hessian gives 2 |J v|^2 - V |f|^2 + sum b_k f_k (V -
//     delta_k^2) <= V (1 + s p - p^2) <= V (1 + s^2 / 4), p = max f, s = sum b, because |J v|^2 <=
//     V / 2; and V <= |J| <= 1/2. Screening lets s be 1 and its rounding.
//   cross_entropy: the Hessian is sum b J, and |J| <= 1/2, because the numbers of its row k add up
//     to 2 f_k (1 - f_k) in absolute value (Gershgorin).
std::optional<double> proven_curvature(const AnyLoss& loss, double mass) {
  if (std::holds_alternative<SoftmaxL2>(loss)) {
    const double s = std::max(mass, 1.0);
    return 0.5 + s * s / 8;
  }
  if (std::holds_alternative<CrossEntropy>(loss)) return mass / 2;
  if (std::holds_alternative<LeastSquares>(loss)) return 1;
  return std::nullopt;
}

// The proven step size of an instance whose |A| is at most `norm`.
template <class T>
class ProvenStepSize {
 public:
  ProvenStepSize(const Batch<T>& batch, const Options& options)
      : view_(batch), weight_(batch.weight), options_(options) {}

  // 1 / ((curvature + max w^2 + ridge / |A|^2) |A|^2), written so that A = 0 leaves ridge, times
  // the multiple. A denominator that is zero, or so small that T cannot hold its inverse, counts
  // as 1, whose inverse is less.
  T operator()(std::int64_t i, double norm) const {
    const double in_z = curvature(i) + largest_square_weight(i);
    const double data = in_z > 0 && norm > 0 ? in_z * norm * norm : 0;
    const T step = static_cast<T>(options_.step_multiple / (data + options_.ridge));
    return step == std::numeric_limits<T>::infinity() ? static_cast<T>(options_.step_multiple)
                                                      : step;
  }

 private:
  // The Hessian of several softmaxes is block diagonal in z: the largest counts.
  double curvature(std::int64_t i) const {
    const std::span<const T> b = view_.b(i);
    double most = 0;
    view_.each_segment(i, [&](std::int64_t, std::int64_t first, std::int64_t rows) {
      double sum = 0;
      for (const T v : b.subspan(at(first), at(rows))) sum += static_cast<double>(v);
      most = std::max(most, sum);
      return true;
    });
    return proven_curvature(options_.loss, most).value();
  }
  double largest_square_weight(std::int64_t i) const {
    double most = std::abs(static_cast<double>(weight_));
    for (const T v : view_.w(i)) most = std::max(most, std::abs(static_cast<double>(v)));
    return most * most;
  }

  InstanceView<T> view_;
  T weight_;
  const Options& options_;
};

// Why an instance has no automatic step size, or none times the multiple.
template <class T>
std::string no_step_size(const Batch<T>& batch, Options options, std::int64_t i, double norm) {
  const double multiple = std::exchange(options.step_multiple, 1);
  const T step = ProvenStepSize<T>(batch, options)(i, norm);
  if (is_positive_finite(step))
    return fmt::format("{} times the automatic step size {:.3g} is {} in {}", multiple, step,
                       multiple < 1 ? "0" : "too large", dtype_name<T>);
  return fmt::format(
      "the automatic step size is 0 in {}: the proven curvature is too large (|A| may be {:.3g})",
      dtype_name<T>, norm);
}

// Certified upper bounds on |A| of the fit instances, NaN for the others. Matrix problem:
// |A1 (x) A2| = |A1| |A2|, and several blocks stand one above the other: |A|^2 is at most the sum
// of the blocks' squares. Matrices that all instances share are done once.
template <class T>
class OperatorNorms {
 public:
  OperatorNorms(const Batch<T>& batch, const std::vector<Status>& status)
      : b_(batch), status_(status) {}

  std::vector<double> all(int threads) const {
    std::vector<double> norms(status_.size(), quiet_nan<double>());
    if (std::count(status_.begin(), status_.end(), Status::not_run) == 0) return norms;
    const double shared1 = b_.matrix && b_.a1_shared ? operator_norm_bound(b_.a1_of(0)) : 1;
    const double shared2 = b_.a2_shared ? operator_norm_bound(b_.a2_of(0)) : 0;
    parallel_for(b_.count, threads, [&](std::int64_t i, int) {
      if (status_[at(i)] == Status::not_run) norms[at(i)] = norm(i, shared1, shared2);
    });
    return norms;
  }

 private:
  double norm(std::int64_t i, double shared1, double shared2) const {
    if (!b_.matrix) return b_.a2_shared ? shared2 : operator_norm_bound(b_.a_of(i));
    double squares = 0, alone = 0;
    const std::int64_t first = b_.first_block(i), last = b_.first_block(i + 1);
    for (std::int64_t k = first; k < last; ++k) {
      const Matrix<const T> a1 = b_.a1_of(k), a2 = b_.a2_of(k);
      const double one = b_.a1_shared ? shared1 : operator_norm_bound(a1);
      const double two = b_.a2_shared ? shared2 : a1 == a2 ? one : operator_norm_bound(a2);
      alone = one * two;
      squares += alone * alone;
    }
    // Rounding: two units a product, one a sum, one for the root.
    const double bound = last - first == 1 ? alone : std::sqrt(squares);
    return bound *
           (1 + static_cast<double>(last - first + 4) * std::numeric_limits<double>::epsilon());
  }

  const Batch<T>& b_;
  const std::vector<Status>& status_;
};

}  // namespace

template <class T>
Prepared<T> prepare(const Described<T>& problem, const Options& options, bool need_operator_norm) {
  const Batch<T>& batch = problem.batch;
  check_step_size(options, !problem.step_size.empty());
  const double given = option_step_size(options);
  const bool automatic = problem.step_size.empty() && given == automatic_step_size;
  if (problem.step_size.empty()) check_rounded_step_size<T>(options);

  Prepared<T> out;
  out.status.assign(at(batch.count), Status::not_run);
  out.step_size.assign(at(batch.count), quiet_nan<T>());
  const Screening<T> screening(problem, options);
  parallel_for(batch.count, options.threads, [&](std::int64_t i, int) {
    out.status[at(i)] = screening.find(i).status();
    if (out.status[at(i)] == Status::not_run && !automatic)
      out.step_size[at(i)] =
          static_cast<T>(problem.step_size.empty() ? given : problem.step_size[at(i)]);
  });

  const auto start = std::chrono::steady_clock::now();
  if (automatic || need_operator_norm)
    out.operator_norm = OperatorNorms<T>(batch, out.status).all(options.threads);
  if (automatic) {
    const ProvenStepSize<T> proven(batch, options);
    parallel_for(batch.count, options.threads, [&](std::int64_t i, int) {
      if (out.status[at(i)] != Status::not_run) return;
      const T step = proven(i, out.operator_norm[at(i)]);
      if (is_positive_finite(step))
        out.step_size[at(i)] = step;
      else
        out.status[at(i)] = Status::bad_parameter;
    });
    out.step_size_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  for (std::int64_t i = 0; i < batch.count && out.messages.size() < most_messages; ++i) {
    if (out.status[at(i)] == Status::not_run) continue;
    out.messages.push_back(
        automatic && out.status[at(i)] == Status::bad_parameter
            ? Message{i, -1, no_step_size(batch, options, i, out.operator_norm[at(i)])}
            : screening.explain(i));
  }
  return out;
}

void check_step_size(const Options& options, bool problem_has_step_sizes) {
  const double given = option_step_size(options);
  if (given != automatic_step_size && !is_positive_finite(given))
    throw Error(ErrorKind::usage,
                fmt::format("the step size is {} but must be a positive finite number", given));
  if (!is_positive_finite(options.step_multiple))
    throw Error(ErrorKind::usage,
                fmt::format("the multiple of the automatic step size is {} but must be a positive "
                            "finite number",
                            options.step_multiple));
  if (options.step_multiple != 1 && (given != automatic_step_size || problem_has_step_sizes))
    throw Error(ErrorKind::usage,
                fmt::format("the step size is given, but also {} as a multiple of the automatic "
                            "one; only one of them can hold",
                            options.step_multiple));
  if (given != automatic_step_size || problem_has_step_sizes || proven_curvature(options.loss, 1))
    return;
  const std::string_view name =
      std::visit([](const auto& loss) { return std::string_view(loss.name); }, options.loss);
  throw Error(
      ErrorKind::usage,
      fmt::format("loss '{}' has no proven step size, so 'auto' cannot be used with it", name),
      "give a number: --step-size X, the optimizer's step_size, or the array step_size");
}

template <class T>
void check_rounded_step_size(const Options& options) {
  const double given = option_step_size(options);
  if (given == automatic_step_size || is_positive_finite(static_cast<T>(given))) return;
  throw Error(ErrorKind::usage,
              fmt::format("the step size is {} ({} in {}) but must be a positive finite number",
                          given, static_cast<T>(given), dtype_name<T>));
}
template void check_rounded_step_size<float>(const Options&);
template void check_rounded_step_size<double>(const Options&);

Options without_steps(Options options) {
  options.stop = {.max_steps = 0, .gradient_norm = 0, .check_every = 1};
  options.trace = TraceKind::none;
  options.trace_full = false;
  options.step_multiple = 1;
  options.sequence = false;
  std::visit(
      [](auto& o) {
        if (o.step_size == automatic_step_size) o.step_size = 1;
      },
      options.optimizer);
  return options;
}

template Prepared<float> prepare(const Described<float>&, const Options&, bool);
template Prepared<double> prepare(const Described<double>&, const Options&, bool);

}  // namespace softreg
