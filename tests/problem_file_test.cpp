// Problem and result files: every layout of the arrays as the library sees it, every refusal in its
// words, and results that read back as they were.
#include "problem_file.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <random>

#include "result_file.hpp"
#include "softreg/error.hpp"
#include "softreg/gradients.hpp"
#include "zip_builder.hpp"

namespace softreg {
namespace {

using test::npy_bytes;
using test::npy_dict;
using test::raw;
using test::ZipBuilder;

using Shape = std::vector<std::int64_t>;

std::int64_t size_of(const Shape& shape) {
  std::int64_t size = 1;
  for (const std::int64_t extent : shape) size *= extent;
  return size;
}

// An archive in memory whose arrays hold 0, 1, 2, ... unless they are given.
class Archive {
 public:
  Archive& f64(const std::string& name, const Shape& shape) {
    return numbers<double>(name, "<f8", shape);
  }
  Archive& f32(const std::string& name, const Shape& shape) {
    return numbers<float>(name, "<f4", shape);
  }
  Archive& i64(const std::string& name, const std::vector<std::int64_t>& values) {
    return add(name, "<i8", {static_cast<std::int64_t>(values.size())}, raw(values));
  }
  Archive& add(const std::string& name, const std::string& descr, const Shape& shape,
               const std::string& data) {
    zip_.add(name + ".npy", npy_bytes(npy_dict(descr, false, shape_text(shape)), data));
    return *this;
  }

  ProblemFile read(DtypeChoice dtype = DtypeChoice::keep) {
    if (bytes_.empty()) bytes_ = zip_.finish();
    NpzFile file = NpzFile::from_bytes(std::as_bytes(std::span(bytes_)), "p.npz");
    return read_npz_problem(file, dtype);
  }

 private:
  template <class T>
  Archive& numbers(const std::string& name, const char* descr, const Shape& shape) {
    std::vector<T> values(static_cast<std::size_t>(size_of(shape)));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(i);
    return add(name, descr, shape, raw(values));
  }

  ZipBuilder zip_;
  std::string bytes_;
};

Archive uniform() { return Archive().f64("A", {4, 3, 2}).f64("b", {4, 3}); }
Archive shared() { return Archive().f64("A", {3, 2}).f64("b", {3}); }
Archive ragged() { return Archive().f64("A", {6, 2}).f64("b", {6}).i64("offsets", {0, 1, 4, 6}); }

VectorProblem<double> view(const ProblemFile& file) {
  return std::get<ProblemArrays<double>>(file.problem).vector_view();
}

void expect_extents(const VectorProblem<double>& p, std::int64_t count, std::int64_t n,
                    std::int64_t d) {
  EXPECT_EQ(p.count, count);
  EXPECT_EQ(p.n, n);
  EXPECT_EQ(p.d, d);
}

TEST(ProblemFile, Uniform) {
  const ProblemFile file = uniform().f64("x0", {4, 2}).f64("w", {3}).f64("step_size", {4}).read();
  const auto p = view(file);
  expect_extents(p, 4, 3, 2);
  EXPECT_EQ(p.a.size(), 24u);
  EXPECT_EQ(p.a[23], 23);
  EXPECT_EQ(p.b.size(), 12u);
  EXPECT_EQ(p.x0.size(), 8u);
  EXPECT_EQ(p.w.size(), 3u);
  EXPECT_EQ(p.step_size[3], 3);
  EXPECT_TRUE(p.offsets.empty());
  EXPECT_TRUE(file.warnings.empty());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p.a.data()) % array_alignment, 0u);
}

TEST(ProblemFile, SharedArrays) {
  expect_extents(view(Archive().f64("A", {3, 2}).f64("b", {5, 3}).read()), 5, 3, 2);
  expect_extents(view(Archive().f64("A", {4, 3, 2}).f64("b", {3}).read()), 4, 3, 2);
  expect_extents(view(shared().read()), 1, 3, 2);
  expect_extents(view(shared().f64("x0", {7, 2}).read()), 7, 3, 2);
  expect_extents(view(shared().f64("x0", {2}).read()), 1, 3, 2);
  expect_extents(view(shared().f64("step_size", {6}).f64("x0", {2}).read()), 6, 3, 2);
  expect_extents(view(shared().f64("w", {8, 3}).read()), 8, 3, 2);
  expect_extents(view(shared().f64("w", {3}).read()), 1, 3, 2);
}

