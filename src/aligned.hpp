// AlignedVector: std::vector whose data() starts on a 64-byte boundary (one cache line, one AVX-512
// register), so that every array handed to a backend may be loaded with aligned instructions.
#pragma once
#include <cstddef>
#include <new>
#include <vector>

namespace softreg {

inline constexpr std::size_t array_alignment = 64;

template <class T>
struct AlignedAllocator {
  using value_type = T;

  AlignedAllocator() = default;
  template <class U>
  constexpr AlignedAllocator(const AlignedAllocator<U>&) noexcept {}

  T* allocate(std::size_t count) {
    if (count > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(array_alignment)));
  }
  void deallocate(T* data, std::size_t) noexcept {
    ::operator delete(data, std::align_val_t(array_alignment));
  }

  template <class U>
  bool operator==(const AlignedAllocator<U>&) const noexcept {
    return true;
  }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace softreg
