// A small batch on every backend that can be used, compared with the reference.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace softreg {

struct SelfTest {
  std::string device, dtype;
  std::int64_t instances = 0;
  double largest_difference = 0;  // of any parameter
  double tolerance = 0;
  std::string failure;  // empty: passed
};

// Of the instances that are solved.
inline constexpr std::uint64_t self_test_seed = 1;

std::vector<SelfTest> run_self_tests();

}  // namespace softreg
