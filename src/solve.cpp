// The conductor: validate, choose the backend, plan, run, collect.
#include "solve.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "aligned.hpp"
#include "backend.hpp"
#include "described.hpp"
#include "device_arrays.hpp"
#include "matrix_norm.hpp"
#include "parallel.hpp"
#include "prepare.hpp"
#include "sequence.hpp"
#include "softreg/error.hpp"
#include "validate.hpp"

namespace softreg {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

// The fast arithmetic is CUDA's, and so is device memory.
Device device_of(const Options& options, Memory memory) {
  if (memory == Memory::device &&
      (options.device == Device::cpu || options.device == Device::reference))
    throw Error(ErrorKind::usage,
                fmt::format("the problem's arrays lie in device memory, which the device {} does "
                            "not read",
                            options.device == Device::cpu ? "cpu" : "reference"),
                "leave the device to softreg, or copy the arrays to host memory");
  return options.arithmetic == Arithmetic::fast || memory == Memory::device ? Device::cuda
                                                                            : options.device;
}

// No step is made; only on a ball, where the gradient norm depends on it, its size means something.
template <class Problem>
Problem without_step_sizes(Problem problem, const Options& options) {
  validate(problem);  // also of what is left out
  if (options.ball == 0) problem.step_size = {};
  return problem;
}

}  // namespace

template <class T>
struct LiveSolve<T>::State {
  Described<T> problem;
  Options options;
  bool describing;
  const Backend* backend = nullptr;
  PlanSummary plan;
  std::vector<std::string> warnings;
  Run<T> run;

  // Behind run.batch.
  std::vector<T> start;  // of a problem in device memory
  AlignedVector<T> x, losses, norms, shift_f, shift_x;
  AlignedVector<T> output, dlogits, gradient, attended, log_mass;
  std::vector<Outcome<T>> outcome;
  std::vector<ShiftSummary<T>> shifts;
  std::vector<BoundSummary<T>> bounds;

  std::atomic<bool> cancelled = false;  // by the caller
  mutable std::mutex mutex;             // guards what follows
  bool allocated =
      false;  // before that nothing is finished, and the arrays above are not to be read
  Prepared<T> prepared;
  Clock::time_point begun = Clock::now(), started = begun;  // all of it; after screening
  std::optional<double> solve_seconds;

  template <class Problem>
  static const Problem& checked(const Problem& p, const Options& o) {
    validate(p);
    validate(o);
    check_rounded<T>(o);
    return p;
  }
  template <class Problem>
  State(const Problem& p, const Options& o, bool describe)
      : problem(checked(p, o), o, Memory::device), options(o), describing(describe) {
    validate(problem.batch);
    check_step_size(options, !problem.step_size.empty());
    check_arithmetic(options, sizeof(T), describing);
    const bool on_device = problem.memory == Memory::device;
    backend = &choose_backend(device_of(options, problem.memory),
                              on_device ? "copy the arrays to host memory"
                              : options.arithmetic == Arithmetic::fast
                                  ? "leave out --arithmetic fast and --device cuda"
                                  : "use --device cpu or auto",
                              warnings);
    if (on_device)
      with_host_memory([&] {
        start = fetched_start(p);
        if (!start.empty()) problem.batch.start = start.data();
      });
    run.batch = problem.batch;
    run.shape = shape_of(problem, options, describing);
    run.loss = static_cast<int>(options.loss.index());
    run.threads = options.threads;
    run.memory_limit = options.memory_limit;
    const std::int64_t bytes = result_bytes(run.shape);
    with_host_memory([&] {
      take_all();
      if (options.sequence) {
        validate_sequence(run.batch);
        plan_sequence(*backend, run, plan);
      } else {
        backend->plan(run, plan);
      }
    });
    plan.result_bytes = bytes;
  }

  std::int64_t count() const { return problem.batch.count; }
  void take_all() {
    run.fit.resize(size(count()));
    std::iota(run.fit.begin(), run.fit.end(), std::int64_t{0});
  }
  std::int64_t parameters() const { return problem.batch.parameters(); }