TEST(ProblemFile, Ragged) {
  const ProblemFile file = ragged().f64("w", {6}).read();
  const auto p = view(file);
  expect_extents(p, 3, 3, 2);  // n: the largest
  ASSERT_EQ(p.offsets.size(), 4u);
  EXPECT_EQ(p.offsets[2], 4);
}

TEST(ProblemFile, Dtypes) {
  const auto is_float = [](ProblemFile file) {
    return std::holds_alternative<ProblemArrays<float>>(file.problem);
  };
  const auto singles = []() -> Archive { return Archive().f32("A", {4, 3, 2}).f32("b", {4, 3}); };
  EXPECT_TRUE(is_float(singles().read()));
  EXPECT_FALSE(is_float(singles().read(DtypeChoice::f64)));
  EXPECT_FALSE(is_float(uniform().read()));
  EXPECT_TRUE(is_float(uniform().read(DtypeChoice::f32)));
  EXPECT_TRUE(is_float(singles().f64("x0", {2}).f64("w", {3}).read()));
}

TEST(ProblemFile, UnusedArraysAreNamed) {
  const ProblemFile file = uniform().f64("x_0", {2}).f64("x_star", {4, 2}).read();
  ASSERT_EQ(file.warnings.size(), 1u);
  EXPECT_NE(file.warnings[0].find("'x_0'"), std::string::npos);
}

struct Refusal {
  std::string sentence;
  Archive archive;
};

void expect_refusals(const std::vector<Refusal>& refusals) {
  for (Refusal refusal : refusals) {
    try {
      refusal.archive.read();
      ADD_FAILURE() << "not refused: " << refusal.sentence;
    } catch (const Error& error) {
      EXPECT_EQ(error.what(), refusal.sentence);
      EXPECT_EQ(error.kind(), ErrorKind::invalid_input) << refusal.sentence;
    }
  }
}

TEST(ProblemFile, ShapesAreRefusedWithBothNumbers) {
  expect_refusals({
      {"argument 'b' has shape (4, 2) but A has shape (4, 3, 2); expected (4, 3)",
       Archive().f64("A", {4, 3, 2}).f64("b", {4, 2})},
      {"argument 'b' has shape (5, 3) but A has shape (4, 3, 2); expected (4, 3)",
       Archive().f64("A", {4, 3, 2}).f64("b", {5, 3})},
      {"argument 'b' has shape () but A has shape (4, 3, 2); expected (4, 3)",
       Archive().f64("A", {4, 3, 2}).f64("b", {})},
      {"argument 'b' has shape (5, 4) but A has shape (3, 2); expected (3,), or (count, 3) for a "
       "shared A",
       Archive().f64("A", {3, 2}).f64("b", {5, 4})},
      {"argument 'b' has shape (5,) but A has shape (6, 2); expected (6,)",
       Archive().f64("A", {6, 2}).f64("b", {5}).i64("offsets", {0, 6})},
      {"argument 'A' has shape (6,); expected (count, n, d), or (n, d) shared by "
       "all",
       Archive().f64("A", {6}).f64("b", {6})},
      {"argument 'A' has shape (4, 3, 2) beside 'offsets'; expected (N, d)",
       uniform().i64("offsets", {0, 12})},
      {"argument 'x0' has shape (4, 3) but the problem has 4 instances of 2 parameters; expected "
       "(4, 2)",
       uniform().f64("x0", {4, 3})},
      {"argument 'x0' has shape (3,) but the problem has 4 instances of 2 parameters; expected (4, "
       "2)",
       uniform().f64("x0", {3})},
      {"argument 'step_size' has shape (5,) but the problem has 4 instances of 2 parameters; "
       "expected (4,)",
       uniform().f64("step_size", {5})},
      {"argument 'w' has shape (4, 2) but A has shape (4, 3, 2); expected (4, 3)",
       uniform().f64("w", {4, 2})},
      {"argument 'w' has shape (3,) but A has shape (6, 2); expected (6,)", ragged().f64("w", {3})},
      {"the problem has 0 instances; expected 1 or more",
       Archive().f64("A", {0, 3, 2}).f64("b", {0, 3})},
      {"the problem has 0 rows per instance (n); expected 1 to 2147483647",
       Archive().f64("A", {4, 0, 2}).f64("b", {4, 0})},
      {"the problem has 0 parameters (d); expected 1 to 2147483647",
       Archive().f64("A", {4, 3, 0}).f64("b", {4, 3})},
      {"the problem has 3000000000 parameters (d); expected 1 to 2147483647",
       Archive().f64("A", {0, 3, 3000000000}).f64("b", {0, 3})},
  });
}

