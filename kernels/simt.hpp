// The seam: nine primitives are all a kernel knows of the machine it runs on. nvcc compiles them
// to CUDA intrinsics; any other compiler links tests/kernels/emulator.cpp behind the same names.
// Indexes are int and blocks one-dimensional. Only the lanes named in a member mask take part in a
// warp collective, and every one of them passes the same mask.
#pragma once
#include "softreg/model/math.hpp"

#if defined(__CUDACC__)
#define SR_DEVICE __device__
#define SR_KERNEL __global__
#define SR_OCCUPANCY(threads, blocks) __launch_bounds__(threads, blocks)
#else
#include <cstdint>
#include <cstring>
#include <type_traits>
#define SR_DEVICE
#define SR_KERNEL
#define SR_OCCUPANCY(threads, blocks)
#endif

namespace softreg::simt {

inline constexpr int warp_size = 32;

#if defined(__CUDACC__)

SR_DEVICE inline int thread_index() { return static_cast<int>(threadIdx.x); }
SR_DEVICE inline int block_index() { return static_cast<int>(blockIdx.x); }
SR_DEVICE inline int grid_size() { return static_cast<int>(gridDim.x); }
SR_DEVICE inline void sync_warp(unsigned member_mask) { __syncwarp(member_mask); }
SR_DEVICE inline void sync_block() { __syncthreads(); }

// The value of lane (own lane ^ lane_mask), for trivially copyable values of 4 or 8 bytes.
// It orders no memory: only sync_warp and sync_block do.
template <class T>
SR_DEVICE T shuffle_xor(T value, int lane_mask, unsigned member_mask) {
  static_assert(__is_trivially_copyable(T) && (sizeof(T) == 4 || sizeof(T) == 8));
  if constexpr (sizeof(T) == 4) {
    int bits;
    memcpy(&bits, &value, sizeof bits);
    bits = __shfl_xor_sync(member_mask, bits, lane_mask);
    memcpy(&value, &bits, sizeof bits);
  } else {
    long long bits;
    memcpy(&bits, &value, sizeof bits);
    bits = __shfl_xor_sync(member_mask, bits, lane_mask);
    memcpy(&value, &bits, sizeof bits);
  }
  return value;
}

// The same number, of which the compiler knows nothing.
SR_DEVICE inline int opaque(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
// What follows is not done before it is known to be wanted.
SR_DEVICE inline void here() { asm volatile(""); }

// A flag that the host or another thread may set meanwhile.
SR_DEVICE inline int poll(const int* flag) { return *static_cast<const volatile int*>(flag); }

// Adds to a counter of all blocks and returns what it was.
SR_DEVICE inline int add(int* counter, int value) { return atomicAdd(counter, value); }

// Start of the block's dynamic shared memory, aligned to 16 bytes.
SR_DEVICE inline void* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char storage[];
  return storage;
}

#else

int thread_index();
int block_index();
int grid_size();
void sync_warp(unsigned member_mask);
void sync_block();
inline int opaque(int value) { return value; }
inline void here() {}
int poll(const int* flag);
int add(int* counter, int value);
void* dynamic_shared();
std::uint64_t exchange_bits(std::uint64_t bits, int bytes, int lane_mask, unsigned member_mask);

template <class T>
T shuffle_xor(T value, int lane_mask, unsigned member_mask) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange_bits(bits, static_cast<int>(sizeof value), lane_mask, member_mask);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

#endif

}  // namespace softreg::simt
