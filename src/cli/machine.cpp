#include "machine.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "parallel.hpp"
#include "softreg/error.hpp"

namespace softreg {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The text after the colon of the first line that begins with `key`.
std::string entry(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || line.rfind(key, 0) != 0) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

// "32K", "16384 kB", "123": bytes.
std::int64_t bytes_of(const std::string& text) {
  std::istringstream stream(text);
  std::int64_t value = 0;
  std::string unit;
  if (!(stream >> value)) return 0;
  stream >> unit;
  if (unit.empty()) return value;
  return value * (unit[0] == 'K' || unit[0] == 'k' ? std::int64_t{1} << 10 : std::int64_t{1} << 20);
}

std::vector<std::string> deciding_features() {
  std::istringstream flags(entry("/proc/cpuinfo", "flags"));
  const std::array known{"sse4_2",  "avx",      "fma",      "bmi1",     "bmi2",    "avx2",
                         "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"};
  std::vector<std::string> present;
  for (std::string flag; flags >> flag;) {
    if (std::find(known.begin(), known.end(), flag) != known.end()) present.push_back(flag);
  }
  return present;
}

std::vector<Cache> caches_of_first_core() {
  std::vector<Cache> caches;
  for (int i = 0; i < 8; ++i) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    const std::string level = first_line(folder + "level");
    if (level.empty()) break;
    caches.push_back({static_cast<int>(bytes_of(level)), first_line(folder + "type"),
                      bytes_of(first_line(folder + "size"))});
  }
  return caches;
}

}  // namespace

Machine describe_machine() {
  Machine machine;
  machine.processor = entry("/proc/cpuinfo", "model name");
  machine.features = deciding_features();
  machine.cores = core_count();
  machine.cores_online = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  machine.caches = caches_of_first_core();
  machine.memory_bytes = bytes_of(entry("/proc/meminfo", "MemTotal"));
  machine.memory_available_bytes = bytes_of(entry("/proc/meminfo", "MemAvailable"));
  machine.memory_limit_bytes = bytes_of(first_line("/sys/fs/cgroup/memory.max"));
  machine.nvidia_driver = first_line("/proc/driver/nvidia/version");
  return machine;
}

void refuse_beyond_memory(const std::string& what, std::int64_t bytes, const std::string& hint) {
  const Machine machine = describe_machine();
  const std::int64_t group = machine.memory_limit_bytes;
  const std::int64_t memory =
      group > 0 ? std::min(group, machine.memory_bytes) : machine.memory_bytes;
  if (bytes <= memory || memory == 0) return;
  throw Error(
      ErrorKind::out_of_memory,
      fmt::format("{} need {} bytes but this machine has {} bytes of memory", what, bytes, memory),
      hint);
}

}  // namespace softreg