TEST(ProblemFile, OffsetsAreRefusedWithBothNumbers) {
  const auto with = [](const std::vector<std::int64_t>& offsets) -> Archive {
    return Archive().f64("A", {6, 2}).f64("b", {6}).i64("offsets", offsets);
  };
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  expect_refusals({
      {"offsets[0] is 1; expected 0", with({1, 6})},
      {"offsets[0] is -9223372036854775807; expected 0", with({-huge, 6})},
      {"offsets[2] is 5 but A has shape (6, 2); expected 6", with({0, 3, 5})},
      {"offsets[2] is 9223372036854775807 but A has shape (6, 2); expected 6", with({0, 3, huge})},
      {"offsets[2] is 3 but offsets[1] is 3; every instance needs at least one row",
       with({0, 3, 3, 6})},
      {"offsets[2] is 2 but offsets[1] is 3; every instance needs at least one row",
       with({0, 3, 2, 6})},
      {"offsets[2] is -9223372036854775807 but offsets[1] is 9223372036854775807; every instance "
       "needs at least "
       "one row",
       with({0, huge, -huge, 6})},
      {"argument 'offsets' has shape (1,); expected (count + 1,) with a count of at least 1",
       with({0})},
      {"argument 'offsets' is float64; expected int32 or int64",
       Archive().f64("A", {1, 2}).f64("b", {1}).f64("offsets", {2})},
  });
}

TEST(ProblemFile, DtypesAndNamesAreRefused) {
  expect_refusals({
      {"argument 'b' is float32 but A is float64; expected float64",
       Archive().f64("A", {4, 3, 2}).f32("b", {4, 3})},
      {"argument 'A' is int64; expected float32 or float64", Archive().i64("A", {1}).f64("b", {1})},
      {"argument 'w' is int64; expected float32 or float64", uniform().i64("w", {1, 1, 1})},
      {"'p.npz' has no array 'b'; it has 'A', 'B2'", Archive().f64("A", {1, 1, 1}).f64("B2", {1})},
      {"'p.npz' has no array 'A'; it has none", Archive()},
      {"'p.npz' has arrays of a vector problem ('A') and of a matrix problem",
       uniform().f64("A1", {1, 1, 1})},
      {"arrays 'offsets' and 'segments' with 'instances' are both there, but one replaces the "
       "other",
       ragged().i64("segments", {0, 6})},
  });
}

Archive softmaxes() {
  return Archive().f64("A", {6, 2}).f64("b", {6}).i64("segments", {0, 1, 4, 6});
}

TEST(ProblemFile, SeveralSoftmaxes) {
  const ProblemFile file = softmaxes().i64("instances", {0, 2, 3}).read();
  const VectorProblem<double> p = view(file);
  EXPECT_EQ(p.count, 2);
  EXPECT_EQ(p.segments.size(), 4u);
  EXPECT_EQ(p.instances[1], 2);
  expect_refusals({
      {"array 'segments' is there without 'instances'; several softmaxes that share one x need "
       "both",
       softmaxes()},
      {"instances[1] is 0 but instances[0] is 0; every instance needs at least one softmax",
       softmaxes().i64("instances", {0, 0, 3})},
      {"instances[1] is 2 but 'segments' makes 3 softmaxes; expected 3",
       softmaxes().i64("instances", {0, 2})},
  });
}

