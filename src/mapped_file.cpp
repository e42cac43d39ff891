// mmap with the errors of open, fstat and mmap turned into sentences.
#include "mapped_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "softreg/error.hpp"
#include "text.hpp"

namespace softreg {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a pipe that nobody writes must fail below, not wait.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    throw Error(ErrorKind::io, fmt::format("cannot open {}: {}", quoted_path(path), reason(errno)));
  }
  struct stat status {};
  std::string failure;
  if (::fstat(descriptor_, &status) != 0) {
    failure = fmt::format("cannot read {}: {}", quoted_path(path), reason(errno));
  } else if (!S_ISREG(status.st_mode)) {
    failure = fmt::format("cannot read {}: it is not a regular file", quoted_path(path));
  } else if (status.st_size > 0) {
    size_ = static_cast<std::size_t>(status.st_size);
    void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (mapping == MAP_FAILED) {
      failure =
          fmt::format("cannot map the {} bytes of {}: {}", size_, quoted_path(path), reason(errno));
    } else {
      data_ = static_cast<const std::byte*>(mapping);
    }
  }
  if (!failure.empty()) {
    ::close(descriptor_);
    throw Error(ErrorKind::io, failure);
  }
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  ::close(descriptor_);
}

void MappedFile::forget(std::span<const std::byte> part) const noexcept {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t first = static_cast<std::size_t>(part.data() - data_) / page * page;
  const std::size_t last =
      static_cast<std::size_t>(part.data() + part.size() - data_) / page * page;
  // A hint: a failure costs memory, nothing else.
  if (last > first)
    (void)::madvise(const_cast<std::byte*>(data_) + first, last - first, MADV_DONTNEED);
}

void MappedFile::check_length() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) {
    throw Error(ErrorKind::io,
                fmt::format("cannot read {}: {}", quoted_path(path_), reason(errno)));
  }
  if (static_cast<std::size_t>(status.st_size) < size_) {
    throw Error(ErrorKind::io, fmt::format("{} shrank from {} to {} bytes while it was read",
                                           quoted_path(path_), size_, status.st_size));
  }
}

}  // namespace softreg
