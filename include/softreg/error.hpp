// Error: the call was wrong or the machine failed. What befell one instance is a Status, never an
// Error.
#pragma once
#include <stdexcept>
#include <string>
#include <utility>

namespace softreg {

// The values are the exit codes of the command line (README, exit codes).
enum class ErrorKind : int {
  internal = 1,
  usage = 2,
  invalid_input = 4,
  device_unavailable = 5,
  out_of_memory = 6,
  io = 8,
  device_lost = 9,
};

// Where an error was raised; std::source_location is missing in clang 14 with libstdc++ 12.
struct SourceLocation {
  const char* file;
  int line;
  static constexpr SourceLocation current(const char* file = __builtin_FILE(),
                                          int line = __builtin_LINE()) {
    return {file, line};
  }
};

// what() is one sentence with both numbers; hint() is empty or says what to do about it.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& sentence, std::string hint = "",
        SourceLocation where = SourceLocation::current())
      : std::runtime_error(sentence), kind_(kind), hint_(std::move(hint)), where_(where) {}
  ErrorKind kind() const { return kind_; }
  const std::string& hint() const { return hint_; }
  SourceLocation where() const { return where_; }

 private:
  ErrorKind kind_;
  std::string hint_;
  SourceLocation where_;
};

}  // namespace softreg