Archive matrix() { return Archive().f64("A1", {3, 4, 2}).f64("A2", {3, 5, 6}).f64("B", {3, 4, 5}); }
Archive blocks() { return Archive().f64("A1", {5, 2}).f64("A2", {4, 3}).f64("B", {11}); }

TEST(ProblemFile, MatrixProblems) {
  const auto read = [](Archive archive) {
    return std::get<ProblemArrays<double>>(archive.read().problem);
  };
  const ProblemArrays<double> uniform = read(matrix().f64("X0", {2, 6}));
  EXPECT_TRUE(uniform.matrix);
  const MatrixProblem<double> u = uniform.matrix_view();
  EXPECT_EQ(std::vector({u.count, u.n, u.m, u.d1, u.d2}),
            std::vector<std::int64_t>({3, 4, 5, 2, 6}));
  const ProblemArrays<double> tied = read(Archive().f64("A1", {4, 2}).f64("B", {7, 4, 4}));
  EXPECT_EQ(tied.count, 7);
  EXPECT_TRUE(tied.matrix_view().a2.empty());
  const ProblemArrays<double> ragged =
      read(blocks().i64("offsets1", {0, 2, 5}).i64("offsets2", {0, 1, 4}).i64("instances", {0, 2}));
  EXPECT_EQ(ragged.count, 1);
  EXPECT_EQ(ragged.matrix_view().offsets2.size(), 3u);
  expect_refusals({
      {"argument 'B' has shape (3, 4, 4) but A1 has shape (3, 4, 2) and A2 has shape (3, 5, 6); "
       "expected (3, 4, 5)",
       Archive().f64("A1", {3, 4, 2}).f64("A2", {3, 5, 6}).f64("B", {3, 4, 4})},
      {"argument 'A2' has shape (2, 5, 6) but the problem has 3 instances; expected the same "
       "number "
       "or an array shared by all",
       Archive().f64("A1", {3, 4, 2}).f64("A2", {2, 5, 6}).f64("B", {3, 4, 5})},
      {"'p.npz' has no array 'B'; it has 'A1'", Archive().f64("A1", {3, 4, 2})},
      {"argument 'B' is float32 but A1 is float64; expected float64",
       Archive().f64("A1", {3, 4, 2}).f32("B", {3, 4, 4})},
      {"argument 'X0' has shape (3, 2, 5) but the problem has 3 instances of 2 x 6 parameters; "
       "expected (3, 2, 6)",
       matrix().f64("X0", {3, 2, 5})},
      {"array 'offsets1' is there without 'offsets2'; ragged matrix problems need both",
       blocks().i64("offsets1", {0, 2, 5})},
      {"argument 'B' has shape (11,) but the blocks have 9 logits; expected (9,)",
       blocks().i64("offsets1", {0, 3, 5}).i64("offsets2", {0, 1, 4})},
      {"offsets2[2] is 3 but A2 has shape (4, 3); expected 4",
       blocks().i64("offsets1", {0, 2, 5}).i64("offsets2", {0, 1, 3})},
      {"array 'instances' is there without 'offsets1'; blocks that share X need both, with A1, A2 "
       "and B flat, block after block",
       matrix().i64("instances", {0, 3})},
  });
}

using Rng = std::mt19937_64;
std::int64_t draw(Rng& rng, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(rng() % static_cast<std::uint64_t>(high - low + 1));
}

