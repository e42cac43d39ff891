// Policies made for one shape, as kernels made at run time have them: the emulator runs what NVRTC
// compiles, and its bits are those of as many lanes of the CPU.
#include <gtest/gtest.h>

#include "kernels/emulated_cases.hpp"
#include "kernels/emulated_gpu.hpp"
#include "kernels/emulated_launch.hpp"
#include "softreg/model/losses/softmax_l2.hpp"

namespace softreg {
namespace {

using simt::Order;

// Rows divide by lanes after rounding up; parameters may be any number.
struct Exact96x21 {
  static constexpr KernelPolicy policy{"exact_96x21", Placement::registers, 32, 128, 96, 21, 4};
};
struct Exact64x9 {
  static constexpr KernelPolicy policy{"exact_64x9", Placement::registers, 32, 64, 64, 9, 4};
};

template <class PolicyT>
Written<float> emulated(const Instances<float>& instances, int optimizer, Order order) {
  constexpr KernelPolicy p = PolicyT::policy;
  Written<float> w;
  Batch<float> batch = instances.batch(w);
  batch.optimizer = optimizer;
  Extent most;
  for (std::int64_t i = 0; i < batch.count; ++i) most.cover(extent_of(batch, i));
  const std::int64_t stride = kernel_workspace<float>(p, most, batch.watched());
  constexpr int blocks = 2;
  std::vector<float> workspace(static_cast<std::size_t>(stride * blocks * p.groups_per_block()),
                               quiet_nan<float>());
  stain_stacks(p.threads);
  simt::emulate({blocks, p.threads, 0, order, 5}, [&] {
    solve_kernel<PolicyT, SoftmaxL2, float>(batch, workspace.data(), stride, 0, false);
  });
  return w;
}

template <class PolicyT>
void compare() {
  constexpr int n = PolicyT::policy.max_rows, d = PolicyT::policy.max_parameters;
  const Case cases[] = {
      {std::vector<int>(5, n), d, has_bad_neighbours | traces_loss, 9, 4, 1},
      {std::vector<int>(5, n - 5), d, has_weights | has_ridge | traces_shifts, 9, 4, 2},
      {{n, 1, n - 31, 33, n - 1, 7}, d, has_ball | column_major | starts_at_zero, 9, 4, 3},
      {{n, 3, 32}, d, describes | has_weights, 0, 1, 4},
      {{n, 40}, d - 1, has_bad_neighbours | traces_shifts, 9, 4, 5},
  };
  int compared = 0;
  for (const Case& c : cases)
    for (const Order order : {Order::ascending, Order::descending, Order::shuffled}) {
      const Instances<float> instances(c, false, true);
      const int optimizer = compared++ % 2;
      Written<float> expected;
      Batch<float> batch = instances.batch(expected);
      batch.optimizer = optimizer;
      solve_on_lanes(0, PolicyT::policy.lanes, batch);
      EXPECT_EQ(emulated<PolicyT>(instances, optimizer, order).difference(expected), "")
          << PolicyT::policy.name << ", case " << c.seed;
    }
  std::printf("[count] %s: batches equal in every bit: %d\n",
              std::string(PolicyT::policy.name).c_str(), compared);
}

static_assert(std::is_same_v<std::variant_alternative_t<0, AnyLoss>, SoftmaxL2>);

TEST(ExactShapes, GiveTheBitsOfLanes) {
  compare<Exact96x21>();
  compare<Exact64x9>();
}

}  // namespace
}  // namespace softreg
