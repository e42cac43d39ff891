// The C boundary to the LaneSolvers of one instruction set.
#include "cpu_lanes.hpp"

#include "softreg/model/catalog.hpp"

#define SR_JOIN_(a, b) a##b
#define SR_JOIN(a, b) SR_JOIN_(a, b)

extern "C" void SR_JOIN(softreg_cpu_solve_, SOFTREG_ISA)(int value_bytes, int loss,
                                                         const void* batch, std::int64_t i,
                                                         void* workspace, const void* team) {
  const auto run = [&]<class T>(T* numbers) {
    softreg::visit_alternative<softreg::AnyLoss>(loss, [&]<class LossT>() {
      softreg::LaneSolver<LossT>::solve(*static_cast<const softreg::Batch<T>*>(batch), i, numbers,
                                        *static_cast<const softreg::Team*>(team));
    });
  };
  if (value_bytes == 4)
    run(static_cast<float*>(workspace));
  else
    run(static_cast<double*>(workspace));
}
