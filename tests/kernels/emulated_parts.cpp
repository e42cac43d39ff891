#include "kernels/emulated_parts.hpp"

namespace softreg {

SR_EMULATED_LANES_PARTS()
SR_EMULATED_LAUNCHER_PARTS()

}  // namespace softreg
