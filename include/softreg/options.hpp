// Options of solve() and evaluate(): plain data for designated initialisers.
#pragma once
#include <cstdint>
#include <functional>

#include "softreg/model/catalog.hpp"
#include "softreg/model/trajectory.hpp"

namespace softreg {

enum class Device { automatic, reference, cpu, cuda };
// bounds: shifts and, of losses with a softmax, all other quantities of the theorems.
enum class TraceKind { none, loss, shifts, bounds };

// fast: on a GPU, in float32, the loss by the device's approximations of exp, log and quotients, of
// instances that registers hold (how far they are off: kernels/fast.hpp). It needs NVRTC.
enum class Arithmetic { portable, fast };

struct Progress {
  std::int64_t finished = 0, count = 0;  // instances
  std::int64_t steps = 0;                // updates made by the finished instances
};

struct Options {
  AnyLoss loss = SoftmaxL2{};
  AnyOptimizer optimizer = GradientDescent{};  // step_size automatic_step_size: the proven one
  double step_multiple = 1;                    // of the automatic step size
  Stop stop{};
  double ridge = 0;  // adds ridge/2 |x|^2
  double logit_weight =
      0;            // adds 1/2 |diag(w) A x|^2 with w = logit_weight, unless the problem has w
  double ball = 0;  // > 0: projects on |x| <= ball after every step
  // The instances are consecutive contexts of one sequence, all of one shape: each starts at the x
  // at which the one before ended, and the problem's x0, of which there is one, is the start of the
  // first. One that cannot run (Status bad_...) is passed over; its x, and that of a context that
  // has not run, is the x before it. The bits are those of solving instance by instance. Only what
  // is inside an instance is done in parallel. evaluate() ignores it.
  bool sequence = false;
  TraceKind trace = TraceKind::none;
  bool trace_full = false;  // shifts, bounds: also every update's |df| and |dx|
  Device device = Device::automatic;
  Arithmetic arithmetic = Arithmetic::portable;
  // false: the bits of an instance may depend on how many there are, where that is faster (CUDA:
  // many that share a large A)
  bool batch_invariant = true;
  int threads = 0;                // CPU; 0: all cores
  std::int64_t memory_limit = 0;  // bytes of workspace; 0: what the device has
  double time_limit = 0;          // seconds; 0: none. What is not finished ends as not_run
  // Called from one thread at a time, at most about ten times a second; must not throw.
  std::function<void(const Progress&)> progress{};
  // Asked at most about a hundred times a second; true ends the solve, the rest is not_run.
  std::function<bool()> cancel{};
};

}  // namespace softreg
