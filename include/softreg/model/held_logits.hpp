// HeldLogits: what a tile holds in place of a logit, and how it is read. The evaluator's numbers
// hold the logit itself. Others whose exp is a power of two (kernels/fast.hpp) hold it in bits: in
// units of ln 2 and less the lagged shift, which is what comes of the product with A log2 e where
// the sum starts at -shift, and the argument of exp2 as it stands. The tile's shift is then 0, and
// its origin the lagged shift.
#pragma once
#include "softreg/model/loss.hpp"
#include "softreg/model/operators.hpp"

namespace softreg {

// Whether logits are held in bits, of a loss and the numbers A that its formula computes with.
template <class LossT, class A>
inline constexpr bool holds_bits = false;

template <class LossT, class T, class A, bool InBits = holds_bits<LossT, A>>
struct HeldLogits {
  static constexpr bool traced = true;
  template <class Tile>
  SR_HD HeldLogits(const Tile&, const Segment&) {}

  SR_MATH T logit(T z) const { return z; }
  SR_MATH static T distance(T z, T shift) { return z - shift; }  // what a formula calls v
  SR_MATH static T activate(T z, T shift) { return T(activation<LossT>(A(distance(z, shift)))); }
  SR_MATH static T log_mass(T shift, A mass) { return shift + T(log_(mass)); }
  // The guard wants another shift: what the tile's becomes.
  template <class Tile>
  SR_HD static T move(Tile&, const Segment&, T shift) {
    return shift;
  }
  // A row keeps dL/dz without the factor that rows have in common (CommonOf): that goes to the
  // tile.
  template <class Tile, class Slope>
  SR_HD static void take_factor(Tile&, const Slope&) {}
  template <class Slope>
  SR_MATH static T without_factor(const Slope& slope) {
    return T(slope);
  }
  template <class Tile>
  SR_HD static void take_no_factor(Tile&) {}
};

template <class LossT, class T, class A>
struct HeldLogits<LossT, T, A, true> {
  static constexpr bool traced = false;  // nobody asks for it (src/validate.cpp)
  static constexpr T ln2 = T(math_detail::Format<T>::ln2);
  T origin;
  template <class Tile>
  SR_HD HeldLogits(const Tile& tile, const Segment& s) : origin(tile.origin(s)) {}

  SR_MATH T logit(T z) const { return (origin + z) * ln2; }
  SR_MATH static T distance(T z, T) { return z * ln2; }
  SR_MATH static T activate(T z, T) { return T(exp2_(A(z))); }
  SR_MATH static T log_mass(T, A mass) { return T(log2_(mass)); }
  template <class Tile>
  SR_HD static T move(Tile& tile, const Segment& s, T by) {
    tile.rows(s, [by](int, T& z, T, T) { z = z - by; });
    tile.set_shift(s, by);
    return T(0);
  }
  template <class Tile, class Slope>
  SR_HD static void take_factor(Tile& tile, const Slope& slope) {
    tile.set_factor(T(factor_of(slope)));
  }
  template <class Slope>
  SR_MATH static T without_factor(const Slope& slope) {
    return T(rest_of(slope));
  }
  template <class Tile>
  SR_HD static void take_no_factor(Tile& tile) {
    tile.set_factor(T(1));
  }
};

}  // namespace softreg
