// The examiner of data that lie on the device. What crosses to the host is what was made of them
// there, of A the triangle of a Gram matrix, and otherwise only an instance of which something is
// wrong and a matrix whose Gram matrix would be too large to be of use.
#include <algorithm>
#include <cmath>
#include <utility>

#include "device_sweep.hpp"
#include "examiner.hpp"
#include "instance_view.hpp"
#include "matrix_norm.hpp"
#include "parallel.hpp"
#include "screening.hpp"
#include "subscript.hpp"

namespace softreg {
namespace {

// One instance in host memory.
template <class T>
class Fetched {
 public:
  Fetched(Gpu& gpu, const Batch<T>& from, std::int64_t i) : batch_(from) {
    const InstanceView<T> view(from);
    const std::int64_t first = from.first_block(i), blocks = from.first_block(i + 1) - first;
    if (from.begin2) {
      blocks_ = {0, blocks};
      for (std::int64_t k = first; k <= first + blocks; ++k) {
        begin1_.push_back(from.first1(k) - from.first1(first));
        begin2_.push_back(from.first2(k) - from.first2(first));
        begin_z_.push_back(from.first_z(k) - from.first_z(first));
      }
      batch_.blocks = blocks_.data();
      batch_.begin1 = begin1_.data();
      batch_.begin2 = begin2_.data();
      batch_.begin_z = begin_z_.data();
    }
    batch_.count = 1;
    const auto fetch = [&](std::vector<T>& to, std::span<const T> what, const T*& told) {
      to = fetched(gpu, what.data(), std::ssize(what));
      told = to.data();
    };
    if (from.matrix) fetch(a1_, view.a1(i), batch_.a1);
    fetch(a2_, view.a2(i), batch_.a2);
    fetch(target_, view.b(i), batch_.target);
    if (from.weights) fetch(weights_, view.w(i), batch_.weights);
    batch_.start = from.start_of(i);
  }
  const Batch<T>& batch() const { return batch_; }

 private:
  Batch<T> batch_;
  std::vector<std::int64_t> blocks_, begin1_, begin2_, begin_z_;
  std::vector<T> a1_, a2_, target_, weights_;
};

template <class T>
class DeviceExaminer final : public Examiner<T> {
 public:
  DeviceExaminer(const Described<T>& problem, const Options& options)
      : p_(problem),
        b_(problem.batch),
        options_(options),
        automatic_(is_automatic(options, problem.step_size)),
        demands_(target_demands(options, automatic_)),
        tied_(b_.matrix && b_.a1 == b_.a2 && b_.d1 == b_.d2 && b_.n == b_.m &&
              b_.begin1 == b_.begin2 && b_.a1_shared == b_.a2_shared),
        gpu_(gpu_source().open()) {
    find_matrices();
    largest1_ = largest_entries(matrices1_);
    largest2_ = largest_entries(matrices2_);
    std::vector<Part<T>> weights;
    for (std::int64_t i = 0; b_.weights && i < different(b_.weights_shared); ++i)
      weights.push_back({b_.weights_of(i), 1, b_.rows_of(i)});
    weights_ = largest_entries(weights);
    examine_targets();
  }

  Status screen(std::int64_t i) const override {
    const auto lacks = [](const std::vector<double>& largest, std::int64_t first,
                          std::int64_t last) {
      return std::any_of(largest.begin() + first, largest.begin() + last,
                         [](double v) { return std::isnan(v); });
    };
    const auto lacks_of = [&](const std::vector<double>& largest, bool shared) {
      const auto [first, last] = matrices_of(i);
      return shared ? lacks(largest, 0, 1) : lacks(largest, first, last);
    };
    const Target& b = target(i);
    const T* const x0 = b_.start_of(i);
    if ((b_.matrix && lacks_of(largest1_, b_.a1_shared)) ||
        (!tied_ && lacks_of(largest2_, b_.a2_shared)) || std::isnan(b.least) ||
        std::isnan(largest_weight(i)) ||
        (x0 && !std::all_of(x0, x0 + b_.parameters(), [](T v) { return std::isfinite(v); })))
      return Status::bad_input;
    if ((demands_.nonnegative && b.least < 0) || (demands_.bounded && !b.bounded))
      return Status::bad_target;
    const T step = static_cast<T>(step_size_of(options_, p_.step_size, i));
    return automatic_ || is_positive_finite(step) ? Status::not_run : Status::bad_parameter;
  }

