// Vector problems read from .npz and .csv files, every shape and type checked against the others
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
  std::int64_t count = 0, d = 0;
  std::int64_t n = 0;                   // rows of every instance; the largest when ragged
  AlignedVector<T> a, b;                // as in VectorProblem
  AlignedVector<std::int64_t> offsets;  // ragged: (count + 1), else empty
  AlignedVector<T> x0, w;
  AlignedVector<double> step_size;

  // Valid while *this lives and is not changed; moving *this keeps it valid.
  VectorProblem<T> view() const { return {count, n, d, a, b, offsets, x0, step_size, w}; }
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

// Throws Error: io when the file cannot be read, invalid_input when it makes no vector problem,
// usage for a name that is neither .npz nor .csv or for columns that do not fit it.
ProblemFile read_problem_file(const std::string& path, const CsvColumns& columns,
                              DtypeChoice dtype);

// The same for an open archive.
ProblemFile read_npz_problem(NpzFile& file, DtypeChoice dtype);

// Makes the array x (count, d) of an earlier result the problem's x0, and warns where the problem
// has one already. Throws Error (invalid_input) when it does not fit or both have labels that
// differ.
void read_starts(const std::string& path, ProblemFile& problem);

}  // namespace softreg
