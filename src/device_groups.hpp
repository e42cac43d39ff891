// Groups of instances that CUDA solves alike: of one class and, after a reduction, with as many
// columns. Both depend on an instance's own shape only, never on the batch: that is what keeps its
// bits the same in every batch. (Whether many share A decides between two classes that give the
// same bits, unless the user allows more.)
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "plan.hpp"

namespace softreg {

struct CudaGroup {
  int policy;
  int columns;               // of A after the reduction (src/reduction.hpp); 0: it stays as it is
  std::int64_t first, last;  // in the order in which instances run
};

struct GroupedInstances {
  std::vector<std::int64_t> order;  // group after group, each ascending
  std::vector<CudaGroup> groups;    // by policy
  bool batch_invariant = true;      // of CudaPlan
};

// reduce: instances may be reduced. Throws Error invalid_input if no class holds one of them.
GroupedInstances group_instances(const BatchShape& shape, std::span<const std::int64_t> runs,
                                 const DeviceInfo& device, bool reduce);

// The batch as a group with so many columns has it on the device, each instance with an x0 of its
// own; 0: as it is. Where all share A they share what is left of it.
BatchShape on_device(BatchShape shape, int columns);

}  // namespace softreg
