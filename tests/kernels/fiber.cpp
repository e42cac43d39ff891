// Switching by ten instructions of x86-64. Boost.Context jumps back instead of returning, which
// upsets the processor's return prediction: an emulated shuffle of 32 lanes took 1330 ns with it
// and takes 430 ns so.
#include "kernels/fiber.hpp"

#include <sanitizer/asan_interface.h>
#include <sanitizer/tsan_interface.h>
#include <sys/mman.h>

#include <new>

#if !defined(__x86_64__)
#error "the emulator switches stacks on x86-64 only"
#endif

// Saves the registers that a call must keep, exchanges the stack, and returns `from` there: as the
// result of the switch that left it, or as the argument of its entry.
extern "C" void* softreg_switch_stack(void** save, void* load, void* from);
asm(R"(
.pushsection .text
.globl softreg_switch_stack
.type softreg_switch_stack, @function
softreg_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  movq %rdx, %rdi
  movq %rdx, %rax
  ret
.size softreg_switch_stack, . - softreg_switch_stack
.popsection
)");

namespace softreg::simt {
namespace {

constexpr std::size_t page = 4096, stack_bytes = 256 * 1024;
constexpr int saved_registers = 6;

}  // namespace

Fiber::Fiber() {
  if constexpr (thread_sanitizer) shadow_ = __tsan_get_current_fiber();
}

Fiber::Fiber(int index, void (*entry)(Fiber* from)) {
  void* memory = mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  if (mprotect(memory, page, PROT_NONE) != 0) {
    munmap(memory, page + stack_bytes);
    throw std::bad_alloc();
  }
  memory_ = static_cast<char*>(memory);
  bottom_ = memory_ + page;
  size_ = stack_bytes;
  // Without different places inside their pages the hot ends of all stacks share a few cache lines,
  // and a bare switch takes 7.4 ns instead of 3.7.
  void** top = reinterpret_cast<void**>(memory_ + page + stack_bytes - index % 16 * 256);
  top[-1] = nullptr;  // where a caller's return address would be: the end for debuggers
  top[-2] = reinterpret_cast<void*>(entry);
  stack_pointer_ = top - 2 - saved_registers;
  if constexpr (thread_sanitizer) shadow_ = __tsan_create_fiber(0);
}

Fiber::~Fiber() {
  if (memory_ == nullptr) return;
  if constexpr (thread_sanitizer) __tsan_destroy_fiber(shadow_);
  ASAN_UNPOISON_MEMORY_REGION(bottom_, size_);
  munmap(memory_, page + stack_bytes);
}

void Fiber::switch_to(const Fiber& next) {
  if constexpr (address_sanitizer)
    __sanitizer_start_switch_fiber(&fake_stack_, next.bottom_, next.size_);
  if constexpr (thread_sanitizer) __tsan_switch_to_fiber(next.shadow_, 0);
  void* from = softreg_switch_stack(&stack_pointer_, next.stack_pointer_, this);
  arrive_from(static_cast<Fiber*>(from));
}

// Tells AddressSanitizer that the switch is done; learns the bounds of the host's stack on the way.
void Fiber::arrive_from(Fiber* from) const {
  if constexpr (address_sanitizer)
    __sanitizer_finish_switch_fiber(fake_stack_, &from->bottom_, &from->size_);
  else
    static_cast<void>(from);
}

}  // namespace softreg::simt
