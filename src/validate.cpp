#include "validate.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <string>

#include "softreg/error.hpp"

namespace softreg {
namespace {

constexpr std::int64_t most = std::numeric_limits<int>::max();

[[noreturn]] void refuse(const std::string& sentence, const std::string& hint = "") {
  throw Error(ErrorKind::invalid_input, sentence, hint);
}

std::int64_t product(std::int64_t a, std::int64_t b, const char* what) {
  std::int64_t p = 0;
  if (__builtin_mul_overflow(a, b, &p))
    refuse(fmt::format("{} is {} x {}, more than 2^63 numbers", what, a, b));
  return p;
}

void check_dimension(std::int64_t value, const char* name) {
  if (value < 1) refuse(fmt::format("{} is {} but must be at least 1", name, value));
  if (value > most) refuse(fmt::format("{} is {} but may be at most {}", name, value, most));
}

// The array holds either one number set per instance or one shared by all.
void check_array(const char* name, std::size_t has, std::int64_t per_batch, std::int64_t shared) {
  const std::int64_t size = static_cast<std::int64_t>(has);
  if (size == per_batch || size == shared) return;
  if (per_batch == shared)
    refuse(fmt::format("argument '{}' has {} numbers but needs {}", name, size, per_batch));
  refuse(fmt::format("argument '{}' has {} numbers but needs {} (or {} if shared by all instances)",
                     name, size, per_batch, shared));
}

template <class T>
std::int64_t check_offsets(const VectorProblem<T>& p) {
  const auto& o = p.offsets;
  if (std::int64_t(o.size()) != p.count + 1)
    refuse(fmt::format("argument 'offsets' has {} numbers but {} instances need {}", o.size(),
                       p.count, p.count + 1));
  if (o[0] != 0)
    refuse(fmt::format("argument 'offsets' begins with {} but must begin with 0", o[0]));
  for (std::size_t i = 0; i + 1 < o.size(); ++i) {
    if (o[i + 1] <= o[i])
      refuse(
          fmt::format("argument 'offsets' gives instance {} the rows {} to {}, but an instance has "
                      "at least 1 row",
                      i, o[i], o[i + 1]));
    if (o[i + 1] - o[i] > most)
      refuse(
          fmt::format("instance {} has {} rows but may have at most {}", i, o[i + 1] - o[i], most));
  }
  return o.back();
}

void check_finite(double value, const char* name, bool zero_is_allowed) {
  if (std::isfinite(value) && (value > 0 || (value == 0 && zero_is_allowed))) return;
  throw Error(ErrorKind::usage, fmt::format("{} is {} but must be {} finite number", name, value,
                                            zero_is_allowed ? "zero or a positive" : "a positive"));
}

void check_int(std::int64_t value, std::int64_t least, const char* name) {
  if (value < least)
    throw Error(ErrorKind::usage,
                fmt::format("{} is {} but must be at least {}", name, value, least));
}

}  // namespace

template <class T>
void validate(const VectorProblem<T>& p) {
  if (p.count < 0) refuse(fmt::format("count is {} but must not be negative", p.count));
  check_dimension(p.d, "d");
  if (p.offsets.empty()) check_dimension(p.n, "n");
  const bool ragged = !p.offsets.empty();
  const std::int64_t rows = ragged ? check_offsets(p) : product(p.count, p.n, "the batch");
  const std::int64_t shared = ragged ? rows : p.n;  // a ragged batch has no common shape to share
  check_array("A", p.a.size(), product(rows, p.d, "A"), product(shared, p.d, "A"));
  check_array("b", p.b.size(), rows, shared);
  if (!p.x0.empty()) check_array("x0", p.x0.size(), product(p.count, p.d, "x0"), p.d);
  if (!p.w.empty()) check_array("w", p.w.size(), rows, shared);
  if (!p.step_size.empty()) check_array("step_size", p.step_size.size(), p.count, p.count);
}
template void validate(const VectorProblem<float>&);
template void validate(const VectorProblem<double>&);

void validate(const Options& o) {
  check_int(o.stop.max_steps, 0, "max_steps");
  check_int(o.stop.check_every, 1, "check_every");
  check_finite(o.stop.gradient_norm, "the tolerance", true);
  check_finite(o.ridge, "ridge", true);
  check_finite(o.ball, "ball", true);
  check_finite(o.time_limit, "time_limit", true);
  if (!std::isfinite(o.logit_weight))
    throw Error(ErrorKind::usage,
                fmt::format("logit_weight is {} but must be a finite number", o.logit_weight));
  check_int(o.threads, 0, "threads");
  check_int(o.memory_limit, 0, "memory_limit");
  if (o.trace_full && o.trace != TraceKind::shifts)
    throw Error(ErrorKind::usage, "a full trace was asked for but the trace is not 'shifts'");
}

template <class T>
void check_rounded(const Options& o) {
  const auto check = [](double value, const char* name, bool zero_is_allowed) {
    const T rounded = static_cast<T>(value);
    if (std::isfinite(rounded) && (rounded != T(0) || zero_is_allowed)) return;
    throw Error(
        ErrorKind::usage,
        fmt::format("{} is {} ({} in {}) but must be a {}finite number", name, value, rounded,
                    sizeof(T) == 4 ? "float32" : "float64", zero_is_allowed ? "" : "positive "));
  };
  check(o.ball, "ball", o.ball == 0);
  check(o.ridge, "ridge", true);
  check(o.logit_weight, "logit_weight", true);
}
template void check_rounded<float>(const Options&);
template void check_rounded<double>(const Options&);

}  // namespace softreg
