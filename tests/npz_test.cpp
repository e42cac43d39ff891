// NpzFile and NpzWriter: what NumPy writes is read, what we write comes back, and damaged files
// give an Error, whatever byte is damaged.
#include "npz.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "npz_contents.hpp"
#include "softreg/error.hpp"
#include "zip_builder.hpp"
#include "zip_reader.hpp"

namespace {

std::size_t largest_allocation = 0;

void* counted(std::size_t size, std::size_t alignment) {
  largest_allocation = std::max(largest_allocation, size);
  const std::size_t rounded = (std::max(size, std::size_t{1}) + alignment - 1) / alignment;
  void* memory = std::aligned_alloc(alignment, rounded * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// At -O1 g++ 12 inlines new and not delete, and takes them for a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

// Every allocation of this program is counted, so that a size read from a damaged file shows.
void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace softreg {
namespace {

using test::npy_bytes;
using test::npy_dict;
using test::raw;
using test::ZipBuilder;
using test::ZipForm;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span<const char>(text));
}

std::string read_all(const std::string& archive) {
  NpzFile file = NpzFile::from_bytes(bytes_of(archive), "test.npz");
  return test::contents(file);
}

// The message of the Error that `body` throws; fails when it throws none or of another kind.
template <class Body>
std::string error_of(ErrorKind kind, const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no Error";
  return "";
}

std::string read_error(ErrorKind kind, const std::string& archive) {
  return error_of(kind, [&] { read_all(archive); });
}

// An archive with the single member A.npy.
std::string archive_of(const std::string& contents, ZipForm form = {}) {
  ZipBuilder builder;
  builder.add("A.npy", contents, form);
  return builder.finish();
}

std::string doubles_npy() {
  return npy_bytes(npy_dict("<f8", false, "(3,)"), raw<double>({1, 2, 3}));
}

class Directory {
 public:
  Directory() {
    std::string name = ::testing::TempDir() + "npz_test_XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::filesystem::path path_;
};

std::string file_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(NpzRead, TypesAreConverted) {
  ZipBuilder builder;
  builder.add("f4.npy", npy_bytes(npy_dict("<f4", false, "(2,)"), raw<float>({1.5f, -2.0f})));
  builder.add("f8.npy", npy_bytes(npy_dict("<f8", false, "(2,)"), raw<double>({0.1, 1e300})));
  builder.add("i4.npy", npy_bytes(npy_dict("<i4", false, "(2,)"), raw<std::int32_t>({-7, 8})));
  builder.add("i8.npy", npy_bytes(npy_dict("<i8", false, "()"), raw<std::int64_t>({1ll << 40})));
  const std::string archive = builder.finish();
  NpzFile file = NpzFile::from_bytes(bytes_of(archive), "test.npz");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"f4", "f8", "i4", "i8"}));
  EXPECT_TRUE(file.has("f4"));
  EXPECT_FALSE(file.has("f4.npy"));
  EXPECT_EQ(file.header("i8").shape, std::vector<std::int64_t>{});
  EXPECT_EQ(file.read<float>("f4"), (AlignedVector<float>{1.5f, -2.0f}));
  EXPECT_EQ(file.read<double>("f4"), (AlignedVector<double>{1.5, -2.0}));
  EXPECT_EQ(file.read<double>("f8"), (AlignedVector<double>{0.1, 1e300}));
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(file.read<float>("f8"), (AlignedVector<float>{0.1f, infinity}));
  EXPECT_EQ(file.read<std::int32_t>("i4"), (AlignedVector<std::int32_t>{-7, 8}));
  EXPECT_EQ(file.read<std::int64_t>("i4"), (AlignedVector<std::int64_t>{-7, 8}));
  EXPECT_EQ(file.read<std::int64_t>("i8"), (AlignedVector<std::int64_t>{1ll << 40}));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file.read<double>("f8").data()) % 64, 0u);
  EXPECT_EQ(error_of(ErrorKind::invalid_input, [&] { file.read<double>("i8"); }),
            "'test.npz': array 'i8' has dtype int64; expected float32 or float64");
  EXPECT_EQ(error_of(ErrorKind::invalid_input, [&] { file.read<std::int32_t>("i8"); }),
            "'test.npz': array 'i8' has dtype int64; expected int32");
  EXPECT_EQ(error_of(ErrorKind::invalid_input, [&] { file.read<std::int64_t>("f8"); }),
            "'test.npz': array 'f8' has dtype float64; expected int32 or int64");
  EXPECT_EQ(error_of(ErrorKind::invalid_input, [&] { file.read_strings("f8"); }),
            "'test.npz': array 'f8' has dtype float64 and shape (2,); expected strings of shape () "
            "or (n,)");
  EXPECT_EQ(error_of(ErrorKind::invalid_input, [&] { file.header("b"); }),
            "'test.npz' has no array 'b'");
}

