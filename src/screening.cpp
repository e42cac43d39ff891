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

template <class T>
std::span<const T> part(std::span<const T> v, std::int64_t first, std::int64_t size) {
  return v.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size));
}

}  // namespace

double allowed_sum(std::int64_t rows) {
  return 1 + static_cast<double>(rows) * double{std::numeric_limits<float>::epsilon()};
}

// softmax_l2 itself allows any b; its proven curvature (D11) needs b in the simplex.
TargetDemands target_demands(const Options& options, bool automatic) {
  const bool proven = automatic && std::holds_alternative<SoftmaxL2>(options.loss);
  return {proven || std::holds_alternative<CrossEntropy>(options.loss), proven};
}

Status Finding::status() const {
  if (defect == Defect::none) return Status::not_run;
  if (defect == Defect::b_negative || defect == Defect::b_sum) return Status::bad_target;
  if (defect == Defect::step_size) return Status::bad_parameter;
  return Status::bad_input;
}

double option_step_size(const Options& options) {
  return std::visit([](const auto& o) { return o.step_size; }, options.optimizer);
}
bool is_automatic(const Options& options, std::span<const double> given) {
  return given.empty() && option_step_size(options) == automatic_step_size;
}
double step_size_of(const Options& options, std::span<const double> given, std::int64_t i) {
  return given.empty() ? option_step_size(options) : given[static_cast<std::size_t>(i)];
}

template <class T>
Screening<T>::Screening(const Batch<T>& batch, std::span<const double> step_size,
                        const Options& options)
    : batch_(batch),
      step_size_(step_size),
      options_(options),
      view_(batch),
      automatic_(is_automatic(options, step_size)),
      demands_(target_demands(options, automatic_)) {
  if (batch_.count == 0) return;
  if (batch_.a1_shared) in_shared_a1_ = first_not_finite(view_.a1(0));
  if (batch_.a2_shared) in_shared_a2_ = first_not_finite(view_.a2(0));
}

template <class T>
Finding Screening<T>::find(std::int64_t i) const {
  const std::int64_t in_a1 = batch_.a1_shared ? in_shared_a1_ : first_not_finite(view_.a1(i));
  if (in_a1 >= 0) return {Defect::a1, in_a1};
  const std::int64_t in_a2 = batch_.a2_shared ? in_shared_a2_ : first_not_finite(view_.a2(i));
  if (in_a2 >= 0) return {Defect::a2, in_a2};
  const std::int64_t in_b = first_not_finite(view_.b(i));
  if (in_b >= 0) return {Defect::b, in_b};
  const std::int64_t in_x0 = first_not_finite(view_.x0(i));
  if (in_x0 >= 0) return {Defect::x0, in_x0};
  const std::int64_t in_w = first_not_finite(view_.w(i));
  if (in_w >= 0) return {Defect::w, in_w};
  const Finding target = find_in_target(i);
  if (target.defect != Defect::none) return target;
  const T step = static_cast<T>(step_size_of(options_, step_size_, i));
  if (!automatic_ && !is_positive_finite(step)) return {Defect::step_size};
  return {};
}

template <class T>
Finding Screening<T>::find_in_target(std::int64_t i) const {
  if (!demands_.nonnegative) return {};
  const std::span<const T> b = view_.b(i);
  const auto negative = std::find_if(b.begin(), b.end(), [](T v) { return v < T(0); });
  if (negative != b.end()) return {Defect::b_negative, negative - b.begin()};
  Finding found;
  if (!demands_.bounded) return found;
  view_.each_segment(i, [&](std::int64_t s, std::int64_t first, std::int64_t rows) {
    if (!(sum(part(b, first, rows)) <= allowed_sum(rows))) found = {Defect::b_sum, s};
    return found.defect == Defect::none;
  });
  return found;
}

