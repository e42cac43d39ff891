// Threads that share one instance: the same bits as one thread, and no race (the preset tsan runs
// this file).
#include <gtest/gtest.h>

#include <cstdio>

#include "matrix_batches.hpp"
#include "softreg/softreg.hpp"

namespace softreg {
namespace {

template <class T, class Problem>
void expect_the_bits_of_one_thread(const Problem& problem, std::size_t k, std::int64_t& compared) {
  Options o{.loss = loss_at(k % std::variant_size_v<AnyLoss>),
            .optimizer = optimizer_at(k % 2, automatic_step_size),
            .device = Device::cpu};
  o.stop = {.max_steps = 6, .gradient_norm = 0, .check_every = 2};
  constexpr TraceKind kinds[] = {TraceKind::shifts, TraceKind::loss, TraceKind::bounds};
  o.trace = kinds[k % 3];
  o.threads = 1;
  const Result<T> alone = solve(problem, o);
  for (const int threads : {2, 5, 8}) {
    o.threads = threads;
    ASSERT_EQ(difference(solve(problem, o), alone), "") << threads << " threads, case " << k;
    compared += alone.count;
  }
}

TEST(MatrixThreads, ShareAnInstance) {
  std::int64_t compared = 0;
  for (std::size_t k = 0; k < 14; ++k) {
    // Several tiles of 64 rows and a rest; few columns and many; fewer rows than parameters.
    const MatrixRecipe recipe{1 + static_cast<std::int64_t>(k % 2),
                              150,
                              150,
                              20 + static_cast<std::int64_t>(k) * 7,
                              20 + static_cast<std::int64_t>(k) * 7,
                              k % 5 == 4 ? 210 : 33,
                              6,
                              1,
                              false,
                              true,
                              k % 4 == 1,
                              60 + k};
    const auto p = make_matrix_batch<float>(recipe);
    const auto q = make_matrix_batch<double>({1, 5, 90, 3, 40, 3, 2, 4, k % 2 == 1, true, true, k});
    expect_the_bits_of_one_thread<float>(p.view(), k, compared);
    expect_the_bits_of_one_thread<double>(q.view(), k, compared);
    expect_the_bits_of_one_thread<double>(WrittenOut<double>(q).view(), k, compared);
  }
  std::printf("[count] %lld instances shared by threads, bit for bit\n",
              static_cast<long long>(compared));
}

}  // namespace
}  // namespace softreg
