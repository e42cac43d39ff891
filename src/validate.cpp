#include "validate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <utility>

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

// `offsets` begins with 0 and ascends; each part, a `part` in words, has 1 to 2^31 - 1 rows.
void check_offsets(const char* name, std::span<const std::int64_t> o, const char* part) {
  if (o.empty()) refuse(fmt::format("argument '{}' is empty but needs at least 1 number", name));
  if (o[0] != 0)
    refuse(fmt::format("argument '{}' begins with {} but must begin with 0", name, o[0]));
  for (std::size_t i = 0; i + 1 < o.size(); ++i) {
    if (o[i + 1] <= o[i])
      refuse(
          fmt::format("argument '{}' gives {} {} the rows {} to {}, but {} {} has at least 1 row",
                      name, part, i, o[i], o[i + 1], part[0] == 'i' ? "an" : "a", part));
    if (o[i + 1] - o[i] > most)
      refuse(
          fmt::format("{} {} has {} rows but may have at most {}", part, i, o[i + 1] - o[i], most));
  }
}

void check_length(const char* name, std::size_t has, std::int64_t count) {
  if (std::int64_t(has) != count + 1)
    refuse(fmt::format("argument '{}' has {} numbers but {} instances need {}", name, has, count,
                       count + 1));
}

// instances: positions in `what`, of which there are `parts`.
void check_instances(std::span<const std::int64_t> instances, std::int64_t count,
                     std::int64_t parts, const char* what) {
  check_length("instances", instances.size(), count);
  if (instances[0] != 0)
    refuse(fmt::format("argument 'instances' begins with {} but must begin with 0", instances[0]));
  for (std::size_t i = 0; i + 1 < instances.size(); ++i)
    if (instances[i + 1] <= instances[i])
      refuse(fmt::format(
          "argument 'instances' gives instance {} the {} {} to {}, but an instance has at least 1",
          i, what, instances[i], instances[i + 1]));
  if (instances.back() != parts)
    refuse(fmt::format("argument 'instances' ends with {} but there are {} {}", instances.back(),
                       parts, what));
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
  const bool segmented = !p.segments.empty() || !p.instances.empty();
  if (segmented && !p.offsets.empty())
    refuse("arguments 'segments' and 'offsets' are both given, but one replaces the other");
  const bool ragged = segmented || !p.offsets.empty();
  std::int64_t rows = 0;
  if (segmented) {
    check_offsets("segments", p.segments, "softmax");
    check_instances(p.instances, p.count, std::int64_t(p.segments.size()) - 1, "softmaxes");
    rows = p.segments.back();
  } else if (ragged) {
    check_length("offsets", p.offsets.size(), p.count);
    check_offsets("offsets", p.offsets, "instance");
    rows = p.offsets.back();
  } else {
    check_dimension(p.n, "n");
    rows = product(p.count, p.n, "the batch");
  }
  const std::int64_t shared = ragged ? rows : p.n;  // a ragged batch has no common shape to share
  check_array("A", p.a.size(), product(rows, p.d, "A"), product(shared, p.d, "A"));
  check_array("b", p.b.size(), rows, shared);
  if (!p.x0.empty()) check_array("x0", p.x0.size(), product(p.count, p.d, "x0"), p.d);
  if (!p.w.empty()) check_array("w", p.w.size(), rows, shared);
  if (!p.step_size.empty()) check_array("step_size", p.step_size.size(), p.count, p.count);
}
template void validate(const VectorProblem<float>&);
template void validate(const VectorProblem<double>&);

