// Operators: how parameters become logits, and how dL/dz becomes the gradient. They know no loss.
#pragma once
#include "softreg/model/group.hpp"
#include "softreg/model/matrix.hpp"

namespace softreg {

// z = A x, one segment of n rows. M: Matrix or ColumnMatrix.
template <class M, class T>
struct Dense {
  M a;  // (n, d)
  SR_HD int rows() const { return a.rows; }
  SR_HD int parameters() const { return a.cols; }

  template <class G>
  SR_HD void apply(G g, const T* x, T* z) const {  // x (d) -> z (n)
    g.template fold<T>(
        a.rows, a.cols, [m = a, x](int i, int j, T sum) { return fma_(m(i, j), x[j], sum); },
        [z](int i, T sum) { z[i] = sum; });
  }
  template <class G>
  SR_HD void apply_transpose(G g, const T* y, T* grad) const {  // y (n) -> grad (d)
    for (int j = 0; j < a.cols; ++j) {
      const T s = g.template sum<T>(
          a.rows, [m = a, y, j](int i, T sum) { return fma_(m(i, j), y[i], sum); });
      g.once([=] { grad[j] = s; });
    }
  }
};

}  // namespace softreg
