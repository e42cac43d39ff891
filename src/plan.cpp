#include "plan.hpp"

#include <fmt/format.h>

#include <limits>

#include "plan_parts.hpp"

namespace softreg {

std::string describe(const BatchShape& s, std::int64_t instance) {
  const Layout& l = s.layout;
  const std::string shape =
      l.matrix ? fmt::format("{} logits, X {} x {}", l.all_rows_of(instance), l.d1, l.d2)
               : fmt::format("{} x {}", l.all_rows_of(instance), l.d2);
  return fmt::format("instance {} ({}, {} bytes a number)", instance, shape, s.value_bytes);
}

std::int64_t watched_bytes(const BatchShape& s) {
  return with_type(s.value_bytes, [&s](auto t) -> std::int64_t {
    using T = decltype(t);
    switch (s.watched) {
      case Watched::nothing:
        break;
      case Watched::shifts:
        return sizeof(ShiftSummary<T>);
      case Watched::bounds:
        return sizeof(ShiftSummary<T>) + sizeof(BoundSummary<T>);
    }
    return 0;
  });
}

std::int64_t result_bytes(const BatchShape& s) {
  const Layout& l = s.layout;
  const std::int64_t v = s.value_bytes, d = std::int64_t{l.d1} * l.d2;
  // x, loss, objective, grad_norm and traces; status and steps; evaluate's grad
  const std::int64_t each =
      (d + 3 + s.trace_values) * v + 8 + watched_bytes(s) + (s.describes ? d * v : 0);
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(each, l.count, &bytes))
    return std::numeric_limits<std::int64_t>::max();
  const std::int64_t tests = s.watched == Watched::nothing ? s.trace_values : 0;
  bytes += tests * 4;  // trace_step
  if (s.describes)     // f, dlogits; attended, log_mass
    bytes += 2 * l.first_row(l.count) * v + l.first_segment(l.count) * (l.d2 + 1) * v;
  return bytes;
}

}  // namespace softreg