// A problem with one thing wrong: an array of another shape, dtype or name, or offsets that do not
// partition the rows. Extents are at least 2, so that no wrong shape is another layout's right one.
Archive spoiled(Rng& rng) {
  const std::int64_t count = draw(rng, 2, 5), n = draw(rng, 6, 8), d = draw(rng, 10, 12);
  const std::int64_t wrong = draw(rng, 50, 90);
  const bool is_ragged = draw(rng, 0, 1) == 1;
  std::map<std::string, Shape> shapes{{"A", {count, n, d}}, {"b", {count, n}}};
  std::vector<std::int64_t> offsets;
  if (is_ragged) {
    shapes = {{"A", {count * n, d}}, {"b", {count * n}}};
    for (std::int64_t i = 0; i <= count; ++i) offsets.push_back(i * n);
  }
  if (draw(rng, 0, 1)) shapes["x0"] = {count, d};
  if (draw(rng, 0, 1)) shapes["step_size"] = {count};
  if (draw(rng, 0, 1)) shapes["w"] = shapes["b"];
  const auto victim = std::next(shapes.begin(), draw(rng, 0, std::ssize(shapes) - 1));
  std::string integer, absent;
  switch (draw(rng, 0, is_ragged ? 6 : 4)) {
    case 0: {
      // Another d alone is another problem.
      const std::int64_t last = std::ssize(victim->second) - (victim->first == "A" ? 2 : 1);
      victim->second[static_cast<std::size_t>(draw(rng, 0, last))] = wrong;
      break;
    }
    case 1:
      victim->second.push_back(wrong);
      break;
    case 2:
      integer = victim->first;
      break;
    case 3:
      absent = draw(rng, 0, 1) ? "A" : "b";
      break;
    case 4:
      shapes[draw(rng, 0, 1) ? "A1" : "instances"] = {count};
      break;
    case 5:
      offsets[static_cast<std::size_t>(draw(rng, 0, count))] += draw(rng, 0, 1) ? wrong : -wrong;
      break;
    default:
      offsets.push_back(offsets.back());
      break;
  }
  Archive archive;
  for (const auto& [name, shape] : shapes) {
    if (name == absent) continue;
    if (name == integer)
      archive.i64(name, std::vector<std::int64_t>(8));
    else
      archive.f64(name, shape);
  }
  if (is_ragged) archive.i64("offsets", offsets);
  return archive;
}

TEST(ProblemFile, BadFilesHaveTypedErrors) {
  Rng rng(3);
  constexpr int files = 5000;
  int refused = 0;
  for (int k = 0; k < files; ++k) {
    Archive archive = spoiled(rng);
    try {
      archive.read();
      FAIL() << "file " << k << " was taken";
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::invalid_input) << error.what();
      ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      ++refused;
    }
  }
  std::printf("[count] bad problem files with typed errors: %d\n", refused);
}

class Files : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("problem_file_test." + std::to_string(::getpid()));
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

 private:
  std::filesystem::path folder_;
};

TEST_F(Files, CsvInBothDtypes) {
  std::ofstream(path("t.csv")) << "m,s,p,q\nb,1,0.1,2\na,3,4,5\nb,6,7,8\n";
  const CsvColumns columns{"m", "s", {"p", "q"}};
  const ProblemFile file = read_problem_file(path("t.csv"), columns, DtypeChoice::keep);
  const auto p = view(file);
  EXPECT_EQ(file.groups, (std::vector<std::string>{"b", "a"}));
  expect_extents(p, 2, 2, 2);
  EXPECT_EQ(std::vector<double>(p.a.begin(), p.a.end()), (std::vector<double>{0.1, 2, 7, 8, 4, 5}));
  EXPECT_EQ(std::vector<double>(p.b.begin(), p.b.end()), (std::vector<double>{1, 6, 3}));
  const ProblemFile single = read_problem_file(path("t.csv"), columns, DtypeChoice::f32);
  EXPECT_EQ(std::get<ProblemArrays<float>>(single.problem).a[0], 0.1f);
  EXPECT_EQ(std::get<ProblemArrays<float>>(single.problem).offsets.back(), 3);
}

