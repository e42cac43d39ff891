#include "kernel_cache.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <random>
#include <system_error>
#include <utility>
#include <vector>

#include "content_hash.hpp"

namespace softreg {
namespace {

namespace fs = std::filesystem;

constexpr const char *suffix = ".kernel", *temporary_suffix = ".tmp";
constexpr std::size_t checksum_digits = 32, key_digits = 32, entropy_digits = 16;
constexpr std::uintmax_t largest_file = std::uintmax_t{16} << 20;

// Of the key too, so that a file under another's name is not taken for it.
std::string checksum(const std::string& key, std::string_view value) {
  return content_hash(fmt::format("softreg kernel 1 {} {}", key, value));
}

std::string temporary_name(const std::string& key) {
  std::random_device entropy;
  return fmt::format("{}-{:08x}{:08x}{}", key, entropy(), entropy(), temporary_suffix);
}

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == text.npos;
}
// Of a file as this cache writes it: others may be in the folder.
bool is_stored(const fs::path& path) {
  const std::string stem = path.stem().string();
  return path.extension() == suffix && stem.size() == key_digits && is_hex(stem);
}
bool is_temporary(const fs::path& path) {
  const std::string stem = path.stem().string();
  return path.extension() == temporary_suffix && stem.size() == key_digits + 1 + entropy_digits &&
         stem[key_digits] == '-' && is_hex(stem.substr(0, key_digits)) &&
         is_hex(stem.substr(key_digits + 1));
}

bool write(const fs::path& path, std::string_view first, std::string_view second) {
  std::ofstream file(path, std::ios::binary);
  file.write(first.data(), static_cast<std::streamsize>(first.size()));
  file.write(second.data(), static_cast<std::streamsize>(second.size()));
  file.close();
  return file.good();
}

}  // namespace

KernelCache::KernelCache(fs::path directory, std::uintmax_t limit)
    : directory_(std::move(directory)), limit_(limit) {}

fs::path KernelCache::file(const std::string& key) const { return directory_ / (key + suffix); }

std::optional<std::string> KernelCache::find(const std::string& key) const {
  if (directory_.empty()) return std::nullopt;
  std::error_code none;
  const std::uintmax_t size = fs::file_size(file(key), none);
  if (none || size < checksum_digits || size > std::min(limit_, largest_file)) return std::nullopt;
  std::string stored(checksum_digits, '\0'), value(size - checksum_digits, '\0');
  std::ifstream stream(file(key), std::ios::binary);
  stream.read(stored.data(), static_cast<std::streamsize>(stored.size()));
  stream.read(value.data(), static_cast<std::streamsize>(value.size()));
  if (!stream || stored != checksum(key, value)) return std::nullopt;
  // A folder that cannot be written forgets in another order, no more.
  fs::last_write_time(file(key), fs::file_time_type::clock::now(), none);
  return value;
}

bool KernelCache::store(const std::string& key, std::string_view value) const {
  if (directory_.empty() || value.size() > largest_file) return false;
  std::error_code failed;
  if (fs::create_directories(directory_, failed))
    fs::permissions(directory_, fs::perms::owner_all, failed);
  const fs::path temporary = directory_ / temporary_name(key);
  if (write(temporary, checksum(key, value), value)) {
    fs::rename(temporary, file(key), failed);
    if (!failed) {
      make_room();
      return true;
    }
  }
  fs::remove(temporary, failed);
  return false;
}

void KernelCache::make_room() const {
  struct Entry {
    fs::file_time_type used;
    std::uintmax_t bytes;
    fs::path path;
  };
  std::error_code none, unreadable;  // another process may remove the same files meanwhile
  std::vector<Entry> kept;
  std::uintmax_t bytes = 0;
  const auto an_hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (fs::directory_iterator at(directory_, unreadable), end; !unreadable && at != end;
       at.increment(unreadable)) {
    const fs::path path = at->path();
    if (!fs::is_regular_file(at->symlink_status(none))) continue;
    const fs::file_time_type used = fs::last_write_time(path, none);
    if (none) continue;
    if (is_temporary(path) && used < an_hour_ago) fs::remove(path, none);
    if (!is_stored(path)) continue;
    const std::uintmax_t size = fs::file_size(path, none);
    if (none) continue;
    bytes += size;
    kept.push_back({used, size, path});
  }
  std::sort(kept.begin(), kept.end(),
            [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& entry : kept) {
    if (bytes <= limit_) break;
    fs::remove(entry.path, none);
    bytes -= entry.bytes;
  }
}

fs::path kernel_cache_directory() {
  const auto variable = [](const char* name) -> fs::path {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  std::error_code none;
  if (const fs::path own = variable("SOFTREG_CACHE_DIR"); !own.empty())
    return fs::absolute(own, none);
  if (const fs::path caches = variable("XDG_CACHE_HOME"); caches.is_absolute())
    return caches / "softreg";
  const fs::path home = variable("HOME");
  return home.is_absolute() ? home / ".cache/softreg" : fs::path();
}

}  // namespace softreg
