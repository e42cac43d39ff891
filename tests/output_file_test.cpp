// OutputFile: complete under its name or not there at all.
#include "output_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "softreg/error.hpp"

namespace softreg {
namespace {

namespace fs = std::filesystem;

class OutputFileTest : public ::testing::Test {
 protected:
  OutputFileTest() {
    std::string name = ::testing::TempDir() + "output_file_test_XXXXXX";
    directory_ = ::mkdtemp(name.data());
    path_ = (directory_ / "out.bin").string();
  }
  ~OutputFileTest() override { fs::remove_all(directory_); }

  static void put(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string get(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::ptrdiff_t files() const { return std::distance(fs::directory_iterator(directory_), {}); }

  template <class Body>
  static std::string error_of(ErrorKind kind, const Body& body) {
    try {
      body();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "no Error";
    return "";
  }

  fs::path directory_;
  std::string path_;
};

TEST_F(OutputFileTest, AppearsOnlyWhenCommitted) {
  std::string large(3 << 20, 'x');
  {
    OutputFile file(path_, false);
    file.write("head");
    file.write(large);
    file.write("tail");
    EXPECT_EQ(file.size(), large.size() + 8);
    EXPECT_FALSE(fs::exists(path_));
    file.commit();
    EXPECT_EQ(get(path_), "head" + large + "tail");
  }
  EXPECT_EQ(get(path_), "head" + large + "tail");
  EXPECT_EQ(files(), 1);
}

TEST_F(OutputFileTest, VanishesWithoutCommit) {
  { OutputFile(path_, false).write("half"); }
  EXPECT_EQ(files(), 0);
  put(path_, "old");
  { OutputFile(path_, true).write("half"); }
  EXPECT_EQ(get(path_), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(OutputFileTest, OverwritesOnlyWithForce) {
  put(path_, "old");
  EXPECT_EQ(error_of(ErrorKind::usage, [&] { check_output_path(path_, false); }),
            "output file '" + path_ + "' already exists");
  check_output_path(path_, true);
  EXPECT_EQ(get(path_), "old");
  OutputFile file(path_, true);
  file.write("new");
  file.commit();
  EXPECT_EQ(get(path_), "new");
  EXPECT_EQ(files(), 1);
}

TEST_F(OutputFileTest, KeepsWhatAppearedMeanwhile) {
  const auto beside = [this](int k) {
    return (directory_ / ("out." + std::to_string(k) + ".bin")).string();
  };
  put(beside(1), "another's");
  {
    OutputFile file(path_, false);
    file.write("ours");
    put(path_, "theirs");
    EXPECT_EQ(error_of(ErrorKind::io, [&] { file.commit(); }),
              "cannot write '" + path_ + "': exists already and was kept; the new file is '" +
                  beside(2) + "'");
  }
  EXPECT_EQ(get(path_), "theirs");
  EXPECT_EQ(get(beside(1)), "another's");
  EXPECT_EQ(get(beside(2)), "ours");
  EXPECT_EQ(files(), 3);
}

// The longest names a file system takes leave no room for a number.
TEST_F(OutputFileTest, KeepsWhatHasNoNameToSpare) {
  for (const std::string& name : {std::string(251, 'x') + ".bin", "x." + std::string(253, 'y')}) {
    const std::string path = (directory_ / name).string();
    const std::ptrdiff_t before = files();
    {
      OutputFile file(path, false);
      file.write("ours");
      put(path, "theirs");
      EXPECT_NE(error_of(ErrorKind::io, [&] { file.commit(); }), "");
    }
    EXPECT_EQ(get(path), "theirs");
    EXPECT_EQ(files(), before + 2);
  }
}

TEST_F(OutputFileTest, MayGiveWayToWhatAppearedMeanwhile) {
  for (const bool late : {false, true}) {
    OutputFile file(path_, late);
    file.write("ours");
    if (late) put(path_, "theirs");
    EXPECT_TRUE(file.commit_if_first()) << "forced, or first";
    EXPECT_EQ(get(path_), "ours");
  }
  fs::remove(path_);
  {
    OutputFile file(path_, false);
    file.write("ours");
    put(path_, "theirs");
    EXPECT_FALSE(file.commit_if_first());
  }
  EXPECT_EQ(get(path_), "theirs");
  fs::remove(path_);
  {
    OutputFile file(path_, true);
    file.write("ours");
    fs::create_directory(path_);
    EXPECT_FALSE(file.commit_if_first()) << "not even forced";
  }
  EXPECT_TRUE(fs::is_directory(path_));
  EXPECT_EQ(files(), 1);
}

TEST_F(OutputFileTest, FollowsSymbolicLinks) {
  put(path_, "old");
  const std::string link = (directory_ / "link").string();
  fs::create_symlink("out.bin", link);
  error_of(ErrorKind::usage, [&] { check_output_path(link, false); });
  OutputFile file(link, true);
  file.write("new");
  file.commit();
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(get(path_), "new");
  fs::remove(path_);
  OutputFile again(link, true);  // where it leads, though nothing is there
  again.write("newer");
  again.commit();
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(get(path_), "newer");
}

TEST_F(OutputFileTest, ReplacesRegularFilesOnly) {
  for (const bool force : {false, true}) {
    EXPECT_EQ(error_of(ErrorKind::usage, [&] { check_output_path("/dev/null", force); }),
              "output file '/dev/null' exists and is not a regular file");
  }
  error_of(ErrorKind::usage, [&] { check_output_path(directory_.string(), true); });
  error_of(ErrorKind::usage, [&] { check_output_path(directory_.string() + "/", true); });
  error_of(ErrorKind::usage, [&] { check_output_path("", true); });
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  {
    OutputFile file(path_, true);
    file.write("ours");
    fs::create_directory(path_);
    EXPECT_THAT(error_of(ErrorKind::io, [&] { file.commit(); }),
                testing::HasSubstr("exists already and was kept"));
  }
  EXPECT_TRUE(fs::is_directory(path_));
  EXPECT_EQ(get((directory_ / "out.1.bin").string()), "ours");
}

TEST_F(OutputFileTest, PathsThatCannotBe) {
  const std::string missing = (directory_ / "none" / "out.bin").string();
  EXPECT_EQ(error_of(ErrorKind::io, [&] { OutputFile(missing, false); }),
            "cannot create '" + missing + "': No such file or directory");
  put(path_, "a file");
  error_of(ErrorKind::io, [&] { OutputFile(path_ + "/out.bin", false); });
  const std::string long_name = (directory_ / std::string(256, 'x')).string();
  EXPECT_EQ(error_of(ErrorKind::io, [&] { check_output_path(long_name, false); }),
            "cannot create '" + long_name + "': File name too long");
  EXPECT_EQ(files(), 1);
}

TEST_F(OutputFileTest, FailedWritesLeaveNothing) {
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = old_limit;
  small.rlim_cur = 5000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  for (const std::size_t size : {std::size_t{6000}, std::size_t{4} << 20}) {
    OutputFile file(path_, false);
    EXPECT_EQ(error_of(ErrorKind::io,
                       [&] {
                         file.write(std::string(size, 'x'));
                         file.commit();
                       }),
              "cannot write '" + path_ + "': File too large");
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(files(), 0);
}

TEST_F(OutputFileTest, HonoursTheUmask) {
  const mode_t old = ::umask(027);
  OutputFile file(path_, false);
  file.commit();
  ::umask(old);
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST_F(OutputFileTest, KeepsThePermissionsOfWhatItReplaces) {
  for (const mode_t mode : {0600u, 0644u, 0400u, 0755u}) {
    put(path_, "old");
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    OutputFile file(path_, true);
    file.write("new");
    file.commit();
    struct stat status {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, mode);
    fs::remove(path_);
  }
}

TEST_F(OutputFileTest, NamesAreShownPrintableAndShort) {
  const std::string message = error_of(
      ErrorKind::io, [&] { OutputFile("/none\n\x1b[31m/" + std::string(5000, 'x'), false); });
  EXPECT_EQ(message.find("cannot create '/none\\x0a\\x1b[31m/xxx"), 0u) << message;
  EXPECT_NE(message.find("xxx...xxx"), std::string::npos) << message;
  EXPECT_LT(message.size(), 500u);
}

}  // namespace
}  // namespace softreg
