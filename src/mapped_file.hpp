// MappedFile: a regular file mapped read-only. The bytes stay valid while the object lives and the
// file keeps its length: call check_length() before touching a part that was not read before.
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace softreg {

class MappedFile {
 public:
  // Throws Error (io) with the system's reason, also for directories, pipes and devices.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Throws Error (io) when another program has shortened the file since it was opened. Touching a
  // page past the end would be SIGBUS; between this call and the access a window remains.
  void check_length() const;

  // Gives back the memory behind a part of bytes(), which stays readable: it is read again when
  // touched.
  void forget(std::span<const std::byte> part) const noexcept;

 private:
  std::string path_;
  int descriptor_ = -1;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace softreg
