// Progress of long work on stderr: a live bar with rate and time left on a terminal, otherwise at
// most one plain line per 30 seconds; nothing when quiet.
#pragma once
#include <atomic>
#include <chrono>
#include <mutex>
#include <string>

#include "softreg/options.hpp"
#include "terminal.hpp"

namespace softreg {

// "12.3M", "950": for rates and other amounts that a person compares.
std::string amount_text(double value);

// "10,000": for counts.
std::string count_text(std::int64_t value);

class ProgressLine {
 public:
  // `unit` names what is counted: "instances".
  ProgressLine(Terminal& terminal, std::string label, std::string unit);
  ~ProgressLine() { end(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // From any thread; cheap when there is nothing to show yet.
  void update(const Progress& progress);

  // Removes the line; later updates are ignored.
  void end();

 private:
  using Clock = std::chrono::steady_clock;
  std::string text(const Progress& progress, double seconds, bool bar) const;

  Terminal& terminal_;
  std::string label_, unit_;
  Clock::time_point start_ = Clock::now();
  std::mutex mutex_;
  Clock::time_point next_;
  bool ended_ = false;
};

}  // namespace softreg
