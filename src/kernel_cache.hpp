// KernelCache: compiled kernels kept on the disk, by a hash of all that they were made from. Any
// number of processes may use one folder at once: a file appears whole or not at all, and one that
// is damaged, cut off or another's counts as none.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace softreg {

class KernelCache {
 public:
  // limit: bytes of all its files, a few hundred kernels. No directory: nothing is kept.
  explicit KernelCache(std::filesystem::path directory,
                       std::uintmax_t limit = std::uintmax_t{256} << 20);

  const std::filesystem::path& directory() const { return directory_; }

  // key: 32 hexadecimal digits.
  std::optional<std::string> find(const std::string& key) const;
  // What was used longest ago makes room. False where nothing could be written, which is no error.
  bool store(const std::string& key, std::string_view value) const;

 private:
  std::filesystem::path file(const std::string& key) const;
  void make_room() const;

  std::filesystem::path directory_;
  std::uintmax_t limit_;
};

// SOFTREG_CACHE_DIR, or softreg in XDG_CACHE_HOME or in .cache at home; empty if there is no home.
std::filesystem::path kernel_cache_directory();

}  // namespace softreg
