// The seam: these primitives are all a kernel knows of the machine it runs on. nvcc compiles them
// to CUDA intrinsics; any other compiler links tests/kernels/emulator.cpp behind the same names.
// Indexes are int and blocks one-dimensional. Only the lanes named in a member mask take part in a
// warp collective, and every one of them passes the same mask. The blocks of a cluster run at the
// same time and may write into each other's shared memory: from their first common barrier on, for
// only then all of them have begun, and not beyond their last one, since a block that has returned
// has none any more.
#pragma once
#include <cstdint>
#include <type_traits>

#include "softreg/model/math.hpp"

#if defined(__CUDACC__)
#define SR_DEVICE __device__
#define SR_KERNEL __global__
#define SR_OCCUPANCY(threads, blocks) __launch_bounds__(threads, blocks)
#define SR_CLUSTER(blocks) __cluster_dims__(blocks, 1, 1)
#else
#include <cstring>
#define SR_DEVICE
#define SR_KERNEL
#define SR_OCCUPANCY(threads, blocks)
#define SR_CLUSTER(blocks)
#endif

namespace softreg::simt {

inline constexpr int warp_size = 32;

#if defined(__CUDACC__)

template <class T, class F>
SR_DEVICE T as_bits(T value, F f) {
  static_assert(__is_trivially_copyable(T) && (sizeof(T) == 4 || sizeof(T) == 8));
  std::conditional_t<sizeof(T) == 4, int, long long> bits;
  memcpy(&bits, &value, sizeof bits);
  bits = f(bits);
  memcpy(&value, &bits, sizeof bits);
  return value;
}

SR_DEVICE inline int thread_index() { return static_cast<int>(threadIdx.x); }
SR_DEVICE inline int block_index() { return static_cast<int>(blockIdx.x); }
SR_DEVICE inline int grid_size() { return static_cast<int>(gridDim.x); }
SR_DEVICE inline void sync_warp(unsigned member_mask) { __syncwarp(member_mask); }
SR_DEVICE inline void sync_block() { __syncthreads(); }

// The block's place in its cluster.
SR_DEVICE inline int cluster_rank() {
  int rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// A barrier of all threads of all blocks of the cluster.
SR_DEVICE inline void sync_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;"
               :
               :
               : "memory");
}
// The same place in the shared memory of another block of the cluster.
template <class T>
SR_DEVICE T* in_block(T* shared, int rank) {
  std::uint64_t there;
  asm("mapa.u64 %0, %1, %2;"
      : "=l"(there)
      : "l"(reinterpret_cast<std::uint64_t>(shared)), "r"(rank));
  return reinterpret_cast<T*>(there);
}

// The value of another lane of the warp, for trivially copyable values of 4 or 8 bytes: of lane
// (own lane ^ lane_mask), or of lane `source`. It orders no memory: only sync_warp and sync_block
// do.
template <class T>
SR_DEVICE T shuffle_xor(T value, int lane_mask, unsigned member_mask) {
  return as_bits(value, [=](auto bits) { return __shfl_xor_sync(member_mask, bits, lane_mask); });
}
template <class T>
SR_DEVICE T shuffle(T value, int source, unsigned member_mask) {
  return as_bits(value, [=](auto bits) { return __shfl_sync(member_mask, bits, source); });
}

// The same number, of which the compiler knows nothing and which it does not ask for early.
SR_DEVICE inline int opaque(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
SR_DEVICE inline unsigned opaque(unsigned value) {
  asm volatile("" : "+r"(value));
  return value;
}
SR_DEVICE inline float opaque(float value) {
  asm volatile("" : "+f"(value));
  return value;
}
SR_DEVICE inline double opaque(double value) {
  asm volatile("" : "+d"(value));
  return value;
}

// Within about 2 units in the last place (log2 near 1: within 2^-22); subnormal numbers are zero.
SR_DEVICE inline float approximate_exp2(float x) {
  asm("ex2.approx.ftz.f32 %0, %0;" : "+f"(x));
  return x;
}
SR_DEVICE inline float approximate_log2(float x) {
  asm("lg2.approx.ftz.f32 %0, %0;" : "+f"(x));
  return x;
}
SR_DEVICE inline float approximate_inverse(float x) {
  asm("rcp.approx.ftz.f32 %0, %0;" : "+f"(x));
  return x;
}

// A flag that the host or another thread may set meanwhile.
SR_DEVICE inline int poll(const int* flag) { return *static_cast<const volatile int*>(flag); }

// Adds to a counter of all blocks and returns what it was.
SR_DEVICE inline int add(int* counter, int value) { return atomicAdd(counter, value); }

// Begins to copy Bytes (4, 8 or 16, to which both places are aligned) from global memory to the
// block's shared memory, or to fill them with zeros where `wanted` is false: nothing is read then.
// They arrive at any time from now on, and are there for this thread after wait_copies.
template <int Bytes>
SR_DEVICE void copy_async(void* shared, const void* global, bool wanted) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
               :
               : "r"(to), "l"(global), "n"(Bytes), "r"(wanted ? Bytes : 0)
               : "memory");
}
// The copies that this thread has begun since the last call are a group.
SR_DEVICE inline void commit_copies() { asm volatile("cp.async.commit_group;" : : : "memory"); }
// Until no more than the last Groups of them are on their way. Before a thread returns it waits for
// all.
template <int Groups>
SR_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(Groups) : "memory");
}

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
int cluster_rank();
void sync_cluster();
void* in_block_of(void* shared, int rank);
template <class T>
T* in_block(T* shared, int rank) {
  return static_cast<T*>(in_block_of(shared, rank));
}
inline float approximate_exp2(float x) { return __builtin_exp2f(x); }
inline float approximate_log2(float x) { return __builtin_log2f(x); }
inline float approximate_inverse(float x) { return 1 / x; }
template <class T>
T opaque(T value) {
  return value;
}
int poll(const int* flag);
int add(int* counter, int value);
void* dynamic_shared();
void begin_copy(void* shared, const void* global, int bytes);  // global null: zeros
void commit_copies();
void wait_for_copies(int groups);
template <int Bytes>
void copy_async(void* shared, const void* global, bool wanted) {
  begin_copy(shared, wanted ? global : nullptr, Bytes);
}
template <int Groups>
void wait_copies() {
  wait_for_copies(Groups);
}
std::uint64_t exchange_bits(std::uint64_t bits, int bytes, int source, unsigned member_mask);

template <class T>
T shuffle(T value, int source, unsigned member_mask) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange_bits(bits, static_cast<int>(sizeof value), source, member_mask);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
T shuffle_xor(T value, int lane_mask, unsigned member_mask) {
  return shuffle(value, thread_index() % warp_size ^ lane_mask, member_mask);
}

#endif

}  // namespace softreg::simt