// Element (i, j, k, ...) of a test array is its index in C order, so that C order reads 0, 1, 2,
// ...
std::vector<double> fortran_elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  std::vector<double> values;
  for (std::int64_t position = 0; position < count; ++position) {
    std::vector<std::int64_t> index;
    std::int64_t rest = position;
    for (const std::int64_t extent : shape) {
      index.push_back(rest % extent);
      rest /= extent;
    }
    std::int64_t c_order = 0;
    for (std::size_t k = 0; k < shape.size(); ++k) c_order = c_order * shape[k] + index[k];
    values.push_back(static_cast<double>(c_order));
  }
  return values;
}

TEST(NpzRead, FortranOrderOfAnyRank) {
  const std::vector<std::vector<std::int64_t>> shapes = {
      {},        {7},          {3, 5},    {1, 9},       {9, 1},       {70, 33},
      {2, 3, 4}, {33, 5, 40},  {5, 1, 3}, {2, 3, 4, 5}, {1, 1, 6, 1}, {3, 2, 1, 2, 4},
      {0, 4, 2}, {40, 2, 3, 2}};
  for (const auto& shape : shapes) {
    const std::vector<double> values = fortran_elements(shape);
    const std::string dict = npy_dict("<f8", true, shape_text(shape));
    for (const bool deflated : {false, true}) {
      const std::string archive = archive_of(npy_bytes(dict, raw(values)), {.deflated = deflated});
      NpzFile file = NpzFile::from_bytes(bytes_of(archive), "test.npz");
      const AlignedVector<float> read = file.read<float>("A");
      ASSERT_EQ(read.size(), values.size());
      for (std::size_t i = 0; i < read.size(); ++i) {
        ASSERT_EQ(read[i], static_cast<float>(i)) << shape_text(shape);
      }
    }
  }
}

TEST(NpzRead, BigEndian) {
  std::string data = raw<double>({1.25, -3});
  for (std::size_t i = 0; i < data.size(); i += 8) std::reverse(&data[i], &data[i] + 8);
  ZipBuilder builder;
  builder.add("f8.npy", npy_bytes(npy_dict(">f8", false, "(2,)"), data));
  builder.add("i4.npy", npy_bytes(npy_dict(">i4", false, "(1,)"), std::string("\0\1\2\3", 4)));
  builder.add("U.npy", npy_bytes(npy_dict(">U1", false, "(1,)"), std::string("\0\0\0\xe9", 4)));
  const std::string archive = builder.finish();
  NpzFile file = NpzFile::from_bytes(bytes_of(archive), "test.npz");
  EXPECT_EQ(file.read<double>("f8"), (AlignedVector<double>{1.25, -3}));
  EXPECT_EQ(file.read<float>("f8"), (AlignedVector<float>{1.25f, -3}));
  EXPECT_EQ(file.read<std::int64_t>("i4"), (AlignedVector<std::int64_t>{0x010203}));
  EXPECT_EQ(file.read_strings("U"), std::vector<std::string>{"\xc3\xa9"});
}

