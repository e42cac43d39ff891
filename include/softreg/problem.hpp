// The problems softreg solves, as views of the caller's arrays. T is float or double, and the
// arithmetic is done in T. Every array is contiguous and row-major; nothing is copied or kept.
#pragma once
#include <cstdint>
#include <span>

namespace softreg {

// count independent vector problems: z = A x, one softmax (or other loss) over the n rows of z.
//   uniform   a (count, n, d), or (n, d) shared by all;  b (count, n), or (n) shared by all
//   ragged    offsets (count + 1) says where each instance's rows begin: a (N, d), b (N), N =
//   offsets[count]
template <class T>
struct VectorProblem {
  std::int64_t count = 0;
  std::int64_t n = 0;  // rows of every instance; ignored when ragged
  std::int64_t d = 0;  // parameters
  std::span<const T> a{};
  std::span<const T> b{};
  std::span<const std::int64_t> offsets{};  // ragged: (count + 1), else empty
  std::span<const T> x0{};                  // (count, d), or (d) shared; empty: zeros
  std::span<const double> step_size{};      // (count); empty: the optimizer's
  std::span<const T> w{};  // like b, or (n) shared: logit weights; empty: the option's
};

}  // namespace softreg
