// Vector problems from .npz. The shapes are settled from the headers first, so that a wrong file
// costs no reading and its sentence names both numbers.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "array_checks.hpp"

namespace softreg {
namespace {

constexpr std::array used_names{"A",         "b",  "offsets",   "segments",
                                "instances", "x0", "step_size", "w"};
// Written by softreg's own verbs beside the problem, for people and for other programs.
constexpr std::array companion_names{"x_star", "meta", "group"};

enum class Form { uniform, shared, ragged };

struct Extents {
  Form form = Form::uniform;
  std::int64_t count = 0, n = 0, d = 0;
  std::int64_t rows = 0;  // of all instances together (ragged), else n
};

// The arrays of one file, their headers and what follows from them.
class VectorReader {
 public:
  explicit VectorReader(NpzFile& file) : file_(file) {}

  ProblemFile read(DtypeChoice dtype);

 private:
  void settle_extents();
  void settle_ragged();
  std::int64_t shared_count();
  void check_companions();
  void check_per_row(const std::string& name);
  template <class T>
  ProblemArrays<T> arrays(std::vector<std::string>& warnings);

  bool segmented() const { return file_.has("segments") || file_.has("instances"); }
  const ArrayShape& shape(const std::string& name) { return file_.header(name).shape; }
  std::string a_shape() { return "A has shape " + shape_text(shape("A")); }

  NpzFile& file_;
  Extents extents_;
  AlignedVector<std::int64_t> offsets_, segments_, instances_;
};

void VectorReader::settle_extents() {
  const ArrayShape a = shape("A"), b = shape("b");
  if (file_.has("offsets") || segmented()) return settle_ragged();
  if (a.size() != 2 && a.size() != 3) {
    refuse_input(
        fmt::format("argument 'A' has shape {}; expected (count, n, d), or (n, d) shared by all",
                    shape_text(a)));
  }
  const std::int64_t n = a[a.size() - 2], d = a[a.size() - 1];
  if (a.size() == 3) {
    extents_ = {Form::uniform, a[0], n, d, n};
  } else {
    if (b.empty() || b.size() > 2 || b.back() != n) {
      refuse_shape("b", b, a_shape(), fmt::format("({},), or (count, {}) for a shared A", n, n));
    }
    extents_ = {Form::shared, b.size() == 2 ? b[0] : shared_count(), n, d, n};
  }
  if (b == ArrayShape{n} || b == ArrayShape{extents_.count, n}) return;
  refuse_shape("b", b, a_shape(), shape_text(ArrayShape{extents_.count, n}));
}

// A and b are shared: the starts, step sizes or weights say how many instances there are.
std::int64_t VectorReader::shared_count() {
  for (const auto& [name, dimensions] :
       {std::pair<const char*, std::size_t>{"x0", 2}, {"step_size", 1}, {"w", 2}}) {
    if (file_.has(name) && shape(name).size() == dimensions) return shape(name)[0];
  }
  return 1;
}

void VectorReader::settle_ragged() {
  const ArrayShape a = shape("A"), b = shape("b");
  const std::string beside = segmented() ? "segments" : "offsets";
  if (segmented() && file_.has("offsets"))
    refuse_input(
        "arrays 'offsets' and 'segments' with 'instances' are both there, but one replaces "
        "the other");
  for (const auto& [has, lacks] : {std::pair{"segments", "instances"}, {"instances", "segments"}})
    if (file_.has(has) && !file_.has(lacks))
      refuse_input(
          fmt::format("array '{}' is there without '{}'; several softmaxes that share one "
                      "x need both",
                      has, lacks));
  if (a.size() != 2) {
    refuse_input(fmt::format("argument 'A' has shape {} beside '{}'; expected (N, d)",
                             shape_text(a), beside),
                 "a batch whose instances have equally many rows needs no offsets");
  }
  if (b != ArrayShape{a[0]}) refuse_shape("b", b, a_shape(), shape_text(ArrayShape{a[0]}));
  extents_ = {Form::ragged, 0, 0, a[1], a[0]};
  const auto count_rows = [&](std::int64_t i) {
    return segmented()
               ? segments_[static_cast<std::size_t>(instances_[static_cast<std::size_t>(i)])]
               : offsets_[static_cast<std::size_t>(i)];
  };
  if (segmented()) {
    segments_ =
        read_positions(file_, "segments", "softmax needs at least one row", a[0], a_shape());
    const auto softmaxes = static_cast<std::int64_t>(segments_.size()) - 1;
    instances_ = read_positions(file_, "instances", "instance needs at least one softmax",
                                softmaxes, fmt::format("'segments' makes {} softmaxes", softmaxes));
    extents_.count = static_cast<std::int64_t>(instances_.size()) - 1;
  } else {
    offsets_ = read_positions(file_, "offsets", "instance needs at least one row", a[0], a_shape());
    extents_.count = static_cast<std::int64_t>(offsets_.size()) - 1;
  }
  for (std::int64_t i = 0; i < extents_.count; ++i)
    extents_.n = std::max(extents_.n, count_rows(i + 1) - count_rows(i));
}

void VectorReader::check_per_row(const std::string& name) {
  const ArrayShape expected = extents_.form == Form::ragged
                                  ? ArrayShape{extents_.rows}
                                  : ArrayShape{extents_.count, extents_.n};
  const ArrayShape& actual = shape(name);
  if (actual == expected) return;
  if (extents_.form != Form::ragged && actual == ArrayShape{extents_.n}) return;
  refuse_shape(name, actual, a_shape(), shape_text(expected));
}

void VectorReader::check_companions() {
  check_extent("rows per instance (n)", extents_.n);
  check_extent("parameters (d)", extents_.d);
  check_count(extents_.count);
  check_starts_and_steps(file_, "x0", extents_.count, {extents_.d}, std::to_string(extents_.d));
  if (file_.has("w")) check_per_row("w");
}

template <class T>
ProblemArrays<T> VectorReader::arrays(std::vector<std::string>& warnings) {
  ProblemArrays<T> result;
  result.count = extents_.count;
  result.n = extents_.n;
  result.d = extents_.d;
  result.a = read_rounded<T>(file_, "A", warnings);
  result.b = read_rounded<T>(file_, "b", warnings);
  read_optional(file_, "x0", result, warnings);
  result.offsets = std::move(offsets_);
  result.segments = std::move(segments_);
  result.instances = std::move(instances_);
  return result;
}

ProblemFile VectorReader::read(DtypeChoice dtype) {
  require_arrays(file_, std::array{"A", "b"},
                 "a vector problem has the arrays A and b, a matrix problem A1, A2 and B");
  check_numbers(file_, std::array{"A", "b", "x0", "step_size", "w"});
  check_same_dtype(file_, "A", std::array{"b"});
  settle_extents();
  check_companions();
  return read_in_dtype(
      file_, "A", dtype,
      unused_arrays(
          file_, used_names, companion_names,
          "a vector problem has A, b, offsets (or segments and instances), x0, step_size and w"),
      [this]<class T>(std::vector<std::string>& warnings) { return arrays<T>(warnings); });
}

}  // namespace

ProblemFile read_vector_problem(NpzFile& file, DtypeChoice dtype) {
  return VectorReader(file).read(dtype);
}

}  // namespace softreg
