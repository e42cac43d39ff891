#include "kernels/emulated_gpu.hpp"
#include "kernels/emulated_launch.hpp"

namespace softreg {

void emulate_launch(int loss, const Launch& launch, const Batch<double>& batch, simt::Order order,
                    unsigned seed) {
  emulate_kernel(loss, launch, batch, order, seed);
}

}  // namespace softreg
