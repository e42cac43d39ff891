// Results as .npz files: the arrays that the README names, each in the dtype of the arithmetic, put
// under their name complete or not at all. Errors: see NpzWriter.
#pragma once
#include <string>
#include <vector>

#include "softreg/problem.hpp"
#include "softreg/result.hpp"

namespace softreg {

// Where a result goes, and what it carries besides its arrays.
struct ResultFile {
  std::string path;
  bool force = false;
  std::vector<std::string> groups;  // a label per instance, or empty
  std::string meta;                 // the JSON document
  bool trace_full = false;          // shift_f and shift_x, even if there was no step
};

template <class T>
void write_result(const ResultFile& file, const Result<T>& result);

// with_gradient_a: also d objective / dA, which is dlogits x^T: (count, n, d), or (N, d) when
// ragged.
template <class T>
void write_evaluation(const ResultFile& file, const VectorProblem<T>& problem,
                      const Evaluation<T>& evaluation, bool with_gradient_a);

// d objective / dA of every instance, flat in the order of the instances' rows.
template <class T>
std::vector<T> gradient_a(const VectorProblem<T>& problem, const Evaluation<T>& evaluation);

}  // namespace softreg
