// |v| of a vector that is met one number at a time, without overflow or underflow on the way: its
// sum of squares, and where that left the safe range the sum once more, of numbers scaled by a
// power of two. (Sums at three scales side by side, Blue 1978, need no second pass, but squares
// below the normal range cost some processors a hundred cycles each.)
#pragma once
#include "softreg/model/sums.hpp"

namespace softreg {

// What numbers are to be multiplied by; 1 if the sum of their squares is right as it is. NaN
// passes.
template <class T>
SR_HD T length_scale(T squares) {
  constexpr bool single = sizeof(Real<T>) == 4;
  constexpr auto safe = single ? Real<T>(1e30) : Real<T>(1e280);
  constexpr auto down = single ? Real<T>(0x1p-70) : Real<T>(0x1p-600);
  constexpr auto up = single ? Real<T>(0x1p100) : Real<T>(0x1p600);
  return select(squares > safe, T(down), select(squares < Real<T>(1) / safe, T(up), T(1)));
}

// Of K vectors at once. sums_of(scale): the sums of (v scale)^2, each vector with its own scale. A
// loop, because the second pass as code of its own would double all that is compiled for lengths.
template <class T, int K, class F>
SR_HD Sums<T, K> lengths_of(F sums_of) {
  Sums<T, K> scale, sums;
  SR_UNROLL
  for (int k = 0; k < K; ++k) scale.v[k] = T(1);
  SR_ROLLED
  for (bool scaled = false;; scaled = true) {
    sums = sums_of(scale);
    bool fine = true;
    SR_UNROLL
    for (int k = 0; k < K; ++k) {
      if (!scaled) scale.v[k] = length_scale(sums[k]);
      fine = fine && all(scale[k] == T(1));
    }
    if (!scaled && !fine) continue;
    SR_UNROLL
    for (int k = 0; k < K; ++k) sums.v[k] = fine ? sqrt_(sums[k]) : sqrt_(sums[k]) / scale[k];
    return sums;
  }
}
template <class T, class F>
SR_HD T length_of(F sum_of) {
  return lengths_of<T, 1>(
      [=](const Sums<T, 1>& scale) { return Sums<T, 1>{{sum_of(scale[0])}}; })[0];
}

}  // namespace softreg