template <class T>
std::string Screening<T>::name_of_logit(const char* vector, const char* matrix, std::int64_t i,
                                        std::int64_t position, std::int64_t& row) const {
  row = position;
  std::int64_t column = 0;
  if (!batch_.matrix) return fmt::format("{}[{}]", vector, position);
  view_.each_segment(i, [&](std::int64_t s, std::int64_t first, std::int64_t rows) {
    row = s;
    column = position - first;
    return column >= rows;
  });
  return fmt::format("{}[{},{}]", matrix, row, column);
}

// "A[3,1]", "A1[3,1], shared by all instances,".
template <class T>
std::string Screening<T>::name_of_entry(const Finding& f, std::int64_t& row) const {
  const Batch<T>& b = batch_;
  const std::int64_t columns = f.defect == Defect::a1 ? b.d1 : b.d2;
  const bool shared = f.defect == Defect::a1 ? b.a1_shared : b.a2_shared;
  const char* const name = !b.matrix ? "A" : f.defect == Defect::a1 ? "A1" : "A2";
  row = f.position / columns;
  return fmt::format("{}[{},{}]{}", name, row, f.position % columns,
                     shared ? ", shared by all instances," : "");
}

template <class T>
Message Screening<T>::explain(std::int64_t i) const {
  const Finding f = find(i);
  const auto value = [&f](std::span<const T> v) { return v[static_cast<std::size_t>(f.position)]; };
  const std::string_view who = std::holds_alternative<CrossEntropy>(options_.loss)
                                   ? "cross_entropy"
                                   : "the automatic step size of softmax_l2";
  const char* const x0 = batch_.matrix ? "X0" : "x0";
  Message m{i, -1, ""};
  const auto must_be_finite = [&m](const std::string& name, T has) {
    m.text = fmt::format("{} is {} but must be finite", name, has);
  };
  switch (f.defect) {
    case Defect::a1:
      must_be_finite(name_of_entry(f, m.row), value(view_.a1(i)));
      break;
    case Defect::a2:
      must_be_finite(name_of_entry(f, m.row), value(view_.a2(i)));
      break;
    case Defect::b:
      must_be_finite(name_of_logit("b", "B", i, f.position, m.row), value(view_.b(i)));
      break;
    case Defect::x0:
      must_be_finite(fmt::format("{}[{}]", x0, f.position), value(view_.x0(i)));
      break;
    case Defect::w:
      must_be_finite(name_of_logit("w", "w", i, f.position, m.row), value(view_.w(i)));
      break;
    case Defect::b_negative:
      m.text = name_of_logit("b", "B", i, f.position, m.row);
      m.text += fmt::format(" is {} but {} needs b >= 0", value(view_.b(i)), who);
      if (!std::holds_alternative<CrossEntropy>(options_.loss)) m.text += ": give a step size";
      break;
    case Defect::b_sum:
      explain_sum(i, f.position, who, m);
      break;
    default:
      m.text = fmt::format("step_size is {} ({} in {}) but must be a positive finite number",
                           step_size_of(options_, step_size_, i),
                           static_cast<T>(step_size_of(options_, step_size_, i)),
                           sizeof(T) == 4 ? "float32" : "float64");
  }
  return m;
}

template <class T>
void Screening<T>::explain_sum(std::int64_t i, std::int64_t segment, std::string_view who,
                               Message& m) const {
  view_.each_segment(i, [&](std::int64_t s, std::int64_t first, std::int64_t rows) {
    if (s != segment) return true;
    const bool alone = batch_.segments_of(i) == 1 && !batch_.matrix;
    if (!alone) m.row = batch_.matrix ? s : first;
    m.text = fmt::format(
        "{} sums to {} but {} needs at most {} (1 + n eps of float32): scale it, or "
        "give a step size",
        alone           ? "b"
        : batch_.matrix ? fmt::format("row {} of B", s)
                        : fmt::format("b of softmax {}", s),
        sum(part(view_.b(i), first, rows)), who, allowed_sum(rows));
    return false;
  });
}

template class Screening<float>;
template class Screening<double>;

}  // namespace softreg
