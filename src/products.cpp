#include "products.hpp"

#include <libxsmm.h>

#include <Eigen/Core>

namespace softreg {
namespace {

libxsmm_smmfunction generate(const libxsmm_blasint (&mnk)[3], const libxsmm_blasint (&ld)[3],
                             const float& one, const float& beta, int flags, int prefetch) {
  return libxsmm_smmdispatch(mnk[0], mnk[1], mnk[2], &ld[0], &ld[1], &ld[2], &one, &beta, &flags,
                             &prefetch);
}
libxsmm_dmmfunction generate(const libxsmm_blasint (&mnk)[3], const libxsmm_blasint (&ld)[3],
                             const double& one, const double& beta, int flags, int prefetch) {
  return libxsmm_dmmdispatch(mnk[0], mnk[1], mnk[2], &ld[0], &ld[1], &ld[2], &one, &beta, &flags,
                             &prefetch);
}

template <class T>
void product_by_eigen(const Product& p, const T* a, const T* b, T* c) {
  using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Stride = Eigen::OuterStride<>;
  const Eigen::Map<const Rows, 0, Stride> right(b, p.depth, p.columns, Stride(p.b_stride));
  Eigen::Map<Rows, 0, Stride> to(c, p.rows, p.columns, Stride(p.c_stride));
  if (!p.add) to.setZero();
  if (p.a_transposed)
    to.noalias() +=
        Eigen::Map<const Rows, 0, Stride>(a, p.depth, p.rows, Stride(p.a_stride)).transpose() *
        right;
  else
    to.noalias() +=
        Eigen::Map<const Rows, 0, Stride>(a, p.rows, p.depth, Stride(p.a_stride)) * right;
}

// LIBXSMM's matrices are column-major: it forms C^T = B^T A^T. The kernel is looked up at every
// call, in a table of the library that costs tens of nanoseconds.
template <class T>
void product(const Product& p, const T* a, const T* b, T* c) {
  const auto kernel = generate(
      {p.columns, p.rows, p.depth}, {p.b_stride, p.a_stride, p.c_stride}, T(1), p.add ? T(1) : T(0),
      p.a_transposed ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE, LIBXSMM_PREFETCH_NONE);
  if (kernel != nullptr)
    kernel(b, a, c);
  else
    product_by_eigen(p, a, b, c);
}

}  // namespace
}  // namespace softreg

extern "C" void softreg_product_f32(const void* product, const float* a, const float* b, float* c) {
  softreg::product(*static_cast<const softreg::Product*>(product), a, b, c);
}
extern "C" void softreg_product_f64(const void* product, const double* a, const double* b,
                                    double* c) {
  softreg::product(*static_cast<const softreg::Product*>(product), a, b, c);
}
