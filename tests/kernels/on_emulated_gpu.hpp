// OnEmulatedGpu: a test whose CUDA device is the emulated one. Whatever happens in it, the device
// is not misused, and nothing is left on it or pinned.
#pragma once
#include <gtest/gtest.h>

#include "kernels/emulated_gpu.hpp"

namespace softreg {

class OnEmulatedGpu : public testing::Test {
 protected:
  ~OnEmulatedGpu() override {
    EXPECT_EQ(gpu.misuse, "");
    EXPECT_EQ(gpu.in_use, 0u);
    EXPECT_EQ(gpu.host_in_use, 0u);
  }
  EmulatedGpuScope scope;
  EmulatedGpuState& gpu = emulated_gpu_state();
};

}  // namespace softreg
