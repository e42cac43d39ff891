// Makes the kernel of one exact shape on the lanes of a warp and writes its machine code: for
// specialised_kernels_test.py. Prints the milliseconds from the start of main; without NVRTC the
// exit status is 77, which means skipped.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "softreg/error.hpp"
#include "specialise.hpp"

int main(int argc, char** argv) {
  const auto start = std::chrono::steady_clock::now();
  if (argc != 6) {
    std::fprintf(stderr, "usage: kernel_image ROWS PARAMETERS LOSS BYTES_OF_A_NUMBER FILE.cubin\n");
    return 2;
  }
  softreg::KernelRequest request{softreg::WarpRegisters32x8::policy, argv[3], std::atoi(argv[4])};
  request.policy.max_rows = std::atoi(argv[1]);
  request.policy.max_parameters = std::atoi(argv[2]);
  try {
    const softreg::KernelImage& image = softreg::specialiser().kernel(request);
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - start;
    std::ofstream(argv[5], std::ios::binary) << image.code;
    std::printf("%.2f\n", taken.count());
  } catch (const softreg::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.kind() == softreg::ErrorKind::device_unavailable ? 77 : 1;
  }
  return 0;
}
