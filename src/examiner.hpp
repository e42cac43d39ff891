// Examiner: what prepare() asks about the data of an instance, wherever they lie.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "described.hpp"
#include "softreg/options.hpp"
#include "softreg/result.hpp"

namespace softreg {

// screen, largest_sum and largest_weight may be called from several threads at once.
template <class T>
class Examiner {
 public:
  virtual ~Examiner() = default;

  virtual Status screen(std::int64_t i) const = 0;  // not_run: fit to run
  // What is wrong with an instance that is not.
  virtual Message explain(std::int64_t i) const = 0;
  // Certified upper bounds on |A| of the instances that are fit, NaN for the others.
  virtual std::vector<double> operator_norms(const std::vector<Status>& status) const = 0;
  // Of the softmaxes of a fit instance: the largest sum of b. Of its logit weights: the largest
  // |w|, 0 where it has no array of them.
  virtual double largest_sum(std::int64_t i) const = 0;
  virtual double largest_weight(std::int64_t i) const = 0;
};

// problem and options stay; the device may have to be opened.
template <class T>
std::unique_ptr<Examiner<T>> make_examiner(const Described<T>& problem, const Options& options);
template <class T>
std::unique_ptr<Examiner<T>> make_device_examiner(const Described<T>& problem,
                                                  const Options& options);

// A bound on |A| from those of its matrices: bound1(k), bound2(k) of block k (of instance k in a
// vector problem, which has no bound1). |A1 (x) A2| = |A1| |A2|, and several blocks stand one above
// the other: |A|^2 is at most the sum of the blocks' squares.
template <class T, class Bound1, class Bound2>
double operator_norm_of(const Batch<T>& b, std::int64_t i, Bound1 bound1, Bound2 bound2) {
  if (!b.matrix) return bound2(i);
  double squares = 0, alone = 0;
  const std::int64_t first = b.first_block(i), last = b.first_block(i + 1);
  for (std::int64_t k = first; k < last; ++k) {
    const double one = bound1(k), two = b.a1_of(k) == b.a2_of(k) ? one : bound2(k);
    alone = one * two;
    squares += alone * alone;
  }
  // Rounding: two units a product, one a sum, one for the root.
  const double bound = last - first == 1 ? alone : std::sqrt(squares);
  return bound *
         (1 + static_cast<double>(last - first + 4) * std::numeric_limits<double>::epsilon());
}

}  // namespace softreg
