// What people read: stdout carries the verb's data, stderr everything else. Colours only on a
// terminal without NO_COLOR. Safe to use from several threads.
#pragma once
#include <atomic>
#include <string>
#include <string_view>

#include "softreg/error.hpp"

namespace softreg {

enum class Verbosity { quiet, normal, verbose };

class Terminal {
 public:
  Terminal();

  void set_verbosity(Verbosity verbosity) { verbosity_ = verbosity; }
  bool quiet() const { return verbosity_ == Verbosity::quiet; }
  bool verbose() const { return verbosity_ == Verbosity::verbose; }
  bool live() const { return live_; }  // stderr is a terminal: a line may be redrawn

  void error(const Error& error);
  void failed(std::string_view text);  // for an exit code that no Error tells
  void interrupted(std::string_view text);
  void warn(std::string_view text);  // not when quiet
  void note(std::string_view text);  // only when verbose

  // Replaces the live line; empty: removes it. For terminals.
  void show_live(const std::string& line);

  // A plain line, for stderr that is no terminal.
  void print_progress(const std::string& line);

  // The verb's data. Throws Error (io) when stdout does not take them.
  void print(std::string_view text);

 private:
  void write_line(std::string_view label, std::string_view style, std::string_view text);

  bool live_, colours_;
  Verbosity verbosity_ = Verbosity::normal;
  std::atomic<bool> line_shown_{false};
};

}  // namespace softreg
