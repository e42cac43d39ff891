// Every bound that is judged of an update: what it states, of which instances it speaks, and where
// a result keeps it. The one list behind reports, files and sweeps.
#pragma once
#include <cstddef>
#include <iterator>
#include <variant>

#include "softreg/options.hpp"
#include "softreg/result.hpp"

namespace softreg {

// The losses and problems of which a bound speaks. one_: instances of a single softmax.
enum class Speaks { softmax, softmax_l2, rescaled_l2, one_softmax, one_rescaled };

struct BoundEntry {
  const char *id, *quantity, *text, *provenance;
  Speaks speaks;
};

// z = A x; u = exp z, a = <u, 1>, f = u / a, c = f - b, h = f o c, q = <f, c>, g = dL/dz = h - q f,
// e = u - a b. First those of ShiftSummary, then those of BoundSummary in the order of BoundIndex.
// P6's form follows from D8 (M >= R/2), so that it holds for any R; that the paper states it so,
// and asks R >= 4, is recalled.
inline constexpr BoundEntry bound_catalog[] = {
    {"D8", "f", "|f(x') - f(x)| <= 1/2 |A (x' - x)|", "derived", Speaks::softmax},
    {"P6", "f",
     "|f(x') - f(x)| <= M |x' - x|, M = n^1.5 exp(10 R^2) (M found, the form recalled), R = "
     "max(|A|, |x|, |x'|); hypothesis R >= 4",
     "recalled", Speaks::softmax},
    {"P6@4", "f",
     "|f(x') - f(x)| <= M |x' - x|, M = n^1.5 exp(10 R^2) (M found, the form recalled), R = "
     "max(4, |A|, |x|, |x'|)",
     "recalled", Speaks::softmax},
    {"D5", "u", "|u' - u| / max(u, u') <= |z' - z|", "derived", Speaks::softmax},
    {"D6", "a", "|a' - a| / max(|u|, |u'|) <= |z' - z|", "derived", Speaks::softmax},
    {"D7", "1/a", "|1/a' - 1/a| / max(1/a, 1/a') <= |z' - z|", "derived", Speaks::softmax},
    {"D9", "h", "|h' - h| <= |z' - z|, h = f o (f - b) (our definition)", "derived",
     Speaks::softmax},
    {"D10", "q", "|q' - q| <= sqrt(5)/2 |z' - z|, q = <f, f - b> (our definition)", "derived",
     Speaks::softmax},
    {"D12z", "dL/dz", "|g' - g| <= 3/4 |z' - z|, g = h - q f", "derived", Speaks::softmax},
    {"D8e", "|f - b|", "| |f' - b| - |f - b| | <= 1/2 |z' - z|", "derived", Speaks::softmax},
    {"D8l", "loss", "|L' - L| <= 1/4 (|f - b| + |f' - b|) |z' - z|", "derived", Speaks::softmax_l2},
    {"D12", "gradient", "|grad L' - grad L| <= 3/4 |A| |z' - z|", "derived", Speaks::softmax_l2},
    {"D18", "e", "|e' - e| / (max(u, u') (1 + sqrt(n) |b|)) <= |z' - z|, e = u - a b", "derived",
     Speaks::rescaled_l2},
    {"D18l", "loss", "| |e'| - |e| | / (max(u, u') (1 + sqrt(n) |b|)) <= |z' - z|, L = |e|^2 / 2",
     "derived", Speaks::rescaled_l2},
    {"D19", "gradient", "|grad L' - grad L| <= (2 n + 2 sqrt(n) + 2) max(u, u')^2 |A| |z' - z|",
     "derived", Speaks::one_rescaled},
    {"P1", "u",
     "|u' - u| / max(u, u') <= 2 sqrt(n) R exp(R^2) |x' - x| / max(u, u'), R as P6's; hypothesis R "
     ">= 4",
     "found", Speaks::one_softmax},
    {"P2", "a", "|a' - a| / max(u, u') <= sqrt(n) |u' - u| / max(u, u'); hypothesis R >= 4",
     "recalled", Speaks::one_softmax},
    {"P3", "1/a", "|1/a' - 1/a| min(a, a') <= exp(2 R^2) |a' - a| min(a, a'); hypothesis R >= 4",
     "recalled", Speaks::one_softmax},
    {"P4", "f", "|f' - f| <= n^1.5 exp(5 R^2) |x' - x|; hypothesis R >= 4", "recalled",
     Speaks::one_softmax},
};
inline constexpr std::size_t shift_bounds = 3;
static_assert(std::size(bound_catalog) == shift_bounds + bound_count);

// one: instances have one softmax each.
inline bool speaks_of(const BoundEntry& bound, const AnyLoss& loss, bool one) {
  const bool rescaled = std::holds_alternative<RescaledL2>(loss);
  switch (bound.speaks) {
    case Speaks::softmax_l2:
      return std::holds_alternative<SoftmaxL2>(loss);
    case Speaks::rescaled_l2:
      return rescaled;
    case Speaks::one_rescaled:
      return rescaled && one;
    case Speaks::one_softmax:
      if (!one) return false;
      [[fallthrough]];
    case Speaks::softmax:
      break;
  }
  return std::visit([](const auto& l) { return l.normalized; }, loss);
}

// What instance i kept of bound_catalog[k].
template <class T>
BoundWatch<T> seen_of(const Result<T>& result, std::size_t k, std::size_t i) {
  if (k >= shift_bounds) return result.bounds[i].seen(static_cast<int>(k - shift_bounds));
  const ShiftSummary<T>& s = result.shifts[i];
  return k == 0 ? s.sharp.seen() : k == 1 ? s.paper.seen() : s.paper_at_4.seen();
}

}  // namespace softreg
