// The arrays that a launch on the emulated device is given: whether each lies in memory of the
// device and no two share any of it. While the kernel runs AddressSanitizer lets nothing else of
// that memory be touched, and what nobody has written is NaN.
#pragma once
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "launch.hpp"

namespace softreg {

using MemoryMap = std::map<const char*, std::size_t>;

inline bool is_inside(const MemoryMap& memory, const void* p, std::size_t bytes) {
  const auto address = [](const void* q) { return reinterpret_cast<std::uintptr_t>(q); };
  auto block = memory.upper_bound(static_cast<const char*>(p));
  return block != memory.begin() && address(p) + bytes <= address((--block)->first) + block->second;
}

class DeviceArrays {
 public:
  explicit DeviceArrays(const MemoryMap& memory) : memory_(memory) {}

  template <class T>
  void add(const Launch& launch, const Batch<T>& b) {
    const std::int64_t count = b.count, d = b.parameters(), steps = b.stop.max_steps;
    if (b.matrix != (b.a1 != nullptr)) wrong_ = "A1 is what a matrix problem has";
    given(b.blocks, count + 1, "where blocks begin");
    if (!wrong_.empty()) return;
    const std::int64_t blocks = b.first_block(count);
    given(b.begin1, blocks + 1, "where rows of A1 begin");
    given(b.begin2, blocks + 1, "where rows of A2 begin");
    given(b.begin_z, blocks + 1, "where logits begin");
    if (!wrong_.empty()) return;
    const std::int64_t rows1 = b.first1(blocks), rows2 = b.first2(blocks);
    const std::int64_t rows = b.first_row(count), segments = b.first_segment(count);
    const std::int64_t alike = b.n * b.m;  // logits of every instance, if shared
    given(b.a1, (b.a1_shared ? b.n : rows1) * b.d1, "A1");
    given(b.a2, (b.a2_shared ? b.m : rows2) * b.d2, "A2");
    given(b.target, b.target_shared ? alike : rows, "b");
    given(b.weights, b.weights_shared ? alike : rows, "w");
    given(b.start, b.start_shared ? d : count * d, "x0");
    given(b.step_size, count, "step sizes");
    given(b.operator_norm, b.shifts ? count : 1, "operator norms");
    given(b.taken, 1, "what has been taken");
    written(b.x, count * d, "x");
    written(b.outcome, count, "outcomes");
    written(b.losses, count * b.tests, "losses");
    written(b.shifts, count, "shifts");
    written(b.bounds, count, "bounds");
    written(b.shift_f, count * steps, "shifts of f");
    written(b.shift_x, count * steps, "shifts of x");
    written(b.output, rows, "output");
    written(b.dlogits, rows, "dlogits");
    written(b.gradient, count * d, "gradient");
    written(b.attended, segments * b.d2, "attended");
    written(b.log_mass, segments, "log mass");
    const KernelPolicy& p = policies[launch.policy];
    if (launch.blocks % p.cluster() != 0) wrong_ = "blocks are not whole clusters";
    const std::int64_t at_once =
        std::int64_t{launch.blocks} / p.cluster() * p.instances_per_cluster();
    written(static_cast<T*>(launch.workspace),
            (p.places > 1 ? at_once : std::min(count, at_once)) * launch.workspace_stride,
            "the workspace");
    expect_disjoint();
  }
  const std::string& wrong() const { return wrong_; }

  template <class F>
  void alone(F f) const {
    for (const auto& [block, bytes] : memory_) ASAN_POISON_MEMORY_REGION(block, bytes);
    for (const Array& a : arrays_) {
      ASAN_UNPOISON_MEMORY_REGION(a.data, a.bytes);
      if (a.written) std::memset(const_cast<char*>(a.data), 0xff, a.bytes);
    }
    f();
    for (const auto& [block, bytes] : memory_) ASAN_UNPOISON_MEMORY_REGION(block, bytes);
  }

 private:
  struct Array {
    const char* data;
    std::size_t bytes;
    const char* what;
    bool written;
  };

  template <class V>
  void given(const V* p, std::int64_t values, const char* what, bool written = false) {
    if (p == nullptr || values == 0) return;
    const std::size_t bytes = static_cast<std::size_t>(values) * sizeof(V);
    if (!is_inside(memory_, p, bytes) && wrong_.empty())
      wrong_ = what + (" is not " + std::to_string(bytes)) + " bytes of memory from this device";
    arrays_.push_back({reinterpret_cast<const char*>(p), bytes, what, written});
  }
  template <class V>
  void written(V* p, std::int64_t values, const char* what) {
    given(p, values, what, true);
  }
  void expect_disjoint() {
    std::sort(arrays_.begin(), arrays_.end(),
              [](const Array& a, const Array& b) { return a.data < b.data; });
    for (std::size_t k = 1; k < arrays_.size(); ++k)
      if ((arrays_[k - 1].written || arrays_[k].written) &&  // what is read may be one array
          arrays_[k - 1].data + arrays_[k - 1].bytes > arrays_[k].data && wrong_.empty())
        wrong_ = std::string(arrays_[k - 1].what) + " and " + arrays_[k].what + " overlap";
  }

  const MemoryMap& memory_;
  std::vector<Array> arrays_;
  std::string wrong_;  // the first thing
};

}  // namespace softreg
