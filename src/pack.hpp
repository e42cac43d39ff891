// Pack<T, W>: W numbers of T in one register of the processor, with the operators of a number, so
// that the mathematics of model/ runs on it as it does on T and gives each of them the bits that it
// would get alone. Comparisons give a Mask. Only for objects compiled for an instruction set with
// fused multiply-add (cmake/cpu_isa.cmake).
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <type_traits>
#include <utility>

#include "softreg/model/sums.hpp"

namespace softreg {

#define SR_PACK inline __attribute__((always_inline))

// The registers of this object's instruction set.
#if defined(__AVX512F__)
inline constexpr int register_bytes = 64, registers = 32;
#else
inline constexpr int register_bytes = 32, registers = 16;
#endif
template <class T>
inline constexpr int pack_width = register_bytes / static_cast<int>(sizeof(T));

// g++ 12 forgets vector_size where the size depends on a parameter.
template <class T, int Bytes>
struct VectorOf;
template <class T>
struct VectorOf<T, 32> {
  typedef T type __attribute__((vector_size(32)));
};
template <class T>
struct VectorOf<T, 64> {
  typedef T type __attribute__((vector_size(64)));
};

// Per number yes (all bits) or no (none).
template <class T, int W>
struct Mask {
  using Integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  using Vector = typename VectorOf<Integer, W* static_cast<int>(sizeof(T))>::type;
  Vector v;

  SR_PACK bool operator[](int k) const { return v[k] != 0; }
  SR_PACK friend Mask operator!(Mask a) { return {~a.v}; }
  SR_PACK friend Mask operator&&(Mask a, Mask b) { return {a.v & b.v}; }
  SR_PACK friend Mask operator||(Mask a, Mask b) { return {a.v | b.v}; }
  SR_PACK friend bool any(Mask a) { return a.signs() != 0; }
  SR_PACK friend bool all(Mask a) { return (!a).signs() == 0; }

 private:
  // Whatever the order of its bits.
  SR_PACK unsigned signs() const {
#if defined(__AVX512F__)
    if constexpr (sizeof(Vector) == 64)
      return sizeof(T) == 4 ? _mm512_movepi32_mask(reinterpret_cast<__m512i>(v))
                            : _mm512_movepi64_mask(reinterpret_cast<__m512i>(v));
    else
#endif
      return static_cast<unsigned>(_mm256_movemask_epi8(reinterpret_cast<__m256i>(v)));
  }
};

template <class T, int W>
struct Pack {
  static constexpr int width = W;
  using Vector = typename VectorOf<T, W* static_cast<int>(sizeof(T))>::type;
  using Bits = Pack<std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>, W>;
  Vector v;

  SR_PACK Pack() = default;
  template <class N>
  requires std::is_arithmetic_v<N> SR_PACK Pack(N all)
      : v(static_cast<T>(all) - Vector{}) {}  // not 0 + all, which has no -0
  SR_PACK explicit Pack(Vector of) : v(of) {}
  SR_PACK static Pack load(const T* from) {  // of any alignment
    Pack p;
    __builtin_memcpy(&p.v, from, sizeof p.v);
    return p;
  }
  SR_PACK void store(T* to) const { __builtin_memcpy(to, &v, sizeof v); }
  SR_PACK T operator[](int k) const { return v[k]; }
  SR_PACK void set(int k, T value) { v[k] = value; }

  SR_PACK friend Pack operator+(Pack a, Pack b) { return Pack(a.v + b.v); }
  SR_PACK friend Pack operator-(Pack a, Pack b) { return Pack(a.v - b.v); }
  SR_PACK friend Pack operator*(Pack a, Pack b) { return Pack(a.v * b.v); }
  SR_PACK friend Pack operator/(Pack a, Pack b) { return Pack(a.v / b.v); }
  SR_PACK friend Pack operator-(Pack a) { return Pack(-a.v); }
  SR_PACK friend Mask<T, W> operator<(Pack a, Pack b) { return {a.v < b.v}; }
  SR_PACK friend Mask<T, W> operator>(Pack a, Pack b) { return {a.v > b.v}; }
  SR_PACK friend Mask<T, W> operator<=(Pack a, Pack b) { return {a.v <= b.v}; }
  SR_PACK friend Mask<T, W> operator==(Pack a, Pack b) { return {a.v == b.v}; }
  SR_PACK friend Pack select(Mask<T, W> c, Pack a, Pack b) { return Pack(c.v ? a.v : b.v); }

  // Of unsigned numbers.
  SR_PACK friend Pack operator&(Pack a, Pack b) { return Pack(a.v & b.v); }
  SR_PACK friend Pack operator|(Pack a, Pack b) { return Pack(a.v | b.v); }
  SR_PACK friend Pack operator<<(Pack a, int by) { return Pack(a.v << by); }
  SR_PACK friend Pack operator>>(Pack a, int by) { return Pack(a.v >> by); }
  SR_PACK friend auto from_bits(Pack a) {
    using F = std::conditional_t<sizeof(T) == 4, float, double>;
    return Pack<F, W>(reinterpret_cast<typename Pack<F, W>::Vector>(a.v));
  }