TEST(NpzRead, Strings) {
  const std::vector<char32_t> wide = {'a',       'b',           'c', 0,   0, 0,
                                      U'\u00e9', U'\U0001f600', 0,   'a', 0, 'b'};
  ZipBuilder builder;
  builder.add("U.npy", npy_bytes(npy_dict("<U3", false, "(4,)"), raw(wide)));
  builder.add("S.npy", npy_bytes(npy_dict("|S2", false, "(3,)"), std::string("a\0\0\0bc", 6)));
  const std::string archive = builder.finish();
  NpzFile file = NpzFile::from_bytes(bytes_of(archive), "test.npz");
  EXPECT_EQ(file.read_strings("U"), (std::vector<std::string>{"abc", "", "\xc3\xa9\xf0\x9f\x98\x80",
                                                              std::string("a\0b", 3)}));
  EXPECT_EQ(file.read_strings("S"), (std::vector<std::string>{"a", "", "bc"}));
  const std::string surrogate = archive_of(
      npy_bytes(npy_dict("<U1", false, "(1,)"), raw<char32_t>({static_cast<char32_t>(0xd800)})));
  EXPECT_EQ(read_error(ErrorKind::io, surrogate),
            "'test.npz': array 'A' holds a value that is no Unicode character in string 0");
}

TEST(NpzRead, HeadersThatNumpyMayWrite) {
  const std::string data = raw<double>({1, 2, 3});
  const std::string expected = read_all(archive_of(doubles_npy()));
  for (const int version : {1, 2, 3}) {
    const std::string dict = npy_dict("<f8", false, "(3,)");
    EXPECT_EQ(read_all(archive_of(npy_bytes(dict, data, version))), expected);
  }
  for (const char* dict : {"{\"shape\":(3L,),\"descr\":\"<f8\",\"fortran_order\":False}",
                           "{'descr': '=f8', 'shape' : ( 3 , ) , 'fortran_order': False}    ",
                           "{'fortran_order': False, 'descr': '<f8', 'shape': (3, ), }"}) {
    EXPECT_EQ(read_all(archive_of(npy_bytes(dict, data))), expected) << dict;
  }
}

TEST(NpzRead, BrokenHeaders) {
  const std::string data = raw<double>({1, 2, 3});
  const std::vector<const char*> dicts = {
      "",
      "{",
      "{}",
      "'descr'",
      "{'descr': '<f8'}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'more': 1}",
      "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (3,)}",
      "{'descr': '<f8', 'fortran_order': 0, 'shape': (3,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': 3}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3,,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3 1)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)} x",
      "{'descr': '<f8' 'fortran_order': False, 'shape': (3,)}",
      "{'descr: <f8, 'fortran_order': False, 'shape': (3,)}",
      "{'descr': '<f\\x38', 'fortran_order': False, 'shape': (3,)}"};
  for (const char* dict : dicts) {
    EXPECT_EQ(read_error(ErrorKind::io, archive_of(npy_bytes(dict, data))),
              "'test.npz': array 'A' has a broken .npy header")
        << dict;
  }
  std::string many = "(";
  for (int i = 0; i < 65; ++i) many += "1, ";
  EXPECT_EQ(read_error(ErrorKind::io,
                       archive_of(npy_bytes(npy_dict("<f8", false, many + ")"), raw<double>({1})))),
            "'test.npz': array 'A' has a broken .npy header");
}

TEST(NpzRead, UnsupportedContents) {
  const auto with_dtype = [](const std::string& descr) {
    return read_error(ErrorKind::invalid_input,
                      archive_of(npy_bytes(npy_dict(descr, false, "(1,)"), "12345678")));
  };
  EXPECT_EQ(with_dtype("|O"),
            "'test.npz': array 'A' holds Python objects, which only pickle can read");
  for (const char* descr :
       {"|b1", "|u1", "<u4", "<u8", "<i2", "<f2", "<f16", "<c8", "<M8[ns]", "|V8", "|f8", "<U0",
        "|S0", "f8", "<f", "", "<f08x", "<f99999999999", "?f8"}) {
    EXPECT_EQ(with_dtype(descr), std::string("'test.npz': array 'A' has dtype '") + descr +
                                     "', which softreg does not read");
  }
  const std::string structured =
      "{'descr': [('x', '<f8')], 'fortran_order': False, 'shape': (1,), }";
  EXPECT_EQ(read_error(ErrorKind::invalid_input, archive_of(npy_bytes(structured, "12345678"))),
            "'test.npz': array 'A' has a structured dtype, which softreg does not read");
  EXPECT_EQ(read_error(ErrorKind::invalid_input,
                       archive_of(npy_bytes(npy_dict("<f8", false, "(1,)"), "12345678", 4))),
            "'test.npz': array 'A' has .npy version 4.0; expected 1.0, 2.0 or 3.0");
}