  void allocate() {
    Batch<T>& b = run.batch;
    const auto make = [](AlignedVector<T>& v, std::int64_t n) {
      v.assign(size(n), quiet_nan<T>());
      return v.data();
    };
    b.x = make(x, count() * parameters());
    outcome.assign(size(count()), {});
    b.outcome = outcome.data();
    run.finished.assign(size(count()), 0);
    if (options.trace == TraceKind::loss) b.losses = make(losses, count() * b.tests);
    if (run.shape.watched != Watched::nothing) {
      shifts.assign(size(count()), {});
      b.shifts = shifts.data();
      b.operator_norm = make(norms, count());
    }
    if (run.shape.watched == Watched::bounds) {
      bounds.assign(size(count()), {});
      b.bounds = bounds.data();
    }
    if (options.trace_full) {
      b.shift_f = make(shift_f, count() * options.stop.max_steps);
      b.shift_x = make(shift_x, count() * options.stop.max_steps);
    }
    if (describing) {
      const std::int64_t rows = b.first_row(count()), segments = b.first_segment(count());
      b.output = make(output, rows);
      b.dlogits = make(dlogits, rows);
      b.gradient = make(gradient, count() * parameters());
      b.attended = make(attended, segments * b.d2);
      b.log_mass = make(log_mass, segments);
    }
    b.cancelled = &run.cancel;
  }

  // Screens the instances; those that cannot run are finished at once.
  void screen() {
    Prepared<T> p = prepare(problem, options, run.shape.watched != Watched::nothing);
    run.fit.clear();
    for (std::int64_t i = 0; i < count(); ++i) {
      if (p.status[size(i)] == Status::not_run) {
        run.fit.push_back(i);
      } else {
        outcome[size(i)].status = p.status[size(i)];
        run.publish(i);
      }
    }
    for (std::size_t i = 0; i < norms.size(); ++i) norms[i] = rounded_up<T>(p.operator_norm[i]);
    const std::lock_guard lock(mutex);
    prepared = std::move(p);
    run.batch.step_size = prepared.step_size.data();
  }

  // ends: x of the instances before i, where a context of a sequence may start.
  void copy_start(std::int64_t i, const T* ends, T* to) const {
    const T* const from =
        options.sequence && i > 0 ? ends + (i - 1) * parameters() : problem.batch.start_of(i);
    for (std::int64_t j = 0; j < parameters(); ++j) to[j] = from ? from[j] : T(0);
  }

  // Watches the clock, the caller and the counters while the backend works.
  void tick(Clock::time_point& reported) {
    if (options.cancel && options.cancel()) cancelled = true;
    if (cancelled || out_of_time()) __atomic_store_n(&run.cancel, 1, __ATOMIC_RELAXED);
    if (options.progress && Clock::now() - reported > std::chrono::milliseconds(100)) {
      reported = Clock::now();
      options.progress(progress());
    }
  }
  bool out_of_time() const {
    const std::lock_guard lock(mutex);
    return options.time_limit > 0 && seconds_since(begun) > options.time_limit;
  }
  Progress progress() const {
    return {run.finished_count.load(std::memory_order_relaxed), count(),
            run.steps.load(std::memory_order_relaxed)};
  }

