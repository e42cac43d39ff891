#include "made_kernels.hpp"

#include "softreg/error.hpp"
#include "specialise.hpp"

namespace softreg {

MadeKernels make_kernels(Gpu& gpu, int loss, int value_bytes, CudaPlan& plan) {
  MadeKernels kernels{};
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    std::optional<ExactKernel>& exact = plan.exact[k];
    if (!exact) continue;
    try {
      visit_alternative<AnyLoss>(loss, [&]<class LossT>() {
        kernels[k] = gpu.specialise({*exact, LossT::name, value_bytes});
      });
    } catch (const Error& e) {
      if (exact->fast || e.kind() == ErrorKind::device_lost) throw;
    }
    if (kernels[k] == nullptr) exact.reset();
  }
  return kernels;
}

}  // namespace softreg
