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

#include "examiner.hpp"
#include "parallel.hpp"
#include "screening.hpp"
#include "softreg/error.hpp"
#include "subscript.hpp"

namespace softreg {
namespace {

constexpr std::size_t most_messages = 100;

template <class T>
constexpr std::string_view dtype_name = sizeof(T) == 4 ? "float32" : "float64";

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

// What the proven step size of an instance follows from: bounds on |A|, the largest sum of b of one
// softmax, and the largest |w|.
struct Steepness {
  double norm, sum, weight;
};

// 1 / ((curvature + w^2 + ridge / |A|^2) |A|^2), written so that A = 0 leaves ridge, times the
// multiple. A denominator that is zero, or so small that T cannot hold its inverse, counts as 1,
// whose inverse is less. (The Hessian of several softmaxes is block diagonal in z: the largest sum
// counts.)
template <class T>
T proven_step_size(const Steepness& of, const Options& options, double multiple) {
  const double in_z = proven_curvature(options.loss, of.sum).value() + of.weight * of.weight;
  const double data = in_z > 0 && of.norm > 0 ? in_z * of.norm * of.norm : 0;
  const T step = static_cast<T>(multiple / (data + options.ridge));
  return step == std::numeric_limits<T>::infinity() ? static_cast<T>(multiple) : step;
}

// Why an instance has no automatic step size, or none times the multiple.
template <class T>
std::string no_step_size(const Steepness& of, const Options& options) {
  const T step = proven_step_size<T>(of, options, 1);
  if (is_positive_finite(step))
    return fmt::format("{} times the automatic step size {:.3g} is {} in {}", options.step_multiple,
                       step, options.step_multiple < 1 ? "0" : "too large", dtype_name<T>);
  return fmt::format(
      "the automatic step size is 0 in {}: the proven curvature is too large (|A| may be {:.3g})",
      dtype_name<T>, of.norm);
}

}  // namespace

template <class T>
Prepared<T> prepare(const Described<T>& problem, const Options& options, bool need_operator_norm) {
  const Batch<T>& batch = problem.batch;
  check_step_size(options, !problem.step_size.empty());
  const double given = option_step_size(options);
  const bool automatic = is_automatic(options, problem.step_size);
  if (problem.step_size.empty()) check_rounded_step_size<T>(options);

  Prepared<T> out;
  out.status.assign(at(batch.count), Status::not_run);
  out.step_size.assign(at(batch.count), quiet_nan<T>());
  const std::unique_ptr<Examiner<T>> examiner = make_examiner(problem, options);
  parallel_for(batch.count, options.threads, [&](std::int64_t i, int) {
    out.status[at(i)] = examiner->screen(i);
    if (out.status[at(i)] == Status::not_run && !automatic)
      out.step_size[at(i)] =
          static_cast<T>(problem.step_size.empty() ? given : problem.step_size[at(i)]);
  });

  const auto start = std::chrono::steady_clock::now();
  if (automatic || need_operator_norm) out.operator_norm = examiner->operator_norms(out.status);
  const auto steepness = [&](std::int64_t i) {
    const double weight =
        std::max(std::abs(static_cast<double>(batch.weight)), examiner->largest_weight(i));
    return Steepness{out.operator_norm[at(i)], examiner->largest_sum(i), weight};
  };
  if (automatic) {
    parallel_for(batch.count, options.threads, [&](std::int64_t i, int) {
      if (out.status[at(i)] != Status::not_run) return;
      const T step = proven_step_size<T>(steepness(i), options, options.step_multiple);
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
    out.messages.push_back(automatic && out.status[at(i)] == Status::bad_parameter
                               ? Message{i, -1, no_step_size<T>(steepness(i), options)}
                               : examiner->explain(i));
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