  void execute() {
    {
      const std::lock_guard lock(mutex);
      begun = Clock::now();
    }
    allocate();
    {
      const std::lock_guard lock(mutex);
      allocated = true;
    }
    Clock::time_point reported = Clock::now();
    std::optional<Watcher> watcher;
    if (options.cancel || options.progress || options.time_limit > 0)
      watcher.emplace(std::chrono::milliseconds(10), [this, &reported] { tick(reported); });
    try {
      screen();
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::device_lost) {
        take_all();
        run.mark_lost();
      }
      throw;
    }
    {
      const std::lock_guard lock(mutex);
      started = Clock::now();
    }
    PlanSummary executed = plan;
    if (options.sequence)
      run_sequence(*backend, run, executed);
    else
      backend->run(run, executed);
    watcher.reset();
    if (options.progress) options.progress(progress());
    const std::lock_guard lock(mutex);
    plan = executed;
    solve_seconds = seconds_since(started);
  }

  void collect_instance(Result<T>& r, std::int64_t i, bool may_be_done) const {
    const bool done = may_be_done && run.is_finished(i);
    const Outcome<T> o = done ? outcome[size(i)] : Outcome<T>{};
    r.status[size(i)] = o.status;
    r.steps[size(i)] = o.steps;
    r.loss[size(i)] = o.loss;
    r.objective[size(i)] = o.objective;
    r.gradient_norm[size(i)] = o.gradient_norm;
    const bool ran = done && o.status != Status::device_error && !is_bad(o.status);
    if (ran)
      std::copy_n(x.data() + i * parameters(), parameters(), r.x.data() + i * parameters());
    else
      copy_start(i, r.x.data(), r.x.data() + i * parameters());
    if (!ran) return;
    const std::int64_t tests = run.batch.tests, steps = options.stop.max_steps;
    if (!losses.empty())
      std::copy_n(losses.data() + i * tests, tests, r.trace_loss.data() + i * tests);
    if (!shifts.empty()) r.shifts[size(i)] = shifts[size(i)];
    if (!bounds.empty()) r.bounds[size(i)] = bounds[size(i)];
    if (!shift_f.empty()) {
      std::copy_n(shift_f.data() + i * steps, o.steps, r.shift_f.data() + i * steps);
      std::copy_n(shift_x.data() + i * steps, o.steps, r.shift_x.data() + i * steps);
    }
  }

  Result<T> collect() const {
    Result<T> r;
    const std::int64_t count = this->count();
    r.count = count;
    r.d = parameters();
    r.x.resize(size(count * parameters()));
    r.status.resize(size(count));
    r.steps.resize(size(count));
    r.loss.resize(size(count));
    r.objective.resize(size(count));
    r.gradient_norm.resize(size(count));
    if (options.trace == TraceKind::loss) {
      r.trace_loss.assign(size(count * run.batch.tests), quiet_nan<T>());
      for (int k = 0; k < run.batch.tests; ++k)
        r.trace_step.push_back(static_cast<int>(std::min<std::int64_t>(
            std::int64_t{k} * options.stop.check_every, options.stop.max_steps)));
    }
    if (run.shape.watched != Watched::nothing) r.shifts.resize(size(count));
    if (run.shape.watched == Watched::bounds) r.bounds.resize(size(count));
    if (options.trace_full) {
      r.shift_f.assign(size(count * options.stop.max_steps), quiet_nan<T>());
      r.shift_x = r.shift_f;
    }
    bool may_be_done = [this] {
      const std::lock_guard lock(mutex);
      return allocated;
    }();
    for (std::int64_t i = 0; i < count; ++i) {
      collect_instance(r, i, may_be_done);
      // A sequence ends here, whatever has been finished since.
      if (options.sequence && r.status[size(i)] == Status::not_run) may_be_done = false;
    }
    r.warnings = warnings;
    if (!describing) warn_of_stationary_starts(r);
    const auto unfinished = std::count(r.status.begin(), r.status.end(), Status::not_run);
    r.interrupted = unfinished > 0;
    if (r.interrupted && !cancelled && out_of_time())
      r.warnings.push_back(
          fmt::format("the time limit of {} s ended it: {} of {} instances were finished",
                      options.time_limit, count - unfinished, count));
    const std::lock_guard lock(mutex);
    r.messages = prepared.messages;
    r.step_size_seconds = prepared.step_size_seconds;
    r.plan = plan;
    r.solve_seconds = solve_seconds ? *solve_seconds : seconds_since(started);
    return r;
  }

  template <class F>
  auto with_host_memory(F f) const {
    const auto refuse = [this] {
      throw Error(ErrorKind::out_of_memory,
                  "the results of " + std::to_string(count()) + " instances (" +
                      std::to_string(parameters()) + " parameters and " +
                      std::to_string(run.shape.trace_values) +
                      " numbers of trace each) do not fit into the memory of this machine",
                  "solve fewer instances at once, or ask for fewer steps or a smaller trace");
    };
    try {
      return f();
    } catch (const std::bad_alloc&) {
      refuse();
    } catch (const std::length_error&) {
      refuse();
    }
    __builtin_unreachable();
  }

  template <class Problem>
  static Evaluation<T> evaluate(const Problem& problem, const Options& options);

  void warn_of_stationary_starts(Result<T>& r) const {
    std::int64_t found = 0, first = 0;
    std::vector<T> x0(size(parameters()));
    // A later context of a sequence may well start at its minimiser.
    const std::int64_t looked_at = options.sequence ? std::min<std::int64_t>(r.count, 1) : r.count;
    for (std::int64_t i = 0; i < looked_at; ++i) {
      // At an objective of 0 there is nothing to leave for.
      if (r.gradient_norm[size(i)] != T(0) || r.objective[size(i)] == T(0)) continue;
      copy_start(i, r.x.data(), x0.data());
      if (!std::equal(x0.begin(), x0.end(), r.x.begin() + i * parameters())) continue;
      if (found++ == 0) first = i;
    }
    if (found > 0)
      r.warnings.push_back(
          "the gradient is exactly zero at the start of " + std::to_string(found) +
          (found == 1 ? " instance, instance " : " instances, the first is instance ") +
          std::to_string(first) + ": descent cannot leave it");
  }
};

