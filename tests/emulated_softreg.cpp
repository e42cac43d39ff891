// The program on an emulated device, whose EMULATED_FAIL_CALL-th call fails as an Error of kind
// EMULATED_FAILURE (a number) and, if that is device_lost, every later one. For
// lost_device_test.py.
#include <cstdlib>

#include "kernels/emulated_gpu.hpp"

namespace {

int setting(const char* name) {
  const char* const text = std::getenv(name);
  return text ? std::atoi(text) : 0;
}

struct Device {
  softreg::EmulatedGpuScope scope;
  Device() {
    auto& state = softreg::emulated_gpu_state();
    state.fail_call = setting("EMULATED_FAIL_CALL");
    state.failure = static_cast<softreg::ErrorKind>(setting("EMULATED_FAILURE"));
    state.stays_lost = state.failure == softreg::ErrorKind::device_lost;
  }
} device;

}  // namespace