  Message explain(std::int64_t i) const override {
    const Fetched<T> one(*gpu_, b_, i);
    Message m =
        Screening<T>(one.batch(),
                     p_.step_size.empty() ? p_.step_size : p_.step_size.subspan(at(i), 1), options_)
            .explain(0);
    m.instance = i;
    return m;
  }

  std::vector<double> operator_norms(const std::vector<Status>& status) const override {
    std::vector<double> norms(status.size(), quiet_nan<double>());
    if (std::count(status.begin(), status.end(), Status::not_run) == 0) return norms;
    const std::vector<double> bounds1 = bounds(matrices1_, largest1_),
                              bounds2 = bounds(matrices2_, largest2_);
    for (std::int64_t i = 0; i < b_.count; ++i)
      if (status[at(i)] == Status::not_run)
        norms[at(i)] = operator_norm_of(
            b_, i, [&](std::int64_t k) { return bounds1[b_.a1_shared ? 0 : at(k)]; },
            [&](std::int64_t k) { return bounds2[b_.a2_shared ? 0 : at(k)]; });
    return norms;
  }

  double largest_sum(std::int64_t i) const override { return target(i).most; }
  double largest_weight(std::int64_t i) const override {
    return b_.weights ? weights_[b_.weights_shared ? 0 : at(i)] : 0;
  }

 private:
  // Of b of one instance: see TargetSummary. most: the largest sum; bounded: none is too large.
  struct Target {
    double least, most;
    bool bounded;
  };

  // An array that all share is looked at once.
  std::int64_t different(bool shared) const {
    return shared ? std::min<std::int64_t>(b_.count, 1) : b_.count;
  }
  const Target& target(std::int64_t i) const { return targets_[b_.target_shared ? 0 : at(i)]; }
  // Of matrices1_ and matrices2_, where they are not shared: blocks, and in a vector problem, where
  // A of an instance is one matrix whatever its softmaxes, instances.
  std::pair<std::int64_t, std::int64_t> matrices_of(std::int64_t i) const {
    if (!b_.matrix) return {i, i + 1};
    return {b_.first_block(i), b_.first_block(i + 1)};
  }

  void find_matrices() {
    const auto part = [](const Matrix<const T>& a) { return Part<T>{a.data, a.rows, a.cols}; };
    const std::int64_t count = b_.matrix ? b_.first_block(b_.count) : b_.count;
    for (std::int64_t k = 0; k < count; ++k) {
      if (b_.matrix && (k == 0 || !b_.a1_shared)) matrices1_.push_back(part(b_.a1_of(k)));
      if (!tied_ && (k == 0 || !b_.a2_shared))
        matrices2_.push_back(part(b_.matrix ? b_.a2_of(k) : b_.a_of(k)));
    }
  }

  // What a job makes of each part.
  template <template <class> class Job, class Out>
  std::vector<Out> made_of(const std::vector<Part<T>>& parts) const {
    std::vector<Out> made(parts.size());
    DeviceSweep<T, Part<T>, Out>(*gpu_, options_.memory_limit)
        .run(
            std::span<const Part<T>>(parts), [](const Part<T>&) { return 1; },
            [](Part<T>&, std::int64_t) {},
            [](const Part<T>* in, std::int64_t count, Out* out) {
              return Job<T>{in, count, out};
            },
            [&](std::int64_t first, std::int64_t last, const Out* out) {
              std::copy_n(out, last - first, made.begin() + first);
            });
    return made;
  }
  std::vector<double> largest_entries(const std::vector<Part<T>>& parts) const {
    return made_of<LargestEntries, double>(parts);
  }

