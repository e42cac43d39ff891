// The examiner of data in host memory.
#include "examiner.hpp"

#include <algorithm>

#include "instance_view.hpp"
#include "matrix_norm.hpp"
#include "parallel.hpp"
#include "screening.hpp"
#include "subscript.hpp"

namespace softreg {
namespace {

template <class T>
class HostExaminer final : public Examiner<T> {
 public:
  HostExaminer(const Described<T>& problem, const Options& options)
      : b_(problem.batch),
        screening_(problem.batch, problem.step_size, options),
        view_(problem.batch),
        threads_(options.threads) {}

  Status screen(std::int64_t i) const override { return screening_.find(i).status(); }
  Message explain(std::int64_t i) const override { return screening_.explain(i); }

  // Matrices that all instances share are done once.
  std::vector<double> operator_norms(const std::vector<Status>& status) const override {
    std::vector<double> norms(status.size(), quiet_nan<double>());
    if (std::count(status.begin(), status.end(), Status::not_run) == 0) return norms;
    const double shared1 = b_.matrix && b_.a1_shared ? operator_norm_bound(b_.a1_of(0)) : 1;
    const double shared2 = b_.a2_shared ? operator_norm_bound(b_.a2_of(0)) : 0;
    const auto bound1 = [&](std::int64_t k) {
      return b_.a1_shared ? shared1 : operator_norm_bound(b_.a1_of(k));
    };
    const auto bound2 = [&](std::int64_t k) {
      if (b_.a2_shared) return shared2;
      return operator_norm_bound(b_.matrix ? b_.a2_of(k) : b_.a_of(k));
    };
    parallel_for(b_.count, threads_, [&](std::int64_t i, int) {
      if (status[at(i)] == Status::not_run) norms[at(i)] = operator_norm_of(b_, i, bound1, bound2);
    });
    return norms;
  }

  double largest_sum(std::int64_t i) const override {
    const std::span<const T> b = view_.b(i);
    double most = 0;
    view_.each_segment(i, [&](std::int64_t, std::int64_t first, std::int64_t rows) {
      double sum = 0;
      for (const T v : b.subspan(at(first), at(rows))) sum += static_cast<double>(v);
      most = std::max(most, sum);
      return true;
    });
    return most;
  }
  double largest_weight(std::int64_t i) const override {
    double most = 0;
    for (const T v : view_.w(i)) most = std::max(most, std::abs(static_cast<double>(v)));
    return most;
  }

 private:
  const Batch<T>& b_;
  Screening<T> screening_;
  InstanceView<T> view_;
  int threads_;
};

}  // namespace

template <class T>
std::unique_ptr<Examiner<T>> make_examiner(const Described<T>& problem, const Options& options) {
  if (problem.memory == Memory::device) return make_device_examiner(problem, options);
  return std::make_unique<HostExaminer<T>>(problem, options);
}
template std::unique_ptr<Examiner<float>> make_examiner(const Described<float>&, const Options&);
template std::unique_ptr<Examiner<double>> make_examiner(const Described<double>&, const Options&);

}  // namespace softreg
