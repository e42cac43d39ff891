// ReducedPlaces: the instances of one pack (src/pack_solver.hpp) after their reduction, as a batch
// with one item for each place. An instance that has ended leaves its place to the next one.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "aligned.hpp"
#include "reduction.hpp"

namespace softreg {

template <class T>
class ReducedPlaces {
 public:
  // For vector problems of the shape of instance i, which reduces() says yes to, and no whole
  // traces of shifts.
  ReducedPlaces(const Batch<T>& whole, std::int64_t i, std::int64_t places)
      : whole_(whole),
        layout_(reduced_layout(whole, i)),
        rows_(layout_.m),
        columns_(layout_.d2),
        reductions_(size(places)),
        instance_(size(places)),
        a_(size(places * rows_ * columns_)),
        target_(size(places * rows_)),
        weights_(whole.weights ? target_.size() : 0),
        start_(whole.start ? size(places * columns_) : 0),
        x_(size(places * columns_)),
        step_size_(size(places)),
        operator_norm_(size(places)),
        losses_(whole.losses ? size(places * whole.tests) : 0),
        outcome_(size(places)),
        shifts_(size(whole.shifts ? places : 0)),
        bounds_(size(whole.bounds ? places : 0)),
        batch_(of_places(places)) {
    for (std::int64_t k = places; k-- > 0;) free_.push_back(k);
  }
  ReducedPlaces(const ReducedPlaces&) = delete;
  ReducedPlaces& operator=(const ReducedPlaces&) = delete;

  // Numbers of T for each place, besides the traces; one: the layout of such a problem alone.
  static std::int64_t values(const Layout& one) {
    const std::int64_t columns = reduced_layout(one, 0).d2;
    return reduction_values(one, 0) + one.m * (columns + 2) + 2 * columns + 2;
  }

  const Batch<T>& batch() const { return batch_; }
  std::int64_t instance(std::int64_t place) const { return instance_[size(place)]; }

  // Instance i takes a free place, which is returned; -1 if its numbers forbid the reduction.
  std::int64_t take(std::int64_t i) {
    const std::int64_t place = free_.back();
    const Batch<T>* const one = reductions_[size(place)].take(whole_, i);
    if (!one) return -1;
    free_.pop_back();
    instance_[size(place)] = i;
    const auto put = [place](const T* from, std::int64_t values, AlignedVector<T>& to) {
      if (from) std::copy_n(from, values, to.data() + place * values);
    };
    put(one->a2, rows_ * columns_, a_);
    put(one->target, rows_, target_);
    put(one->weights, rows_, weights_);
    put(one->start, columns_, start_);
    put(one->step_size, 1, step_size_);
    if (whole_.shifts) put(one->operator_norm, 1, operator_norm_);
    if (whole_.losses)
      std::fill_n(losses_.data() + place * whole_.tests, whole_.tests, quiet_nan<T>());
    return place;
  }

  // What the instance at a place has become goes where the whole batch wants it, and the place is
  // free. Whether its x is finite; if not, nothing was gained.
  bool leave(std::int64_t place) {
    const std::int64_t i = instance(place);
    free_.push_back(place);
    whole_.outcome[i] = outcome_[size(place)];
    if (whole_.losses)
      std::copy_n(losses_.data() + place * whole_.tests, whole_.tests,
                  whole_.losses + i * whole_.tests);
    if (whole_.shifts) whole_.shifts[i] = shifts_[size(place)];
    if (whole_.bounds) whole_.bounds[i] = bounds_[size(place)];
    return reductions_[size(place)].lift(batch_.x_of(place));
  }

 private:
  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

  Batch<T> of_places(std::int64_t places) {
    Batch<T> b = whole_;
    static_cast<Layout&>(b) = layout_;
    b.count = places;
    b.a2 = a_.data();
    b.target = target_.data();
    b.weights = whole_.weights ? weights_.data() : nullptr;
    b.start = whole_.start ? start_.data() : nullptr;
    b.a2_shared = b.target_shared = b.weights_shared = b.start_shared = false;
    b.step_size = step_size_.data();
    b.operator_norm = operator_norm_.data();
    b.x = x_.data();
    b.outcome = outcome_.data();
    b.losses = whole_.losses ? losses_.data() : nullptr;
    b.shifts = whole_.shifts ? shifts_.data() : nullptr;
    b.bounds = whole_.bounds ? bounds_.data() : nullptr;
    // What packs do not give (plan_packs) must not be written by place.
    b.shift_f = b.shift_x = b.output = b.dlogits = b.gradient = b.attended = b.log_mass = nullptr;
    return b;
  }

  const Batch<T>& whole_;
  Layout layout_;                // of one, reduced
  std::int64_t rows_, columns_;  // of what is left of A
  std::vector<Reduction<T>> reductions_;
  std::vector<std::int64_t> instance_, free_;
  AlignedVector<T> a_, target_, weights_, start_, x_, step_size_, operator_norm_, losses_;
  std::vector<Outcome<T>> outcome_;
  std::vector<ShiftSummary<T>> shifts_;
  std::vector<BoundSummary<T>> bounds_;
  Batch<T> batch_;
};

}  // namespace softreg
