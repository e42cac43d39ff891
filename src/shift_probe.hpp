// ShiftProbe: what the traces measure between two steps, between any two points: another x, other
// data, another context. Plain loops of one lane, as the reference.
#pragma once
#include "memory_solver_declaration.hpp"
#include "softreg/model/catalog.hpp"

namespace softreg {

// Keeps its arrays from one comparison to the next.
template <class T>
class ShiftProbe {
 public:
  // loss: index into AnyLoss
  explicit ShiftProbe(int loss) : loss_(loss) {}

  // From instance i of one batch, at its start, to instance i of another, at its own. Both have as
  // many rows, softmaxes and parameters, and share the arrays `shifts` and `bounds`, where the
  // instance's are written, and `operator_norm`, where the larger of both norms stands.
  void compare(const Batch<T>& from, const Batch<T>& to, std::int64_t i) {
    visit_alternative<AnyLoss>(loss_, [&]<class LossT>() {
      MemorySolver<LossT>::measure(from, i, 0, memory_);
      MemorySolver<LossT>::measure(to, i, 1, memory_);
    });
  }

 private:
  int loss_;
  SolverMemory<T> memory_;
};

}  // namespace softreg
