// One chunk on its way to the device and back: packed into the arena of a stream, copied in by one
// copy, solved by one launch, copied out by another, and published once the stream is synchronised.
// Data that lie on the device are gathered there instead, before that launch.
#pragma once
#include <algorithm>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "chunk_reductions.hpp"
#include "device_memory.hpp"
#include "parallel.hpp"
#include "plan_parts.hpp"
#include "run.hpp"
#include "softreg/error.hpp"

namespace softreg {

template <class T>
void copy_columns(const Matrix<const T>& a, T* out) {
  for (int j = 0; j < a.cols; ++j)
    for (int r = 0; r < a.rows; ++r) out[r + std::int64_t(j) * a.rows] = a(r, j);
}
// What is left of A after a reduction; columns beyond it add nothing, not even to the sign of a
// zero. null: it was not reduced, and the kernel shall not dwell on it.
template <class T>
void copy_reduced_columns(const Batch<T>* one, int rows, int columns, T* out) {
  const std::int64_t left = one ? std::int64_t{rows} * one->d2 : 0;
  if (one) copy_columns(one->a_of(0), out);
  std::fill(out + left, out + std::int64_t{rows} * columns, one ? -T(0) : quiet_nan<T>());
}

// How many warps gather an instance of so many numbers.
constexpr int slices_of(std::int64_t values) {
  return static_cast<int>(std::clamp<std::int64_t>(values / 4096, 1, 256));
}

template <class T>
class Transfer {
 public:
  // shared: with device pointers to what all instances share; of_shared: see ChunkReductions.
  Transfer(Run<T>& run, const Batch<T>& shared, const Reduction<T>* of_shared, const Chunk& chunk,
           std::span<const std::int64_t> order, const Arena& arena)
      : run_(run),
        chunk_(chunk),
        instances_(order.subspan(static_cast<std::size_t>(chunk.first),
                                 static_cast<std::size_t>(chunk.last - chunk.first))),
        arena_(arena),
        host_(run.batch),
        device_(shared) {
    host_.count = device_.count = count();
    host_.column_major = device_.column_major = lies_by_columns(policies[chunk.policy]);
    if (chunk.columns == 0) return;
    if (!device_.column_major)
      throw Error(ErrorKind::internal,
                  "an A that was reduced lies by columns, but its class reads rows");
    host_.d2 = device_.d2 = chunk.columns;
    host_.start_shared = device_.start_shared = false;
    reductions_.emplace(run.batch, of_shared, count(), run.threads);
  }

  const Chunk& chunk() const { return chunk_; }
  std::span<const std::int64_t> instances() const { return instances_; }

  // Into host memory, which the device must have done with.
  void pack() {
    lay_out();
    if (run_.shape.data_on_device)
      pack_places();
    else
      pack_data();
    pack_arrays();
    packed_ = used_;
    place_results();
    if (run_.shape.data_on_device) place_gathered();
  }
  void copy_in(Gpu& gpu, int stream) const {
    gpu.copy_in(stream, arena_.device.data(), arena_.host.data(),
                static_cast<std::size_t>(packed_));
    if (run_.shape.data_on_device) gpu.launch(stream, DataJob<T>(gather_));
  }
  void launch(Gpu& gpu, int stream, const void* specialised) const {
    Launch launch;
    launch.policy = chunk_.policy;
    launch.specialised = specialised;
    launch.blocks = chunk_.blocks;
    launch.shared_bytes = chunk_.shared_bytes;
    launch.workspace = arena_.device.data() + chunk_.staged_bytes + chunk_.gathered_bytes;
    launch.workspace_stride = chunk_.workspace_values;
    gpu.launch(stream, run_.loss, launch, device_);
  }
  void copy_out(Gpu& gpu, int stream) const {
    gpu.copy_out(stream, arena_.host.data() + packed_, arena_.device.data() + packed_,
                 static_cast<std::size_t>(used_ - packed_));
  }
  // The stream has been synchronised since. Appends the instances that have to be solved as they
  // are; of these nothing has been written.
  void publish(std::vector<std::int64_t>& unreduced) {
    std::vector<std::uint8_t> found(static_cast<std::size_t>(count()), 1);
    parallel_for(count(), run_.threads, [&](std::int64_t k, int slot) {
      const std::int64_t i = instance(k);
      if (reductions_ && !reductions_->lift(k, i, slot, host_.x_of(k)))
        found[static_cast<std::size_t>(k)] = 0;
      else
        publish(k, i);
    });
    for (std::int64_t k = 0; k < count(); ++k)
      if (!found[static_cast<std::size_t>(k)]) unreduced.push_back(instance(k));
  }

 private:
  std::int64_t count() const { return chunk_.last - chunk_.first; }
  std::int64_t instance(std::int64_t k) const { return instances_[static_cast<std::size_t>(k)]; }