  void examine_targets() {
    const InstanceView<T> view(b_);
    const std::int64_t count = different(b_.target_shared);
    std::vector<Part<T>> parts;
    std::vector<std::int64_t> instance;
    for (std::int64_t i = 0; i < count; ++i)
      view.each_segment(i, [&](std::int64_t, std::int64_t first, std::int64_t rows) {
        parts.push_back({b_.target_of(i) + first, 1, static_cast<int>(rows)});
        instance.push_back(i);
        return true;
      });
    targets_.assign(at(count), {infinity<double>(), 0, true});
    const std::vector<TargetSummary> found = made_of<TargetSummaries, TargetSummary>(parts);
    for (std::size_t k = 0; k < parts.size(); ++k) {
      Target& all = targets_[at(instance[k])];
      if (found[k].least < all.least || std::isnan(found[k].least)) all.least = found[k].least;
      all.most = std::max(all.most, found[k].sum);
      all.bounded = all.bounded && found[k].sum <= allowed_sum(parts[k].cols);
    }
  }

  // Whether its triangle is within both limits, of the bound and of memory, and so is another
  // beside it.
  bool is_worth_a_gram(const Part<T>& p) const {
    const int size = std::min(p.rows, p.cols);
    if (size > gram_limit) return false;
    const std::int64_t bytes = DeviceSweep<T, GramPart<T>, double>::bytes(1, triangle_size(size));
    return options_.memory_limit == 0 || 2 * bytes <= options_.memory_limit;
  }
  // As operator_norm_bound() of each.
  std::vector<double> bounds(const std::vector<Part<T>>& parts,
                             const std::vector<double>& largest) const {
    std::vector<double> bounds(parts.size());
    std::vector<GramPart<T>> grams;
    std::vector<std::size_t> of;
    for (std::size_t k = 0; k < parts.size(); ++k) {
      const Part<T>& p = parts[k];
      if (largest[k] == 0 || !std::isfinite(largest[k])) {
        bounds[k] = largest[k] - largest[k];
      } else if (!is_worth_a_gram(p)) {
        const std::vector<T> a = fetched(*gpu_, p.data, std::int64_t{p.rows} * p.cols);
        bounds[k] = operator_norm_bound(Matrix<const T>{a.data(), p.rows, p.cols, p.cols, 1});
      } else {
        grams.push_back({p, std::ldexp(1.0, -exponent_of(largest[k])), 0});
        of.push_back(k);
      }
    }
    const auto size = [](const GramPart<T>& p) {
      return triangle_size(std::min(p.of.rows, p.of.cols));
    };
    DeviceSweep<T, GramPart<T>, double>(*gpu_, options_.memory_limit)
        .run(
            std::span<const GramPart<T>>(grams), size,
            [](GramPart<T>& p, std::int64_t place) { p.at = place; },
            [](const GramPart<T>* in, std::int64_t count, double* out) {
              return Grams<T>{in, count, out};
            },
            [&](std::int64_t first, std::int64_t last, const double* out) {
              std::vector<std::int64_t> places(at(last - first), 0);
              for (std::int64_t k = first + 1; k < last; ++k)
                places[at(k - first)] = places[at(k - first - 1)] + size(grams[at(k - 1)]);
              parallel_for(last - first, options_.threads, [&](std::int64_t k, int) {
                const std::size_t part = of[at(first + k)];
                bounds[part] = operator_norm_bound(parts[part].rows, parts[part].cols,
                                                   largest[part], out + places[at(k)]);
              });
            });
    return bounds;
  }

  const Described<T>& p_;
  const Batch<T>& b_;
  const Options& options_;
  const bool automatic_;
  const TargetDemands demands_;
  const bool tied_;  // A2 is A1, which is looked at once
  const std::unique_ptr<Gpu> gpu_;
  std::vector<Part<T>> matrices1_, matrices2_;
  std::vector<double> largest1_, largest2_, weights_;  // the largest |entry| of each; NaN
  std::vector<Target> targets_;
};

}  // namespace

template <class T>
std::unique_ptr<Examiner<T>> make_device_examiner(const Described<T>& problem,
                                                  const Options& options) {
  return std::make_unique<DeviceExaminer<T>>(problem, options);
}
template std::unique_ptr<Examiner<float>> make_device_examiner(const Described<float>&,
                                                               const Options&);
template std::unique_ptr<Examiner<double>> make_device_examiner(const Described<double>&,
                                                                const Options&);

}  // namespace softreg
