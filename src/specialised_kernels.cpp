#include "specialised_kernels.hpp"

#include <exception>

#include "softreg/error.hpp"
#include "specialise.hpp"

namespace softreg {

SpecialisedKernels specialised_kernels(Gpu& gpu, int loss, int value_bytes,
                                       const std::function<bool()>& cancelled, CudaPlan& plan) {
  SpecialisedKernels kernels{};
  for (std::size_t k = 0; k < kernels.size() && !cancelled(); ++k) {
    std::optional<SpecialisedPolicy>& special = plan.specialised[k];
    if (!special) continue;
    try {
      visit_alternative<AnyLoss>(loss, [&]<class LossT>() {
        kernels[k] = gpu.specialise({*special, LossT::name, value_bytes});
      });
    } catch (const Error& e) {
      if (special->fast || e.kind() == ErrorKind::device_lost) throw;
    } catch (const std::exception&) {
      if (special->fast) throw;
    }
    if (kernels[k] == nullptr) special.reset();
  }
  return kernels;
}

}  // namespace softreg