  // Where an array lies, as a host pointer; the other one is for the device.
  template <class V>
  std::remove_const_t<V>* place(V*& on_device, std::int64_t values) {
    const std::int64_t at = used_;
    used_ += aligned(values * std::int64_t{sizeof(V)});
    if (used_ > chunk_.staged_bytes)
      throw Error(ErrorKind::internal, "the arrays of a chunk take more memory than was planned");
    const auto in = [at](char* memory) {
      return reinterpret_cast<std::remove_const_t<V>*>(memory + at);
    };
    on_device = in(arena_.device.data());
    return in(arena_.host.data());
  }
  // The same of an array that both batches have.
  template <class V, class B>
  std::remove_const_t<V>* place(V* B::*array, std::int64_t values) {
    std::remove_const_t<V>* const in_host = place(device_.*array, values);
    host_.*array = in_host;
    return in_host;
  }
  // Packs an array instance by instance. first(batch, i): where the numbers of instance i begin.
  template <class V, class First>
  void pack(const V* Batch<T>::*array, std::int64_t values, First first) {
    const V* const from = run_.batch.*array;
    V* const to = place(array, values);
    parallel_for(count(), run_.threads, [&](std::int64_t k, int) {
      const std::int64_t i = instance(k), begin = first(run_.batch, i);
      std::copy_n(from + begin, first(run_.batch, i + 1) - begin, to + first(host_, k));
    });
  }

  // The arrays of a ragged layout; of a uniform one there are none.
  void lay_out() {
    const Layout& from = run_.batch;
    if (!from.begin2) return;
    const std::int64_t blocks = chunk_.amount.blocks;
    std::int64_t* const first = place(&Batch<T>::blocks, count() + 1);
    std::int64_t* const begin1 = place(&Batch<T>::begin1, blocks + 1);
    std::int64_t* const begin2 = place(&Batch<T>::begin2, blocks + 1);
    std::int64_t* const begin_z = place(&Batch<T>::begin_z, blocks + 1);
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
  }

  // A, b and w.
  void pack_data() {
    const Batch<T>& from = run_.batch;
    const Amount& has = chunk_.amount;
    const auto rows = [](const Layout& l, std::int64_t i) { return l.first_row(i); };
    if (from.matrix && !from.a1_shared)
      pack(&Batch<T>::a1, has.rows1 * from.d1,
           [](const Layout& l, std::int64_t i) { return l.first1(l.first_block(i)) * l.d1; });
    if (!device_.column_major && !from.a2_shared)
      pack(&Batch<T>::a2, has.rows2 * from.d2,
           [](const Layout& l, std::int64_t i) { return l.first2(l.first_block(i)) * l.d2; });
    if (reductions_) {
      pack_reduced();
    } else if (device_.column_major && !from.a2_shared) {
      T* const a = place(&Batch<T>::a2, has.rows * from.d2);
      parallel_for(count(), run_.threads, [&](std::int64_t k, int) {
        copy_columns(from.a_of(instance(k)), a + host_.first_row(k) * from.d2);
      });
    }
    if (!from.target_shared) pack(&Batch<T>::target, has.rows, rows);
    if (from.weights && !from.weights_shared) pack(&Batch<T>::weights, has.rows, rows);
  }

  // Where each instance begins in the caller's arrays on the device.
  void pack_places() {
    const auto pack = [&](const std::int64_t*& on_device, auto first) {
      std::int64_t* const at = place(on_device, count());
      for (std::int64_t k = 0; k < count(); ++k) at[k] = first(run_.batch.first_block(instance(k)));
    };
    const Layout& from = run_.batch;
    pack(gather_.first1, [&](std::int64_t block) { return from.first1(block); });
    pack(gather_.first2, [&](std::int64_t block) { return from.first2(block); });
    pack(gather_.first_z, [&](std::int64_t block) { return from.first_z(block); });
  }
  // What is gathered lies behind all that host memory has, too.
  void place_gathered() {
    const Batch<T>& from = run_.batch;
    const Amount& has = chunk_.amount;
    std::int64_t at = chunk_.staged_bytes;
    const auto gather = [&](typename Gather<T>::Array& array, const T* Batch<T>::*of,
                            std::int64_t values) {
      T* const to = reinterpret_cast<T*>(arena_.device.data() + at);
      at += aligned(values * std::int64_t{sizeof(T)});
      array = {from.*of, to};
      device_.*of = to;
    };
    if (from.matrix && !from.a1_shared) gather(gather_.a1, &Batch<T>::a1, has.rows1 * from.d1);
    if (!from.a2_shared) gather(gather_.a2, &Batch<T>::a2, has.rows2 * from.d2);
    if (!from.target_shared) gather(gather_.target, &Batch<T>::target, has.rows);
    if (from.weights && !from.weights_shared) gather(gather_.weights, &Batch<T>::weights, has.rows);
    if (at != chunk_.staged_bytes + chunk_.gathered_bytes)
      throw Error(ErrorKind::internal, "what a chunk gathers is not what was planned");
    gather_.to = device_;
    gather_.by_columns = device_.column_major;
    gather_.slices = slices_of(std::max(has.largest.rows, from.d2 * has.rows2 / count()));
  }

