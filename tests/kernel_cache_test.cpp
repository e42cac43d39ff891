// The disk cache of kernels: what comes back is what was stored, or nothing, whatever happened to
// the file meanwhile, and the folder stays within its bound.
#include "kernel_cache.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "content_hash.hpp"

namespace softreg {
namespace {

namespace fs = std::filesystem;

class KernelCacheFolder : public testing::Test {
 protected:
  KernelCacheFolder() {
    std::string name = (fs::temp_directory_path() / "softreg-cache-XXXXXX").string();
    folder = ::mkdtemp(name.data());
  }
  ~KernelCacheFolder() override {
    fs::permissions(folder, fs::perms::owner_all);
    fs::remove_all(folder);
  }

  static std::string key(int k) { return content_hash("key " + std::to_string(k)); }
  static std::string value(int k) {
    std::string v = "kernel " + std::to_string(k);
    while (v.size() < 3000) v += static_cast<char>(v.size() * static_cast<std::size_t>(k + 3));
    return v;
  }
  fs::path only_file() const {
    fs::path found;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      EXPECT_TRUE(found.empty()) << found << " and " << entry;
      found = entry.path();
    }
    return found;
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  fs::path folder;
};

TEST_F(KernelCacheFolder, GivesBackWhatWasStored) {
  const KernelCache cache(folder / "made/when/needed");
  EXPECT_EQ(cache.find(key(0)), std::nullopt);
  EXPECT_TRUE(cache.store(key(0), value(0)));
  EXPECT_TRUE(cache.store(key(1), ""));
  EXPECT_EQ(cache.find(key(0)), value(0));
  EXPECT_EQ(cache.find(key(1)), "");
  EXPECT_EQ(KernelCache(cache.directory()).find(key(0)), value(0));  // as another process has it
  EXPECT_EQ(cache.find(key(2)), std::nullopt);
}

TEST_F(KernelCacheFolder, TakesNoDamagedFile) {
  const KernelCache cache(folder);
  ASSERT_TRUE(cache.store(key(0), value(0)));
  const fs::path file = only_file();
  const std::string whole = read(file);
  int damaged = 0;
  for (std::size_t at = 0; at < whole.size(); at += at < 64 ? 1 : 97, ++damaged) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    write(file, bytes);
    EXPECT_EQ(cache.find(key(0)), std::nullopt) << "byte " << at;
  }
  for (std::size_t size = 0; size < whole.size(); size += size < 64 ? 1 : 97, ++damaged) {
    write(file, whole.substr(0, size));
    EXPECT_EQ(cache.find(key(0)), std::nullopt) << size << " bytes";
  }
  write(file, whole + "x");
  EXPECT_EQ(cache.find(key(0)), std::nullopt);
  EXPECT_TRUE(cache.store(key(0), value(0)));  // replaces it
  EXPECT_EQ(cache.find(key(0)), value(0));
  std::printf("[count] damaged files not taken: %d\n", damaged + 1);
}

TEST_F(KernelCacheFolder, TakesNoFileOfAnotherKey) {
  const KernelCache cache(folder);
  ASSERT_TRUE(cache.store(key(0), value(0)));
  const fs::path file = only_file();
  ASSERT_TRUE(cache.store(key(1), value(1)));
  fs::copy_file(folder / (key(1) + file.extension().string()), file,
                fs::copy_options::overwrite_existing);
  EXPECT_EQ(cache.find(key(0)), std::nullopt);
  EXPECT_EQ(cache.find(key(1)), value(1));
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_EQ(cache.find(key(0)), std::nullopt);
  EXPECT_FALSE(cache.store(key(0), value(0)));
}

TEST_F(KernelCacheFolder, ThatCannotBeWrittenIsNoError) {
  EXPECT_FALSE(KernelCache("").store(key(0), value(0)));
  EXPECT_EQ(KernelCache("").find(key(0)), std::nullopt);
  write(folder / "file", "");
  EXPECT_FALSE(KernelCache(folder / "file").store(key(0), value(0)));
  EXPECT_FALSE(KernelCache(folder / "file/below").store(key(0), value(0)));
  EXPECT_FALSE(KernelCache("/proc/softreg").store(key(0), value(0)));
  if (::geteuid() == 0) return;  // may write everywhere
  const KernelCache cache(folder);
  ASSERT_TRUE(cache.store(key(0), value(0)));
  fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_FALSE(cache.store(key(1), value(1)));
  EXPECT_EQ(cache.find(key(0)), value(0));
}

TEST_F(KernelCacheFolder, KeepsItsBound) {
  constexpr std::uintmax_t limit = 20000;  // six files
  const KernelCache cache(folder, limit);
  const auto grow_old = [this] {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      fs::last_write_time(entry, entry.last_write_time() - std::chrono::seconds(10));
  };
  const fs::path left = folder / (key(40) + "-0123456789abcdef.tmp");
  write(left, "by a process that was killed");
  const fs::path strangers[] = {folder / "another", folder / "thesis.tmp", folder / "other.kernel"};
  for (const fs::path& stranger : strangers) write(stranger, std::string(2 * limit / 3, 'x'));
  for (const fs::path& old : {left, strangers[1], strangers[2]})
    fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(2));
  for (int k = 0; k < 30; ++k) {
    ASSERT_TRUE(cache.store(key(k), value(k)));
    ASSERT_EQ(cache.find(key(0)), value(0)) << "it was used last";
    ASSERT_EQ(cache.find(key(k)), value(k));
    grow_old();
  }
  std::uintmax_t bytes = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    bytes += entry.file_size();
  EXPECT_LE(bytes, 3 * limit);
  EXPECT_GT(bytes, 2 * limit + limit / 2);
  EXPECT_EQ(cache.find(key(20)), std::nullopt);
  EXPECT_EQ(cache.find(key(28)), value(28));
  EXPECT_FALSE(fs::exists(left));
  for (const fs::path& stranger : strangers) EXPECT_TRUE(fs::exists(stranger)) << stranger;
}

