// The problems softreg solves, as views of the caller's arrays. T is float or double, and the
// arithmetic is done in T. Every array is contiguous and row-major; nothing is copied or kept.
#pragma once
#include <cstdint>
#include <span>

namespace softreg {

// Where A, b, x0 and w of a problem (A1, A2, B, X0 and w) lie; its other arrays are in host memory.
// device: memory that CUDA device 0 reads, which whoever wrote it has finished with (his streams
// are not waited for). solve() and evaluate() take such problems, and give what they give for the
// same numbers in host memory, but for the last bits of vector problems with at most 3/4 as many
// rows as parameters. Of A, b and w only these cross to the host: an instance of which something is
// wrong, for its message, and for an automatic step size or a trace of shifts or bounds a matrix
// with more than 256 rows and 256 columns.
enum class Memory { host, device };

// count independent vector problems: z = A x, one softmax (or other loss) over the n rows of z.
//   uniform   a (count, n, d), or (n, d) shared by all;  b (count, n), or (n) shared by all
//   ragged    offsets (count + 1) says where each instance's rows begin: a (N, d), b (N), N =
//             offsets[count]
//   several softmaxes that share x: segments (softmaxes + 1) says where each begins in the rows of
//             all instances, and instances (count + 1) where each instance begins in segments, both
//             in place of offsets; the loss is the sum
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
  std::span<const std::int64_t> segments{}, instances{};
  Memory memory = Memory::host;
};

// count independent matrix problems: Z = A1 X A2^T (n, m), one softmax (or other loss) per row of
// Z; by the tensor trick one vector problem in d1 d2 dimensions with A = A1 (x) A2, x = vec X
// (Gao-Song-Xie, arXiv 2307.02419).
//   uniform   a1 (count, n, d1), or (n, d1) shared; a2 (count, m, d2), or (m, d2) shared;
//             b (count, n, m), or (n, m) shared
//   ragged    blocks of different size: offsets1 and offsets2 (blocks + 1) say where each block's
//             rows of a1 (N, d1) and of a2 (M, d2) begin; b is flat, block after block, each (n, m)
//   several blocks that share X: instances (count + 1) says where each instance's blocks begin;
//             empty: one block each; the loss is the sum
//   tied      a2 empty: A2 = A1, and d2 = d1; offsets2 is then empty too
template <class T>
struct MatrixProblem {
  std::int64_t count = 0;
  std::int64_t n = 0, m = 0;    // of every instance; ignored when ragged
  std::int64_t d1 = 0, d2 = 0;  // X (d1, d2)
  std::span<const T> a1{}, a2{}, b{};
  std::span<const std::int64_t> offsets1{}, offsets2{}, instances{};
  std::span<const T> x0{};              // (count, d1, d2), or (d1, d2) shared; empty: zeros
  std::span<const double> step_size{};  // (count); empty: the optimizer's
  std::span<const T> w{};               // like b; empty: the option's
  Memory memory = Memory::host;
};

}  // namespace softreg
