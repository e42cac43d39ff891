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
#include "made_kernels.hpp"
#include "parallel.hpp"
#include "softreg/error.hpp"
#include "specialise.hpp"

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
  // specialised: of Launch.
  Transfer(Gpu& gpu, Run<T>& run, const Chunk& chunk, std::span<const std::int64_t> order,
           const void* specialised)
      : gpu_(gpu),
        run_(run),
        chunk_(chunk),
        specialised_(specialised),
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
    launch.blocks = chunk_.blocks;
    launch.shared_bytes = chunk_.shared_bytes;
    launch.workspace = workspace;
    launch.workspace_stride = chunk_.workspace_values;
    launch.specialised = specialised_;
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
  // Rows of an array of the batch, `width` numbers each; `first` tells where an instance's begin,
  // in the batch and in the chunk.
  template <class F, class First>
  T* gather_rows(std::int64_t rows, std::int64_t width, First first, F fill) {
    T* const host = host_.template take<T>(rows * width);
    parallel_for(count(), run_.threads,
                 [&](std::int64_t k, int) { fill(instance(k), host + first(here_, k) * width); });
    return to_device(host, rows * width);
  }
  T* gather_logits(const T* from) {
    const Layout& there = run_.batch;
    return gather_rows(
        chunk_.amount.rows, 1, [](const Layout& l, std::int64_t k) { return l.first_row(k); },
        [from, &there](std::int64_t i, T* out) {
          std::copy_n(from + there.first_row(i), there.all_rows_of(i), out);
        });
  }
  T* gather_matrix(const T* from, std::int64_t rows, int columns,
                   std::int64_t (Layout::*first)(std::int64_t) const) {
    const Layout& there = run_.batch;
    const auto begin = [first](const Layout& l, std::int64_t i) {
      return (l.*first)(l.first_block(i));
    };
    return gather_rows(rows, columns, begin, [=, &there](std::int64_t i, T* out) {
      const std::int64_t from_row = begin(there, i), to_row = begin(there, i + 1);
      std::copy_n(from + from_row * columns, (to_row - from_row) * columns, out);
    });
  }

  // The layout of the chunk, on the host; the arrays of a ragged one are sent as well.
  void lay_out(Batch<T>& to) {
    const Layout& from = run_.batch;
    here_ = from;
    here_.count = count();
    static_cast<Layout&>(to) = here_;
    if (!from.begin2) return;
    const std::int64_t blocks = chunk_.amount.blocks;
    std::int64_t* const first = host_.template take<std::int64_t>(count() + 1);
    std::int64_t* const begin1 = host_.template take<std::int64_t>(blocks + 1);
    std::int64_t* const begin2 = host_.template take<std::int64_t>(blocks + 1);
    std::int64_t* const begin_z = host_.template take<std::int64_t>(blocks + 1);
    std::int64_t at = first[0] = begin1[0] = begin2[0] = begin_z[0] = 0;
    for (std::int64_t k = 0; k < count(); ++k) {
      const std::int64_t i = instance(k);
      for (std::int64_t block = from.first_block(i); block < from.first_block(i + 1); ++block) {
        begin1[at + 1] = begin1[at] + from.rows1(block);
        begin2[at + 1] = begin2[at] + from.rows2(block);
        begin_z[at + 1] = begin_z[at] + from.first_z(block + 1) - from.first_z(block);
        ++at;
      }
      first[k + 1] = at;
    }
    here_.blocks = first;
    here_.begin1 = begin1;
    here_.begin2 = begin2;
    here_.begin_z = begin_z;
    to.blocks = to_device(first, count() + 1);
    to.begin1 = to_device(begin1, blocks + 1);
    to.begin2 = to_device(begin2, blocks + 1);
    to.begin_z = to_device(begin_z, blocks + 1);
  }

  // A of a vector problem goes by columns: lanes of a warp read neighbouring rows.
  const T* stage_vector_matrix() {
    const Batch<T>& from = run_.batch;
    const int d = from.d2;
    const auto columns = [d](const Matrix<const T>& a, T* out) {
      for (int j = 0; j < d; ++j)
        for (int r = 0; r < a.rows; ++r) out[r + std::int64_t(j) * a.rows] = a(r, j);
    };
    if (from.a2_shared) {
      T* const host = host_.template take<T>(from.m * d);
      columns(from.a_of(0), host);
      return to_device(host, from.m * d);
    }
    return gather_rows(
        chunk_.amount.rows, d, [](const Layout& l, std::int64_t k) { return l.first_row(k); },
        [&](std::int64_t i, T* out) { columns(from.a_of(i), out); });
  }

  Batch<T> stage() {
    const Batch<T>& from = run_.batch;
    Batch<T> to = from;
    to.cancelled = nullptr;  // a kernel is not interrupted; the conductor stops between chunks
    lay_out(to);
    if (from.matrix) {
      to.a1 = from.a1_shared
                  ? to_device(from.a1, from.n * from.d1)
                  : gather_matrix(from.a1, chunk_.amount.rows1, from.d1, &Layout::first1);
      to.a2 = from.a2_shared
                  ? to_device(from.a2, from.m * from.d2)
                  : gather_matrix(from.a2, chunk_.amount.rows2, from.d2, &Layout::first2);
    } else {
      to.column_major = true;
      to.a2 = stage_vector_matrix();
    }
    to.target =
        from.target_shared ? to_device(from.target, from.n * from.m) : gather_logits(from.target);
    if (from.weights)
      to.weights = from.weights_shared ? to_device(from.weights, from.n * from.m)
                                       : gather_logits(from.weights);
    const int d = from.parameters();
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
    const std::int64_t n = count(), d = from.parameters();
    to.x = device_.template take<T>(n * d);
    to.outcome = device_.template take<Outcome<T>>(n);
    if (from.losses) to.losses = device_.template take<T>(n * from.tests);
    if (from.shifts) {
      to.operator_norm =
          gather<T>(1, [&](std::int64_t i, T* out) { *out = from.operator_norm[i]; });
      to.shifts = device_.template take<ShiftSummary<T>>(n);
    }
    if (from.bounds) to.bounds = device_.template take<BoundSummary<T>>(n);
    if (from.shift_f) {
      to.shift_f = device_.template take<T>(n * from.stop.max_steps);
      to.shift_x = device_.template take<T>(n * from.stop.max_steps);
    }
    if (from.output) {
      const Amount& has = chunk_.amount;
      to.output = device_.template take<T>(has.rows);
      to.dlogits = device_.template take<T>(has.rows);
      to.gradient = device_.template take<T>(n * d);
      to.attended = device_.template take<T>(has.rows1 * from.d2);
      to.log_mass = device_.template take<T>(has.rows1);
    }
  }

  template <class V>
  V* from_device(const V* device, std::int64_t values) {
    if (!device) return nullptr;
    V* const host = host_.template take<V>(values);
    gpu_.copy_out(host, device, static_cast<std::size_t>(values) * sizeof(V));
    return host;
  }

  void fetch(const Batch<T>& b) {
    const std::int64_t n = count(), d = b.parameters(), steps = b.stop.max_steps;
    const T* const x = from_device(b.x, n * d);
    const Outcome<T>* const outcome = from_device(b.outcome, n);
    const T* const losses = from_device(b.losses, n * b.tests);
    const ShiftSummary<T>* const shifts = from_device(b.shifts, n);
    const BoundSummary<T>* const bounds = from_device(b.bounds, n);
    const T* const shift_f = from_device(b.shift_f, n * steps);
    const T* const shift_x = from_device(b.shift_x, n * steps);
    const Amount& has = chunk_.amount;
    const T* const output = from_device(b.output, has.rows);
    const T* const dlogits = from_device(b.dlogits, has.rows);
    const T* const gradient = from_device(b.gradient, n * d);
    const T* const attended = from_device(b.attended, has.rows1 * b.d2);
    const T* const log_mass = from_device(b.log_mass, has.rows1);
    gpu_.synchronize();
    const Batch<T>& to = run_.batch;
    for (std::int64_t k = 0; k < n; ++k) {
      const std::int64_t i = instance(k), rows = to.all_rows_of(i);
      const std::int64_t segments = to.segments_of(i), first = here_.first_segment(k);
      const auto put = [](const T* source, std::int64_t at, T* target, std::int64_t there,
                          std::int64_t values) {
        if (source) std::copy_n(source + at, values, target + there);
      };
      put(x, k * d, to.x, i * d, d);
      const std::int64_t tests =
          outcome[k].status == Status::not_run ? 0 : run_.batch.stop.tests(outcome[k].steps);
      put(losses, k * to.tests, to.losses, i * to.tests, tests);
      if (shifts) to.shifts[i] = shifts[k];
      if (bounds) to.bounds[i] = bounds[k];
      put(shift_f, k * steps, to.shift_f, i * steps, outcome[k].steps);
      put(shift_x, k * steps, to.shift_x, i * steps, outcome[k].steps);
      put(output, here_.first_row(k), to.output, to.first_row(i), rows);
      put(dlogits, here_.first_row(k), to.dlogits, to.first_row(i), rows);
      put(gradient, k * d, to.gradient, i * d, d);
      put(attended, first * to.d2, to.attended, to.first_segment(i) * to.d2, segments * to.d2);
      put(log_mass, first, to.log_mass, to.first_segment(i), segments);
      to.outcome[i] = outcome[k];
      run_.publish(i);
    }
  }
  Gpu& gpu_;
  Run<T>& run_;
  const Chunk& chunk_;
  const void* specialised_;
  DevicePool device_;
  HostPool host_;
  std::span<const std::int64_t> instances_;
  Layout here_;  // of the chunk, in host arrays
};

