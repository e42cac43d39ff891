// Length: |v| of a vector that is met one number at a time, without overflow or underflow on the
// way.
#pragma once
#include "softreg/model/math.hpp"

namespace softreg {

// Three sums of squares, at the scale of the numbers, of huge ones and of tiny ones (Blue 1978);
// value() takes the one that is safe. NaN stays NaN, infinity stays infinity.
template <class T>
struct Length {
  T plain = T(0), huge = T(0), tiny = T(0);

  SR_HD void add(T v) {
    const T h = v * down(), t = v * up();
    plain = fma_(v, v, plain);
    huge = fma_(h, h, huge);
    tiny = fma_(t, t, tiny);
  }
  SR_HD T value() const {
    constexpr T safe = sizeof(T) == 4 ? T(1e30) : T(1e280);
    const T small = plain < T(1) / safe ? sqrt_(tiny) / up() : sqrt_(plain);
    return plain > safe ? sqrt_(huge) / down() : small;
  }

 private:
  static SR_HD constexpr T down() { return sizeof(T) == 4 ? T(0x1p-70) : T(0x1p-600); }
  static SR_HD constexpr T up() { return sizeof(T) == 4 ? T(0x1p100) : T(0x1p600); }
};

}  // namespace softreg
