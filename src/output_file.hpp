// OutputFile: a file that appears complete under its name or not at all. Bytes go to a temporary
// file in the same directory; commit() syncs it and renames it into place; without commit() the
// destructor removes it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace softreg {

// Throws Error (usage) when something stands at `path` and `force` is false, or when force would
// replace what is no regular file. For a first check before long work.
void check_output_path(const std::string& path, bool force);

class OutputFile {
 public:
  // Creates the temporary file; a directory that is missing or not writable is Error (io). What
  // stands at `path` counts in the end only. With force a symbolic link there is followed, so that
  // its target is replaced, and the file that is replaced leaves its permissions.
  OutputFile(const std::string& path, bool force);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Error (io) with the system's reason, such as "No space left on device".
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  // Bytes taken so far.
  std::uint64_t size() const { return size_; }

  // Last call. What may not or cannot be replaced stays, and what was written becomes the first
  // free one of NAME.1.EXT, NAME.2.EXT, ..., or if none can be had keeps its temporary name: Error
  // (io) says which.
  void commit();
  // Last call instead, for what need not be kept: false, and nothing is left, where something
  // stands that may not be replaced; Error (io) where it cannot be.
  bool commit_if_first();

 private:
  void copy_permissions();
  void flush();
  void write_through(std::span<const std::byte> bytes);
  void close();
  int put_under(const std::string& name, bool replace);
  std::string put_beside();
  [[noreturn]] void fail(int error) const;
  void remove_temporary() noexcept;

  std::string path_;       // as the caller named it, for messages
  std::string target_;     // with symbolic links resolved
  std::string temporary_;  // empty once renamed or removed
  bool force_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace softreg
