// Temporary file, fsync, rename: the order that leaves either the old or the new file after a
// crash.
#include "output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <random>
#include <system_error>

#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {
namespace {

constexpr std::size_t buffer_size = std::size_t{1} << 20;

std::string reason(int error) { return std::generic_category().message(error); }

[[noreturn]] void refuse_existing(const std::string& path) {
  throw Error(ErrorKind::usage, fmt::format("output file {} already exists", quoted_path(path)),
              "name another file, or add --force to overwrite this one");
}

std::string directory_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

// A short name of its own: the final name plus a suffix could exceed the file system's 255 bytes.
std::string temporary_name(const std::string& directory) {
  std::random_device entropy;
  const std::uint64_t tag = (std::uint64_t{entropy()} << 32) | entropy();
  return fmt::format("{}/.softreg-{:016x}.tmp", directory, tag);
}

}  // namespace

void check_output_path(const std::string& path, bool force) {
  if (std::filesystem::path(path).filename().empty()) {
    throw Error(ErrorKind::usage,
                fmt::format("output file {} has no file name", quoted_path(path)));
  }
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return;
    const int error = errno;
    throw Error(ErrorKind::io,
                fmt::format("cannot create {}: {}", quoted_path(path), reason(error)));
  }
  // First, because no --force would help.
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::usage,
                fmt::format("output file {} exists and is not a regular file", quoted_path(path)));
  }
  if (!force) refuse_existing(path);
}

OutputFile::OutputFile(const std::string& path, bool force)
    : path_(path), target_(path), force_(force) {
  check_output_path(path, force);
  std::error_code no_target;
  if (const auto resolved = std::filesystem::canonical(path, no_target); !no_target) {
    target_ = resolved.string();
  }
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_ = temporary_name(directory_of(target_));
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && (errno != EEXIST || attempt == 100)) {
      const int error = errno;
      throw Error(ErrorKind::io,
                  fmt::format("cannot create {}: {}", quoted_path(path_), reason(error)));
    }
  }
  copy_permissions();
  buffer_.reserve(buffer_size);
}

OutputFile::~OutputFile() { remove_temporary(); }

void OutputFile::write(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  if (buffer_.size() + bytes.size() > buffer_size) flush();
  if (bytes.size() > buffer_size) {
    write_through(bytes);
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
}

void OutputFile::commit() {
  flush();
  if (::fsync(descriptor_) != 0) fail(errno);
  const int closed = ::close(descriptor_);
  const int error = errno;
  descriptor_ = -1;
  if (closed != 0) fail(error);
  rename_into_place();
  temporary_.clear();
  // The new name itself survives a power failure once its directory is synced; some file systems
  // cannot do that, and the data are safe already.
  const int directory = ::open(directory_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    static_cast<void>(::fsync(directory));
    ::close(directory);
  }
}

void OutputFile::copy_permissions() {
  struct stat replaced {};
  if (::stat(target_.c_str(), &replaced) != 0) return;
  if (::fchmod(descriptor_, replaced.st_mode & 0777) == 0) return;
  const int error = errno;
  remove_temporary();  // no destructor runs for a constructor that throws
  fail(error);
}

void OutputFile::flush() {
  write_through(buffer_);
  buffer_.clear();
}

void OutputFile::write_through(std::span<const std::byte> bytes) {
  constexpr std::size_t largest_write = std::size_t{1} << 30;  // Linux writes at most 2^31 - 4096
  while (!bytes.empty()) {
    const ssize_t written =
        ::write(descriptor_, bytes.data(), std::min(bytes.size(), largest_write));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void OutputFile::rename_into_place() {
  if (force_) {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
    return;
  }
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE) == 0) {
    return;
  }
  if (errno == EINVAL || errno == ENOSYS) {
    // File systems without RENAME_NOREPLACE, NFS among them: a hard link never replaces either.
    if (::link(temporary_.c_str(), target_.c_str()) == 0) {
      static_cast<void>(::unlink(temporary_.c_str()));
      return;
    }
  }
  if (errno == EEXIST) refuse_existing(path_);
  fail(errno);
}

void OutputFile::fail(int error) const {
  throw Error(ErrorKind::io, fmt::format("cannot write {}: {}", quoted_path(path_), reason(error)));
}

void OutputFile::remove_temporary() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  if (!temporary_.empty()) static_cast<void>(::unlink(temporary_.c_str()));
  temporary_.clear();
}

}  // namespace softreg
