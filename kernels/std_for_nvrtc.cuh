// What the model and the kernels use of the standard library, for NVRTC, which has none: every
// standard header that they include is this file (src/specialise.cpp). No other compiler reads it.
#pragma once

// Built into g++, clang and nvcc. NVRTC gives a function of this name no other meaning.
inline float __builtin_fmaf(float a, float b, float c) { return fmaf(a, b, c); }
inline double __builtin_fma(double a, double b, double c) { return fma(a, b, c); }
inline float __builtin_sqrtf(float x) { return sqrtf(x); }
inline double __builtin_sqrt(double x) { return sqrt(x); }
inline float __builtin_fabsf(float x) { return fabsf(x); }
inline double __builtin_fabs(double x) { return fabs(x); }
inline double __builtin_huge_val() { return __longlong_as_double(0x7ff0000000000000); }
inline double __builtin_nan(const char*) { return __longlong_as_double(0x7ff8000000000000); }
// Never called by a kernel.
long double __builtin_fmal(long double, long double, long double);
long double __builtin_sqrtl(long double);
long double __builtin_fabsl(long double);
long double __builtin_expl(long double);
long double __builtin_logl(long double);
long double __builtin_sinhl(long double);
long double __builtin_coshl(long double);

namespace std {

// <cstdint>, <cstddef>
using size_t = decltype(sizeof(0));
using int32_t = int;
using int64_t = long;
using uint32_t = unsigned;
using uint64_t = unsigned long;

// <cmath>, <cstring>
using ::log10;
using ::memcpy;

// <type_traits>
template <class A, class B>
inline constexpr bool is_same_v = false;
template <class A>
inline constexpr bool is_same_v<A, A> = true;
template <bool B, class Then, class Else>
struct conditional {
  using type = Then;
};
template <class Then, class Else>
struct conditional<false, Then, Else> {
  using type = Else;
};
template <bool B, class Then, class Else>
using conditional_t = typename conditional<B, Then, Else>::type;

// <concepts>
template <class A, class B>
concept same_as = is_same_v<A, B>;
template <class From, class To>
concept convertible_to = requires(From from, void (&take)(To)) {
  take(from);
};

// <string_view>: a name is carried and never read.
struct string_view {
  const char* text = "";
  constexpr string_view() = default;
  constexpr string_view(const char* literal) : text(literal) {}
};

// <tuple>, <variant>: lists of types.
template <class...>
struct tuple;
template <class...>
struct variant;
template <class List>
inline constexpr size_t length_of = 0;
template <template <class...> class List, class... Types>
inline constexpr size_t length_of<List<Types...>> = sizeof...(Types);
template <size_t K, class List>
struct nth;
template <template <class...> class List, class First, class... Rest>
struct nth<0, List<First, Rest...>> {
  using type = First;
};
template <size_t K, template <class...> class List, class First, class... Rest>
struct nth<K, List<First, Rest...>> : nth<K - 1, List<Rest...>> {};
template <class List>
inline constexpr size_t tuple_size_v = length_of<List>;
template <class List>
inline constexpr size_t variant_size_v = length_of<List>;
template <size_t K, class List>
using tuple_element_t = typename nth<K, List>::type;
template <size_t K, class List>
using variant_alternative_t = typename nth<K, List>::type;

}  // namespace std