template <class T>
void validate(const MatrixProblem<T>& p) {
  if (p.count < 0) refuse(fmt::format("count is {} but must not be negative", p.count));
  const bool tied = p.a2.empty() && p.offsets2.empty();
  const std::int64_t d2 = tied ? p.d1 : p.d2, m = tied ? p.n : p.m;
  check_dimension(p.d1, "d1");
  check_dimension(d2, "d2");
  if (tied && p.d2 != 0 && p.d2 != p.d1)
    refuse(fmt::format("A2 is left out, so that it is A1, but d1 is {} and d2 is {}", p.d1, p.d2));
  if (product(p.d1, d2, "X") > most)
    refuse(fmt::format("X is {} x {} but may have at most {} numbers", p.d1, d2, most));
  const bool ragged = !p.offsets1.empty() || !p.offsets2.empty();
  std::int64_t rows1 = 0, rows2 = 0, logits = 0, logits_of_one = 0;
  if (ragged) {
    const std::span<const std::int64_t> offsets2 = tied ? p.offsets1 : p.offsets2;
    check_offsets("offsets1", p.offsets1, "block");
    check_offsets("offsets2", offsets2, "block");
    if (offsets2.size() != p.offsets1.size())
      refuse(fmt::format("argument 'offsets1' has {} numbers but 'offsets2' has {}",
                         p.offsets1.size(), offsets2.size()));
    if (p.instances.empty())
      check_length("offsets1", p.offsets1.size(), p.count);
    else
      check_instances(p.instances, p.count, std::int64_t(p.offsets1.size()) - 1, "blocks");
    rows1 = p.offsets1.back();
    rows2 = offsets2.back();
    for (std::size_t k = 0; k + 1 < offsets2.size(); ++k)
      if (__builtin_add_overflow(
              logits,
              product(p.offsets1[k + 1] - p.offsets1[k], offsets2[k + 1] - offsets2[k], "B"),
              &logits))
        refuse("B has more than 2^63 numbers");
    logits_of_one = logits;
  } else {
    if (tied && p.m != 0 && p.m != p.n)
      refuse(fmt::format("A2 is left out, so that it is A1, but n is {} and m is {}", p.n, p.m));
    if (!p.instances.empty())
      refuse("argument 'instances' needs 'offsets1' and 'offsets2', which say where blocks begin");
    check_dimension(p.n, "n");
    check_dimension(m, "m");
    rows1 = product(p.count, p.n, "the batch");
    rows2 = product(p.count, m, "the batch");
    logits_of_one = product(p.n, m, "B");
    logits = product(p.count, logits_of_one, "B");
  }
  const std::int64_t one1 = ragged ? rows1 : p.n, one2 = ragged ? rows2 : m;
  check_array("A1", p.a1.size(), product(rows1, p.d1, "A1"), product(one1, p.d1, "A1"));
  if (!tied) check_array("A2", p.a2.size(), product(rows2, d2, "A2"), product(one2, d2, "A2"));
  check_array("B", p.b.size(), logits, logits_of_one);
  const std::int64_t x = p.d1 * d2;
  if (!p.x0.empty()) check_array("X0", p.x0.size(), product(p.count, x, "X0"), x);
  if (!p.w.empty()) check_array("w", p.w.size(), logits, logits_of_one);
  if (!p.step_size.empty()) check_array("step_size", p.step_size.size(), p.count, p.count);
}
template void validate(const MatrixProblem<float>&);
template void validate(const MatrixProblem<double>&);

void validate(const Layout& l) {
  for (std::int64_t i = 0; i < (l.begin2 ? l.count : std::min<std::int64_t>(l.count, 1)); ++i) {
    const Extent e = extent_of(l, i);
    for (const auto& [what, has] :
         {std::pair{"logits", e.rows}, std::pair{"numbers in A1 X", e.attended}})
      if (has > most - 256)
        refuse(
            fmt::format("instance {} has {} {} but may have at most {}", i, has, what, most - 256));
  }
}

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
  if (o.trace_full && o.trace != TraceKind::shifts && o.trace != TraceKind::bounds)
    throw Error(ErrorKind::usage,
                "a full trace was asked for but the trace is not 'shifts' or 'bounds'");
}

void validate_softmax(const AnyLoss& loss) {
  std::visit(
      [](const auto& l) {
        if (!l.normalized)
          throw Error(
              ErrorKind::usage,
              fmt::format("the bounds speak of a softmax, which the loss '{}' does not have",
                          l.name));
      },
      loss);
}

void check_arithmetic(const Options& o, int value_bytes, bool evaluates) {
  if (o.arithmetic == Arithmetic::portable) return;
  const auto refuse = [](std::string_view limit, std::string_view instead) {
    throw Error(ErrorKind::usage,
                fmt::format("the fast arithmetic is {}, not for {}", limit, instead),
                "the portable arithmetic is for all");
  };
  if (evaluates) refuse("for solving", "evaluating");
  if (o.trace == TraceKind::shifts || o.trace == TraceKind::bounds)
    refuse("for solving and its losses",
           "shifts, whose bounds know the rounding of the portable one");
  if (value_bytes != 4) refuse("for float32", "float64");
  if (o.device == Device::cpu) refuse("for CUDA", "the device cpu");
  if (o.device == Device::reference) refuse("for CUDA", "the device reference");
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
