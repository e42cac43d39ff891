// Tables in long form: what RFC 4180 allows, and every error with its line and column.
#include "csv.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "softreg/error.hpp"

namespace softreg {
namespace {

CsvTable parse(const std::string& text, const std::vector<std::string>& features = {"a", "b"}) {
  const std::vector<char> exact(text.begin(), text.end());  // no NUL behind it to stop an overrun
  return parse_csv({exact.data(), exact.size()}, "t.csv", "g", "t", features);
}

std::string error_of(const std::string& text, const std::vector<std::string>& features = {"a"}) {
  try {
    parse(text, features);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_input);
    return error.what();
  }
  ADD_FAILURE() << "no Error for " << text;
  return "";
}

const CsvTable simple = {{"x", "y"}, {0, 2, 3}, {1, 2, 5, 6, 3, 4}, {0.5, 0.25, 0.125}};

void expect_equal(const CsvTable& table, const CsvTable& expected) {
  EXPECT_EQ(table.labels, expected.labels);
  EXPECT_EQ(table.offsets, expected.offsets);
  EXPECT_EQ(table.features, expected.features);
  EXPECT_EQ(table.target, expected.target);
}

TEST(Csv, GroupsAreGatheredInOrderOfFirstAppearance) {
  expect_equal(parse("g,t,a,b\nx,0.5,1,2\ny,.125,3,4\nx,0.25,5,6\n"), simple);
}

TEST(Csv, FormsOfTheSameTable) {
  for (const char* text : {
           "g,t,a,b\r\nx,0.5,1,2\r\ny,.125,3,4\r\nx,0.25,5,6\r\n",
           "\xef\xbb\xbfg,t,a,b\nx,0.5,1,2\ny,.125,3,4\nx,0.25,5,6",
           "g,t,a,b\r\nx,0.5,1,2\ny,.125,3,4\r\nx,0.25,5,6\r",
           "\n\ng,t,a,b\n\r\nx,0.5,1,2\ny,.125,3,4\n\nx,0.25,5,6\n\n\r\n\r",
           " g ,\tt, a,b \nx, 0.5 ,+1,\t2\ny,.125,3., 4e0\nx,2.5E-1,5,6 \n",
           "\"g\",\"t\",\"a\",\"b\"\n\"x\",\"0.5\",\"1\",\"2\"\r\ny,.125,3,\" 4 \"\nx,0.25,5,\"6\"",
           "b,ignored,a,t,g,a2\n2,\"a, \"\"b\"\"\n c\",1,0.5,x,\n4,,3,.125,y,\n6,nan,5,0.25,x,",
       }) {
    SCOPED_TRACE(text);
    expect_equal(parse(text), simple);
  }
}

TEST(Csv, Labels) {
  const CsvTable table =
      parse("g,t,a\n\"a \"\"b\"\"\",1,1\n x ,1,1\nx,1,1\ncaf\xc3\xa9,1,1\n\"l\nm\",1,1\n007,1,1\n",
            {"a"});
  EXPECT_EQ(table.labels,
            (std::vector<std::string>{"a \"b\"", " x ", "x", "caf\xc3\xa9", "l\nm", "007"}));
}

TEST(Csv, Numbers) {
  const CsvTable table = parse(
      "g,t,a\nx,nan,inf\nx,-Infinity,4.9406564584124654e-324\n"
      "x,0.1,1.7976931348623157e308\nx,-0,9007199254740993\n",
      {"a"});
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(std::isnan(table.target[0]));
  EXPECT_EQ(table.target[1], -infinity);
  EXPECT_EQ(table.target[2], 0.1);
  EXPECT_TRUE(std::signbit(table.target[3]));
  EXPECT_EQ(table.features,
            (AlignedVector<double>{infinity, std::numeric_limits<double>::denorm_min(),
                                   std::numeric_limits<double>::max(), 9007199254740992.0}));
}

TEST(Csv, ErrorsNameLineAndColumn) {
  EXPECT_EQ(error_of("g,t,a\nx,1,1\nx,1,abc\n"),
            "'t.csv': line 3, column 'a': 'abc' is not a number");
  EXPECT_EQ(error_of("g,t,a\n\"x\ny\",1,1\nx,1,1 2\n"),
            "'t.csv': line 4, column 'a': '1 2' is not a number");
  EXPECT_EQ(error_of("g,t,a\nx,,1\n"), "'t.csv': line 2, column 't': the cell is empty");
  EXPECT_EQ(error_of("g,t,a\r\n\r\nx,1, \r\n"), "'t.csv': line 3, column 'a': the cell is empty");
  EXPECT_EQ(error_of("g,t,a\n,1,1\n"), "'t.csv': line 2, column 'g': the label is empty");
  EXPECT_EQ(error_of("g,t,a\n\xe9,1,1\n"), "'t.csv': line 2, column 'g': '\\xe9' is not UTF-8");
  EXPECT_EQ(error_of("g,t,a\n" + std::string(1001, 'x') + ",1,1\n"),
            "'t.csv': line 2, column 'g': the label has 1001 bytes; at most 1000 are allowed");
  EXPECT_EQ(error_of("g,t,a\nx,1,1e999\n"),
            "'t.csv': line 2, column 'a': '1e999' is outside of float64");
  EXPECT_EQ(error_of("g,t,a\nx,1,1e-999\n"),
            "'t.csv': line 2, column 'a': '1e-999' is outside of float64");
  for (const char* cell : {"+-1", "++1", "+", "-", ".", "1,5", "0x10", "1e", "1.2.3", "NA", "1_0",
                           "nan?", "\"1\"\"\"", "1\r2",
                           "\xc2\xa0"
                           "1"}) {
    const std::string message = error_of(std::string("g,t,a\nx,1,") + cell + "\n");
    EXPECT_EQ(message.find("'t.csv': line 2"), 0u) << message;
  }
  EXPECT_EQ(error_of("g,t,a\nx,1\n"), "'t.csv': line 2 has 2 fields but the header has 3");
  EXPECT_EQ(error_of("g,t,a\nx,1,1\nx,1,1,1\n"),
            "'t.csv': line 3 has 4 fields but the header has 3");
  EXPECT_EQ(error_of("g,t,a\nx,1,\"1\n\n"), "'t.csv': line 2: a quoted field is never closed");
  EXPECT_EQ(error_of("g,t,a\nx,1,\"1\"2\n"),
            "'t.csv': line 2: a comma is missing after the quoted field '1'");
  EXPECT_EQ(error_of("g,t,a\nx\"y,1,2\n"),
            "'t.csv': line 2: 'x\"y' has a quote inside a field without quotes");
}

TEST(Csv, ErrorsOfTheWholeTable) {
  EXPECT_EQ(error_of(""), "'t.csv' has no header line");
  EXPECT_EQ(error_of("\xef\xbb\xbf\n\n"), "'t.csv' has no header line");
  EXPECT_EQ(error_of("g,t,a\n\n"), "'t.csv' has a header but no rows");
  EXPECT_EQ(error_of("g,t,b\nx,1,1\n"), "'t.csv' has no column 'a'");
  EXPECT_EQ(error_of("g;t;a\nx;1;1\n"), "'t.csv' has no column 'g'");
  EXPECT_EQ(error_of("g,t,a,a\nx,1,1,1\n"), "'t.csv' has more than one column 'a'");
  EXPECT_EQ(error_of("g,t,a\nx,1,1\n", {"a", "a"}), "feature 'a' is named twice");
  EXPECT_EQ(error_of(std::string("g,t,a\nx,1,\0\n", 12)),
            "'t.csv' is not a UTF-8 text file: byte 10 is zero");
}

TEST(Csv, ReadsFiles) {
  const std::string path = ::testing::TempDir() + "csv_test.csv";
  std::ofstream(path, std::ios::binary) << "g,t,a,b\nx,0.5,1,2\ny,.125,3,4\nx,0.25,5,6\n";
  expect_equal(read_csv(path, "g", "t", {"a", "b"}), simple);
  std::ofstream(path).close();
  EXPECT_THROW(read_csv(path, "g", "t", {"a"}), Error);
  std::remove(path.c_str());
  try {
    read_csv(path, "g", "t", {"a"});
    FAIL() << "no Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
  }
}

TEST(Csv, MutantsAreTablesOrErrors) {
  const std::string text = "g,t,a,\"b\"\r\n\"x\"\"1\",0.5,1e3,2\r\ny,.125,-3,inf\nx,0.25,\"5\",6\n";
  std::mt19937 random(7);
  const std::string bytes = "\",\r\n\xef\xbb\xbf 0e+-.n\0";
  int tables = 0;
  const int mutants = 50000;
  for (int i = 0; i < mutants; ++i) {
    std::string mutant = text.substr(0, random() % (text.size() + 1));
    if (i % 4 != 0) mutant = text;
    for (int change = 0; change < 1 + i % 3 && !mutant.empty(); ++change) {
      const std::size_t position = random() % mutant.size();
      if (random() % 2 == 0) {
        mutant[position] = bytes[random() % bytes.size()];
      } else {
        mutant.insert(position, 1, bytes[random() % bytes.size()]);
      }
    }
    try {
      const CsvTable table = parse(mutant);
      ASSERT_EQ(static_cast<std::size_t>(table.offsets.back()), table.target.size());
      ASSERT_EQ(table.features.size(), 2 * table.target.size());
      ++tables;
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::invalid_input);
    }
  }
  std::printf("[count] csv mutants: %d, of which %d are tables\n", mutants, tables);
  EXPECT_GT(tables, 0);
  EXPECT_LT(tables, mutants);
}

}  // namespace
}  // namespace softreg
