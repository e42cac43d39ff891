// The CUDA backend: chunks go through the streams of the device in turn, each packed, copied in,
// solved by one launch and copied out. It knows the device only through Gpu, so the tests run all
// of it on host memory and the emulator.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "backend.hpp"
#include "pipeline.hpp"
#include "shared_arrays.hpp"
#include "specialise.hpp"
#include "specialised_kernels.hpp"

namespace softreg {

GpuSource& gpu_source() {
  static GpuSource source;
  return source;
}

namespace {

DeviceInfo usable(Gpu& gpu, std::int64_t memory_limit) {
  DeviceInfo info = gpu.info();
  info.memory_bytes -= info.memory_bytes / 16;  // the driver's own and fragmentation
  if (memory_limit > 0) info.memory_bytes = std::min(info.memory_bytes, memory_limit);
  info.specialise = specialise_setting();
  if (info.specialise != Specialise::never && !gpu.cannot_specialise().empty())
    info.specialise = Specialise::never;
  return info;
}

// Of the fast arithmetic: that there is something for it, and what makes its kernels.
void check_fast(Gpu& gpu, const CudaPlan& plan) {
  if (plan.chunks.empty()) return;
  const bool some = std::any_of(plan.specialised.begin(), plan.specialised.end(),
                                [](const auto& special) { return special && special->fast; });
  if (!some)
    throw Error(ErrorKind::usage,
                fmt::format("the fast arithmetic is for vector problems that have a class in "
                            "registers (README, \"CUDA classes\"), but all instances are in {}",
                            policies[plan.chunks.front().policy].name),
                "the portable arithmetic is for all");
  if (const std::string reason = gpu.cannot_specialise(); !reason.empty())
    throw Error(ErrorKind::device_unavailable,
                "the fast arithmetic has kernels that are made at run time, but " + reason,
                "the portable arithmetic needs nothing else");
}

template <class T>
void summarise(const Run<T>& run, const CudaPlan& p, PlanSummary& summary) {
  summary.road = "cuda";
  summary.size_class.clear();
  summary.kernels.clear();
  summary.lanes = 1;
  std::pair<int, bool> last{-1, false};
  for (const Chunk& c : p.chunks) {
    const bool reduced = c.columns > 0;
    if (std::exchange(last, {c.policy, reduced}) == std::pair{c.policy, reduced}) continue;
    const char* const comma = summary.size_class.empty() ? "" : ",";
    const std::optional<SpecialisedPolicy>& special =
        p.specialised[static_cast<std::size_t>(c.policy)];
    summary.size_class +=
        comma + std::string(policies[c.policy].name) + (reduced ? "_reduced" : "");
    summary.kernels += comma + std::string(!special        ? "catalogue"
                                           : special->fast ? "fast"
                                                           : "specialised");
    summary.lanes = std::max(summary.lanes, policies[c.policy].lanes());
  }
  summary.padding = p.padding;
  summary.occupancy = p.occupancy;
  summary.waves = p.waves;
  summary.batch_invariant = p.batch_invariant;
  summary.chunks = std::int64_t(p.chunks.size());
  summary.workspace_bytes = p.bytes;
  summary.threads = worker_slots(run.threads);
}

template <class T>
void plan(const Run<T>& run, PlanSummary& summary) {
  const std::unique_ptr<Gpu> gpu = gpu_source().open();
  const CudaPlan p = plan_cuda(run.shape, run.fit, usable(*gpu, run.memory_limit));
  if (run.shape.fast) check_fast(*gpu, p);
  summarise(run, p, summary);
}

// Returns the instances that turned out to need a solve as they are.
template <class T>
std::vector<std::int64_t> run_plan(Gpu& gpu, Run<T>& run, const CudaPlan& p,
                                   const SpecialisedKernels& kernels, const DeviceInfo& info,
                                   PlanSummary& summary) {
  if (p.chunks.empty() || run.cancelled()) return {};
  const SharedArrays<T> shared(gpu, run.batch, run.shape, p, info);
  Pipeline<T> pipeline(gpu, run, shared, p, kernels, info);
  summary.chunks += pipeline.run();
  return pipeline.unreduced();
}

template <class T>
void run_chunks(Run<T>& run, PlanSummary& summary) {
  const std::unique_ptr<Gpu> gpu = gpu_source().open();
  const DeviceInfo info = usable(*gpu, run.memory_limit);
  CudaPlan p = plan_cuda(run.shape, run.fit, info);
  const auto make_kernels = [&] {
    return specialised_kernels(
        *gpu, run.loss, sizeof(T), [&run] { return run.cancelled(); }, p);
  };
  SpecialisedKernels kernels = make_kernels();
  summarise(run, p, summary);
  const std::vector<std::int64_t> left = run_plan(*gpu, run, p, kernels, info, summary);
  if (left.empty() || run.cancelled()) return;
  p = plan_cuda(run.shape, left, info, false);
  kernels = make_kernels();
  summary.chunks += std::int64_t(p.chunks.size());
  summary.workspace_bytes = std::max(summary.workspace_bytes, p.bytes);
  (void)run_plan(*gpu, run, p, kernels, info, summary);
}

template <class T>
void run_all(Run<T>& run, PlanSummary& summary) {
  try {
    run_chunks(run, summary);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::device_lost) run.mark_lost();
    throw;
  }
}

}  // namespace

const Backend cuda_backend{"cuda",
                           [] { return gpu_source().unavailable(); },
                           [] {
                             const std::unique_ptr<Gpu> gpu = gpu_source().open();
                             const DeviceInfo i = gpu->info();
                             return fmt::format("{}, {} multiprocessors, {} bytes free",
                                                gpu->name(), i.multiprocessors, i.memory_bytes);
                           },
                           plan<float>,
                           plan<double>,
                           run_all<float>,
                           run_all<double>};

}  // namespace softreg
