// The CUDA backend: chunks go through the streams of the device in turn, each packed, copied in,
// solved by one launch and copied out. It knows the device only through Gpu, so the tests run all
// of it on host memory and the emulator.
#include <fmt/format.h>

#include <algorithm>
#include <string>

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
  if (!some) {
    const auto numbers = [](const KernelPolicy& p) {
      return p.placement == Placement::registers ? p.grid.rows * p.grid.parameters : 0;
    };
    const KernelPolicy& largest = *std::max_element(
        std::begin(policies), std::end(policies),
        [&](const KernelPolicy& p, const KernelPolicy& q) { return numbers(p) < numbers(q); });
    throw Error(ErrorKind::usage,
                fmt::format("the fast arithmetic is for vector problems of one softmax that "
                            "registers hold, the largest of {} rows and {} columns, but all "
                            "instances are in {}",
                            largest.grid.rows, largest.grid.parameters,
                            policies[plan.chunks.front().policy].name),
                "the portable arithmetic is for all");
  }
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
  int last = -1;
  for (const Chunk& c : p.chunks) {
    if (c.policy == last) continue;
    last = c.policy;
    const char* const comma = summary.size_class.empty() ? "" : ",";
    const std::optional<SpecialisedPolicy>& special = p.specialised[static_cast<std::size_t>(last)];
    summary.size_class += comma + std::string(policies[last].name);
    summary.kernels += comma + std::string(!special        ? "catalogue"
                                           : special->fast ? "fast"
                                                           : "specialised");
    summary.lanes = std::max(summary.lanes, policies[last].lanes());
  }
  summary.padding = p.padding;
  summary.occupancy = p.occupancy;
  summary.waves = p.waves;
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

template <class T>
void run_chunks(Run<T>& run, PlanSummary& summary) {
  const std::unique_ptr<Gpu> gpu = gpu_source().open();
  const DeviceInfo info = usable(*gpu, run.memory_limit);
  CudaPlan p = plan_cuda(run.shape, run.fit, info);
  const SpecialisedKernels kernels = specialised_kernels(
      *gpu, run.loss, sizeof(T), [&run] { return run.cancelled(); }, p);
  summarise(run, p, summary);
  if (p.chunks.empty() || run.cancelled()) return;
  const SharedArrays<T> shared(*gpu, run.batch, p.shared_bytes, info);
  summary.chunks += Pipeline<T>(*gpu, run, shared.batch(), p, kernels, info).run();
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
