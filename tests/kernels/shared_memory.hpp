// SharedMemory: the dynamic shared memory of an emulated block. It starts as NaN and has exactly
// the requested size: a write beside it is found by damage(), or at once under AddressSanitizer.
#pragma once
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>

namespace softreg::simt {

class SharedMemory {
 public:
  explicit SharedMemory(std::size_t bytes)
      : bytes_(bytes), storage_(new unsigned char[guard + bytes + guard]) {
    for (std::size_t i = 0; i < guard; ++i) storage_[i] = data()[bytes + i] = pattern[i % 2];
    poison();
  }
  ~SharedMemory() { unpoison(); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Aligned to 16 bytes and to no more, as on the device.
  unsigned char* data() { return storage_.get() + guard; }
  void clear() {
    if (bytes_ > 0) std::memset(data(), 0xff, bytes_);
  }
  bool is_clear() {
    return std::all_of(data(), data() + bytes_, [](unsigned char byte) { return byte == 0xff; });
  }
  bool has(const void* p, std::size_t bytes) {
    const auto at = static_cast<const unsigned char*>(p) - data();
    return at >= 0 && static_cast<std::size_t>(at) + bytes <= bytes_;
  }
  // The place at the same distance as p is from the start of another one; null: p is outside.
  void* like(void* p, SharedMemory& other) {
    const auto at = static_cast<unsigned char*>(p) - other.data();
    return at < 0 || static_cast<std::size_t>(at) > bytes_ ? nullptr : data() + at;
  }
  // Empty, or what was written outside.
  std::string damage() {
    const std::string of = " its " + std::to_string(bytes_) + " bytes of shared memory";
    unpoison();
    for (std::size_t i = 0; i < guard; ++i)
      if (data()[bytes_ + i] != pattern[i % 2])
        return "wrote at byte " + std::to_string(i) + " past" + of;
    for (std::size_t i = guard; i-- > 0;)
      if (storage_[i] != pattern[i % 2])
        return "wrote " + std::to_string(guard - i) + " bytes before" + of;
    poison();
    return "";
  }

 private:
  static constexpr std::size_t guard = 2048;                 // bytes on either side
  static constexpr unsigned char pattern[2] = {0xfd, 0x7f};  // NaN as float and as double
  void poison() {
    ASAN_POISON_MEMORY_REGION(storage_.get(), guard);
    ASAN_POISON_MEMORY_REGION(data() + bytes_, guard);
  }
  void unpoison() { ASAN_UNPOISON_MEMORY_REGION(storage_.get(), guard + bytes_ + guard); }

  std::size_t bytes_;
  std::unique_ptr<unsigned char[]> storage_;
};

}  // namespace softreg::simt
