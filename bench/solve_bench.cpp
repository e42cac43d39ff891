// Instance steps per second of every backend, size class and type. Each configuration is checked
// before it is timed: it must agree with the reference within the rounding of its sums. Size
// classes are those of kernels/policy.hpp.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "generate.hpp"
#include "softreg/softreg.hpp"

namespace softreg {
namespace {

constexpr int steps = 100;
bool something_is_wrong = false;

template <class T>
struct Problem {
  std::int64_t count, n, d;
  GeneratedBatch<T> arrays;
  VectorProblem<T> view(std::int64_t first_few) const {
    VectorProblem<T> p;
    p.count = std::min(count, first_few);
    p.n = n;
    p.d = d;
    p.a = std::span<const T>(arrays.a).first(static_cast<std::size_t>(p.count * n * d));
    p.b = std::span<const T>(arrays.b).first(static_cast<std::size_t>(p.count * n));
    return p;
  }
};

template <class T>
const Problem<T>& problem(std::int64_t count, std::int64_t n, std::int64_t d) {
  static Problem<T> last{};
  if (last.count != count || last.n != n || last.d != d) {
    GenerateOptions options;
    options.n_min = options.n_max = static_cast<int>(n);
    options.d = static_cast<int>(d);
    options.count = count;
    options.radius = 2;
    last = {count, n, d, generate_batch<T>(options)};
  }
  return last;
}

Options options_for(Device device, int max_steps) {
  Options o;
  o.optimizer = Nesterov{0.05};
  o.stop = {.max_steps = max_steps, .gradient_norm = 0, .check_every = 8};
  o.device = device;
  return o;
}

// Empty, or why the device's result is not to be timed.
template <class T>
std::string objection(const Problem<T>& p, Device device) {
  const VectorProblem<T> few = p.view(64);
  const Result<T> got = solve(few, options_for(device, 24));
  const Result<T> expected = solve(few, options_for(Device::reference, 24));
  // A sum of n + d terms is right to (n + d) eps; 24 updates of at most step size x |g| add that
  // up.
  const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
  const double allowed = 24 * static_cast<double>(p.n + p.d) * eps;
  for (std::size_t k = 0; k < expected.x.size(); ++k)
    if (!(std::abs(static_cast<double>(got.x[k] - expected.x[k])) <= allowed))
      return fmt::format("x[{}] is {} but the reference says {}", k, got.x[k], expected.x[k]);
  return "";
}

template <class T>
void solve_batch(benchmark::State& state, Device device, std::int64_t count, std::int64_t n,
                 std::int64_t d) {
  const Problem<T>& p = problem<T>(count, n, d);
  if (const std::string why = objection(p, device); !why.empty()) {
    something_is_wrong = true;
    state.SkipWithError(why.c_str());
    return;
  }
  double seconds = 0;
  std::int64_t done = 0;
  std::string size_class;
  for (auto _ : state) {
    const Result<T> r = solve(p.view(count), options_for(device, steps));
    state.SetIterationTime(r.solve_seconds);
    seconds += r.solve_seconds;
    done += count * steps;
    size_class = r.plan.size_class;
  }
  state.counters["instance_steps/s"] = static_cast<double>(done) / seconds;
  // Two multiplications with A, two operations a number; exp and the rest are not counted.
  state.counters["GFLOP/s"] = 4e-9 * static_cast<double>(done * n * d) / seconds;
  state.SetLabel(size_class);
}

struct Shape {
  std::int64_t n, d;
};
constexpr std::array<Shape, 7> shapes = {
    {{32, 8}, {64, 16}, {128, 8}, {256, 8}, {64, 32}, {512, 64}, {2048, 64}}};

template <class T>
void add(const DeviceReport& report, Device device) {
  for (const Shape& s : shapes) {
    // About the same work for each shape, and enough instances to fill the machine.
    const std::int64_t numbers =
        device == Device::cuda ? std::int64_t{1} << 26 : std::int64_t{1} << 19;
    const std::int64_t count = std::max<std::int64_t>(32, numbers / (s.n * s.d));
    const std::string name = fmt::format("{}/{}/{}x{}/count:{}", report.name,
                                         sizeof(T) == 4 ? "f32" : "f64", s.n, s.d, count);
    benchmark::RegisterBenchmark(
        name.c_str(),
        [=](benchmark::State& state) { solve_batch<T>(state, device, count, s.n, s.d); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
}

void add_everything() {
  const Device kinds[] = {Device::reference, Device::cpu, Device::cuda};
  const std::vector<DeviceReport> reports = devices();
  for (std::size_t k = 0; k < reports.size(); ++k) {
    if (!reports[k].unavailable.empty()) {
      std::fprintf(stderr, "%s is not timed: %s\n", reports[k].name.c_str(),
                   reports[k].unavailable.c_str());
      continue;
    }
    std::fprintf(stderr, "%s: %s\n", reports[k].name.c_str(), reports[k].description.c_str());
    add<float>(reports[k], kinds[k]);
    add<double>(reports[k], kinds[k]);
  }
}

}  // namespace
}  // namespace softreg

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  softreg::add_everything();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return softreg::something_is_wrong ? 1 : 0;
}
