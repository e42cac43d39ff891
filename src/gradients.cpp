#include "softreg/gradients.hpp"

#include <Eigen/Core>

#include "described.hpp"
#include "parallel.hpp"
#include "subscript.hpp"

namespace softreg {
namespace {

template <class T>
using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class T>
Eigen::Map<const Rows<T>> map(const T* numbers, int rows, int columns) {
  return {numbers, rows, columns};
}
template <class T>
Eigen::Map<const Rows<T>> map(const Matrix<const T>& m) {
  return {m.data, m.rows, m.cols};
}

}  // namespace

template <class T>
std::vector<T> gradient_a(const VectorProblem<T>& problem, const Evaluation<T>& evaluation) {
  const Described<T> described(problem, {});
  const Batch<T>& b = described.batch;
  std::vector<T> out(evaluation.dlogits.size() * at(problem.d));
  parallel_for(b.count, 0, [&](std::int64_t i, int) {
    const T* const x = evaluation.at.x.data() + i * problem.d;
    for (std::int64_t row = b.first_row(i); row < b.first_row(i + 1); ++row)
      for (std::int64_t j = 0; j < problem.d; ++j)
        out[at(row * problem.d + j)] = evaluation.dlogits[at(row)] * x[j];
  });
  return out;
}

template <class T>
MatrixGradients<T> gradients(const MatrixProblem<T>& problem, const Evaluation<T>& evaluation) {
  const Described<T> described(problem, {});
  const Batch<T>& b = described.batch;
  const bool tied = problem.a2.empty();
  const std::int64_t blocks = b.first_block(b.count);
  MatrixGradients<T> out;
  out.a1.resize(at(b.first1(blocks) * b.d1));
  if (!tied) out.a2.resize(at(b.first2(blocks) * b.d2));
  parallel_for(b.count, 0, [&](std::int64_t i, int) {
    const auto x = map(evaluation.at.x.data() + i * b.parameters(), b.d1, b.d2);
    for (std::int64_t k = b.first_block(i); k < b.first_block(i + 1); ++k) {
      const auto a1 = map(b.a1_of(k)), a2 = map(b.a2_of(k));
      const auto p = map(evaluation.dlogits.data() + b.first_z(k), b.rows1(k), b.rows2(k));
      Eigen::Map<Rows<T>> g1(out.a1.data() + b.first1(k) * b.d1, b.rows1(k), b.d1);
      g1.noalias() = (p * a2) * x.transpose();
      if (tied) {
        g1.noalias() += p.transpose() * (a1 * x);
      } else {
        Eigen::Map<Rows<T>> g2(out.a2.data() + b.first2(k) * b.d2, b.rows2(k), b.d2);
        g2.noalias() = p.transpose() * (a1 * x);
      }
    }
  });
  return out;
}

template std::vector<float> gradient_a(const VectorProblem<float>&, const Evaluation<float>&);
template std::vector<double> gradient_a(const VectorProblem<double>&, const Evaluation<double>&);
template MatrixGradients<float> gradients(const MatrixProblem<float>&, const Evaluation<float>&);
template MatrixGradients<double> gradients(const MatrixProblem<double>&, const Evaluation<double>&);

}  // namespace softreg
