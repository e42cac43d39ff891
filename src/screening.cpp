// See screening.hpp.
#include "screening.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <string_view>

namespace softreg {
namespace {

// Position of the first number that is not finite, or -1. v - v is 0 or NaN; eight sums at once
// keep up with memory.
template <class T>
std::int64_t first_not_finite(std::span<const T> v) {
  constexpr std::size_t block = 1024, lanes = 8;
  std::size_t i = 0;
  for (; i + block <= v.size(); i += block) {
    T lost[lanes] = {};
    for (std::size_t k = 0; k < block; k += lanes)
      for (std::size_t l = 0; l < lanes; ++l) lost[l] += v[i + k + l] - v[i + k + l];
    if (!std::all_of(lost, lost + lanes, [](T s) { return s == T(0); })) break;
  }
  for (; i < v.size(); ++i)
    if (!std::isfinite(v[i])) return static_cast<std::int64_t>(i);
  return -1;
}

template <class T>
double sum(std::span<const T> v) {
  return std::accumulate(v.begin(), v.end(), 0.0);
}

}  // namespace

Status Finding::status() const {
  if (defect == Defect::none) return Status::not_run;
  if (defect == Defect::b_negative || defect == Defect::b_sum) return Status::bad_target;
  if (defect == Defect::step_size) return Status::bad_parameter;
  return Status::bad_input;
}

double option_step_size(const Options& options) {
  return std::visit([](const auto& o) { return o.step_size; }, options.optimizer);
}

template <class T>
Screening<T>::Screening(const VectorProblem<T>& problem, const Options& options)
    : p_(problem),
      options_(options),
      view_(problem),
      automatic_(problem.step_size.empty() && option_step_size(options) == automatic_step_size) {
  if (view_.a_shared) in_shared_a_ = first_not_finite(p_.a);
}

template <class T>
Finding Screening<T>::find(std::int64_t i) const {
  const std::int64_t in_a = view_.a_shared ? in_shared_a_ : first_not_finite(view_.a(i));
  if (in_a >= 0) return {Defect::a, in_a};
  const std::int64_t in_b = first_not_finite(view_.b(i));
  if (in_b >= 0) return {Defect::b, in_b};
  const std::int64_t in_x0 = first_not_finite(view_.x0(i));
  if (in_x0 >= 0) return {Defect::x0, in_x0};
  const std::int64_t in_w = first_not_finite(view_.w(i));
  if (in_w >= 0) return {Defect::w, in_w};
  const Finding target = find_in_target(i);
  if (target.defect != Defect::none) return target;
  const T step = static_cast<T>(step_size(i));
  if (!automatic_ && !(step > T(0) && std::isfinite(step))) return {Defect::step_size};
  return {};
}

// softmax_l2 itself allows any b; its proven curvature (D11) needs b in the simplex.
template <class T>
Finding Screening<T>::find_in_target(std::int64_t i) const {
  const bool proven = automatic_ && std::holds_alternative<SoftmaxL2>(options_.loss);
  if (!proven && !std::holds_alternative<CrossEntropy>(options_.loss)) return {};
  const std::span<const T> b = view_.b(i);
  const auto negative = std::find_if(b.begin(), b.end(), [](T v) { return v < T(0); });
  if (negative != b.end()) return {Defect::b_negative, negative - b.begin()};
  if (proven && !(sum(b) <= largest_sum(i))) return {Defect::b_sum};
  return {};
}

template <class T>
double Screening<T>::largest_sum(std::int64_t i) const {
  return 1 + static_cast<double>(view_.rows(i)) * double{std::numeric_limits<T>::epsilon()};
}

template <class T>
double Screening<T>::step_size(std::int64_t i) const {
  return p_.step_size.empty() ? option_step_size(options_)
                              : p_.step_size[static_cast<std::size_t>(i)];
}

template <class T>
Message Screening<T>::explain(std::int64_t i) const {
  const Finding f = find(i);
  const auto value = [&f](std::span<const T> v) { return v[static_cast<std::size_t>(f.position)]; };
  const std::string_view who = std::holds_alternative<CrossEntropy>(options_.loss)
                                   ? "cross_entropy"
                                   : "the automatic step size of softmax_l2";
  switch (f.defect) {
    case Defect::a:
      return {
          i, f.position / p_.d,
          fmt::format("A[{},{}]{} is {} but must be finite", f.position / p_.d, f.position % p_.d,
                      view_.a_shared ? ", shared by all instances," : "", value(view_.a(i)))};
    case Defect::b:
      return {i, f.position,
              fmt::format("b[{}] is {} but must be finite", f.position, value(view_.b(i)))};
    case Defect::x0:
      return {i, -1,
              fmt::format("x0[{}] is {} but must be finite", f.position, value(view_.x0(i)))};
    case Defect::w:
      return {i, f.position,
              fmt::format("w[{}] is {} but must be finite", f.position, value(view_.w(i)))};
    case Defect::b_negative:
      return {i, f.position,
              fmt::format("b[{}] is {} but {} needs b >= 0", f.position, value(view_.b(i)), who)};
    case Defect::b_sum:
      return {i, -1,
              fmt::format("b sums to {} but {} needs at most {} (1 + n eps)", sum(view_.b(i)), who,
                          largest_sum(i))};
    default:
      return {i, -1,
              fmt::format("step_size is {} ({} in {}) but must be a positive finite number",
                          step_size(i), static_cast<T>(step_size(i)),
                          sizeof(T) == 4 ? "float32" : "float64")};
  }
}

template class Screening<float>;
template class Screening<double>;

}  // namespace softreg
