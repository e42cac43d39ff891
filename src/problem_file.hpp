// Problems read from .npz and .csv files, every shape and type checked against the others
// before any data are read. Numbers inside the arrays are not judged: a NaN is an instance's
// status.
#pragma once
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "aligned.hpp"
#include "npz.hpp"
#include "softreg/problem.hpp"

namespace softreg {

// A problem that owns its arrays; T is the dtype of the arithmetic.
template <class T>
struct ProblemArrays {
  bool matrix = false;
  std::int64_t count = 0;
  std::int64_t n = 0, d = 0;  // rows of every instance (of A1), the most when ragged; parameters
  std::int64_t m = 0, d1 = 0, d2 = 0;             // of a matrix problem
  AlignedVector<T> a, a2, b;                      // as in VectorProblem, or A1, A2, B
  AlignedVector<std::int64_t> offsets, offsets2;  // or offsets1 and offsets2
  AlignedVector<std::int64_t> segments, instances;
  AlignedVector<T> x0, w;
  AlignedVector<double> step_size;

  // Valid while *this lives and is not changed; moving *this keeps them valid.
  VectorProblem<T> vector_view() const {
    return {count, n, d, a, b, offsets, x0, step_size, w, segments, instances};
  }
  MatrixProblem<T> matrix_view() const {
    return {count, n, m, d1, d2, a, a2, b, offsets, offsets2, instances, x0, step_size, w};
  }
  // f(problem) of the kind that it is.
  template <class F>
  auto visit(F f) const {
    return matrix ? f(matrix_view()) : f(vector_view());
  }
};

enum class DtypeChoice { keep, f32, f64 };

// Which columns of a .csv in long form mean what. Empty for .npz.
struct CsvColumns {
  std::string group, target;
  std::vector<std::string> features;
};

struct ProblemFile {
  std::variant<ProblemArrays<float>, ProblemArrays<double>> problem;
  std::vector<std::string> groups;    // .csv: a label per instance, else empty
  std::vector<std::string> warnings;  // such as an array whose name means nothing: not fatal
};

// Throws Error: io when the file cannot be read, invalid_input when it makes no problem,
// usage for a name that is neither .npz nor .csv or for columns that do not fit it.
ProblemFile read_problem_file(const std::string& path, const CsvColumns& columns,
                              DtypeChoice dtype);

// The same for an open archive, which holds arrays of the one kind or of the other.
ProblemFile read_npz_problem(NpzFile& file, DtypeChoice dtype);
ProblemFile read_vector_problem(NpzFile& file, DtypeChoice dtype);
ProblemFile read_matrix_problem(NpzFile& file, DtypeChoice dtype);

// Makes the array x (count, d), or X (count, d1, d2), of an earlier result the problem's x0, and
// warns where the problem has one already. Throws Error (invalid_input) when it does not fit or
// both have labels that differ.
void read_starts(const std::string& path, ProblemFile& problem);

}  // namespace softreg
