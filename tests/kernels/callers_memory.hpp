// Problems in device memory. CallersMemory is that of the emulated device: whoever touches it
// beside the device is killed by SIGSEGV, and so is the device beyond its end.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kernels/emulated_gpu.hpp"
#include "softreg/problem.hpp"

namespace softreg {

namespace callers_memory_detail {
inline std::size_t page() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }
inline std::size_t pages(std::size_t bytes) { return (bytes + page() - 1) / page() * page(); }
// data: ends where a page does.
inline void protect(const char* data, std::size_t bytes, int how) {
  if (mprotect(const_cast<char*>(data + bytes - pages(bytes)), pages(bytes), how) != 0)
    throw std::logic_error("mprotect");
}
}  // namespace callers_memory_detail

class CallersMemoryIsOpen {
 public:
  CallersMemoryIsOpen() { all(PROT_READ); }
  ~CallersMemoryIsOpen() { all(PROT_NONE); }
  CallersMemoryIsOpen(const CallersMemoryIsOpen&) = delete;
  CallersMemoryIsOpen& operator=(const CallersMemoryIsOpen&) = delete;

 private:
  static void all(int how) {
    for (const auto& [data, bytes] : emulated_gpu_state().callers)
      callers_memory_detail::protect(data, bytes, how);
  }
};

class CallersMemory {
 public:
  CallersMemory() = default;
  ~CallersMemory() {
    for (const auto& [data, bytes] : arrays_) {
      emulated_gpu_state().callers.erase(data);
      const std::size_t whole = callers_memory_detail::pages(bytes);
      munmap(const_cast<char*>(data + bytes - whole), whole + callers_memory_detail::page());
    }
  }
  CallersMemory(const CallersMemory&) = delete;
  CallersMemory& operator=(const CallersMemory&) = delete;

  template <class T>
  std::span<const T> put(std::span<const T> values) {
    if (values.empty()) return {};
    const std::size_t bytes = values.size_bytes(), whole = callers_memory_detail::pages(bytes);
    void* const memory = mmap(nullptr, whole + callers_memory_detail::page(),
                              PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    char* const data = static_cast<char*>(memory) + whole - bytes;
    std::memcpy(data, values.data(), bytes);
    mprotect(memory, whole + callers_memory_detail::page(), PROT_NONE);
    emulated_gpu_state().callers[data] = bytes;
    arrays_.emplace_back(data, bytes);
    return {reinterpret_cast<const T*>(data), values.size()};
  }

 private:
  std::vector<std::pair<const char*, std::size_t>> arrays_;
};

// The problem with its arrays there; it is valid as long as the memory.
template <class M, class T>
VectorProblem<T> on_device(M& memory, VectorProblem<T> p) {
  for (std::span<const T>* array : {&p.a, &p.b, &p.x0, &p.w}) *array = memory.put(*array);
  p.memory = Memory::device;
  return p;
}
template <class M, class T>
MatrixProblem<T> on_device(M& memory, MatrixProblem<T> p) {
  for (std::span<const T>* array : {&p.a1, &p.a2, &p.b, &p.x0, &p.w}) *array = memory.put(*array);
  p.memory = Memory::device;
  return p;
}

}  // namespace softreg
