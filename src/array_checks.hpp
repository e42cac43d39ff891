// What the readers of vector and matrix problems share: sentences about arrays that do not fit, and
// positions in other arrays.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "aligned.hpp"
#include "npz.hpp"
#include "problem_file.hpp"
#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {

using ArrayShape = std::vector<std::int64_t>;

template <std::size_t N>
bool contains(const std::array<const char*, N>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

[[noreturn]] void refuse_input(const std::string& sentence, const std::string& hint = "");

// "argument 'b' has shape (1000, 31) but A has shape (1000, 32, 8); expected (1000, 32)"
[[noreturn]] void refuse_shape(const std::string& name, const ArrayShape& shape,
                               const std::string& but, const std::string& expected,
                               const std::string& hint = "");

// Refuses a file that lacks one of the arrays; `hint` says which a problem of this kind has.
template <std::size_t N>
void require_arrays(const NpzFile& file, const std::array<const char*, N>& required,
                    const std::string& hint) {
  for (const char* name : required) {
    if (file.has(name)) continue;
    std::vector<std::string> present;
    for (const std::string& other : file.names()) present.push_back(softreg::quoted(other));
    refuse_input(
        fmt::format("{} has no array '{}'; it has {}", quoted_path(file.path()), name,
                    present.empty() ? "none" : fmt::format("{}", fmt::join(present, ", "))),
        hint);
  }
}

// Refuses arrays that are not real numbers, and `same` ones that differ in dtype from `like`.
void check_numbers(NpzFile& file, std::span<const char* const> names);
void check_same_dtype(NpzFile& file, const std::string& like, std::span<const char* const> same);

// Ascending int64 positions, from 0 to `end`. between: what two of them enclose and of what, for
// the sentence ("every instance needs at least one row"); of: what ends there ("A has shape (12,
// 3)").
AlignedVector<std::int64_t> read_positions(NpzFile& file, const std::string& array,
                                           const std::string& between, std::int64_t end,
                                           const std::string& of);

// A warning for each array that the problem does not use; `uses` lists those that it may have.
template <std::size_t N, std::size_t M>
std::vector<std::string> unused_arrays(const NpzFile& file, const std::array<const char*, N>& used,
                                       const std::array<const char*, M>& companions,
                                       const std::string& uses) {
  std::vector<std::string> result;
  for (const std::string& name : file.names()) {
    if (contains(used, name) || contains(companions, name)) continue;
    result.push_back(fmt::format("array {} of {} is not used; {}", softreg::quoted(name),
                                 quoted_path(file.path()), uses));
  }
  return result;
}

// An extent that an int32 must hold: "the problem has 0 rows of A1; expected 1 to 2147483647".
void check_extent(const char* what, std::int64_t extent);

void check_count(std::int64_t count);

// The starts, of shape (count, one) or shared, and the step sizes, (count). parameters: "16".
void check_starts_and_steps(NpzFile& file, const std::string& start, std::int64_t count,
                            const ArrayShape& one, const std::string& parameters);

// A warning of the numbers that are finite in the file but not in float32.
void warn_of_overflow(const std::string& what, std::span<const double> from,
                      std::vector<std::string>& warnings);

// An array in the dtype of the arithmetic.
template <class T>
AlignedVector<T> read_rounded(NpzFile& file, const std::string& name,
                              std::vector<std::string>& warnings);

// What a problem may have beside its data.
template <class T>
void read_optional(NpzFile& file, const std::string& start, ProblemArrays<T>& problem,
                   std::vector<std::string>& warnings) {
  if (file.has(start)) problem.x0 = read_rounded<T>(file, start, warnings);
  if (file.has("w")) problem.w = read_rounded<T>(file, "w", warnings);
  if (file.has("step_size")) problem.step_size = file.read<double>("step_size");
}

// read.operator()<T>() in the dtype that was chosen, or else that of the array `like`.
template <class F>
ProblemFile read_in_dtype(NpzFile& file, const std::string& like, DtypeChoice choice,
                          std::vector<std::string> warnings, F read) {
  ProblemFile result;
  result.warnings = std::move(warnings);
  if (choice == DtypeChoice::f32 ||
      (choice == DtypeChoice::keep && file.header(like).dtype == Dtype::f32))
    result.problem = read.template operator()<float>(result.warnings);
  else
    result.problem = read.template operator()<double>(result.warnings);
  return result;
}

}  // namespace softreg
