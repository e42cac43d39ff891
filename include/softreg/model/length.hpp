// |v| of a vector that is met one number at a time, without overflow or underflow on the way: its
// sum of squares, and where that left the safe range the sum once more, of numbers scaled by a
// power of two. (Sums at three scales side by side, Blue 1978, need no second pass, but squares
// below the normal range cost some processors a hundred cycles each.)
#pragma once
#include "softreg/model/math.hpp"

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

// sum_of(scale): the sum of (v scale)^2.
template <class T, class F>
SR_HD T length_of(T squares, F sum_of) {
  const T scale = length_scale(squares);
  return all(scale == T(1)) ? sqrt_(squares) : sqrt_(sum_of(scale)) / scale;
}

}  // namespace softreg
