#include "memory_solver.hpp"

namespace softreg {

SR_MEMORY_PARTS(, LaneGroup<1>, DenseMatrix)
SR_MEMORY_PARTS(, LaneGroup<1>, Kronecker)

}  // namespace softreg
