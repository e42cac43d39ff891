// Results as .npz files: the arrays that the README names, each in the dtype of the arithmetic
// unless it says otherwise, put under their name complete or not at all. Errors: see NpzWriter.
#pragma once
#include <string>
#include <vector>

#include "problem_file.hpp"
#include "softreg/bounds.hpp"
#include "softreg/result.hpp"

namespace softreg {

// Where a result goes, and what it carries besides its arrays.
struct ResultFile {
  std::string path;
  bool force = false;
  std::vector<std::string> groups;           // a label per instance, or empty
  std::string meta;                          // the JSON document
  bool trace_full = false;                   // shift_f and shift_x, even if there was no step
  std::int64_t d2 = 0;                       // of a matrix problem, whose parameters are X (d1, d2)
  const SequenceReport* sequence = nullptr;  // of `check --sequence`
};

template <class T>
void write_result(const ResultFile& file, const Result<T>& result);

// with_gradient_a: also d objective / dA (grad_A), or grad_A1 and, unless tied, grad_A2; each like
// its array with one instance after another.
template <class T>
void write_evaluation(const ResultFile& file, const ProblemArrays<T>& problem,
                      const Evaluation<T>& evaluation, bool with_gradient_a);

}  // namespace softreg
