// Queue: the instances of a launch, each taken once.
#pragma once
#include <cstdint>

#include "simt.hpp"

namespace softreg {

// A group, or each place of one that solves several side by side, begins with the instance of its
// own number, and when it has finished takes the next that nobody has.
struct Queue {
  int group, groups;
  int* taken;  // beyond the first of each group

  SR_DEVICE std::int64_t first() const { return group; }
  template <class G>
  SR_DEVICE std::int64_t next(const G& g) const {
    return std::int64_t{groups} + g.total(g.rank() == 0 ? simt::add(taken, 1) : 0);
  }
};

}  // namespace softreg
