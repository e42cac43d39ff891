#include "terminal.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace softreg {
namespace {

constexpr std::string_view erase_line = "\r\033[K";

bool no_color() {
  const char* value = std::getenv("NO_COLOR");
  return value != nullptr && *value != '\0';
}

}  // namespace

Terminal::Terminal() : live_(::isatty(STDERR_FILENO) == 1), colours_(live_ && !no_color()) {}

void Terminal::error(const Error& error) {
  failed(error.what());
  if (!error.hint().empty()) write_line("hint", "36", error.hint());
}

void Terminal::failed(std::string_view text) { write_line("error", "1;31", text); }

void Terminal::interrupted(std::string_view text) { write_line("interrupted", "33", text); }

void Terminal::warn(std::string_view text) {
  if (!quiet()) write_line("warning", "33", text);
}

void Terminal::note(std::string_view text) {
  if (verbose()) write_line("note", "2", text);
}

void Terminal::write_line(std::string_view label, std::string_view style, std::string_view text) {
  std::string line = line_shown_.exchange(false) ? std::string(erase_line) : "";
  if (colours_)
    line += fmt::format("\033[{}m{}:\033[0m {}\n", style, label, text);
  else
    line += fmt::format("{}: {}\n", label, text);
  std::fputs(line.c_str(), stderr);
}

void Terminal::show_live(const std::string& line) {
  if (line.empty() && !line_shown_) return;
  line_shown_ = !line.empty();
  std::fputs((std::string(erase_line) + line).c_str(), stderr);
}

void Terminal::print_progress(const std::string& line) {
  std::fputs((line + "\n").c_str(), stderr);
}

void Terminal::print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (written && std::fflush(stdout) == 0) return;
  throw Error(ErrorKind::io, fmt::format("cannot write to standard output: {}",
                                         std::generic_category().message(errno)));
}

}  // namespace softreg
