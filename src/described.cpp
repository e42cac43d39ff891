#include "described.hpp"

#include <variant>

#include "softreg/error.hpp"

namespace softreg {
namespace {

// An array that holds one instance's numbers serves all of them.
bool shared(const Layout& l, std::size_t has, std::int64_t per_instance) {
  return l.begin2 == nullptr && l.count != 1 && static_cast<std::int64_t>(has) == per_instance;
}

Memory checked(Memory memory, Memory allowed) {
  if (memory == Memory::device && allowed == Memory::host)
    throw Error(ErrorKind::usage,
                "the problem's arrays lie in device memory, which only solve() and evaluate() read",
                "copy them to host memory");
  return memory;
}

const std::int64_t* data_or_null(std::span<const std::int64_t> v) {
  return v.empty() ? nullptr : v.data();
}

}  // namespace

template <class T>
Described<T>::Described(const VectorProblem<T>& p, const Options& options, Memory allowed)
    : step_size(p.step_size), memory(checked(p.memory, allowed)) {
  batch.count = p.count;
  batch.d2 = static_cast<int>(p.d);
  batch.m = p.n;
  batch.blocks = data_or_null(p.instances);
  batch.begin2 = batch.begin_z = data_or_null(p.segments.empty() ? p.offsets : p.segments);
  batch.a2 = p.a.data();
  batch.a2_shared = shared(batch, p.a.size(), p.n * p.d);
  fill(options, p.b, p.x0, p.w);
}

template <class T>
Described<T>::Described(const MatrixProblem<T>& p, const Options& options, Memory allowed)
    : step_size(p.step_size), memory(checked(p.memory, allowed)) {
  const bool tied = p.a2.empty();
  batch.count = p.count;
  batch.matrix = true;
  batch.d1 = static_cast<int>(p.d1);
  batch.d2 = static_cast<int>(tied ? p.d1 : p.d2);
  batch.n = p.n;
  batch.m = tied ? p.n : p.m;
  batch.blocks = data_or_null(p.instances);
  batch.begin1 = data_or_null(p.offsets1);
  batch.begin2 = tied ? batch.begin1 : data_or_null(p.offsets2);
  if (batch.begin1) {
    begin_z_.assign(p.offsets1.size(), 0);
    for (std::size_t k = 0; k + 1 < begin_z_.size(); ++k)
      begin_z_[k + 1] = begin_z_[k] + (batch.begin1[k + 1] - batch.begin1[k]) *
                                          (batch.begin2[k + 1] - batch.begin2[k]);
    batch.begin_z = begin_z_.data();
  }
  batch.a1 = p.a1.data();
  batch.a2 = tied ? p.a1.data() : p.a2.data();
  batch.a1_shared = shared(batch, p.a1.size(), p.n * p.d1);
  batch.a2_shared = tied ? batch.a1_shared : shared(batch, p.a2.size(), p.m * p.d2);
  fill(options, p.b, p.x0, p.w);
}

template <class T>
void Described<T>::fill(const Options& options, std::span<const T> b, std::span<const T> x0,
                        std::span<const T> w) {
  const std::int64_t logits = batch.n * batch.m;
  batch.target = b.data();
  batch.target_shared = shared(batch, b.size(), logits);
  batch.weights = w.empty() ? nullptr : w.data();
  batch.weights_shared = !w.empty() && shared(batch, w.size(), logits);
  batch.weight = w.empty() ? static_cast<T>(options.logit_weight) : T(0);
  batch.start = x0.empty() ? nullptr : x0.data();
  batch.start_shared =
      batch.count != 1 && static_cast<std::int64_t>(x0.size()) == batch.parameters();
  batch.ridge = static_cast<T>(options.ridge);
  batch.ball = static_cast<T>(options.ball);
  batch.optimizer = static_cast<int>(options.optimizer.index());
  batch.stop = options.stop;
  batch.tests = options.stop.tests(options.stop.max_steps);
}

template <class T>
BatchShape shape_of(const Described<T>& problem, const Options& options, bool describing) {
  const Batch<T>& b = problem.batch;
  BatchShape s;
  s.layout = b;
  s.value_bytes = sizeof(T);
  s.data_on_device = problem.memory == Memory::device;
  s.a1_shared = b.a1_shared;
  s.a2_shared = b.a2_shared;
  s.target_shared = b.target_shared;
  s.weighted = b.weights != nullptr;
  s.weights_shared = b.weights_shared;
  s.started = b.start != nullptr;
  s.start_shared = b.start_shared;
  const bool softmax = std::visit([](const auto& l) { return l.normalized; }, options.loss);
  if (options.trace == TraceKind::shifts) s.watched = Watched::shifts;
  if (options.trace == TraceKind::bounds) s.watched = softmax ? Watched::bounds : Watched::shifts;
  if (options.trace == TraceKind::loss) s.trace_values = b.tests;
  if (options.trace_full) s.trace_values = 2 * std::int64_t{options.stop.max_steps};
  s.describes = describing;
  s.anchors = b.ridge > T(0) || b.ball > T(0);
  s.plain =
      !b.weights && b.weight == T(0) && !s.anchors && s.watched == Watched::nothing && !describing;
  s.fast = options.arithmetic == Arithmetic::fast;
  s.batch_invariant = options.batch_invariant;
  s.max_steps = describing ? 0 : options.stop.max_steps;
  return s;
}

template struct Described<float>;
template struct Described<double>;
template BatchShape shape_of(const Described<float>&, const Options&, bool);
template BatchShape shape_of(const Described<double>&, const Options&, bool);

}  // namespace softreg
