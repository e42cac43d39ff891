#include "model/spectrum.hpp"

#include <Eigen/Eigenvalues>

namespace softreg {

using Eigen::MatrixXd;
using Eigen::VectorXd;

VectorXd eigenvalues(const MatrixXd& m) {
  return Eigen::SelfAdjointEigenSolver<MatrixXd>(m, Eigen::EigenvaluesOnly).eigenvalues();
}

VectorXd singular_values(const MatrixXd& m) {
  const MatrixXd gram =
      m.rows() < m.cols() ? MatrixXd(m * m.transpose()) : MatrixXd(m.transpose() * m);
  return eigenvalues(gram).reverse().cwiseMax(0).cwiseSqrt();
}

}  // namespace softreg
