// Makes the kernel that instances of one shape get and writes its machine code: for
// kernel_steps.py. Prints the milliseconds from the start of main, then lanes, rows and parameters
// of its grid; without NVRTC the exit status is 77, which means skipped.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "softreg/error.hpp"
#include "specialise.hpp"

int main(int argc, char** argv) {
  const auto start = std::chrono::steady_clock::now();
  if (argc != 7) {
    std::fprintf(stderr,
                 "usage: kernel_image ROWS PARAMETERS LOSS BYTES_OF_A_NUMBER plain|fast|full "
                 "FILE.cubin\n");
    return 2;
  }
  const std::string kind = argv[5];
  const int rows = std::atoi(argv[1]), parameters = std::atoi(argv[2]), bytes = std::atoi(argv[4]);
  const int policy = softreg::choose_policy({rows, parameters, bytes});
  const softreg::Alike all{1, rows, rows, parameters, kind != "full", kind == "fast", 1};
  const softreg::KernelRequest request{
      softreg::specialised_policy(softreg::Specialise::always, softreg::policies[policy], all)
          .value(),
      argv[3], bytes};
  try {
    const softreg::KernelImage& image = softreg::specialiser().kernel(request);
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - start;
    std::ofstream(argv[6], std::ios::binary) << image.code;
    const softreg::LaneGrid& grid = request.kernel.policy.grid;
    std::printf("%.2f %d %d %d\n", taken.count(), grid.lanes, grid.rows, grid.parameters);
  } catch (const softreg::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.kind() == softreg::ErrorKind::device_unavailable ? 77 : 1;
  }
  return 0;
}
