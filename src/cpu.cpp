// The CPU backend: threads over instances, each on 32 lanes, in tiles, or several side by side;
// compiled for the best instruction set of this processor.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>

#include "aligned.hpp"
#include "backend.hpp"
#include "cpu_isa.hpp"
#include "parallel.hpp"
#include "reduced_places.hpp"
#include "softreg/error.hpp"
#include "team.hpp"
#include "tile_extent.hpp"

namespace softreg {
namespace {

// SOFTREG_ISA=x86-64, x86-64-v3 or x86-64-v4 forbids better ones: for tests and comparisons.
const CpuIsa& chosen_isa() {
  static const CpuIsa& chosen = []() -> const CpuIsa& {
    const char* const wanted = std::getenv("SOFTREG_ISA");
    bool allowed = wanted == nullptr;
    for (const CpuIsa& isa : cpu_isas()) {
      allowed = allowed || std::string(wanted) == isa.name;
      if (allowed && isa.usable) return isa;
    }
    std::string names;
    for (const CpuIsa& isa : cpu_isas()) {
      if (!names.empty()) names.insert(0, ", ");
      names.insert(0, isa.name);
    }
    const bool known = wanted == nullptr || std::ranges::any_of(cpu_isas(), [wanted](auto& isa) {
                         return std::string(wanted) == isa.name;
                       });
    if (known)
      throw Error(
          ErrorKind::device_unavailable,
          "this build's CPU backend is compiled for " + names + ", and this processor has none",
          "--device reference, or build with -DSOFTREG_ISAS=x86-64");
    throw Error(ErrorKind::usage,
                "SOFTREG_ISA is '" + std::string(wanted) + "' but it must be one of " + names);
  }();
  return chosen;
}

template <class T>
CpuPlan plan(const Run<T>& run, PlanSummary& summary) {
  // A pack counts steps in T.
  const bool countable = run.batch.stop.max_steps < (sizeof(T) == 4 ? 1 << 24 : 1 << 30);
  const CpuPlan p = plan_cpu(run.shape, worker_slots(run.threads), run.memory_limit,
                             countable ? chosen_isa().register_bytes : 0);
  summary.road = "cpu";
  summary.isa = chosen_isa().name;
  summary.lanes = p.pack_lanes > 0 ? p.pack_lanes : p.lanes ? cpu_lanes : tile_lanes;
  summary.size_class = p.pack_lanes > 0 ? "packs" + std::to_string(p.pack_lanes)
                       : p.lanes        ? "lanes" + std::to_string(cpu_lanes)
                                        : "";
  if (p.tiles) {
    if (p.lanes) summary.size_class += ",";
    summary.size_class += "tiles" + std::to_string(tile_lanes);
  }
  if (p.reduced) summary.size_class += "_reduced";
  summary.padding = p.padding;
  summary.workspace_bytes = p.bytes;
  summary.threads = p.threads;
  return p;
}

// For the objects of an instruction set, which cannot call parallel_for themselves.
void run_team(const void* self, std::int64_t count,
              void (*call)(const void* context, std::int64_t item, int slot), const void* context) {
  parallel_for(count, *static_cast<const int*>(self),
               [call, context](std::int64_t item, int slot) { call(context, item, slot); });
}

// What a first attempt at instance i may have written and a second one may not.
template <class T>
void clear_traces(const Batch<T>& batch, std::int64_t i) {
  const auto clear = [i](T* trace, std::int64_t values) {
    if (trace) std::fill_n(trace + i * values, values, quiet_nan<T>());
  };
  clear(batch.losses, batch.tests);
  clear(batch.shift_f, batch.stop.max_steps);
  clear(batch.shift_x, batch.stop.max_steps);
}

// Solves instances alone, one after another.
template <class T>
struct Slot {
  AlignedVector<T> workspace;
  Reduction<T> reduction;

  void solve(Run<T>& run, const CpuPlan& p, std::int64_t i, const Team& team) {
    const Batch<T>* const reduced = reduces(run.shape, i) ? reduction.take(run.batch, i) : nullptr;
    if (reduced) {
      call(run, p, *reduced, 0, team);
      if (run.batch.outcome[i].status == Status::not_run || reduction.lift()) return;
      clear_traces(run.batch, i);
    }
    call(run, p, run.batch, i, team);
  }
  void solve_unreduced(Run<T>& run, const CpuPlan& p, std::int64_t i) {
    clear_traces(run.batch, i);
    call(run, p, run.batch, i, Team{});
  }

