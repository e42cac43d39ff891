// A program with a deliberate data race through parallel_for. ThreadSanitizer must report it, or a
// clean run of the threaded tests would mean nothing. With the argument `atomic` the same work is
// done without the race, and nothing may be reported.
#include <cstdio>
#include <cstring>

#include "parallel.hpp"

int main(int argc, char** argv) {
  const bool atomic = argc > 1 && std::strcmp(argv[1], "atomic") == 0;
  // Volatile: a thousand accesses, not one of 1000. Two that meet in the same instant may escape
  // ThreadSanitizer.
  volatile long long plain_sum = 0;
  std::atomic<long long> atomic_sum{0};
  std::atomic<int> started{0};
  softreg::parallel_for(2, 2, [&](std::int64_t, int) {
    // Both workers are in before either goes on: the race does not depend on luck.
    ++started;
    while (started.load() < 2) std::this_thread::yield();
    for (int k = 0; k < 1000; ++k) {
      if (atomic)
        ++atomic_sum;
      else
        plain_sum = plain_sum + 1;
    }
  });
  std::printf("sum %lld\n", atomic ? atomic_sum.load() : plain_sum);
  return 0;
}
