// Whether this is compiled for a sanitizer. Instrumented code runs many times slower: there, a part
// of the repetitions must do.
#pragma once
#include <sanitizer/common_interface_defs.h>

namespace softreg {

// The header above defines __has_feature where the compiler does not.
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
inline constexpr bool address_sanitizer = true;
#else
inline constexpr bool address_sanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
inline constexpr bool thread_sanitizer = true;
#else
inline constexpr bool thread_sanitizer = false;
#endif
inline constexpr bool sanitized = address_sanitizer || thread_sanitizer;

}  // namespace softreg
