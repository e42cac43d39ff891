// Packs of the CPU backend: instances of one shape side by side. Those of a ragged batch are
// grouped by their rows; every thread passes all groups, and all packs of a group take from one
// queue.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "cpu_alone.hpp"
#include "cpu_lanes.hpp"
#include "parallel.hpp"
#include "reduced_places.hpp"

namespace softreg {

// Instances of as many rows each.
struct PackGroup {
  PackShape shape;  // no lanes: they are solved alone
  std::span<const std::int64_t> instances;
  std::atomic<std::size_t> taken{0};

  std::int64_t next() {
    const std::size_t k = taken.fetch_add(1, std::memory_order_relaxed);
    return k < instances.size() ? instances[k] : -1;
  }
};

// What a pack takes from its group and gives back.
template <class T>
struct PackSource {
  Run<T>& run;
  PackGroup& group;

  std::int64_t next() { return group.next(); }
  void publish(std::int64_t i) { run.publish(i); }
  const Batch<T>& batch() const { return run.batch; }
};
// The same after a reduction; what cannot be reduced is solved alone.
template <class T>
struct ReducedPackSource {
  PackGroup& group;
  Alone<T>& alone;
  ReducedPlaces<T> places;
  Run<T>& run;

  std::int64_t next() {
    while (!run.cancelled()) {
      const std::int64_t i = group.next(), place = i < 0 ? -1 : places.take(i);
      if (i < 0 || place >= 0) return place;
      alone.solve_unreduced(i);
    }
    return -1;
  }
  void publish(std::int64_t place) {
    const std::int64_t i = places.instance(place);
    if (places.leave(place))
      run.publish(i);
    else
      alone.solve_unreduced(i);
  }
  const Batch<T>& batch() const { return places.batch(); }
};

template <class T>
class Packs {
 public:
  Packs(const CpuIsa& isa, Run<T>& run, const CpuPlan& plan) : isa_(isa), run_(run), plan_(plan) {
    const Batch<T>& batch = run.batch;
    if (!batch.begin2) {
      add(run.fit, true);
      return;
    }
    order_ = run.fit;
    std::stable_sort(order_.begin(), order_.end(), [&batch](std::int64_t i, std::int64_t k) {
      return batch.rows_of(i) > batch.rows_of(k);
    });
    for (auto first = order_.begin(); first != order_.end();) {
      const int rows = batch.rows_of(*first);
      const auto last = std::find_if(first, order_.end(),
                                     [&](std::int64_t i) { return batch.rows_of(i) != rows; });
      // Perhaps fewer than the plan has seen: only those that are fit.
      add({first, last}, last - first >= plan.least_beside);
      first = last;
    }
  }

  void run() {
    parallel_for(plan_.threads, plan_.threads, [this](std::int64_t, int) {
      Alone<T> alone(isa_, run_, plan_.workspace_values);
      AlignedVector<T> workspace(static_cast<std::size_t>(plan_.pack_values));
      // Each thread a group of its own, the longest instances first; then it helps the others.
      for (std::size_t k; (k = begun_.fetch_add(1, std::memory_order_relaxed)) < groups_.size();)
        take(groups_[k], alone, workspace.data());
      for (PackGroup& group : groups_) take(group, alone, workspace.data());
    });
  }

 private:
  void add(std::span<const std::int64_t> instances, bool beside) {
    if (instances.empty()) return;
    PackGroup& group = groups_.emplace_back();
    group.instances = instances;
    if (beside)
      group.shape =
          pack_shape(run_.shape, run_.batch.rows_of(instances.front()), plan_.core, plan_.many);
  }

  void take(PackGroup& group, Alone<T>& alone, T* workspace) {
    if (run_.cancelled() || group.taken.load(std::memory_order_relaxed) >= group.instances.size())
      return;
    if (group.shape.lanes == 0) {
      for (std::int64_t i = 0; !run_.cancelled() && (i = group.next()) >= 0;) alone.solve(i);
    } else if (group.shape.reduced) {
      ReducedPackSource<T> source{
          group,
          alone,
          {run_.batch, group.instances.front(),
           std::min(group.shape.places, std::int64_t(group.instances.size()))},
          run_};
      run_pack(source, group, workspace);
    } else {
      PackSource<T> source{run_, group};
      run_pack(source, group, workspace);
    }
  }

  template <class Source>
  void run_pack(Source& source, const PackGroup& group, T* workspace) {
    const PackQueue queue{
        group.shape.lanes, run_.batch.rows_of(group.instances.front()),
        [](void* of) { return static_cast<Source*>(of)->next(); },
        [](void* of, std::int64_t item) { static_cast<Source*>(of)->publish(item); }, &source};
    isa_.packs(int(sizeof(T)), run_.loss, &source.batch(), &queue, workspace);
  }

  const CpuIsa& isa_;
  Run<T>& run_;
  const CpuPlan& plan_;
  std::vector<std::int64_t> order_;  // of a ragged batch
  std::deque<PackGroup> groups_;
  std::atomic<std::size_t> begun_{0};  // of the groups
};

}  // namespace softreg
