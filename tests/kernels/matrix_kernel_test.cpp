// The kernels of matrix problems and of several softmaxes per instance, run by the emulator: the
// bits of the memory placement on as many lanes, whatever the order of the threads and wherever the
// numbers lie.
#include <gtest/gtest.h>

#include <cstdio>

#include "described.hpp"
#include "kernels/emulated_cases.hpp"
#include "kernels/emulated_gpu.hpp"
#include "matrix_batches.hpp"
#include "softreg/model/losses/softmax_l2.hpp"
#include "transfer.hpp"

namespace softreg {
namespace {

constexpr int lanes = 256;

// A described problem with room for what a solve writes.
template <class T>
class Prepared {
 public:
  template <class Problem>
  Prepared(const Problem& problem, const Options& options, bool describes)
      : described_(problem, options), describes_(describes) {
    for (const double t : problem.step_size) step_size_.push_back(static_cast<T>(t));
    norms_.assign(step_size_.size(), T(5));
  }

  // bounds: traced besides shifts.
  Batch<T> batch(Written<T>& to, bool bounds) const {
    Batch<T> b = described_.batch;
    const auto count = at(b.count);
    const auto room = [](std::vector<T>& v, std::int64_t n) {
      v.assign(at(n), T(-77));  // a place that nobody may write keeps this
      return v.data();
    };
    b.step_size = step_size_.data();
    b.x = room(to.x, b.count * b.parameters());
    to.outcome.assign(count, {});
    b.outcome = to.outcome.data();
    b.losses = room(to.losses, b.count * b.tests);
    to.shifts.assign(count, {});
    b.shifts = to.shifts.data();
    b.operator_norm = norms_.data();
    if (bounds) {
      to.bounds.assign(count, {});
      b.bounds = to.bounds.data();
    }
    b.shift_f = room(to.shift_f, b.count * b.stop.max_steps);
    b.shift_x = room(to.shift_x, b.count * b.stop.max_steps);
    if (describes_) {
      b.output = room(to.output, b.first_row(b.count));
      b.dlogits = room(to.dlogits, b.first_row(b.count));
      b.gradient = room(to.gradient, b.count * b.parameters());
      b.attended = room(to.attended, b.first_segment(b.count) * b.d2);
      b.log_mass = room(to.log_mass, b.first_segment(b.count));
    }
    return b;
  }

