// Products of small dense matrices, row-major: C (rows, columns) = A B, or C += A B. The kernels
// are generated for this processor at run time (LIBXSMM); a shape for which none is generated goes
// to Eigen. Equal shapes give equal bits, from any thread. Plain C, because the objects compiled
// per instruction set, which call it, have renamed the namespace.
#pragma once

namespace softreg {

struct Product {
  int rows, columns, depth;
  int a_stride, b_stride, c_stride;  // numbers from row to row
  bool a_transposed;                 // A is stored as (depth, rows)
  bool add;                          // C += A B
};

extern "C" {
void softreg_product_f32(const void* product, const float* a, const float* b, float* c);
void softreg_product_f64(const void* product, const double* a, const double* b, double* c);
}

inline void multiply(const Product& p, const float* a, const float* b, float* c) {
  softreg_product_f32(&p, a, b, c);
}
inline void multiply(const Product& p, const double* a, const double* b, double* c) {
  softreg_product_f64(&p, a, b, c);
}

}  // namespace softreg