TEST(NpzRead, SizesAreCheckedAgainstTheFile) {
  const auto with_shape = [](const std::string& shape, const std::string& data = "12345678") {
    return read_error(ErrorKind::io, archive_of(npy_bytes(npy_dict("<f8", false, shape), data)));
  };
  EXPECT_EQ(with_shape("(2,)"),
            "'test.npz': array 'A' has shape (2,) of float64, 16 bytes, but holds 8 bytes");
  EXPECT_EQ(with_shape("(0, 7)"),
            "'test.npz': array 'A' has shape (0, 7) of float64, 0 bytes, but holds 8 bytes");
  EXPECT_EQ(with_shape("(4294967296, 4294967296)"),
            "'test.npz': array 'A' has shape (4294967296, 4294967296), more than 2^63 bytes");
  EXPECT_EQ(with_shape("(0, 4294967296, 4294967296)", ""),
            "'test.npz': array 'A' has shape (0, 4294967296, 4294967296), more than 2^63 bytes");
  EXPECT_EQ(with_shape("(1152921504606846976,)"),
            "'test.npz': array 'A' has shape (1152921504606846976,), more than 2^63 bytes");
  EXPECT_EQ(read_error(ErrorKind::io, archive_of("\x93NUMPY\x01")),
            "'test.npz': array 'A' does not begin like a .npy file");
  EXPECT_EQ(read_error(ErrorKind::io, archive_of(std::string("\x93NUMPY\x01\0\xff\xff{", 11))),
            "'test.npz': array 'A' is truncated: its header needs 65545 bytes but it has 11");
  EXPECT_EQ(
      read_error(ErrorKind::io, archive_of(std::string("\x93NUMPY\x02\0\xff\xff\xff\xff", 12))),
      "'test.npz': array 'A' is truncated: its header needs 4294967307 bytes but it has 12");
}

TEST(NpzRead, BrokenArchives) {
  const std::string npy = doubles_npy();
  EXPECT_EQ(read_error(ErrorKind::io, ""), "'test.npz' is not an .npz file (0 bytes)");
  EXPECT_EQ(read_error(ErrorKind::io, "hello"), "'test.npz' is not an .npz file (5 bytes)");
  EXPECT_EQ(read_error(ErrorKind::invalid_input, npy), "'test.npz' is an .npy file, not an .npz");
  EXPECT_EQ(
      read_error(ErrorKind::io, archive_of(npy).substr(0, 100)),
      "'test.npz' is truncated: its 100 bytes begin like an .npz file but have no directory at "
      "their end");
  EXPECT_EQ(read_error(ErrorKind::io, archive_of(npy) + "x"),
            "'test.npz' is corrupt: 1 bytes follow its end");
  EXPECT_EQ(
      read_error(ErrorKind::io, archive_of(npy, {.size = 4096})),
      "'test.npz' is truncated: member 'A.npy' needs 4096 bytes at offset 35 but the directory "
      "begins at 127");
  EXPECT_EQ(read_error(ErrorKind::io, archive_of(npy, {.zip64_local = true,
                                                       .zip64_central = true,
                                                       .size = ~std::uint64_t{0} - 1})),
            "'test.npz' is truncated: member 'A.npy' needs 18446744073709551614 bytes at offset 55 "
            "but the directory begins at 147");
  EXPECT_EQ(
      read_error(ErrorKind::io, archive_of(npy, {.offset = 5000})),
      "'test.npz' is corrupt: member 'A.npy' begins at offset 5000, but the directory at 127");
  EXPECT_EQ(read_error(ErrorKind::io, archive_of(npy, {.offset = 3})),
            "'test.npz' is corrupt: member 'A.npy' has no header at offset 3");
  EXPECT_EQ(read_error(ErrorKind::invalid_input, archive_of(npy, {.flags = 1})),
            "'test.npz': member 'A.npy' is encrypted");
  EXPECT_EQ(read_error(ErrorKind::invalid_input, archive_of(npy, {.method = 12})),
            "'test.npz': member 'A.npy' has compression method 12; expected 0 (stored) or 8 "
            "(deflated)");
  const std::string trailing = archive_of(npy, {.deflated = true, .trailing = "garbage"});
  EXPECT_NE(read_error(ErrorKind::io, trailing).find("do not inflate to 92"), std::string::npos);
  ZipBuilder twice;
  twice.add("A.npy", npy);
  twice.add("A.npy", npy);
  EXPECT_EQ(read_error(ErrorKind::io, twice.finish()), "'test.npz' has two members 'A.npy'");
  // A member whose header lies inside the contents of the first.
  ZipBuilder inner;
  inner.add("C.npy", "");
  ZipBuilder outer;
  outer.add("A.npy", inner.finish());
  outer.add("C.npy", "", {.offset = 35});
  EXPECT_EQ(read_error(ErrorKind::io, outer.finish()),
            "'test.npz' is corrupt: members 'A.npy' and 'C.npy' overlap");
}