template <class T>
LiveSolve<T>::LiveSolve(const VectorProblem<T>& problem, const Options& options)
    : state_(std::make_unique<State>(problem, options, false)) {}
template <class T>
LiveSolve<T>::LiveSolve(const MatrixProblem<T>& problem, const Options& options)
    : state_(std::make_unique<State>(problem, options, false)) {}
template <class T>
LiveSolve<T>::~LiveSolve() = default;
template <class T>
const PlanSummary& LiveSolve<T>::plan() const {
  return state_->plan;
}
template <class T>
void LiveSolve<T>::run() {
  state_->with_host_memory([this] { state_->execute(); });
}
template <class T>
Result<T> LiveSolve<T>::snapshot() const {
  return state_->with_host_memory([this] { return state_->collect(); });
}

template <class T>
template <class Problem>
Evaluation<T> LiveSolve<T>::State::evaluate(const Problem& problem, const Options& options) {
  Evaluation<T> e;
  State state(without_step_sizes(problem, options), without_steps(options), true);
  state.with_host_memory([&state] { state.execute(); });
  e.at = state.collect();
  const auto take = [](const AlignedVector<T>& v) { return std::vector<T>(v.begin(), v.end()); };
  e.output = take(state.output);
  e.dlogits = take(state.dlogits);
  e.gradient = take(state.gradient);
  e.attended = take(state.attended);
  if (std::visit([](const auto& l) { return l.normalized; }, options.loss))
    e.log_mass = take(state.log_mass);
  return e;
}

template <class T>
PlanSummary LiveSolve<T>::evaluation_plan(const VectorProblem<T>& problem, const Options& options) {
  return State(without_step_sizes(problem, options), without_steps(options), true).plan;
}
template <class T>
PlanSummary LiveSolve<T>::evaluation_plan(const MatrixProblem<T>& problem, const Options& options) {
  return State(without_step_sizes(problem, options), without_steps(options), true).plan;
}
template <class T>
Evaluation<T> LiveSolve<T>::evaluate(const VectorProblem<T>& problem, const Options& options) {
  return State::evaluate(problem, options);
}
template <class T>
Evaluation<T> LiveSolve<T>::evaluate(const MatrixProblem<T>& problem, const Options& options) {
  return State::evaluate(problem, options);
}
template class LiveSolve<float>;
template class LiveSolve<double>;

namespace {

template <class T, class Problem>
Result<T> run_and_collect(const Problem& problem, const Options& options) {
  LiveSolve<T> live(problem, options);
  live.run();
  return live.snapshot();
}

}  // namespace

template <class T>
Result<T> solve(const VectorProblem<T>& problem, const Options& options) {
  return run_and_collect<T>(problem, options);
}
template <class T>
Result<T> solve(const MatrixProblem<T>& problem, const Options& options) {
  return run_and_collect<T>(problem, options);
}
template <class T>
Evaluation<T> evaluate(const VectorProblem<T>& problem, const Options& options) {
  return LiveSolve<T>::evaluate(problem, options);
}
template <class T>
Evaluation<T> evaluate(const MatrixProblem<T>& problem, const Options& options) {
  return LiveSolve<T>::evaluate(problem, options);
}

template Result<float> solve(const VectorProblem<float>&, const Options&);
template Result<double> solve(const VectorProblem<double>&, const Options&);
template Result<float> solve(const MatrixProblem<float>&, const Options&);
template Result<double> solve(const MatrixProblem<double>&, const Options&);
template Evaluation<float> evaluate(const VectorProblem<float>&, const Options&);
template Evaluation<double> evaluate(const VectorProblem<double>&, const Options&);
template Evaluation<float> evaluate(const MatrixProblem<float>&, const Options&);
template Evaluation<double> evaluate(const MatrixProblem<double>&, const Options&);

}  // namespace softreg
