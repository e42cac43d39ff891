// Matrix problems from .npz: Z = A1 X A2^T. As in vector_file.cpp, the shapes are settled from the
// headers first.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "array_checks.hpp"

namespace softreg {
namespace {

constexpr std::array used_names{"A1", "A2",       "B",        "X0",       "step_size",
                                "w",  "offsets1", "offsets2", "instances"};
constexpr std::array companion_names{"X_star", "meta", "group"};

class MatrixReader {
 public:
  explicit MatrixReader(NpzFile& file)
      : file_(file), tied_(!file.has("A2")), second_(tied_ ? "A1" : "A2") {}

  ProblemFile read(DtypeChoice dtype);

 private:
  void settle_uniform();
  void settle_ragged();
  void settle_count(std::int64_t from, const std::string& name);
  void check_companions();
  void check_logits(const std::string& name);
  template <class T>
  ProblemArrays<T> arrays(std::vector<std::string>& warnings);

  bool ragged() const { return file_.has("offsets1") || file_.has("offsets2"); }
  const ArrayShape& shape(const std::string& name) { return file_.header(name).shape; }
  std::string has_shape(const std::string& name) {
    return name + " has shape " + shape_text(shape(name));
  }
  std::string both_shapes() {
    return tied_ ? has_shape("A1") + " and A2 is left out (A2 = A1)"
                 : has_shape("A1") + " and " + has_shape("A2");
  }

