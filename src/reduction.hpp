// Reduction: a problem whose A, A1 or A2 has fewer rows than columns, in fewer parameters. With
// A1^T = Q1 R1 and A2^T = Q2 R2 (QR) the logits are Z = A1 X A2^T = R1^T Y R2, Y = Q1^T X Q2, and
// the gradient in Y is Q1^T (A1^T P A2) Q2: a step on Y is the step on X, every length is the same,
// and X = X0 + Q1 (Y - Y0) Q2^T. The same iterates within rounding, with n for d1 and m for d2. (Of
// a vector problem A2 is A, and A1 is 1.)
#pragma once
#include <cstdint>
#include <memory>

#include "plan.hpp"
#include "softreg/model/batch.hpp"

namespace softreg {

// The layout of instance i alone after its reduction; sides that gain nothing keep d1 or d2.
Layout reduced_layout(const Layout& layout, std::int64_t i);

// Whether instance i may be solved that way: one block, one side at least a quarter shorter, and
// nothing that reaches beyond the rows of A1 and A2 (a gradient that is asked for; the length of
// X0).
bool reduces(const BatchShape& shape, std::int64_t i);

// Numbers that a Reduction holds for instance i.
std::int64_t reduction_values(const Layout& layout, std::int64_t i);

// One instance after another. A copy has the decompositions in common with the original.
template <class T>
class Reduction {
 public:
  Reduction();
  ~Reduction();
  Reduction(const Reduction&);
  Reduction(Reduction&&) noexcept;

  // A batch of one: instance i reduced. Valid until the next call. Its outcome and traces are
  // written where the batch has them; its x is kept here. Null where Y would not tell of X: a
  // number of R is beyond T's, or the part of X0 that no step moves is so long that moves would be
  // lost in the rounding of X.
  const Batch<T>* take(const Batch<T>& batch, std::int64_t i);
  // Y becomes the x of the instance taken. Whether it is finite; if not, nothing was gained.
  bool lift() const;
  bool lift(const T* y) const;  // that was found elsewhere

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace softreg
