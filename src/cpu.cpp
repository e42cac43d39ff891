// The CPU backend: threads over instances, each on 16 lanes, in tiles, or several side by side;
// compiled for the best instruction set of this processor.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "backend.hpp"
#include "cpu_isa.hpp"
#include "cpu_packs.hpp"
#include "parallel.hpp"
#include "softreg/error.hpp"
#include "team.hpp"
#include "tile_extent.hpp"

namespace softreg {
namespace {

// SOFTREG_ISA=x86-64, x86-64-v3 or x86-64-v4 forbids better ones: for tests and comparisons.
const CpuIsa& chosen_isa() {
  static const CpuIsa& chosen = []() -> const CpuIsa& {
    const char* wanted = std::getenv("SOFTREG_ISA");
    if (wanted && *wanted == '\0') wanted = nullptr;
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
                             this_core(countable ? chosen_isa().register_bytes : 0));
  summary.road = "cpu";
  summary.isa = chosen_isa().name;
  summary.lanes = p.lanes ? cpu_lanes : p.tiles ? tile_lanes : p.packs4 ? shared_pack_lanes : 1;
  std::string& classes = summary.size_class;
  classes.clear();
  const auto name = [&classes](bool used, const char* what, int lanes) {
    if (used) classes += (classes.empty() ? "" : ",") + std::string(what) + std::to_string(lanes);
  };
  name(p.packs1, "packs", 1);
  name(p.packs4, "packs", shared_pack_lanes);
  name(p.lanes, "lanes", cpu_lanes);
  name(p.tiles, "tiles", tile_lanes);
  if (p.reduced) classes += "_reduced";
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

template <class T>
void run_all(Run<T>& run, PlanSummary& summary) {
  const CpuPlan p = plan(run, summary);
  if (p.core.register_bytes > 0) return Packs<T>(chosen_isa(), run, p).run();
  const auto solve = [&](std::int64_t k, Alone<T>& alone, const Team& team) {
    if (!run.cancelled()) alone.solve(run.fit[static_cast<std::size_t>(k)], team);
  };
  const std::int64_t instances = std::int64_t(run.fit.size());
  const auto fresh = [&] { return Alone<T>(chosen_isa(), run, p.workspace_values); };
  if (p.team) {
    const Team team{p.threads, &p.threads, run_team};
    Alone<T> alone = fresh();
    for (std::int64_t k = 0; k < instances; ++k) solve(k, alone, team);
    return;
  }
  std::vector<Alone<T>> slots;
  for (int k = 0; k < p.threads; ++k) slots.push_back(fresh());
  parallel_for(instances, p.threads, [&](std::int64_t k, int slot) {
    solve(k, slots[static_cast<std::size_t>(slot)], Team{});
  });
}

}  // namespace

const Backend cpu_backend{"cpu",
                          [] {
                            try {
                              chosen_isa();
                            } catch (const Error& e) {
                              return std::string(e.what());
                            }
                            return std::string();
                          },
                          [] {
                            return std::string(chosen_isa().name) + ", " +
                                   std::to_string(worker_slots(0)) + " threads";
                          },
                          [](const Run<float>& r, PlanSummary& s) { plan(r, s); },
                          [](const Run<double>& r, PlanSummary& s) { plan(r, s); },
                          run_all<float>,
                          run_all<double>};

}  // namespace softreg
