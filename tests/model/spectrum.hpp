// Singular values and eigenvalues by Eigen, compiled once for the tests that compare with them.
#pragma once
#include <Eigen/Core>

namespace softreg {

// Of a symmetric matrix, the least first.
Eigen::VectorXd eigenvalues(const Eigen::MatrixXd& m);
// The largest first; min(rows, columns) of them. From the Gram matrix of the shorter side: the
// largest within a few n eps of itself, a small one s within a few n eps of largest^2 / s.
Eigen::VectorXd singular_values(const Eigen::MatrixXd& m);

// |m|, the largest singular value
inline double spectral(const Eigen::MatrixXd& m) { return singular_values(m)(0); }

}  // namespace softreg
