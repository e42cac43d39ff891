// Team: threads that share one instance.
#pragma once
#include <cstdint>

namespace softreg {

// How the threads that share an instance are started: run(self, count, call, context) calls
// call(context, item, slot) for every item below count, from at most `slots` threads.
struct Team {
  int slots = 1;
  const void* self = nullptr;
  void (*run)(const void* self, std::int64_t count,
              void (*call)(const void* context, std::int64_t item, int slot),
              const void* context) = nullptr;

  template <class F>
  void each(std::int64_t count, F f) const {
    if (slots == 1) {
      for (std::int64_t i = 0; i < count; ++i) f(i, 0);
      return;
    }
    run(
        self, count,
        [](const void* context, std::int64_t item, int slot) {
          (*static_cast<const F*>(context))(item, slot);
        },
        &f);
  }
};

}  // namespace softreg