TEST_F(Files, NamesAndColumnsMustFit) {
  const auto kind = [](const std::string& name, const CsvColumns& columns) {
    try {
      read_problem_file(name, columns, DtypeChoice::keep);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::internal;
  };
  const CsvColumns columns{"m", "s", {"p"}};
  EXPECT_EQ(kind(path("t.txt"), {}), ErrorKind::usage);
  EXPECT_EQ(kind(path("t.csv"), {}), ErrorKind::usage);
  EXPECT_EQ(kind(path("t.npz"), columns), ErrorKind::usage);
  EXPECT_EQ(kind(path("t.npz"), {}), ErrorKind::io);
  EXPECT_EQ(kind(path("t.csv"), columns), ErrorKind::io);
}

Result<float> some_result() {
  Result<float> r;
  r.count = 2;
  r.d = 3;
  r.x = {1, 2, 3, 4, 5, std::nanf("")};
  r.status = {Status::converged, Status::overflow};
  r.steps = {8, 16};
  r.loss = {0.1f, 0.2f};
  r.objective = {0.3f, 0.4f};
  r.gradient_norm = {0.5f, 0.6f};
  r.trace_step = {0, 8, 16};
  r.trace_loss = {1, 2, 3, 4, 5, 6};
  r.shifts.resize(2);
  r.shifts[1].f_max = 7;
  r.shifts[1].ratio_max = 8;
  r.shift_f = {1, 2, 3, 4};
  r.shift_x = {5, 6, 7, 8};
  return r;
}

TEST_F(Files, ResultsReadBack) {
  const Result<float> r = some_result();
  write_result(ResultFile{path("r.npz"), false, {"Köln", "Bonn"}, "{}", true}, r);
  NpzFile file = NpzFile::open(path("r.npz"));
  const auto shape = [&](const char* name) { return file.header(name).shape; };
  EXPECT_EQ(shape("x"), (Shape{2, 3}));
  EXPECT_EQ(file.header("x").dtype, Dtype::f32);
  EXPECT_EQ(file.read<float>("x")[4], 5);
  EXPECT_TRUE(std::isnan(file.read<float>("x")[5]));
  EXPECT_EQ(file.read<std::int32_t>("status")[1], 30);
  EXPECT_EQ(file.read<std::int32_t>("steps")[1], 16);
  EXPECT_EQ(file.read<float>("loss")[1], 0.2f);
  EXPECT_EQ(file.read<float>("objective")[1], 0.4f);
  EXPECT_EQ(file.read<float>("grad_norm")[1], 0.6f);
  EXPECT_EQ(shape("trace_loss"), (Shape{2, 3}));
  EXPECT_EQ(file.read<std::int32_t>("trace_step")[2], 16);
  EXPECT_EQ(file.read<float>("shift_f_max")[1], 7);
  EXPECT_EQ(file.read<float>("shift_ratio_max")[1], 8);
  EXPECT_EQ(shape("shift_x"), (Shape{2, 2}));
  EXPECT_EQ(file.read_strings("group"), (std::vector<std::string>{"Köln", "Bonn"}));
  EXPECT_EQ(file.read_strings("meta"), (std::vector<std::string>{"{}"}));
  EXPECT_THROW(write_result(ResultFile{path("r.npz"), false, {}, ""}, r), Error);
}

TEST_F(Files, StartsOfAnEarlierResult) {
  write_result(ResultFile{path("r.npz"), false, {}, "{}"}, some_result());
  const auto problem_of = [](std::int64_t count) {
    ProblemArrays<double> arrays;
    arrays.count = count;
    arrays.d = 3;
    ProblemFile file;
    file.problem = arrays;
    return file;
  };
  ProblemFile two = problem_of(2), three = problem_of(3);
  read_starts(path("r.npz"), two);
  EXPECT_EQ(std::get<ProblemArrays<double>>(two.problem).x0[3], 4);
  try {
    read_starts(path("r.npz"), three);
    ADD_FAILURE() << "a wrong count was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_input);
    EXPECT_NE(std::string(error.what())
                  .find("has shape (2, 3) but the problem has 3 instances of 3 parameters"),
              std::string::npos)
        << error.what();
  }
}

TEST_F(Files, GradientWithRespectToA) {
  const std::vector<double> a(8), b(4);
  const std::vector<std::int64_t> offsets{0, 1, 4};
  VectorProblem<double> p;
  p.count = 2;
  p.d = 2;
  p.a = a;
  p.b = b;
  p.offsets = offsets;
  Evaluation<double> e;
  e.at.x = {2, 3, 5, 7};
  e.dlogits = {1, 10, 100, 1000};
  EXPECT_EQ(gradient_a(p, e), (std::vector<double>{2, 3, 50, 70, 500, 700, 5000, 7000}));
}

}  // namespace
}  // namespace softreg