// Writes, finds and makes room at once; returns how often something wrong came back.
int use(const fs::path& folder, int seed, const std::vector<std::string>& keys,
        const std::vector<std::string>& values) {
  const KernelCache cache(folder, 12000);
  int wrong = 0;
  for (int k = 0; k < 300; ++k) {
    const std::size_t at = static_cast<std::size_t>(k * 7 + seed) % keys.size();
    cache.store(keys[at], values[at]);
    const std::size_t other = static_cast<std::size_t>(k * 5 + seed * 3) % keys.size();
    const std::optional<std::string> found = cache.find(keys[other]);
    wrong += found && *found != values[other];
  }
  return wrong;
}

TEST_F(KernelCacheFolder, ServesProcessesAndThreadsAtOnce) {
  std::vector<std::string> keys, values;
  for (int k = 0; k < 6; ++k) {
    keys.push_back(key(k));
    values.push_back(value(k));
  }
  std::vector<pid_t> children;
  for (int child = 0; child < 3; ++child) {
    const pid_t id = ::fork();
    ASSERT_GE(id, 0);
    if (id == 0) ::_exit(use(folder, child, keys, values) == 0 ? 0 : 1);
    children.push_back(id);
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 3; t < 5; ++t)
    threads.emplace_back([&, t] { wrong += use(folder, t, keys, values); });
  for (std::thread& t : threads) t.join();
  for (const pid_t id : children) {
    int status = -1;
    ::waitpid(id, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  EXPECT_EQ(wrong, 0);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    EXPECT_EQ(entry.path().extension(), ".kernel") << "a temporary file was left";
}

TEST(KernelCacheDirectory, FollowsTheEnvironment) {
  const auto with = [](const char* own, const char* caches, const char* home) {
    ::setenv("SOFTREG_CACHE_DIR", own, 1);
    ::setenv("XDG_CACHE_HOME", caches, 1);
    const char* const before = std::getenv("HOME");
    const std::string kept = before == nullptr ? "" : before;
    ::setenv("HOME", home, 1);
    const std::string found = kernel_cache_directory().string();
    ::setenv("HOME", kept.c_str(), 1);
    ::unsetenv("SOFTREG_CACHE_DIR");
    ::unsetenv("XDG_CACHE_HOME");
    return found;
  };
  EXPECT_EQ(with("/own", "/caches", "/home/me"), "/own");
  EXPECT_EQ(with("", "/caches", "/home/me"), "/caches/softreg");
  EXPECT_EQ(with("", "", "/home/me"), "/home/me/.cache/softreg");
  EXPECT_EQ(with("", "", ""), "");
}

}  // namespace
}  // namespace softreg