  NpzFile& file_;
  bool tied_;
  std::string second_;  // the array that serves as A2
  std::int64_t count_ = 0, n_ = 0, m_ = 0, d1_ = 0, d2_ = 0;
  std::int64_t logits_ = 0;  // of all blocks, when ragged
  AlignedVector<std::int64_t> offsets1_, offsets2_, instances_;
};

// An array that has an entry per instance says how many there are; all must agree.
void MatrixReader::settle_count(std::int64_t from, const std::string& name) {
  check_count(from);
  if (count_ == 0) count_ = from;
  if (count_ != from)
    refuse_input(
        fmt::format("argument '{}' has shape {} but the problem has {} instances; expected "
                    "the same number or an array shared by all",
                    name, shape_text(shape(name)), count_));
}

void MatrixReader::settle_uniform() {
  if (file_.has("instances"))
    refuse_input(
        "array 'instances' is there without 'offsets1'; blocks that share X need both, with "
        "A1, A2 and B flat, block after block");
  for (const std::string& name : {std::string("A1"), second_}) {
    if (shape(name).size() != 2 && shape(name).size() != 3)
      refuse_input(fmt::format(
          "argument '{}' has shape {}; expected (count, rows, columns), or (rows, columns) shared "
          "by all",
          name, shape_text(shape(name))));
    if (shape(name).size() == 3) settle_count(shape(name)[0], name);
  }
  const ArrayShape a1 = shape("A1"), a2 = shape(second_), b = shape("B");
  n_ = a1[a1.size() - 2];
  d1_ = a1.back();
  m_ = a2[a2.size() - 2];
  d2_ = a2.back();
  if (b.size() == 3) settle_count(b[0], "B");
  for (const auto& [name, dimensions] :
       {std::pair<const char*, std::size_t>{"X0", 3}, {"step_size", 1}, {"w", 3}})
    if (count_ == 0 && file_.has(name) && shape(name).size() == dimensions) count_ = shape(name)[0];
  if (count_ == 0) count_ = 1;
  check_logits("B");
}

void MatrixReader::settle_ragged() {
  if (!file_.has("offsets1") || (!tied_ && !file_.has("offsets2")))
    refuse_input(fmt::format("array '{}' is there without '{}'; ragged matrix problems need both",
                             file_.has("offsets1") ? "offsets1" : "offsets2",
                             file_.has("offsets1") ? "offsets2" : "offsets1"));
  if (tied_ && file_.has("offsets2"))
    refuse_input(
        "array 'offsets2' is there but A2 is left out (A2 = A1): offsets1 serves for both");
  for (const std::string& name : {std::string("A1"), second_})
    if (shape(name).size() != 2)
      refuse_input(
          fmt::format("argument '{}' has shape {} beside 'offsets1'; expected (rows, "
                      "columns) of all blocks",
                      name, shape_text(shape(name))));
  d1_ = shape("A1")[1];
  d2_ = shape(second_)[1];
  offsets1_ = read_positions(file_, "offsets1", "block needs at least one row", shape("A1")[0],
                             has_shape("A1"));
  if (!tied_)
    offsets2_ = read_positions(file_, "offsets2", "block needs at least one row", shape("A2")[0],
                               has_shape("A2"));
  const auto& columns = tied_ ? offsets1_ : offsets2_;
  if (columns.size() != offsets1_.size())
    refuse_input(fmt::format("argument 'offsets2' has shape {} but offsets1 has shape {}",
                             shape_text(shape("offsets2")), shape_text(shape("offsets1"))));
  const auto blocks = static_cast<std::int64_t>(offsets1_.size()) - 1;
  for (std::size_t k = 0; k + 1 < offsets1_.size(); ++k) {
    const std::int64_t n = offsets1_[k + 1] - offsets1_[k], m = columns[k + 1] - columns[k];
    std::int64_t logits = 0;
    if (__builtin_mul_overflow(n, m, &logits) || __builtin_add_overflow(logits_, logits, &logits_))
      refuse_input(fmt::format("the blocks up to {} have more than 2^63 logits", k));
    n_ = std::max(n_, n);
    m_ = std::max(m_, m);
  }
  count_ = blocks;
  if (file_.has("instances")) {
    instances_ = read_positions(file_, "instances", "instance needs at least one block", blocks,
                                fmt::format("'offsets1' makes {} blocks", blocks));
    count_ = static_cast<std::int64_t>(instances_.size()) - 1;
  }
  check_logits("B");
}

void MatrixReader::check_logits(const std::string& name) {
  const ArrayShape& actual = shape(name);
  if (ragged()) {
    if (actual != ArrayShape{logits_})
      refuse_shape(name, actual, "the blocks have " + std::to_string(logits_) + " logits",
                   shape_text(ArrayShape{logits_}));
    return;
  }
  if (actual != ArrayShape{n_, m_} && actual != ArrayShape{count_, n_, m_})
    refuse_shape(name, actual, both_shapes(), shape_text(ArrayShape{count_, n_, m_}));
}

void MatrixReader::check_companions() {
  check_extent("rows of A1", n_);
  check_extent("rows of A2", m_);
  check_extent("columns of A1 (d1)", d1_);
  check_extent("columns of A2 (d2)", d2_);
  check_count(count_);
  check_starts_and_steps(file_, "X0", count_, {d1_, d2_}, fmt::format("{} x {}", d1_, d2_));
  if (file_.has("w")) check_logits("w");
}

template <class T>
ProblemArrays<T> MatrixReader::arrays(std::vector<std::string>& warnings) {
  ProblemArrays<T> result;
  result.matrix = true;
  result.count = count_;
  result.n = n_;
  result.m = m_;
  result.d1 = d1_;
  result.d2 = d2_;
  result.d = d1_ * d2_;
  result.a = read_rounded<T>(file_, "A1", warnings);
  if (!tied_) result.a2 = read_rounded<T>(file_, "A2", warnings);
  result.b = read_rounded<T>(file_, "B", warnings);
  read_optional(file_, "X0", result, warnings);
  result.offsets = std::move(offsets1_);
  result.offsets2 = std::move(offsets2_);
  result.instances = std::move(instances_);
  return result;
}

ProblemFile MatrixReader::read(DtypeChoice dtype) {
  require_arrays(file_, std::array{"A1", "B"},
                 "a matrix problem has the arrays A1, A2 (or A2 = A1) and B");
  check_numbers(file_, std::array{"A1", "A2", "B", "X0", "step_size", "w"});
  check_same_dtype(file_, "A1", std::array{"A2", "B"});
  if (ragged())
    settle_ragged();
  else
    settle_uniform();
  check_companions();
  return read_in_dtype(
      file_, "A1", dtype,
      unused_arrays(file_, used_names, companion_names,
                    "a matrix problem has A1, A2, B, X0, step_size, w, offsets1, offsets2 and "
                    "instances"),
      [this]<class T>(std::vector<std::string>& warnings) { return arrays<T>(warnings); });
}

}  // namespace

ProblemFile read_matrix_problem(NpzFile& file, DtypeChoice dtype) {
  return MatrixReader(file).read(dtype);
}

}  // namespace softreg
