// What /proc and /sys say about this machine. What cannot be read is empty or zero.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace softreg {

struct Cache {
  int level = 0;
  std::string type;  // "Data", "Instruction", "Unified"
  std::int64_t bytes = 0;
};

struct Machine {
  std::string processor;
  std::vector<std::string> features;  // of those that decide the instruction set: "avx2", ...
  int cores = 0;                      // that this process may use
  int cores_online = 0;
  std::vector<Cache> caches;  // of the first core
  std::int64_t memory_bytes = 0, memory_available_bytes = 0;
  std::int64_t memory_limit_bytes = 0;  // of the control group; 0: none
  std::string nvidia_driver;            // its version line; empty: no driver is loaded
};

Machine describe_machine();

// Throws Error (out_of_memory) when `what`, of so many bytes, is larger than the memory of this
// machine, or of the control group if that is less: writing it would end the process.
void refuse_beyond_memory(const std::string& what, std::int64_t bytes, const std::string& hint);

}  // namespace softreg
