// ShiftProbe: what the traces measure between two steps, between any two points: another x, other
// data, another context. Plain loops of one lane, as the reference.
#pragma once
#include <vector>

#include "softreg/model/memory_solve.hpp"

namespace softreg {

// Op: Dense<Matrix<const T>, T> or Kronecker<T>. Keeps its arrays from one comparison to the next.
template <class Op, class LossT, class T>
class ShiftProbe {
 public:
  // From instance i of one batch, at its start, to instance i of another, at its own. Both have as
  // many rows, softmaxes and parameters, and share the arrays `shifts` and `bounds`, where the
  // instance's are written, and `operator_norm`, where the larger of both norms stands.
  void compare(const Batch<T>& from, const Batch<T>& to, std::int64_t i) {
    to.shifts[i] = {};
    to.bounds[i] = {};
    evaluate(from, i, 0);
    evaluate(to, i, 1);
  }

 private:
  void evaluate(const Batch<T>& batch, std::int64_t i, int step) {
    const Extent e = extent_of(batch, i);
    x_.resize(static_cast<std::size_t>(e.parameters));
    workspace_.resize(static_cast<std::size_t>(MemoryWorkspace<T>::size(e)));
    before_.resize(static_cast<std::size_t>(ShiftWorkspace<T>::size(e, Watched::bounds)));
    const auto arrays = MemoryWorkspace<T>::carve(workspace_.data(), e);
    using Memory = MemoryPlacement<LaneGroup<1>, Op, T>;
    Evaluator<Memory, LossT, AnyFirstOrder, T, true> evaluator{
        {{{},
          Op::of(batch, i, arrays.attended),
          batch.target_of(i),
          batch.weights_of(i),
          batch.weight,
          batch.start_of(i),
          x_.data(),
          arrays},
         batch,
         i,
         ShiftWorkspace<T>::of(before_.data(), e)}};
    evaluator.p.load();
    evaluator.p.set_shifts(infinity<T>());
    evaluator.evaluate(step, false);
  }

  std::vector<T> x_, workspace_, before_;
};

}  // namespace softreg
