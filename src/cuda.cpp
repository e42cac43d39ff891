// The CUDA backend: chunk after chunk is packed, copied in, solved by one launch and copied out. It
// knows the device only through Gpu, so the tests run all of it on host memory and the emulator.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <set>
#include <string>

#include "backend.hpp"
#include "device.hpp"
#include "parallel.hpp"
#include "softreg/error.hpp"

namespace softreg {

GpuSource& gpu_source() {
  static GpuSource source;
  return source;
}

namespace {

// Memory of a chunk, device or host, given back whatever happens.
template <void* (Gpu::*Allocate)(std::size_t), void (Gpu::*Release)(void*) noexcept>
class Pool {
 public:
  explicit Pool(Gpu& gpu) : gpu_(gpu) {}
  ~Pool() {
    for (void* p : memory_) (gpu_.*Release)(p);
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  template <class V>
  V* take(std::int64_t values) {
    memory_.reserve(memory_.size() + 1);
    memory_.push_back(
        (gpu_.*Allocate)(static_cast<std::size_t>(std::max<std::int64_t>(values, 1)) * sizeof(V)));
    return static_cast<V*>(memory_.back());
  }

 private:
  Gpu& gpu_;
  std::vector<void*> memory_;
};
using DevicePool = Pool<&Gpu::allocate, &Gpu::release>;
using HostPool = Pool<&Gpu::allocate_host, &Gpu::release_host>;

// One chunk on its way to the device and back.
template <class T>
class Transfer {
 public:
  Transfer(Gpu& gpu, Run<T>& run, const Chunk& chunk, std::span<const std::int64_t> order)
      : gpu_(gpu),
        run_(run),
        chunk_(chunk),
        device_(gpu),
        host_(gpu),
        instances_(order.subspan(static_cast<std::size_t>(chunk.first),
                                 static_cast<std::size_t>(chunk.last - chunk.first))) {}

  void solve() {
    Batch<T> batch = stage();
    T* const workspace = device_.template take<T>(std::int64_t(chunk_.blocks) *
                                                  policies[chunk_.policy].groups_per_block() *
                                                  chunk_.workspace_values);
    Launch launch;
    launch.policy = chunk_.policy;
    launch.optimizer = run_.optimizer;
    launch.blocks = chunk_.blocks;
    launch.workspace = workspace;
    launch.workspace_stride = chunk_.workspace_values;
    gpu_.launch(run_.loss, launch, batch);
    fetch(batch);
  }

 private:
  std::int64_t count() const { return chunk_.last - chunk_.first; }
  std::int64_t instance(std::int64_t k) const { return instances_[static_cast<std::size_t>(k)]; }

  template <class V>
  V* to_device(const V* host, std::int64_t values) {
    V* const device = device_.template take<V>(values);
    gpu_.copy_in(device, host, static_cast<std::size_t>(values) * sizeof(V));
    return device;
  }
  // Fills a host array instance by instance, `values` numbers each, and sends it.
  template <class V, class F>
  V* gather(std::int64_t values, F fill) {
    V* const host = host_.template take<V>(count() * values);
    parallel_for(count(), run_.threads,
                 [&](std::int64_t k, int) { fill(instance(k), host + k * values); });
    return to_device(host, count() * values);
  }
  // As gather, for one number per row and instance times `width`.
  template <class F>
  T* gather_rows(std::int64_t width, F fill) {
    T* const host = host_.template take<T>(chunk_.rows * width);
    parallel_for(count(), run_.threads,
                 [&](std::int64_t k, int) { fill(instance(k), host + first_row(k) * width); });
    return to_device(host, chunk_.rows * width);
  }
  std::int64_t first_row(std::int64_t k) const {
    return offsets_ ? offsets_[k] : k * run_.batch.rows;
  }

