// Gradients with respect to the data, from what evaluate() returned: the data-shift theorems need
// them (vector: dL/dA = (dL/dz) x^T; matrix: Alman-Song, arXiv 2402.04497, with P = dL/dZ).
#pragma once
#include <vector>

#include "softreg/problem.hpp"
#include "softreg/result.hpp"

namespace softreg {

// d objective / dA, like A with one instance after another: (count, n, d), or (N, d) when ragged,
// also where the instances share A. The evaluation must be of this problem.
template <class T>
std::vector<T> gradient_a(const VectorProblem<T>& problem, const Evaluation<T>& evaluation);

// a1: P A2 X^T, like A1 with one instance after another; a2: P^T A1 X, like A2 likewise. Tied
// problem: a1 is the total, P A X^T + P^T A X, and a2 is empty.
template <class T>
struct MatrixGradients {
  std::vector<T> a1, a2;
};
template <class T>
MatrixGradients<T> gradients(const MatrixProblem<T>& problem, const Evaluation<T>& evaluation);

}  // namespace softreg
