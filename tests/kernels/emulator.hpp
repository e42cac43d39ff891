// Runs a kernel on the CPU, one block after another, or one cluster of blocks after another: every
// CUDA thread is a fiber, every barrier a yield. The order in which threads run is chosen, so that
// a missing barrier shows as different bits between orders. Any number of host threads may emulate
// at the same time.
#pragma once
#include <cstddef>
#include <functional>

namespace softreg::simt {

// A thread runs until it waits; then the lowest, the highest or a random thread that can run goes
// on. So in ascending order the first warp runs ahead of the others as far as barriers let it, and
// in descending order the last one. What is copied to shared memory arrives when it is waited for
// in ascending order, at once in descending order, and at either time in the shuffled one. Blocks
// run in the same order, those of a cluster side by side.
enum class Order { ascending, descending, shuffled };

struct Emulation {
  int grid;                  // blocks, at least 1
  int block;                 // threads per block, 1 to 1024
  std::size_t shared_bytes;  // dynamic shared memory per block; it starts as NaN
  Order order = Order::ascending;
  unsigned seed = 0;  // of the shuffled order
  int cluster = 1;    // blocks that run at the same time: 1 to 8, and a divisor of the grid
};

// Runs `kernel` in grid x block threads, in at most 64 warps at a time. Throws
// std::invalid_argument for sizes out of range and std::runtime_error when a barrier can never
// complete (what() says who waits where), when lanes disagree about a warp collective, when a block
// writes beside its shared memory, and when one of a cluster asks for the memory of another before
// all have met in sync_cluster() or after that one has returned, or writes to it then, and when a
// thread returns before its copies have arrived. What a thread of the kernel throws ends the run
// and leaves emulate() as it is, after the stacks of all other threads have been unwound.
void emulate(const Emulation& emulation, const std::function<void()>& kernel);

}  // namespace softreg::simt
