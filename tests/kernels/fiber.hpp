// Fiber: a stack that runs until it hands over to another one, without a system call. A fiber stays
// on the host thread that made it. The sanitizers are told of every switch.
#pragma once
#include <cstddef>

#include "sanitized.hpp"

namespace softreg::simt {

class Fiber {
 public:
  // The stack of the host thread that calls.
  Fiber();
  // A stack of its own of 256 KB; an overflow faults at the page below it. The first switch to it
  // calls entry(from) there, which begins with arrive_from(from) and never returns. `index` spreads
  // the stacks of a block over the cache.
  Fiber(int index, void (*entry)(Fiber* from));
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves this stack, which must be the one in use; returns when somebody switches back.
  void switch_to(const Fiber& next);
  void arrive_from(Fiber* from) const;

 private:
  void* stack_pointer_ = nullptr;
  char* memory_ = nullptr;  // guard page and stack; null for the host
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  void* shadow_ = nullptr;      // ThreadSanitizer's
};

}  // namespace softreg::simt