TEST(NpzRead, ChecksumsAreVerified) {
  for (const bool deflated : {false, true}) {
    const std::string archive = archive_of(doubles_npy(), {.deflated = deflated, .crc_error = 16});
    const std::string message = read_error(ErrorKind::io, archive);
    EXPECT_EQ(message.find("'test.npz': array 'A' is corrupt: its checksum is "), 0u) << message;
  }
}

TEST(NpzRead, BombsAreRefusedBeforeTheyAreAllocated) {
  const std::string zeros = npy_bytes(npy_dict("<f8", false, "(100000,)"), std::string(800000, 0));
  EXPECT_EQ(read_all(archive_of(zeros, {.deflated = true})).size(), 22u + 17 * 100000);
  largest_allocation = 0;
  const std::string bomb = archive_of(zeros, {.deflated = true, .size = 2000000});
  const std::string message = read_error(ErrorKind::io, bomb);
  EXPECT_NE(message.find("bytes cannot inflate to 2000000"), std::string::npos) << message;
  EXPECT_LT(largest_allocation, 1000000u);
}

TEST(NpzRead, UnreadablePaths) {
  const Directory directory;
  EXPECT_EQ(error_of(ErrorKind::io, [&] { NpzFile::open(directory / "none.npz"); }),
            "cannot open '" + (directory / "none.npz") + "': No such file or directory");
  EXPECT_EQ(error_of(ErrorKind::io, [&] { NpzFile::open("/tmp"); }),
            "cannot read '/tmp': it is not a regular file");
  EXPECT_EQ(error_of(ErrorKind::io, [&] { NpzFile::open("/dev/null"); }),
            "cannot read '/dev/null': it is not a regular file");
  ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of(ErrorKind::io, [&] { NpzFile::open(directory / "pipe"); }),
            "cannot read '" + (directory / "pipe") + "': it is not a regular file");
  std::ofstream(directory / "empty.npz").close();
  error_of(ErrorKind::io, [&] { NpzFile::open(directory / "empty.npz"); });
}

TEST(NpzRead, FileThatShrinksAfterOpening) {
  const Directory directory;
  const std::string path = directory / "a.npz";
  const std::string archive = archive_of(doubles_npy());
  std::ofstream(path, std::ios::binary) << archive;
  NpzFile file = NpzFile::open(path);
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);
  EXPECT_EQ(error_of(ErrorKind::io, [&] { file.header("A"); }),
            "'" + path + "' shrank from " + std::to_string(archive.size()) +
                " to 0 bytes while it was read");
}

