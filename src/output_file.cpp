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
#include <utility>

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

// Where the symbolic links at `path` lead, be there a file or not.
std::string followed(const std::string& path) {
  std::filesystem::path target = path;
  std::error_code none;
  for (int links = 0; links < 40 && std::filesystem::is_symlink(target, none); ++links)
    target = target.parent_path() / std::filesystem::read_symlink(target, none);
  return target.string();
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
    : path_(path), target_(force ? followed(path) : path), force_(force) {
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
  close();
  const int error = put_under(target_, force_);
  if (error == 0) return;
  const std::string name = put_beside();
  const std::string why = error == EEXIST ? "exists already and was kept" : reason(error);
  throw Error(ErrorKind::io, fmt::format("cannot write {}: {}; the new file is {}",
                                         quoted_path(path_), why, quoted_path(name)));
}

bool OutputFile::commit_if_first() {
  close();
  const int error = put_under(target_, force_);
  if (error != 0 && error != EEXIST) fail(error);
  return error == 0;
}

void OutputFile::copy_permissions() {
  struct stat replaced {};
  if (!force_ || ::stat(target_.c_str(), &replaced) != 0) return;
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

// All bytes on the disk.
void OutputFile::close() {
  flush();
  if (::fsync(descriptor_) != 0) fail(errno);
  const int closed = ::close(descriptor_);
  const int error = errno;
  descriptor_ = -1;
  if (closed != 0) fail(error);
}

// 0, or why not; EEXIST where something stands that must not be replaced.
int OutputFile::put_under(const std::string& name, bool replace) {
  const char *const from = temporary_.c_str(), *const to = name.c_str();
  struct stat there {};
  replace = replace && (::stat(to, &there) != 0 || S_ISREG(there.st_mode));
  int failed =
      replace ? ::rename(from, to) : ::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
  if (failed != 0 && !replace && (errno == EINVAL || errno == ENOSYS)) {
    // File systems without RENAME_NOREPLACE, NFS among them: a hard link never replaces either.
    failed = ::link(from, to);
    if (failed == 0) static_cast<void>(::unlink(from));
  }
  if (failed != 0) return errno;
  temporary_.clear();
  // The new name itself survives a power failure once its directory is synced; some file systems
  // cannot do that, and the data are safe already.
  const int directory = ::open(directory_of(name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    static_cast<void>(::fsync(directory));
    ::close(directory);
  }
  return 0;
}

// The name that is left for a file that did not get its own; at worst the temporary one.
std::string OutputFile::put_beside() {
  const std::filesystem::path path(target_);
  const std::string stem = path.stem().string(), extension = path.extension().string();
  constexpr std::size_t longest = 240;  // of 255 bytes, with a number
  int error = EEXIST;
  for (int k = 1; k < 1000 && error == EEXIST && extension.size() < longest; ++k) {
    std::string beside =
        (path.parent_path() /
         fmt::format("{}.{}{}", stem.substr(0, longest - extension.size()), k, extension))
            .string();
    error = put_under(beside, false);
    if (error == 0) return beside;
  }
  return std::exchange(temporary_, "");
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
