// One instance on the lanes of a CPU group. Compiled once per instruction set, in a namespace of
// its own.
#include "cpu_lanes.hpp"

#include "softreg/model/batch.hpp"
#include "softreg/model/catalog.hpp"
#include "softreg/model/memory_placement.hpp"

namespace softreg {
namespace {

using Lanes = LaneGroup<cpu_lanes, true>;

// The instance's arrays, copied so that rows are contiguous and padded; takes its space from
// `next`.
template <class T>
T* pack(const T* from, int n, int padded, T*& next) {
  T* const to = next;
  next += padded;
  for (int i = 0; i < padded; ++i) to[i] = i < n ? from[i] : T(0);
  return to;
}
template <class T>
ColumnMatrix<const T> pack(const Matrix<const T>& from, int padded, T*& next) {
  T* const to = next;
  next += static_cast<std::int64_t>(padded) * from.cols;
  for (int i = 0; i < from.rows; ++i)
    for (int j = 0; j < from.cols; ++j) to[i + j * static_cast<std::int64_t>(padded)] = from(i, j);
  for (int j = 0; j < from.cols; ++j)
    for (int i = from.rows; i < padded; ++i) to[i + j * static_cast<std::int64_t>(padded)] = T(0);
  return {to, from.rows, from.cols, padded};
}

template <class LossT, class Opt, class T>
void solve(const Batch<T>& batch, std::int64_t i, T* next) {
  using Op = Dense<ColumnMatrix<const T>, T>;
  using Placement = MemoryPlacement<Lanes, Op, Opt::memory, T>;
  const int n = batch.rows_of(i), padded = Placement::padded_rows(n), d = batch.parameters;
  Batch<T> one = batch.only(i);
  const Op op{pack(batch.matrix(i), padded, next)};
  const T* const target = pack(batch.target_of(i), n, padded, next);
  const T* const w = batch.weights_of(i);
  const T* const weights = w ? pack(w, n, padded, next) : nullptr;
  T* const memory = next;
  next += MemoryWorkspace<T>::size(padded, d, Opt::memory);
  if (batch.output) {  // the lanes write padded rows
    one.output = next;
    one.dlogits = next + padded;
    next += 2 * padded;
  }
  Evaluator<Placement, LossT, Opt, T> e{{{},
                                         op,
                                         target,
                                         weights,
                                         batch.start_of(i),
                                         batch.x_of(i),
                                         MemoryWorkspace<T>::carve(memory, padded, d, Opt::memory)},
                                        one,
                                        0,
                                        {next, padded}};
  e.p.load();
  batch.outcome[i] = trajectory<T>(e, batch.stop);
  if (batch.output) {
    for (int r = 0; r < n; ++r) {
      batch.output[batch.first_row(i) + r] = one.output[r];
      batch.dlogits[batch.first_row(i) + r] = one.dlogits[r];
    }
  }
}

template <class T>
void visit(int loss, int optimizer, const void* batch, std::int64_t i, void* workspace) {
  visit_alternative<AnyLoss>(loss, [&]<class LossT>() {
    visit_alternative<AnyOptimizer>(optimizer, [&]<class Opt>() {
      solve<LossT, Opt>(*static_cast<const Batch<T>*>(batch), i, static_cast<T*>(workspace));
    });
  });
}

}  // namespace
}  // namespace softreg

#define SR_JOIN_(a, b) a##b
#define SR_JOIN(a, b) SR_JOIN_(a, b)

extern "C" void SR_JOIN(softreg_cpu_solve_, SOFTREG_ISA)(int value_bytes, int loss, int optimizer,
                                                         const void* batch, std::int64_t i,
                                                         void* workspace) {
  if (value_bytes == 4)
    softreg::visit<float>(loss, optimizer, batch, i, workspace);
  else
    softreg::visit<double>(loss, optimizer, batch, i, workspace);
}