TEST(NpzRead, OtherMembersAreIgnoredAndNamesAreEscaped) {
  ZipBuilder builder;
  builder.add("README.txt", "hello");
  builder.add("A\x1b[31m.npy", "x");
  const std::string archive = builder.finish(false, "a comment");
  NpzFile file = NpzFile::from_bytes(bytes_of(archive), "test.npz");
  EXPECT_EQ(file.names(), std::vector<std::string>{"A\x1b[31m"});
  EXPECT_EQ(error_of(ErrorKind::io, [&] { file.header("A\x1b[31m"); }),
            "'test.npz': array 'A\\x1b[31m' does not begin like a .npy file");
}

// Archives in all forms, small enough to try every bit.
struct Sample {
  std::string name;
  ZipBuilder builder;
  std::string archive;
};

std::vector<Sample> samples() {
  const std::string f8 = npy_dict("<f8", false, "(2, 3)");
  const std::string c_order = npy_bytes(f8, raw<double>({1, 2, 3, 4, 5, 6}));
  const std::string fortran =
      npy_bytes(npy_dict("<f4", true, "(2, 3)"), raw<float>({1, 4, 2, 5, 3, 6}));
  const std::string ints = npy_bytes(npy_dict("<i8", false, "(3,)"), raw<std::int64_t>({0, 2, 9}));
  const std::string text =
      npy_bytes(npy_dict("<U2", false, "(2,)"), raw<char32_t>({'a', 'b', U'\u00e9', 0}));
  std::vector<Sample> all;
  const auto add = [&](const std::string& name, ZipForm form, bool zip64_end, int version) {
    Sample sample{name, {}, {}};
    sample.builder.add(
        "A.npy", version == 1 ? c_order : npy_bytes(f8, raw<double>({1, 2, 3, 4, 5, 6}), version),
        form);
    sample.builder.add("b.npy", fortran, form);
    sample.builder.add("offsets.npy", ints, form);
    sample.builder.add("group.npy", text, form);
    sample.archive = sample.builder.finish(zip64_end);
    all.push_back(std::move(sample));
  };
  add("stored", {}, false, 1);
  add("stored, version 2", {}, false, 2);
  add("stored, version 3", {}, false, 3);
  add("deflated", {.deflated = true}, false, 1);
  add("numpy.savez", {.zip64_local = true}, false, 1);
  add("numpy.savez_compressed", {.deflated = true, .zip64_local = true}, false, 1);
  add("zip64", {.zip64_local = true, .zip64_central = true}, true, 1);
  add("zip64 deflated", {.deflated = true, .zip64_local = true, .zip64_central = true}, true, 1);
  add("written to a pipe", {.zip64_local = true, .descriptor = true}, false, 1);
  return all;
}

// Reads a mutant from a buffer of exactly its size, so that AddressSanitizer sees every overrun.
// Returns what it holds, or nothing when it gave an Error of one of the two kinds that files give.
std::optional<std::string> read_mutant(const std::string& mutant) {
  const std::vector<char> exact(mutant.begin(), mutant.end());
  largest_allocation = 0;
  std::optional<std::string> result;
  try {
    NpzFile file = NpzFile::from_bytes(std::as_bytes(std::span(exact)), "mutant.npz");
    result = test::contents(file);
  } catch (const Error& error) {
    EXPECT_TRUE(error.kind() == ErrorKind::io || error.kind() == ErrorKind::invalid_input)
        << error.what();
  }
  EXPECT_LE(largest_allocation, 1032 * mutant.size() + 4096);
  return result;
}

