// Layout: where the parts of each instance lie in the arrays of a batch. An instance is one block
// or several that share X (d1, d2). A block has n rows of A1 (n, d1) and m rows of A2 (m, d2), and
// n m logits Z = A1 X A2^T, one segment (a softmax) per row of Z. A vector problem is the case d1 =
// 1, A1 = 1: A is A2, x is X, and each block is one segment.
#pragma once
#include <cstdint>

#include "softreg/model/math.hpp"

namespace softreg {

struct Layout {
  std::int64_t count = 0;  // instances
  bool matrix = false;     // false: a vector problem, which has no A1
  int d1 = 1, d2 = 0;
  std::int64_t n = 1, m = 0;  // of every block, unless the arrays below say more
  // (count + 1) where each instance's blocks begin; null: instance i is block i.
  const std::int64_t* blocks = nullptr;
  // (blocks + 1) where each block's rows of A1, rows of A2 and logits begin; null: all alike.
  const std::int64_t *begin1 = nullptr, *begin2 = nullptr, *begin_z = nullptr;

  SR_HD int parameters() const { return d1 * d2; }

  // Block k.
  SR_HD std::int64_t first1(std::int64_t k) const { return begin1 ? begin1[k] : k * n; }
  SR_HD std::int64_t first2(std::int64_t k) const { return begin2 ? begin2[k] : k * m; }
  SR_HD std::int64_t first_z(std::int64_t k) const { return begin_z ? begin_z[k] : k * n * m; }
  SR_HD int rows1(std::int64_t k) const { return static_cast<int>(first1(k + 1) - first1(k)); }
  SR_HD int rows2(std::int64_t k) const { return static_cast<int>(first2(k + 1) - first2(k)); }

  // Instance i: its blocks, its segments (counted through the whole batch) and its logits.
  SR_HD std::int64_t first_block(std::int64_t i) const { return blocks ? blocks[i] : i; }
  SR_HD std::int64_t first_segment(std::int64_t i) const { return first1(first_block(i)); }
  SR_HD std::int64_t first_row(std::int64_t i) const { return first_z(first_block(i)); }
  SR_HD std::int64_t all_rows_of(std::int64_t i) const { return first_row(i + 1) - first_row(i); }
  SR_HD int rows_of(std::int64_t i) const { return static_cast<int>(all_rows_of(i)); }
  SR_HD int segments_of(std::int64_t i) const {
    return static_cast<int>(first_segment(i + 1) - first_segment(i));
  }
};

// How much one instance holds; of several, the most of each.
struct Extent {
  std::int64_t rows = 0, segments = 0;  // logits, softmaxes
  std::int64_t parameters = 0;
  std::int64_t attended = 0;  // numbers of P A2 (segments, d2); 0 for a vector problem
  std::int64_t longest = 0;   // rows of its longest segment

  // Logits held at a time where Z need not be whole: some of its rows, at least one.
  static constexpr std::int64_t tile = 4096;
  SR_HD constexpr std::int64_t held() const {
    if (attended == 0) return rows;
    const std::int64_t few = rows < tile ? rows : tile;
    return longest > few ? longest : few;
  }

  SR_HD void cover(const Extent& e) {
    rows = rows < e.rows ? e.rows : rows;
    segments = segments < e.segments ? e.segments : segments;
    parameters = parameters < e.parameters ? e.parameters : parameters;
    attended = attended < e.attended ? e.attended : attended;
    longest = longest < e.longest ? e.longest : longest;
  }
};

SR_HD inline Extent extent_of(const Layout& l, std::int64_t i) {
  const std::int64_t segments = l.first_segment(i + 1) - l.first_segment(i);
  Extent e{l.all_rows_of(i), segments, std::int64_t{l.d1} * l.d2, l.matrix ? segments * l.d2 : 0,
           0};
  for (std::int64_t k = l.first_block(i); k < l.first_block(i + 1); ++k) {
    const std::int64_t rows2 = l.first2(k + 1) - l.first2(k);
    e.longest = rows2 > e.longest ? rows2 : e.longest;
  }
  return e;
}

}  // namespace softreg