 private:
  Described<T> described_;
  bool describes_;
  std::vector<T> step_size_, norms_;
};

template <class T>
Written<T> emulated(const Prepared<T>& prepared, Placement placement, bool bounds, int loss,
                    int optimizer, simt::Order order) {
  Written<T> w;
  Batch<T> batch = prepared.batch(w, bounds);
  batch.optimizer = optimizer;
  std::vector<T> by_columns;  // as a vector problem's A lies on the device
  if (!batch.matrix) {
    by_columns.resize(at(batch.first_row(batch.count) * batch.d2));
    for (std::int64_t i = 0; i < batch.count; ++i)
      copy_columns(batch.a_of(i), by_columns.data() + batch.first_row(i) * batch.d2);
    batch.a2 = by_columns.data();
    batch.column_major = true;
  }
  Launch launch;
  launch.blocks = 2;
  Extent most;
  for (std::int64_t i = 0; i < batch.count; ++i) most.cover(extent_of(batch, i));
  while (policies[launch.policy].placement != placement ||
         policies[launch.policy].watches_bounds != bounds || policies[launch.policy].places > 1)
    ++launch.policy;
  EXPECT_EQ(policies[launch.policy].lanes(), lanes);
  int taken = 0;
  batch.taken = &taken;
  launch.workspace_stride = kernel_workspace<T>(policies[launch.policy], most, batch.watched());
  launch.shared_bytes = static_cast<int>(
      kernel_shared_bytes<T>(policies[launch.policy], most, batch, batch.weights != nullptr));
  std::vector<unsigned char> workspace(2 * at(launch.workspace_stride) * sizeof(T), 0xff);  // NaN
  launch.workspace = workspace.data();
  emulate_launch(loss, launch, batch, order, 5);
  return w;
}

template <class T, class Problem>
void expect_bits(const Problem& problem, const std::vector<Placement>& placements, int loss,
                 int optimizer, std::uint64_t seed, std::int64_t& compared, int max_steps = 7) {
  Options o;
  o.stop = {.max_steps = max_steps, .gradient_norm = 0, .check_every = 3};
  o.ridge = seed % 2 == 0 ? 0.1 : 0;
  o.ball = seed % 3 == 0 ? 0.6 : 0;
  o.logit_weight = seed % 4 == 1 ? 0.3 : 0;
  const Prepared<T> prepared(problem, o, seed % 2 == 1);
  bool softmax = false;
  visit_alternative<AnyLoss>(loss, [&softmax]<class LossT>() { softmax = LossT::normalized; });
  for (const bool bounds : {false, true}) {
    if (bounds && !softmax) continue;
    Written<T> expected;
    Batch<T> batch = prepared.batch(expected, bounds);
    batch.optimizer = optimizer;
    solve_on_lanes(loss, lanes, batch);
    for (const simt::Order order :
         {simt::Order::shuffled, simt::Order::ascending, simt::Order::descending}) {
      if (sanitized && order != simt::Order::shuffled) continue;  // that is about races, not memory
      for (const Placement placement : placements) {
        if (bounds && placement == Placement::resident) continue;
        ASSERT_EQ(
            emulated(prepared, placement, bounds, loss, optimizer, order).difference(expected), "")
            << "loss " << loss << ", optimizer " << optimizer << ", seed " << seed;
        compared += problem.count;
      }
    }
  }
}

void report(std::int64_t compared) {
  std::printf("[count] %lld instances of matrix kernels, bit for bit\n",
              static_cast<long long>(compared));
}

TEST(MatrixKernels, GiveTheBitsOfTheMemoryPlacement) {
  std::int64_t compared = 0;
  for (int loss = 0; loss < static_cast<int>(std::variant_size_v<AnyLoss>); ++loss)
    for (std::uint64_t seed = 1; seed <= (sanitized ? 2u : 4u); ++seed) {
      const int optimizer = (loss + static_cast<int>(seed)) % 2;  // one kernel has both
      MatrixRecipe r{3, 1, 4, 1, 19, 3, 2, seed % 2 == 0 ? 3 : 1, seed % 4 == 3, true, true, seed};
      const TestMatrixBatch<double> p = make_matrix_batch<double>(r);
      const TestMatrixBatch<float> q = make_matrix_batch<float>(r);
      std::vector<Placement> placements = {Placement::tiles};
      if (r.most_blocks == 1) placements.push_back(Placement::resident);
      if (!sanitized || seed == 1)
        expect_bits<double>(p.view(), placements, loss, optimizer, seed, compared);
      if (!sanitized || seed == 2)
        expect_bits<float>(q.view(), placements, loss, optimizer, seed, compared);
      const WrittenOut<float> softmaxes(q);
      expect_bits<float>(softmaxes.view(), {Placement::stream}, loss, optimizer, seed, compared);
    }
  report(compared);
}

// Numbers of T apart in memory: neighbouring lanes read neighbouring rows.
static_assert(resident_stride(16) == 17 && resident_stride(15) == 15 && resident_stride(1) == 1);

// The loss of one instance at its start.
template <class G>
float loss_at_start(const VectorProblem<float>& problem) {
  Options o;
  o.stop = {.max_steps = 0, .gradient_norm = 0, .check_every = 1};
  const Prepared<float> prepared(problem, o, false);
  Written<float> w;
  const Batch<float> batch = prepared.batch(w, false);
  std::vector<float> memory(at(memory_solve_values<float>(extent_of(batch, 0), batch.watched())));
  solve_in_memory<DenseMatrix<float>, SoftmaxL2>(G{}, batch, 0, memory.data());
  return w.outcome[0].loss;
}

// Which segments are taken apart, and how their losses then add up: restated, segment by segment.
TEST(MatrixKernels, TakeShortSegmentsApart) {
  int apart = 0, order_mattered = 0;
  for (const auto& [segments, rows, expected] : {std::tuple{2, 30, true},
                                                 {2, 512, false},
                                                 {8, 100, true},
                                                 {9, 513, false},
                                                 {16, 512, true},
                                                 {100, 5, true},
                                                 {128, 512, true}}) {
    const std::int64_t all = segments * rows;
    const TestBatch<float> p = make_batch<float>({1, all, all, 2, true, false, true});
    std::vector<std::int64_t> begins, instances{0, segments};
    for (std::int64_t s = 0; s <= segments; ++s) begins.push_back(s * rows);
    VectorProblem<float> problem = p.view();
    problem.segments = begins;
    problem.instances = instances;
    float parts[8] = {}, together = 0;
    for (std::int64_t s = 0; s < segments; ++s) {
      VectorProblem<float> one = p.view();
      one.n = rows;
      one.a = problem.a.subspan(at(s * rows * 2), at(rows * 2));
      one.b = problem.b.subspan(at(s * rows), at(rows));
      parts[s % 8] += loss_at_start<LaneGroup<32>>(one);
      together += loss_at_start<LaneGroup<256>>(one);
    }
    for (int o = 4; o > 0; o /= 2)
      for (int k = 0; k < o; ++k) parts[k] += parts[k + o];
    const float got = loss_at_start<LaneGroup<256>>(problem);
    EXPECT_EQ(got, expected ? parts[0] : together) << segments << " of " << rows;
    apart += expected;
    order_mattered += parts[0] != together;
  }
  EXPECT_GT(apart, 3);
  EXPECT_GT(order_mattered, 4);
}

TEST(MatrixKernels, PassLargeProblemsInTiles) {
  std::int64_t compared = 0;
  const auto squares =  // a whole tile, in squares of 4 x 4
      make_matrix_batch<float>({1, 64, 64, 64, 64, 3, 2, 1, false, true, true, 3});
  expect_bits<float>(squares.view(), {Placement::tiles, Placement::resident}, 0, 1, 1, compared, 4);
  const auto two_tiles =
      make_matrix_batch<double>({2, 70, 70, 61, 61, 3, 2, 1, false, true, true, 1});
  expect_bits<double>(two_tiles.view(), {Placement::tiles, Placement::resident}, 0, 1, 1, compared,
                      4);
  // A row that shared memory cannot hold twice.
  const std::int64_t m = 14600;
  ASSERT_FALSE(fits_shared<double>(2 * m));
  const auto long_rows = make_matrix_batch<double>({2, 2, 2, m, m, 2, 2, 1, false, true, false, 2});
  expect_bits<double>(long_rows.view(), {Placement::tiles}, 0, 0, 2, compared, 4);
  report(compared);
}

}  // namespace
}  // namespace softreg
