// The C boundary to the LaneSolvers of one instruction set.
#include "cpu_lanes.hpp"

#include "softreg/model/catalog.hpp"
#if defined(__AVX__)
#include <immintrin.h>
#endif

#define SR_JOIN_(a, b) a##b
#define SR_JOIN(a, b) SR_JOIN_(a, b)

namespace {

// f.operator()<LossT>(numbers): of the type that has value_bytes.
template <class F>
void visit(int value_bytes, int loss, void* workspace, F f) {
  softreg::visit_alternative<softreg::AnyLoss>(loss, [&]<class LossT>() {
    if (value_bytes == 4)
      f.template operator()<LossT>(static_cast<float*>(workspace));
    else
      f.template operator()<LossT>(static_cast<double*>(workspace));
  });
}

// Before code of the baseline runs: where upper halves of registers are in use, a Xeon ran it some
// fifty times slower. g++ 12 cleans them on its own, but not always.
void clean_registers() {
#if defined(__AVX__)
  _mm256_zeroupper();
#endif
}

}  // namespace

extern "C" void SR_JOIN(softreg_cpu_solve_, SOFTREG_ISA)(int value_bytes, int loss,
                                                         const void* batch, std::int64_t i,
                                                         void* workspace, const void* team) {
  visit(value_bytes, loss, workspace, [&]<class LossT, class T>(T* numbers) {
    softreg::LaneSolver<LossT>::solve(*static_cast<const softreg::Batch<T>*>(batch), i, numbers,
                                      *static_cast<const softreg::Team*>(team));
  });
  clean_registers();
}

#if defined(__FMA__)
extern "C" void SR_JOIN(softreg_cpu_packs_, SOFTREG_ISA)(int value_bytes, int loss,
                                                         const void* batch, const void* queue,
                                                         void* workspace) {
  using softreg::PackQueue;
  const PackQueue& given = *static_cast<const PackQueue*>(queue);
  const PackQueue clean{given.lanes, given.rows,
                        [](void* of) {
                          clean_registers();
                          const PackQueue& q = *static_cast<const PackQueue*>(of);
                          return q.next(q.context);
                        },
                        [](void* of, std::int64_t i) {
                          clean_registers();
                          const PackQueue& q = *static_cast<const PackQueue*>(of);
                          q.publish(q.context, i);
                        },
                        const_cast<PackQueue*>(&given)};
  visit(value_bytes, loss, workspace, [&]<class LossT, class T>(T* numbers) {
    softreg::LaneSolver<LossT>::solve_side_by_side(*static_cast<const softreg::Batch<T>*>(batch),
                                                   clean, numbers);
  });
  clean_registers();
}
#endif