DeviceInfo usable(Gpu& gpu, std::int64_t memory_limit) {
  DeviceInfo info = gpu.info();
  info.memory_bytes -= info.memory_bytes / 16;  // the driver's own and fragmentation
  if (memory_limit > 0) info.memory_bytes = std::min(info.memory_bytes, memory_limit);
  info.specialise = specialise_setting();
  if (info.specialise != Specialise::never && !gpu.cannot_specialise().empty())
    info.specialise = Specialise::never;
  return info;
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
    summary.size_class += comma + std::string(policies[last].name);
    const bool made = p.exact[static_cast<std::size_t>(last)].has_value();
    summary.kernels += comma + std::string(made ? "specialised" : "catalogue");
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

template <class T>
void run_chunks(Run<T>& run, PlanSummary& summary) {
  const std::unique_ptr<Gpu> gpu = gpu_source().open();
  const DeviceInfo info = usable(*gpu, run.memory_limit);
  CudaPlan p = plan_cuda(run.shape, run.fit, info);
  const MadeKernels kernels = make_kernels(*gpu, run.loss, sizeof(T), p);
  summarise(run, p, summary);
  std::deque<Chunk> waiting(p.chunks.begin(), p.chunks.end());
  while (!waiting.empty()) {
    if (run.cancelled()) return;
    const Chunk chunk = waiting.front();
    waiting.pop_front();
    try {
      const void* const specialised = kernels[static_cast<std::size_t>(chunk.policy)];
      Transfer<T>(*gpu, run, chunk, p.order, specialised).solve();
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
