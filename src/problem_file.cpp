// The shapes are settled from the headers first, so that a wrong file costs no reading and its
// sentence names both numbers.
#include "problem_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "csv.hpp"
#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {
namespace {

using Shape = std::vector<std::int64_t>;

constexpr std::int64_t largest_extent = std::numeric_limits<std::int32_t>::max();

constexpr std::array used_names{"A", "b", "offsets", "x0", "step_size", "w"};
// Written by softreg's own verbs beside the problem, for people and for other programs.
constexpr std::array companion_names{"x_star", "meta", "group"};
constexpr std::array matrix_names{"A1", "A2", "B", "X0", "offsets1", "offsets2"};
constexpr std::array segment_names{"segments", "instances"};

template <std::size_t N>
bool contains(const std::array<const char*, N>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

[[noreturn]] void refuse(const std::string& sentence, const std::string& hint = "") {
  throw Error(ErrorKind::invalid_input, sentence, hint);
}

// "argument 'b' has shape (1000, 31) but A has shape (1000, 32, 8); expected (1000, 32)"
[[noreturn]] void refuse_shape(const std::string& name, const Shape& shape, const std::string& but,
                               const std::string& expected, const std::string& hint = "") {
  refuse(fmt::format("argument '{}' has shape {} but {}; expected {}", name, shape_text(shape), but,
                     expected),
         hint.empty() ? "array shapes are listed by `softreg solve --help`" : hint);
}

enum class Layout { uniform, shared, ragged };

struct Extents {
  Layout layout = Layout::uniform;
  std::int64_t count = 0, n = 0, d = 0;
  std::int64_t rows = 0;  // of all instances together (ragged), else n
};

// The first number that is finite in the file but not in float32, as a warning.
void warn_of_overflow(const std::string& what, std::span<const double> from,
                      std::vector<std::string>& warnings) {
  const auto overflows = [](double v) {
    return std::isfinite(v) && !std::isfinite(static_cast<float>(v));
  };
  const auto first = std::find_if(from.begin(), from.end(), overflows);
  if (first == from.end()) return;
  warnings.push_back(fmt::format("{} has {} numbers that overflow float32, the first is {}", what,
                                 std::count_if(first, from.end(), overflows), *first));
}

// An array in the dtype of the arithmetic.
template <class T>
AlignedVector<T> read_rounded(NpzFile& file, const std::string& name,
                              std::vector<std::string>& warnings) {
  AlignedVector<T> values = file.read<T>(name);
  if (sizeof(T) == 4 && file.header(name).dtype == Dtype::f64 &&
      !std::all_of(values.begin(), values.end(), [](T v) { return std::isfinite(v); })) {
    const AlignedVector<double> exact = file.read<double>(name);
    warn_of_overflow(fmt::format("array '{}' of {}", name, quoted_path(file.path())), exact,
                     warnings);
  }
  return values;
}

// The arrays of one file, their headers and what follows from them.
class ProblemReader {
 public:
  explicit ProblemReader(NpzFile& file) : file_(file) {}

  ProblemFile read(DtypeChoice dtype);

 private:
  void refuse_unsupported_arrays() const;
  void require_arrays() const;
  void check_dtypes();
  void settle_extents();
  void settle_ragged();
  std::int64_t shared_count();
  void check_offsets();
  void check_companions();
  void check_per_row(const std::string& name);
  std::vector<std::string> warnings() const;
  template <class T>
  ProblemArrays<T> arrays(std::vector<std::string>& warnings);

  const Shape& shape(const std::string& name) { return file_.header(name).shape; }
  std::string a_shape() { return "A has shape " + shape_text(shape("A")); }

  NpzFile& file_;
  Extents extents_;
  AlignedVector<std::int64_t> offsets_;
};

void ProblemReader::refuse_unsupported_arrays() const {
  for (const std::string& name : file_.names()) {
    if (contains(matrix_names, name)) {
      refuse(
          fmt::format("{} holds a matrix problem (array '{}'), which this version of softreg does "
                      "not solve",
                      quoted_path(file_.path()), name),
          "a vector problem has the arrays A and b");
    }
    if (contains(segment_names, name)) {
      refuse(
          fmt::format("{} has an array '{}': several softmaxes that share one x are not supported "
                      "by this version of softreg",
                      quoted_path(file_.path()), name));
    }
  }
}

void ProblemReader::require_arrays() const {
  for (const char* name : {"A", "b"}) {
    if (file_.has(name)) continue;
    std::vector<std::string> present;
    for (const std::string& other : file_.names()) present.push_back(softreg::quoted(other));
    refuse(fmt::format("{} has no array '{}'; it has {}", quoted_path(file_.path()), name,
                       present.empty() ? "none" : fmt::format("{}", fmt::join(present, ", "))),
           "a vector problem has the arrays A and b");
  }
}

void ProblemReader::check_dtypes() {
  for (const char* text_name : {"A", "b", "x0", "step_size", "w"}) {
    const std::string array(text_name);
    if (!file_.has(array)) continue;
    const Dtype dtype = file_.header(array).dtype;
    if (readable_as<double>(dtype)) continue;
    refuse(fmt::format("argument '{}' is {}; expected float32 or float64", array, name(dtype)));
  }
  const Dtype a = file_.header("A").dtype, b = file_.header("b").dtype;
  if (a != b) {
    refuse(fmt::format("argument 'b' is {} but A is {}; expected {}", name(b), name(a), name(a)),
           "convert one of them; --dtype only converts the pair");
  }
}

void ProblemReader::settle_extents() {
  const Shape a = shape("A"), b = shape("b");
  if (file_.has("offsets")) return settle_ragged();
  if (a.size() != 2 && a.size() != 3) {
    refuse(fmt::format("argument 'A' has shape {}; expected (count, n, d), or (n, d) shared by all",
                       shape_text(a)));
  }
  const std::int64_t n = a[a.size() - 2], d = a[a.size() - 1];
  if (a.size() == 3) {
    extents_ = {Layout::uniform, a[0], n, d, n};
  } else {
    if (b.empty() || b.size() > 2 || b.back() != n) {
      refuse_shape("b", b, a_shape(), fmt::format("({},), or (count, {}) for a shared A", n, n));
    }
    extents_ = {Layout::shared, b.size() == 2 ? b[0] : shared_count(), n, d, n};
  }
  if (b == Shape{n} || b == Shape{extents_.count, n}) return;
  refuse_shape("b", b, a_shape(), shape_text(Shape{extents_.count, n}));
}

// A and b are shared: the starts, step sizes or weights say how many instances there are.
std::int64_t ProblemReader::shared_count() {
  for (const auto& [name, dimensions] :
       {std::pair<const char*, std::size_t>{"x0", 2}, {"step_size", 1}, {"w", 2}}) {
    if (file_.has(name) && shape(name).size() == dimensions) return shape(name)[0];
  }
  return 1;
}

void ProblemReader::settle_ragged() {
  const Shape a = shape("A"), b = shape("b");
  if (a.size() != 2) {
    refuse(
        fmt::format("argument 'A' has shape {} beside 'offsets'; expected (N, d)", shape_text(a)),
        "a batch whose instances have equally many rows needs no offsets");
  }
  if (b != Shape{a[0]}) refuse_shape("b", b, a_shape(), shape_text(Shape{a[0]}));
  extents_ = {Layout::ragged, 0, 0, a[1], a[0]};
  check_offsets();
}

void ProblemReader::check_offsets() {
  const NpyHeader header = file_.header("offsets");
  if (!readable_as<std::int64_t>(header.dtype)) {
    refuse(fmt::format("argument 'offsets' is {}; expected int64", name(header.dtype)));
  }
  if (header.shape.size() != 1 || header.shape[0] < 2) {
    refuse(
        fmt::format("argument 'offsets' has shape {}; expected (count + 1,) with a count of at "
                    "least 1",
                    shape_text(header.shape)));
  }
  offsets_ = file_.read<std::int64_t>("offsets");
  extents_.count = static_cast<std::int64_t>(offsets_.size()) - 1;
  if (offsets_.front() != 0) {
    refuse(fmt::format("offsets[0] is {}; expected 0", offsets_.front()));
  }
  for (std::size_t i = 1; i < offsets_.size(); ++i) {
    // Both numbers are compared before they are subtracted: a difference of two may not exist.
    if (offsets_[i] <= offsets_[i - 1]) {
      refuse(
          fmt::format("offsets[{}] is {} but offsets[{}] is {}; every instance needs at least one "
                      "row",
                      i, offsets_[i], i - 1, offsets_[i - 1]));
    }
    extents_.n = std::max(extents_.n, offsets_[i] - offsets_[i - 1]);
  }
  if (offsets_.back() != extents_.rows) {
    refuse(fmt::format("offsets[{}] is {} but {}; expected {}", offsets_.size() - 1,
                       offsets_.back(), a_shape(), extents_.rows));
  }
}

void ProblemReader::check_per_row(const std::string& name) {
  const Shape expected =
      extents_.layout == Layout::ragged ? Shape{extents_.rows} : Shape{extents_.count, extents_.n};
  const Shape& actual = shape(name);
  if (actual == expected) return;
  if (extents_.layout != Layout::ragged && actual == Shape{extents_.n}) return;
  refuse_shape(name, actual, a_shape(), shape_text(expected));
}

void ProblemReader::check_companions() {
  const auto check_extent = [](const char* what, std::int64_t extent) {
    if (extent > 0 && extent <= largest_extent) return;
    refuse(fmt::format("the problem has {} {}; expected 1 to {}", extent, what, largest_extent));
  };
  check_extent("rows per instance (n)", extents_.n);
  check_extent("parameters (d)", extents_.d);
  if (extents_.count < 1)
    refuse(fmt::format("the problem has {} instances; expected 1 or more", extents_.count));
  const std::string problem =
      fmt::format("the problem has {} instances of {} parameters", extents_.count, extents_.d);
  if (file_.has("x0") && shape("x0") != Shape{extents_.d} &&
      shape("x0") != Shape{extents_.count, extents_.d}) {
    refuse_shape("x0", shape("x0"), problem, shape_text(Shape{extents_.count, extents_.d}));
  }
  if (file_.has("step_size") && shape("step_size") != Shape{extents_.count}) {
    refuse_shape("step_size", shape("step_size"), problem, shape_text(Shape{extents_.count}));
  }
  if (file_.has("w")) check_per_row("w");
}

std::vector<std::string> ProblemReader::warnings() const {
  std::vector<std::string> result;
  for (const std::string& name : file_.names()) {
    if (contains(used_names, name) || contains(companion_names, name)) continue;
    result.push_back(
        fmt::format("array {} of {} is not used; a vector problem has A, b, offsets, x0, "
                    "step_size and w",
                    softreg::quoted(name), quoted_path(file_.path())));
  }
  return result;
}

template <class T>
ProblemArrays<T> ProblemReader::arrays(std::vector<std::string>& warnings) {
  ProblemArrays<T> result;
  result.count = extents_.count;
  result.n = extents_.n;
  result.d = extents_.d;
  result.a = read_rounded<T>(file_, "A", warnings);
  result.b = read_rounded<T>(file_, "b", warnings);
  if (file_.has("x0")) result.x0 = read_rounded<T>(file_, "x0", warnings);
  if (file_.has("w")) result.w = read_rounded<T>(file_, "w", warnings);
  if (file_.has("step_size")) result.step_size = file_.read<double>("step_size");
  result.offsets = std::move(offsets_);
  return result;
}

ProblemFile ProblemReader::read(DtypeChoice dtype) {
  refuse_unsupported_arrays();
  require_arrays();
  check_dtypes();
  settle_extents();
  check_companions();
  ProblemFile result;
  result.warnings = warnings();
  const bool single = dtype == DtypeChoice::f32 ||
                      (dtype == DtypeChoice::keep && file_.header("A").dtype == Dtype::f32);
  if (single)
    result.problem = arrays<float>(result.warnings);
  else
    result.problem = arrays<double>(result.warnings);
  return result;
}

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

template <class T>
void read_starts_of(NpzFile& file, ProblemArrays<T>& problem, std::vector<std::string>& warnings) {
  const NpyHeader header = file.header("x");
  const Shape expected{problem.count, problem.d};
  if (!readable_as<double>(header.dtype)) {
    refuse(fmt::format("array 'x' of {} is {}; expected float32 or float64",
                       quoted_path(file.path()), name(header.dtype)));
  }
  if (header.shape != expected) {
    refuse(fmt::format(
        "array 'x' of {} has shape {} but the problem has {} instances of {} parameters; "
        "expected {}",
        quoted_path(file.path()), shape_text(header.shape), problem.count, problem.d,
        shape_text(expected)));
  }
  if (!problem.x0.empty()) {
    warnings.push_back(fmt::format("the problem's array 'x0' is not used: array 'x' of {} is",
                                   quoted_path(file.path())));
  }
  problem.x0 = read_rounded<T>(file, "x", warnings);
}

// Instance by instance the result must speak of what the problem does.
void check_groups(NpzFile& file, const std::vector<std::string>& groups) {
  const std::vector<std::string> labels = file.read_strings("group");
  if (labels.size() != groups.size()) {
    refuse(fmt::format("array 'group' of {} has {} labels but the problem has {} instances",
                       quoted_path(file.path()), labels.size(), groups.size()));
  }
  const auto [ours, theirs] = std::mismatch(groups.begin(), groups.end(), labels.begin());
  if (ours == groups.end()) return;
  refuse(fmt::format("instance {} is {} but {} in {}", ours - groups.begin(),
                     softreg::quoted(*ours), softreg::quoted(*theirs), quoted_path(file.path())));
}

}  // namespace

ProblemFile read_npz_problem(NpzFile& file, DtypeChoice dtype) {
  return ProblemReader(file).read(dtype);
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
  if (!file.has("x")) refuse(fmt::format("{} has no array 'x' to start from", quoted_path(path)));
  std::visit([&](auto& arrays) { read_starts_of(file, arrays, problem.warnings); },
             problem.problem);
  if (!problem.groups.empty() && file.has("group")) check_groups(file, problem.groups);
}

}  // namespace softreg