  // Of floating-point numbers.
  SR_PACK friend Bits to_bits(Pack a) { return Bits(reinterpret_cast<typename Bits::Vector>(a.v)); }
  SR_PACK friend Pack fma_(Pack a, Pack b, Pack c) {
    if constexpr (sizeof(Vector) == 64 && sizeof(T) == 4)
      return Pack(Vector(_mm512_fmadd_ps(a.v, b.v, c.v)));
    else if constexpr (sizeof(Vector) == 64)
      return Pack(Vector(_mm512_fmadd_pd(a.v, b.v, c.v)));
    else if constexpr (sizeof(T) == 4)
      return Pack(Vector(_mm256_fmadd_ps(a.v, b.v, c.v)));
    else
      return Pack(Vector(_mm256_fmadd_pd(a.v, b.v, c.v)));
  }
  // maskz: g++ 12 warns of an uninitialized register inside the plain intrinsic.
  SR_PACK friend Pack sqrt_(Pack a) {
    if constexpr (sizeof(Vector) == 64 && sizeof(T) == 4)
      return Pack(Vector(_mm512_maskz_sqrt_ps(__mmask16(-1), a.v)));
    else if constexpr (sizeof(Vector) == 64)
      return Pack(Vector(_mm512_maskz_sqrt_pd(__mmask8(-1), a.v)));
    else if constexpr (sizeof(T) == 4)
      return Pack(Vector(_mm256_sqrt_ps(a.v)));
    else
      return Pack(Vector(_mm256_sqrt_pd(a.v)));
  }
  SR_PACK friend Pack abs_(Pack a) { return from_bits(to_bits(a) & ~math_detail::Format<T>::sign); }
  SR_PACK friend Mask<T, W> is_finite(Pack a) { return abs_(a) <= math_detail::Format<T>::max; }
  SR_PACK friend Pack exp_(Pack a) { return math_detail::exp_impl(a); }
  SR_PACK friend Pack log_(Pack a) { return math_detail::log_impl(a); }
  SR_PACK friend Pack sinh_(Pack a) { return math_detail::sinh_impl(a); }
  SR_PACK friend Pack cosh_(Pack a) { return math_detail::cosh_impl(a); }
};

template <class T, int W>
struct RealOf<Pack<T, W>> {
  using type = T;
};

// Single instructions for what model/math.hpp composes, with the same bits.

// The second operand where one is NaN, as x is here.
template <class T, int W>
SR_PACK Pack<T, W> at_most(Pack<T, W> x, T bound) {
  using P = Pack<T, W>;
  using V = typename P::Vector;
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4)
    return P(V(_mm512_maskz_min_ps(__mmask16(-1), P(bound).v, x.v)));
  else if constexpr (sizeof(V) == 64)
    return P(V(_mm512_maskz_min_pd(__mmask8(-1), P(bound).v, x.v)));
  else if constexpr (sizeof(T) == 4)
    return P(V(_mm256_min_ps(P(bound).v, x.v)));
  else
    return P(V(_mm256_min_pd(P(bound).v, x.v)));
}
#if defined(__AVX512F__)
template <class T, int W>
SR_PACK Pack<T, W> scale(Pack<T, W> y, Pack<T, W> n) {
  using P = Pack<T, W>;
  using V = typename P::Vector;
  using F = math_detail::Format<T>;
  const P k = n - (F::magic + T(2 * F::bias));
  if constexpr (sizeof(T) == 4)
    return P(V(_mm512_maskz_scalef_ps(__mmask16(-1), y.v, k.v)));
  else
    return P(V(_mm512_maskz_scalef_pd(__mmask8(-1), y.v, k.v)));
}
#endif

// Of both cases each number takes its own.
template <class T, int W, class A, class B>
SR_PACK auto either(Mask<T, W> c, A a, B b) {
  return select(c, a(), b());
}

// Number k takes the place of number k xor Distance.
template <int Distance, class T, int W, int... I>
SR_PACK Pack<T, W> exchange(Pack<T, W> a, std::integer_sequence<int, I...>) {
  return Pack<T, W>(__builtin_shufflevector(a.v, a.v, (I ^ Distance)...));
}
template <int Distance, class T, int W>
SR_PACK Pack<T, W> exchange(Pack<T, W> a) {
  return exchange<Distance>(a, std::make_integer_sequence<int, W>{});
}

template <int Distance, class T, int W, int K>
SR_PACK Sums<Pack<T, W>, K> exchange(Sums<Pack<T, W>, K> a) {
  for (int k = 0; k < K; ++k) a.v[k] = exchange<Distance>(a.v[k]);
  return a;
}
// The tree of model/group.hpp over every `Lanes` neighbouring lanes, each of which gets the result.
template <int Lanes, class S, class F>
SR_PACK S fold_lanes(S s, F f) {
  if constexpr (Lanes > 1)
    return fold_lanes<Lanes / 2>(f(s, exchange<Lanes / 2>(s)), f);
  else
    return s;
}

template <class T, int W, int K>
SR_PACK Sums<Pack<T, W>, K> select(Mask<T, W> c, Sums<Pack<T, W>, K> a,
                                   const Sums<Pack<T, W>, K>& b) {
  for (int k = 0; k < K; ++k) a.v[k] = select(c, a.v[k], b.v[k]);
  return a;
}

}  // namespace softreg