  Batch<T> stage() {
    const Batch<T>& from = run_.batch;
    Batch<T> to = from;
    to.count = count();
    to.cancelled = nullptr;  // a kernel is not interrupted; the conductor stops between chunks
    if (from.offsets) {
      offsets_ = host_.template take<std::int64_t>(count() + 1);
      offsets_[0] = 0;
      for (std::int64_t k = 0; k < count(); ++k)
        offsets_[k + 1] = offsets_[k] + from.rows_of(instance(k));
      to.offsets = to_device(offsets_, count() + 1);
    }
    const int d = from.parameters;
    const auto columns = [d](const Matrix<const T>& a, T* out) {
      for (int j = 0; j < d; ++j)
        for (int r = 0; r < a.rows; ++r) out[r + std::int64_t(j) * a.rows] = a(r, j);
    };
    const auto copy_rows = [&from](const T* b, std::int64_t i, T* out) {
      std::copy_n(b, from.rows_of(i), out);
    };
    to.column_major = true;  // lanes of a warp read neighbouring rows
    if (from.a_shared) {
      T* const host = host_.template take<T>(std::int64_t(from.rows) * d);
      columns(from.matrix(0), host);
      to.a = to_device(host, std::int64_t(from.rows) * d);
    } else {
      to.a = gather_rows(d, [&](std::int64_t i, T* out) { columns(from.matrix(i), out); });
    }
    to.target =
        from.target_shared
            ? to_device(from.target, from.rows)
            : gather_rows(1, [&](std::int64_t i, T* out) { copy_rows(from.target_of(i), i, out); });
    if (from.weights)
      to.weights = from.weights_shared ? to_device(from.weights, longest())
                                       : gather_rows(1, [&](std::int64_t i, T* out) {
                                           copy_rows(from.weights_of(i), i, out);
                                         });
    if (from.start)
      to.start =
          from.start_shared ? to_device(from.start, d) : gather<T>(d, [&](std::int64_t i, T* out) {
            std::copy_n(from.start_of(i), d, out);
          });
    to.step_size = gather<T>(1, [&](std::int64_t i, T* out) { *out = from.step_size[i]; });
    allocate_results(from, to);
    return to;
  }

  void allocate_results(const Batch<T>& from, Batch<T>& to) {
    const std::int64_t n = count(), d = from.parameters;
    to.x = device_.template take<T>(n * d);
    to.outcome = device_.template take<Outcome<T>>(n);
    if (from.losses) to.losses = device_.template take<T>(n * from.tests);
    if (from.shifts) {
      to.operator_norm =
          gather<T>(1, [&](std::int64_t i, T* out) { *out = from.operator_norm[i]; });
      to.shifts = device_.template take<ShiftSummary<T>>(n);
    }
    if (from.shift_f) {
      to.shift_f = device_.template take<T>(n * from.stop.max_steps);
      to.shift_x = device_.template take<T>(n * from.stop.max_steps);
    }
    if (from.output) {
      to.output = device_.template take<T>(chunk_.rows);
      to.dlogits = device_.template take<T>(chunk_.rows);
      to.gradient = device_.template take<T>(n * d);
      to.attended = device_.template take<T>(n * d);
      to.log_mass = device_.template take<T>(n);
    }
  }

  std::int64_t longest() const {
    std::int64_t n = 0;
    for (std::int64_t k = 0; k < count(); ++k)
      n = std::max<std::int64_t>(n, run_.batch.rows_of(instance(k)));
    return n;
  }

  template <class V>
  V* from_device(const V* device, std::int64_t values) {
    if (!device) return nullptr;
    V* const host = host_.template take<V>(values);
    gpu_.copy_out(host, device, static_cast<std::size_t>(values) * sizeof(V));
    return host;
  }