TEST(NpzMutants, EveryTruncationAndEveryBit) {
  std::int64_t mutants = 0;
  for (const Sample& sample : samples()) {
    SCOPED_TRACE(sample.name);
    const std::optional<std::string> original = read_mutant(sample.archive);
    ASSERT_TRUE(original.has_value());
    for (std::size_t size = 0; size < sample.archive.size(); ++size, mutants += 2) {
      ASSERT_FALSE(read_mutant(sample.archive.substr(0, size)).has_value()) << size;
      ASSERT_FALSE(read_mutant(sample.archive.substr(size + 1)).has_value()) << size;
    }
    // The unused bits in the last byte of a deflated stream are the only ones of the contents that
    // may change unseen; then the arrays are what they were.
    std::int64_t unseen = 0;
    for (std::size_t byte = 0; byte < sample.archive.size(); ++byte) {
      for (int bit = 0; bit < 8; ++bit, ++mutants) {
        std::string mutant = sample.archive;
        mutant[byte] = static_cast<char>(mutant[byte] ^ (1 << bit));
        const std::optional<std::string> read = read_mutant(mutant);
        if (!read) continue;
        ASSERT_EQ(*read, *original) << "byte " << byte << " bit " << bit;
        if (sample.builder.is_free(byte, bit)) continue;
        ++unseen;
      }
    }
    const bool deflated = sample.name.find("compressed") != std::string::npos ||
                          sample.name.find("deflated") != std::string::npos;
    EXPECT_LE(unseen, deflated ? 4 * 7 : 0);
  }
  std::printf("[count] npz mutants: %lld\n", static_cast<long long>(mutants));
  EXPECT_GE(mutants, 20000);
}

TEST(NpzMutants, RandomBytes) {
  std::mt19937 random(20240607);
  const std::vector<Sample> all = samples();
  std::int64_t mutants = 0;
  std::int64_t read = 0;
  for (; mutants < 40000; ++mutants) {
    std::string mutant = all[random() % all.size()].archive;
    const int changes = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < changes; ++i) {
      const std::size_t position = random() % mutant.size();
      switch (random() % 4) {
        case 0:
          mutant[position] = static_cast<char>(random());
          break;
        case 1:
          mutant[position] = '\xff';
          break;
        case 2:
          mutant.erase(position, 1 + random() % 16);
          break;
        default: {
          const std::size_t from = random() % mutant.size();
          mutant.insert(position, mutant.substr(from, random() % 32));
        }
      }
      if (mutant.empty()) break;
    }
    read += read_mutant(mutant).has_value() ? 1 : 0;
  }
  std::printf("[count] npz mutants: %lld random ones, %lld still read\n",
              static_cast<long long>(mutants), static_cast<long long>(read));
  EXPECT_LT(read, mutants / 5);
}

// As damage that the checksum does not see: the .npy bytes change, the archive is right.
TEST(NpzMutants, EveryBitBehindARightChecksum) {
  std::int64_t mutants = 0;
  for (const int version : {1, 2, 3}) {
    const std::string npy = npy_bytes(npy_dict("<f8", version == 2, "(2, 3)"),
                                      raw<double>({1, 2, 3, 4, 5, 6}), version);
    for (const bool deflated : {false, true}) {
      for (std::size_t byte = 0; byte < npy.size(); ++byte) {
        for (int bit = 0; bit < 8; ++bit, ++mutants) {
          std::string mutant = npy;
          mutant[byte] = static_cast<char>(mutant[byte] ^ (1 << bit));
          read_mutant(archive_of(mutant, {.deflated = deflated}));
        }
        read_mutant(archive_of(npy.substr(0, byte), {.deflated = deflated}));
        ++mutants;
      }
    }
  }
  std::printf("[count] npz mutants: %lld behind a right checksum\n",
              static_cast<long long>(mutants));
}

