// LoneSolve: one instance on a group of lanes, without the library around it: headers of the model,
// plain arrays, an evaluator that a test can also drive step by step. Rows are padded as the group
// asks, with NaN: padding must never count.
#pragma once
#include <vector>

#include "every_loss.hpp"
#include "instances.hpp"
#include "softreg/model/memory_placement.hpp"

namespace softreg {

struct LoneOptions {
  double step_size = 1, ridge = 0, ball = 0;
  bool weighted = false, describing = false, tracing = false;
  Stop stop{};
};

template <class LossT, class Opt, class T, class G = LaneGroup<1>>
class LoneSolve {
  using Op = Dense<ColumnMatrix<const T>, T>;
  using Placement = MemoryPlacement<G, Op, T>;

 public:
  LoneSolve(const instances::Instance<T>& p, const LoneOptions& o)
      : x(at(p.d), quiet_nan<T>()),
        losses(o.tracing ? at(o.stop.max_steps / o.stop.check_every + 3) : 0, quiet_nan<T>()),
        rows_(Placement::padded_rows(p.n)),
        extent_{rows_, 1, p.d, 0, p.n},
        output(o.describing ? at(p.n) : 0),
        dlogits(output),
        gradient(o.describing ? at(p.d) : 0),
        attended(gradient),
        step_size_(T(o.step_size)),
        a_(columns(p)),
        b_(padded(p.b)),
        w_(o.weighted ? padded(p.w) : std::vector<T>()),
        x0_(p.x0),
        workspace_(static_cast<std::size_t>(MemoryWorkspace<T>::size(extent_))),
        batch(describe(p, o)),
        evaluator{{{{},
                    {{a_.data(), p.n, p.d, rows_}},
                    b_.data(),
                    o.weighted ? w_.data() : nullptr,
                    T(0),
                    x0_.data(),
                    x.data(),
                    MemoryWorkspace<T>::carve(workspace_.data(), extent_)},
                   batch,
                   0,
                   {}}} {
    evaluator.p.load();
  }
  LoneSolve(const LoneSolve&) = delete;
  LoneSolve& operator=(const LoneSolve&) = delete;

  Outcome<T> run() {
    trajectory(evaluator, batch.stop);
    return outcome;
  }

  // Of the evaluator: parameter j of the point, to be moved by hand between evaluations, and the
  // gradient.
  T& parameter(int j) { return evaluator.p.w.point[j]; }
  const T* gradient_now() const { return evaluator.p.w.grad; }

  Outcome<T> outcome;
  std::vector<T> x, losses;  // losses: longer than needed, NaN where nothing was written

 private:
  int rows_;
  Extent extent_;

 public:
  std::vector<T> output, dlogits, gradient, attended;  // when describing
  T log_mass = quiet_nan<T>();

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }

  std::vector<T> columns(const instances::Instance<T>& p) const {
    std::vector<T> out;
    for (int j = 0; j < p.d; ++j)
      for (int i = 0; i < rows_; ++i)
        out.push_back(i < p.n ? p.a[at(i * p.d + j)] : quiet_nan<T>());
    return out;
  }
  std::vector<T> padded(std::vector<T> v) const {
    v.resize(at(rows_), quiet_nan<T>());
    return v;
  }
  Batch<T> describe(const instances::Instance<T>& p, const LoneOptions& o) {
    Batch<T> out;
    out.count = 1;
    out.optimizer = static_cast<int>(AnyOptimizer(Opt{}).index());
    out.d2 = p.d;
    out.m = p.n;
    out.step_size = &step_size_;
    out.outcome = &outcome;
    out.ridge = T(o.ridge);
    out.ball = T(o.ball);
    out.stop = o.stop;
    out.tests = static_cast<int>(losses.size());
    out.losses = o.tracing ? losses.data() : nullptr;
    if (!o.describing) return out;
    out.output = output.data();
    out.dlogits = dlogits.data();
    out.gradient = gradient.data();
    out.attended = attended.data();
    out.log_mass = &log_mass;
    return out;
  }

  T step_size_;
  std::vector<T> a_, b_, w_, x0_, workspace_;

 public:
  Batch<T> batch;
  Evaluator<Placement, LossT, T> evaluator;
};

}  // namespace softreg
