// The arrays of one instance of a described batch as spans, for the host's own passes over them.
#pragma once
#include <cstdint>
#include <span>

#include "softreg/model/batch.hpp"

namespace softreg {

template <class T>
class InstanceView {
 public:
  explicit InstanceView(const Batch<T>& batch) : b_(batch) {}

  // Rows of all blocks of the instance; a1 is empty in a vector problem, and a2 is its A.
  std::span<const T> a1(std::int64_t i) const {  // (rows, d1)
    if (!b_.matrix) return {};
    const std::int64_t first = b_.first1(b_.first_block(i)),
                       last = b_.first1(b_.first_block(i + 1));
    return {b_.a1 + (b_.a1_shared ? 0 : first * b_.d1), at((last - first) * b_.d1)};
  }
  std::span<const T> a2(std::int64_t i) const {  // (rows, d2)
    const std::int64_t first = b_.first2(b_.first_block(i)),
                       last = b_.first2(b_.first_block(i + 1));
    return {b_.a2 + (b_.a2_shared ? 0 : first * b_.d2), at((last - first) * b_.d2)};
  }
  std::span<const T> b(std::int64_t i) const {  // (logits)
    return {b_.target_of(i), at(b_.all_rows_of(i))};
  }
  std::span<const T> w(std::int64_t i) const {  // (logits) or empty
    if (!b_.weights) return {};
    return {b_.weights_of(i), at(b_.all_rows_of(i))};
  }
  std::span<const T> x0(std::int64_t i) const {  // (parameters) or empty
    if (!b_.start) return {};
    return {b_.start_of(i), at(b_.parameters())};
  }
  // f(segment, first logit within the instance, logits), in order, until f returns false.
  template <class F>
  void each_segment(std::int64_t i, F f) const {
    std::int64_t s = 0;
    for (std::int64_t k = b_.first_block(i); k < b_.first_block(i + 1); ++k)
      for (std::int64_t row = 0; row < b_.rows1(k); ++row, ++s)
        if (!f(s, b_.first_z(k) - b_.first_row(i) + row * b_.rows2(k), b_.rows2(k))) return;
  }

 private:
  static std::size_t at(std::int64_t n) { return static_cast<std::size_t>(n); }

  const Batch<T>& b_;
};

}  // namespace softreg