TEST(NpzWrite, ComesBack) {
  const Directory directory;
  for (const std::uint64_t zip64_from : {zip64_limit, std::uint64_t{0}, std::uint64_t{66000}}) {
    const std::string path = directory / "r.npz";
    const std::vector<double> f8 = {1.5, std::nan(""), -0.0, 1e-320, 5, 6};
    const std::vector<float> f4 = {1, 2};
    const std::vector<std::int32_t> i4 = {std::numeric_limits<std::int32_t>::min(), 3};
    const std::vector<std::int64_t> i8(700, std::numeric_limits<std::int64_t>::max());
    const std::vector<std::string> labels = {"caf\xc3\xa9", "", "\xf0\x9f\x98\x80x"};
    NpzWriter writer(path, true, zip64_from);
    writer.add<double>("f8", f8, {3, 2});
    writer.add<float>("f4", f4, {2});
    writer.add<std::int32_t>("i4", i4, {1, 2});
    writer.add<std::int64_t>("i8", i8, {7, 100});
    writer.add<float>("empty", {}, {0, 5});
    writer.add_strings("group", labels);
    writer.add_strings("no_group", {});
    writer.add_text("meta", "{\"a\": 1}");
    writer.finish();
    NpzFile file = NpzFile::open(path);
    EXPECT_EQ(file.names(), (std::vector<std::string>{"f8", "f4", "i4", "i8", "empty", "group",
                                                      "no_group", "meta"}));
    EXPECT_EQ(file.header("f8").shape, (std::vector<std::int64_t>{3, 2}));
    const AlignedVector<double> read = file.read<double>("f8");
    EXPECT_EQ(std::memcmp(read.data(), f8.data(), sizeof(double) * f8.size()), 0);
    EXPECT_EQ(file.read<float>("f4"), (AlignedVector<float>{1, 2}));
    EXPECT_EQ(file.read<std::int32_t>("i4"), AlignedVector<std::int32_t>(i4.begin(), i4.end()));
    EXPECT_EQ(file.read<std::int64_t>("i8"), AlignedVector<std::int64_t>(i8.begin(), i8.end()));
    EXPECT_EQ(file.header("empty").shape, (std::vector<std::int64_t>{0, 5}));
    EXPECT_TRUE(file.read<float>("empty").empty());
    EXPECT_EQ(file.read_strings("group"), labels);
    EXPECT_TRUE(file.read_strings("no_group").empty());
    EXPECT_EQ(file.header("meta").shape, (std::vector<std::int64_t>{}));
    EXPECT_EQ(file.read_strings("meta"), std::vector<std::string>{"{\"a\": 1}"});
    const std::string archive = file_bytes(path);
    for (const ZipMember& member : read_zip_directory(bytes_of(archive), path)) {
      const std::string name = member.name.substr(0, member.name.size() - 4);
      const auto data =
          member.data_offset + static_cast<std::uint64_t>(file.header(name).data_offset);
      EXPECT_EQ(data % 64, 0u) << member.name;
    }
    EXPECT_EQ(directory.files(), 1u);
  }
}

TEST(NpzWrite, EqualContentsGiveEqualBytes) {
  const Directory directory;
  const std::vector<double> values = {1, 2, 3};
  for (const char* name : {"a.npz", "b.npz"}) {
    NpzWriter writer(directory / name, false);
    writer.add<double>("x", values, {3});
    writer.finish();
  }
  EXPECT_EQ(file_bytes(directory / "a.npz"), file_bytes(directory / "b.npz"));
}

TEST(NpzWrite, IntoMemoryTheSameBytes) {
  const Directory directory;
  const std::vector<double> values = {1, 2, 3};
  std::vector<std::byte> bytes;
  NpzWriter file(directory / "a.npz", false), memory(bytes);
  for (NpzWriter* writer : {&file, &memory}) {
    writer->add<double>("x", values, {3});
    writer->add_text("meta", "{}");
    writer->finish();
  }
  const std::string archive = file_bytes(directory / "a.npz");
  const auto expected = bytes_of(archive);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), expected.begin(), expected.end()));
}

TEST(NpzWrite, WrongCalls) {
  const Directory directory;
  const std::vector<double> values = {1, 2, 3};
  {
    NpzWriter writer(directory / "a.npz", false);
    writer.add<double>("x", values, {3});
    EXPECT_EQ(error_of(ErrorKind::internal, [&] { writer.add<double>("x", values, {3}); }),
              "array 'x' is written twice");
    EXPECT_EQ(error_of(ErrorKind::internal,
                       [&] {
                         writer.add<double>("y", values, {2, 2});
                       }),
              "array 'y' has shape (2, 2) but 3 values");
    EXPECT_EQ(error_of(ErrorKind::invalid_input, [&] { writer.add_text("t", "\xff"); }),
              "'\\xff' in array 't' is not UTF-8");
    EXPECT_EQ(directory.files(), 1u);
  }
  EXPECT_EQ(directory.files(), 0u);
}

}  // namespace
}  // namespace softreg