 private:
  void call(Run<T>& run, const CpuPlan& p, const Batch<T>& batch, std::int64_t i,
            const Team& team) {
    if (workspace.empty()) workspace.resize(static_cast<std::size_t>(p.workspace_values));
    chosen_isa().solve(int(sizeof(T)), run.loss, &batch, i, workspace.data(), &team);
  }
};

// Instances side by side, one pack for each thread; all packs take from `taken`.
template <class T>
struct Source {
  Run<T>& run;
  const CpuPlan& plan;
  std::atomic<std::size_t>& taken;

  std::int64_t next() {
    const std::size_t k = taken.fetch_add(1, std::memory_order_relaxed);
    return k < run.fit.size() ? run.fit[k] : -1;
  }
  void publish(std::int64_t i) { run.publish(i); }
  const Batch<T>& batch() const { return run.batch; }
};
// The same after a reduction; what cannot be reduced is solved alone.
template <class T>
struct ReducedSource : Source<T> {
  ReducedPlaces<T> places;
  Slot<T> alone;

  std::int64_t next() {
    while (!this->run.cancelled()) {
      const std::int64_t i = Source<T>::next(), place = i < 0 ? -1 : places.take(i);
      if (i < 0 || place >= 0) return place;
      solve_alone(i);
    }
    return -1;
  }
  void publish(std::int64_t place) {
    if (places.leave(place))
      this->run.publish(places.instance(place));
    else
      solve_alone(places.instance(place));
  }
  void solve_alone(std::int64_t i) {
    alone.solve_unreduced(this->run, this->plan, i);
    this->run.publish(i);
  }
  const Batch<T>& batch() const { return places.batch(); }
};

template <class T, class SourceT>
void run_pack(SourceT&& pack) {
  const PackQueue queue{
      pack.plan.pack_lanes, [](void* of) { return static_cast<SourceT*>(of)->next(); },
      [](void* of, std::int64_t item) { static_cast<SourceT*>(of)->publish(item); }, &pack};
  AlignedVector<T> workspace(static_cast<std::size_t>(pack.plan.pack_values));
  chosen_isa().packs(int(sizeof(T)), pack.run.loss, &pack.batch(), &queue, workspace.data());
}

template <class T>
void run_packs(Run<T>& run, const CpuPlan& p) {
  std::atomic<std::size_t> taken{0};
  parallel_for(p.threads, p.threads, [&](std::int64_t, int) {
    if (p.reduced)
      run_pack<T>(ReducedSource<T>{{run, p, taken}, {run.batch, p.places}, {}});
    else
      run_pack<T>(Source<T>{run, p, taken});
  });
}

template <class T>
void run_all(Run<T>& run, PlanSummary& summary) {
  const CpuPlan p = plan(run, summary);
  if (p.pack_lanes > 0) return run_packs(run, p);
  const auto solve = [&](std::int64_t k, Slot<T>& slot, const Team& team) {
    if (run.cancelled()) return;
    const std::int64_t i = run.fit[static_cast<std::size_t>(k)];
    slot.solve(run, p, i, team);
    run.publish(i);
  };
  const std::int64_t instances = std::int64_t(run.fit.size());
  if (p.team) {
    const Team team{p.threads, &p.threads, run_team};
    Slot<T> slot;
    for (std::int64_t k = 0; k < instances; ++k) solve(k, slot, team);
    return;
  }
  std::vector<Slot<T>> slots(static_cast<std::size_t>(p.threads));
  parallel_for(instances, p.threads, [&](std::int64_t k, int slot) {
    solve(k, slots[static_cast<std::size_t>(slot)], Team{});
  });
}

}  // namespace

const Backend cpu_backend{"cpu",
                          [] { return std::string(); },
                          [] {
                            return std::string(chosen_isa().name) + ", " +
                                   std::to_string(worker_slots(0)) + " threads";
                          },
                          [](const Run<float>& r, PlanSummary& s) { plan(r, s); },
                          [](const Run<double>& r, PlanSummary& s) { plan(r, s); },
                          run_all<float>,
                          run_all<double>};

}  // namespace softreg