  // The start, unless reduced, and what each instance has of numbers.
  void pack_arrays() {
    const Batch<T>& from = run_.batch;
    const auto each = [](std::int64_t values) {
      return [values](const Layout&, std::int64_t i) { return i * values; };
    };
    const std::int64_t d = from.parameters();
    if (from.start && !from.start_shared && !reductions_)
      pack(&Batch<T>::start, count() * d, each(d));
    pack(&Batch<T>::step_size, count(), each(1));
    if (from.shifts) pack(&Batch<T>::operator_norm, count(), each(1));
    *place(&Batch<T>::taken, 1) = 0;
  }

  // In place of A and the start.
  void pack_reduced() {
    const std::int64_t d = host_.d2;
    T* const a = host_.a2_shared ? nullptr : place(&Batch<T>::a2, chunk_.amount.rows * d);
    T* const start = host_.start ? place(&Batch<T>::start, count() * d) : nullptr;
    parallel_for(count(), run_.threads, [&](std::int64_t k, int slot) {
      const Batch<T>* const one = reductions_->take(k, instance(k), slot);
      if (a) copy_reduced_columns(one, host_.rows_of(k), host_.d2, a + host_.first_row(k) * d);
      if (!start) return;
      std::fill_n(start + k * d, d, one ? T(0) : quiet_nan<T>());
      if (one) std::copy_n(one->start, one->d2, start + k * d);
    });
  }

  void place_results() {
    const Batch<T>& from = run_.batch;
    const Amount& has = chunk_.amount;
    const std::int64_t n = count(), d = host_.parameters();
    place(&Batch<T>::x, n * d);
    place(&Batch<T>::outcome, n);
    if (from.losses) place(&Batch<T>::losses, n * from.tests);
    if (from.shifts) place(&Batch<T>::shifts, n);
    if (from.bounds) place(&Batch<T>::bounds, n);
    if (from.shift_f) {
      place(&Batch<T>::shift_f, n * from.stop.max_steps);
      place(&Batch<T>::shift_x, n * from.stop.max_steps);
    }
    if (from.output) {
      place(&Batch<T>::output, has.rows);
      place(&Batch<T>::dlogits, has.rows);
      place(&Batch<T>::gradient, n * d);
      place(&Batch<T>::attended, has.rows1 * from.d2);
      place(&Batch<T>::log_mass, has.rows1);
    }
  }

  void publish(std::int64_t k, std::int64_t i) const {
    const Batch<T>& to = run_.batch;
    const Outcome<T>& outcome = host_.outcome[k];
    const auto put = [&](T* Batch<T>::*array, std::int64_t at, std::int64_t there,
                         std::int64_t values) {
      if (to.*array) std::copy_n(host_.*array + at, values, to.*array + there);
    };
    const std::int64_t d = to.parameters(), steps = to.stop.max_steps, rows = to.all_rows_of(i);
    const std::int64_t first = host_.first_segment(k), there = to.first_segment(i),
                       segments = to.segments_of(i);
    if (!reductions_) put(&Batch<T>::x, k * d, i * d, d);
    put(&Batch<T>::losses, k * to.tests, i * to.tests,
        outcome.status == Status::not_run ? 0 : to.stop.tests(outcome.steps));
    if (to.shifts) to.shifts[i] = host_.shifts[k];
    if (to.bounds) to.bounds[i] = host_.bounds[k];
    put(&Batch<T>::shift_f, k * steps, i * steps, outcome.steps);
    put(&Batch<T>::shift_x, k * steps, i * steps, outcome.steps);
    put(&Batch<T>::output, host_.first_row(k), to.first_row(i), rows);
    put(&Batch<T>::dlogits, host_.first_row(k), to.first_row(i), rows);
    put(&Batch<T>::gradient, k * d, i * d, d);
    put(&Batch<T>::attended, first * to.d2, there * to.d2, segments * to.d2);
    put(&Batch<T>::log_mass, first, there, segments);
    to.outcome[i] = outcome;
    run_.publish(i);
  }

  Run<T>& run_;
  Chunk chunk_;
  std::span<const std::int64_t> instances_;
  const Arena& arena_;
  std::optional<ChunkReductions<T>> reductions_;
  Gather<T> gather_;
  Batch<T> host_, device_;              // the chunk, in both memories
  std::int64_t used_ = 0, packed_ = 0;  // bytes: of all arrays, of those that are copied in
};

}  // namespace softreg
