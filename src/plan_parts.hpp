// What the plans of both backends are made with.
#pragma once
#include <cstdint>
#include <string>

#include "plan.hpp"

namespace softreg {

inline constexpr std::int64_t alignment = 256;  // of arrays on the device, and of workspaces
constexpr std::int64_t aligned(std::int64_t bytes) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// f(float{}) or f(double{})
template <class F>
auto with_type(int value_bytes, F f) {
  return value_bytes == 4 ? f(float{}) : f(double{});
}

// Of what traces of shifts and bounds keep of one instance.
std::int64_t watched_bytes(const BatchShape& shape);

// What else one can do with such a problem: "use --device cpu".
constexpr const char* without_device(const BatchShape& shape) {
  return shape.data_on_device ? "copy the arrays to host memory and use the CPU"
                              : "use --device cpu";
}

// "instance 3 (64 x 16, 4 bytes a number)"
std::string describe(const BatchShape& shape, std::int64_t instance);

}  // namespace softreg
