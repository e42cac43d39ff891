// A certified upper bound on the spectral norm of a matrix, from which step sizes and the theorems'
// bounds are made. An estimate from below (a power iteration) would report false violations.
#pragma once
#include <cmath>

#include "softreg/model/math.hpp"
#include "softreg/model/matrix.hpp"

namespace softreg {

// Up to this min(rows, cols) the bound comes from the smaller Gram matrix and is sharp to rounding;
// beyond it is min(|A|_F, sqrt(|A|_1 |A|_inf)).
inline constexpr int gram_limit = 256;

// At least |A|_2, in double whatever T is. The same bits for the same numbers, wherever they lie;
// no overflow or underflow on the way (the result is inf only where |A|_2 may exceed the largest
// double). 0 for an empty matrix, NaN if an entry is not finite.
template <class T>
double operator_norm_bound(const Matrix<const T>& a);

// What of a matrix the bound above is made of, where only these are at hand. exponent: of the power
// of two by which entries are divided before anything is squared. largest: the largest |entry|,
// positive and finite. triangle: Gram matrix of the longer side's rows of the scaled entries
// (kernels/gram.hpp), min(rows, cols) <= gram_limit.
int exponent_of(double largest);
double operator_norm_bound(int rows, int cols, double largest, const double* triangle);

// At most the smallest singular value of A: |A v| >= this |v| for every v. 0 where nothing more is
// proven: fewer rows than columns, more than gram_limit columns, nearly dependent ones.
template <class T>
double least_singular_bound(const Matrix<const T>& a);

// A bound as a number of T: it must stay one.
template <class T>
T rounded_up(double bound) {
  const T rounded = static_cast<T>(bound);
  return static_cast<double>(rounded) < bound ? std::nextafter(rounded, infinity<T>()) : rounded;
}

}  // namespace softreg
