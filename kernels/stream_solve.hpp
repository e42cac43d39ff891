// Vector problems whose A lies in memory, by columns. One alone is solved on a MemoryPlacement,
// whose products are those of a SimtProducts. Of many that share A a block solves as many side by
// side as its policy has places, in step: each on a MemoryPlacement of its own, but for the
// products, which are made for all at once. A place whose instance has ended takes the next one, so
// that none waits for another.
#pragma once
#include "policy.hpp"
#include "queue.hpp"
#include "simt_products.hpp"
#include "softreg/model/memory_solve.hpp"

namespace softreg {

// Of one instance, which makes its own products.
template <class T>
struct StreamOfOne : DenseMatrix<T> {
  static SR_DEVICE StreamOfOne of(const Batch<T>& batch, std::int64_t i, T*) {
    return {DenseMatrix<T>::of(batch, i, nullptr)};
  }
  template <class G>
  SR_DEVICE void apply(const G& g, const RowTile&, T* x, T* z) const {
    SimtProducts<T, G::lanes, 1>(g.scratch).apply(by_columns(this->a), {x, 0}, {z, 0});
  }
  template <class G>
  SR_DEVICE void attend(const G& g, const RowTile&, T* y, T* grad) const {
    SimtProducts<T, G::lanes, 1>(g.scratch).attend(by_columns(this->a), {y, 0}, {grad, 0});
  }
};

template <class T>
using StreamTogether = Together<StreamOfOne<T>>;

// Of one of several that share A; their products are made for all at once.
template <class T>
struct OneOfMany : DenseMatrix<T> {
  static constexpr bool segments_together = true;  // there is one
  template <class G>
  SR_DEVICE void apply(const G&, const RowTile&, T*, T*) const {}
  template <class G>
  SR_DEVICE void attend(const G&, const RowTile&, T*, T*) const {}
};

// What is kept of a place from one step to the next, in shared memory.
template <class T>
struct Place {
  std::int64_t instance;  // -1: none is left for it
  Trajectory turns;
  PassTotals<T, false> sums;
};

// Shared memory of a block.
template <class T>
constexpr std::int64_t stream_shared_bytes(const KernelPolicy& p) {
  const std::int64_t values = ProductCut{p.places}.values(p.lanes() / warp_lanes);
  const std::int64_t places = p.places > 1 ? p.places : 0;
  return scratch_bytes_of(p.lanes()) + values * std::int64_t{sizeof(T)} +
         places * std::int64_t{sizeof(Place<T>)};
}

// queue: of the block's first place; those of the others follow. workspace: of the first place,
// `stride` numbers before that of the next.
template <class PolicyT, class LossT, class T>
SR_DEVICE void solve_side_by_side(const Batch<T>& batch, const Queue& queue, unsigned char* shared,
                                  T* workspace, std::int64_t stride) {
  constexpr KernelPolicy P = PolicyT::policy;
  constexpr int places = P.places;
  static_assert(!P.watches_bounds);
  using Products = SimtProducts<T, P.lanes(), places>;
  using Group = SimtGroup<P.lanes()>;
  using OnMemory = Evaluator<MemoryPlacement<Group, OneOfMany<T>, T>, LossT, T>;
  const Products products(shared);
  const Group g{shared};
  auto* const place = reinterpret_cast<Place<T>*>(shared + Products::bytes());

  const ColumnMatrix<const T> a = by_columns(batch.a_of(0));
  const Extent extent = extent_of(batch, 0);  // and of every other
  const auto w = MemoryWorkspace<T>::carve(workspace, extent);

  const auto evaluator = [&](int k) {
    const std::int64_t i = place[k].instance;
    T* const own = workspace + k * stride;
    return OnMemory{{{g,
                      {DenseMatrix<T>::of(batch, i, nullptr)},
                      batch.target_of(i),
                      batch.weights_of(i),
                      batch.weight,
                      batch.start_of(i),
                      batch.x_of(i),
                      MemoryWorkspace<T>::carve(own, extent)},
                     batch,
                     i,
                     ShiftWorkspace<T>::of(own + MemoryWorkspace<T>::size(extent), extent)}};
  };
  int busy = 0;
  // Instance i begins at place k, if there is one.
  const auto begin = [&](int k, std::int64_t i) {
    g.once([&] {
      place[k].instance = i < batch.count ? i : -1;
      place[k].turns = {};
    });
    if (i >= batch.count) return;
    OnMemory e = evaluator(k);
    e.p.load();
    e.init();
    ++busy;
  };
  for (int k = 0; k < places; ++k) begin(k, queue.group + k);
  const int used = busy;
  for (int k = used; k < places; ++k) {  // whose products nobody reads
    g.for_each(a.rows, [z = w.z + k * stride](int i) { z[i] = T(0); });
    g.for_each(a.cols, [x = w.point + k * stride](int j) { x[j] = T(0); });
  }
  while (busy > 0) {
    products.apply(a, {w.point, stride}, {w.z, stride});
    for (int k = 0; k < used; ++k) {
      if (place[k].instance < 0) continue;
      OnMemory e = evaluator(k);
      const Trajectory turns = place[k].turns;
      const PassTotals<T, false> sums = e.pass(turns.step, turns.describing, turns.tests());
      g.once([&] { place[k].sums = sums; });
    }
    products.attend(a, {w.z, stride}, {w.grad, stride});
    for (int k = 0; k < used; ++k) {
      if (place[k].instance < 0) continue;
      OnMemory e = evaluator(k);
      Trajectory turns = place[k].turns;
      e.conclude(turns.step, turns.describing, place[k].sums);
      const bool more = turns.go_on(e, batch.stop);
      g.once([&] { place[k].turns = turns; });
      if (more) continue;
      --busy;
      begin(k, queue.next(g));
    }
  }
}

}  // namespace softreg
