// Sums<T, K>: a handful of numbers reduced together, one pass over the rows instead of K.
#pragma once
#include "softreg/model/math.hpp"

namespace softreg {

template <class T, int K>
struct Sums {
  T v[K];
  SR_HD const T& operator[](int k) const { return v[k]; }
  SR_HD friend Sums operator+(Sums a, const Sums& b) {
    SR_UNROLL
    for (int k = 0; k < K; ++k) a.v[k] = a.v[k] + b.v[k];
    return a;
  }
};

}  // namespace softreg
