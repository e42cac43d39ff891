// Which kind of problem a file holds, tables, and starts from earlier results. The arrays are read
// in vector_file.cpp and matrix_file.cpp.
#include "problem_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "array_checks.hpp"
#include "csv.hpp"
#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {
namespace {

ProblemFile read_csv_problem(const std::string& path, const CsvColumns& columns,
                             DtypeChoice dtype) {
  CsvTable table = read_csv(path, columns.group, columns.target, columns.features);
  ProblemArrays<double> arrays;
  arrays.count = static_cast<std::int64_t>(table.labels.size());
  arrays.d = static_cast<std::int64_t>(columns.features.size());
  for (std::size_t i = 1; i < table.offsets.size(); ++i) {
    arrays.n = std::max(arrays.n, table.offsets[i] - table.offsets[i - 1]);
  }
  arrays.offsets.assign(table.offsets.begin(), table.offsets.end());
  ProblemFile result;
  result.groups = std::move(table.labels);
  if (dtype == DtypeChoice::f32) {
    ProblemArrays<float> single;
    single.count = arrays.count;
    single.n = arrays.n;
    single.d = arrays.d;
    single.offsets = std::move(arrays.offsets);
    const auto to_float = [](double value) { return static_cast<float>(value); };
    single.a.resize(table.features.size());
    std::transform(table.features.begin(), table.features.end(), single.a.begin(), to_float);
    single.b.resize(table.target.size());
    std::transform(table.target.begin(), table.target.end(), single.b.begin(), to_float);
    warn_of_overflow("the target of " + quoted_path(path), table.target, result.warnings);
    warn_of_overflow("the features of " + quoted_path(path), table.features, result.warnings);
    result.problem = std::move(single);
  } else {
    arrays.a = std::move(table.features);
    arrays.b = std::move(table.target);
    result.problem = std::move(arrays);
  }
  return result;
}

void check_columns(const std::string& path, const CsvColumns& columns, bool csv) {
  const bool any = !columns.group.empty() || !columns.target.empty() || !columns.features.empty();
  const bool all = !columns.group.empty() && !columns.target.empty() && !columns.features.empty();
  if (csv && !all) {
    throw Error(
        ErrorKind::usage,
        fmt::format("the table {} needs --group, --target and --features", quoted_path(path)),
        "for example --group market --target share --features price,air");
  }
  if (!csv && any) {
    throw Error(ErrorKind::usage,
                fmt::format("--group, --target and --features belong to a .csv table, not to {}",
                            quoted_path(path)));
  }
}

// The parameters of an earlier result: x (count, d), or X (count, d1, d2).
template <class T>
void read_starts_of(NpzFile& file, ProblemArrays<T>& problem, std::vector<std::string>& warnings) {
  const std::string array = problem.matrix ? "X" : "x", start = problem.matrix ? "X0" : "x0";
  if (!file.has(array))
    refuse_input(
        fmt::format("{} has no array '{}' to start from", quoted_path(file.path()), array));
  const NpyHeader header = file.header(array);
  const ArrayShape expected = problem.matrix ? ArrayShape{problem.count, problem.d1, problem.d2}
                                             : ArrayShape{problem.count, problem.d};
  if (!readable_as<double>(header.dtype)) {
    refuse_input(fmt::format("array '{}' of {} is {}; expected float32 or float64", array,
                             quoted_path(file.path()), name(header.dtype)));
  }
  if (header.shape != expected) {
    refuse_input(fmt::format(
        "array '{}' of {} has shape {} but the problem has {} instances of {} parameters; "
        "expected {}",
        array, quoted_path(file.path()), shape_text(header.shape), problem.count, problem.d,
        shape_text(expected)));
  }
  if (!problem.x0.empty()) {
    warnings.push_back(fmt::format("the problem's array '{}' is not used: array '{}' of {} is",
                                   start, array, quoted_path(file.path())));
  }
  problem.x0 = read_rounded<T>(file, array, warnings);
}

// Instance by instance the result must speak of what the problem does.
void check_groups(NpzFile& file, const std::vector<std::string>& groups) {
  const std::vector<std::string> labels = file.read_strings("group");
  if (labels.size() != groups.size()) {
    refuse_input(fmt::format("array 'group' of {} has {} labels but the problem has {} instances",
                             quoted_path(file.path()), labels.size(), groups.size()));
  }
  const auto [ours, theirs] = std::mismatch(groups.begin(), groups.end(), labels.begin());
  if (ours == groups.end()) return;
  refuse_input(fmt::format("instance {} is {} but {} in {}", ours - groups.begin(),
                           softreg::quoted(*ours), softreg::quoted(*theirs),
                           quoted_path(file.path())));
}

bool holds_matrix_problem(const NpzFile& file) {
  constexpr const char* names[] = {"A1", "A2", "B", "X0", "offsets1", "offsets2"};
  return std::any_of(std::begin(names), std::end(names),
                     [&](const char* name) { return file.has(name); });
}

}  // namespace

ProblemFile read_npz_problem(NpzFile& file, DtypeChoice dtype) {
  if (!holds_matrix_problem(file)) return read_vector_problem(file, dtype);
  if (file.has("A") || file.has("b"))
    refuse_input(fmt::format("{} has arrays of a vector problem ('{}') and of a matrix problem",
                             quoted_path(file.path()), file.has("A") ? "A" : "b"),
                 "a vector problem has A and b, a matrix problem has A1, A2 and B");
  return read_matrix_problem(file, dtype);
}

ProblemFile read_problem_file(const std::string& path, const CsvColumns& columns,
                              DtypeChoice dtype) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension != ".npz" && extension != ".csv") {
    throw Error(ErrorKind::usage,
                fmt::format("problem file {} is neither .npz nor .csv", quoted_path(path)));
  }
  check_columns(path, columns, extension == ".csv");
  if (extension == ".csv") return read_csv_problem(path, columns, dtype);
  NpzFile file = NpzFile::open(path);
  return read_npz_problem(file, dtype);
}

void read_starts(const std::string& path, ProblemFile& problem) {
  NpzFile file = NpzFile::open(path);
  std::visit([&](auto& arrays) { read_starts_of(file, arrays, problem.warnings); },
             problem.problem);
  if (!problem.groups.empty() && file.has("group")) check_groups(file, problem.groups);
}

}  // namespace softreg