  void fetch(const Batch<T>& b) {
    const std::int64_t n = count(), d = b.parameters, steps = b.stop.max_steps;
    const T* const x = from_device(b.x, n * d);
    const Outcome<T>* const outcome = from_device(b.outcome, n);
    const T* const losses = from_device(b.losses, n * b.tests);
    const ShiftSummary<T>* const shifts = from_device(b.shifts, n);
    const T* const shift_f = from_device(b.shift_f, n * steps);
    const T* const shift_x = from_device(b.shift_x, n * steps);
    const T* const output = from_device(b.output, chunk_.rows);
    const T* const dlogits = from_device(b.dlogits, chunk_.rows);
    const T* const gradient = from_device(b.gradient, n * d);
    const T* const attended = from_device(b.attended, n * d);
    const T* const log_mass = from_device(b.log_mass, n);
    gpu_.synchronize();
    const Batch<T>& to = run_.batch;
    for (std::int64_t k = 0; k < n; ++k) {
      const std::int64_t i = instance(k), rows = to.rows_of(i);
      const auto put = [](const T* source, std::int64_t at, T* target, std::int64_t there,
                          std::int64_t values) {
        if (source) std::copy_n(source + at, values, target + there);
      };
      put(x, k * d, to.x, i * d, d);
      const std::int64_t tests = outcome[k].status == Status::not_run ? 0 : tests_of(outcome[k]);
      put(losses, k * to.tests, to.losses, i * to.tests, tests);
      if (shifts) to.shifts[i] = shifts[k];
      put(shift_f, k * steps, to.shift_f, i * steps, outcome[k].steps);
      put(shift_x, k * steps, to.shift_x, i * steps, outcome[k].steps);
      put(output, first_row(k), to.output, to.first_row(i), rows);
      put(dlogits, first_row(k), to.dlogits, to.first_row(i), rows);
      put(gradient, k * d, to.gradient, i * d, d);
      put(attended, k * d, to.attended, i * d, d);
      put(log_mass, k, to.log_mass, i, 1);
      to.outcome[i] = outcome[k];
      run_.publish(i);
    }
  }
  // Tests that were passed up to the returned step.
  std::int64_t tests_of(const Outcome<T>& o) const {
    const Stop& stop = run_.batch.stop;
    return o.steps / stop.check_every + (o.steps % stop.check_every != 0 ? 2 : 1);
  }

  Gpu& gpu_;
  Run<T>& run_;
  const Chunk& chunk_;
  DevicePool device_;
  HostPool host_;
  std::span<const std::int64_t> instances_;
  std::int64_t* offsets_ = nullptr;
};

DeviceInfo usable(Gpu& gpu, std::int64_t memory_limit) {
  DeviceInfo info = gpu.info();
  info.memory_bytes -= info.memory_bytes / 16;  // the driver's own and fragmentation
  if (memory_limit > 0) info.memory_bytes = std::min(info.memory_bytes, memory_limit);
  return info;
}

template <class T>
void summarise(const Run<T>& run, const CudaPlan& p, PlanSummary& summary) {
  summary.road = "cuda";
  summary.size_class.clear();
  summary.lanes = 1;
  int last = -1;
  for (const Chunk& c : p.chunks) {
    if (c.policy == last) continue;
    last = c.policy;
    if (!summary.size_class.empty()) summary.size_class += ",";
    summary.size_class += policies[last].name;
    summary.lanes = std::max(summary.lanes, policies[last].lanes);
  }
  summary.padding = p.padding;
  summary.chunks = std::int64_t(p.chunks.size());
  summary.workspace_bytes = p.bytes;
  summary.threads = worker_slots(run.threads);
}

template <class T>
void plan(const Run<T>& run, PlanSummary& summary) {
  const std::unique_ptr<Gpu> gpu = gpu_source().open();
  summarise(run, plan_cuda(run.shape, run.fit, usable(*gpu, run.memory_limit)), summary);
}

// What was not fetched when the device failed.
template <class T>
void mark_lost(Run<T>& run) {
  for (const std::int64_t i : run.fit) {
    if (run.is_finished(i)) continue;
    run.batch.outcome[i] = {};
    run.batch.outcome[i].status = Status::device_error;
    run.publish(i);
  }
}

template <class T>
void run_chunks(Run<T>& run, PlanSummary& summary) {
  const std::unique_ptr<Gpu> gpu = gpu_source().open();
  const DeviceInfo info = usable(*gpu, run.memory_limit);
  const CudaPlan p = plan_cuda(run.shape, run.fit, info);
  summarise(run, p, summary);
  std::deque<Chunk> waiting(p.chunks.begin(), p.chunks.end());
  while (!waiting.empty()) {
    if (run.cancelled()) return;
    const Chunk chunk = waiting.front();
    waiting.pop_front();
    try {
      Transfer<T>(*gpu, run, chunk, p.order).solve();
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::out_of_memory) throw;
      const std::vector<Chunk> halves = halve(chunk, run.shape, p.order, info);
      waiting.insert(waiting.begin(), halves.begin(), halves.end());
      ++summary.chunks;
    }
  }
}

template <class T>
void run_all(Run<T>& run, PlanSummary& summary) {
  try {
    run_chunks(run, summary);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::device_lost) mark_lost(run);
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
