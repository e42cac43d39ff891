#include "progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace softreg {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds redraw_interval{100};
constexpr milliseconds plain_interval{30'000};
constexpr std::int64_t bar_width = 24;

std::string duration_text(double seconds) {
  const std::int64_t whole = std::llround(std::min(seconds, 1e9));
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

std::string amount_text(double value) {
  constexpr std::array<std::pair<double, char>, 4> units{
      {{1e12, 'T'}, {1e9, 'G'}, {1e6, 'M'}, {1e3, 'k'}}};
  for (const auto& [size, letter] : units) {
    if (value >= size) return fmt::format("{:.3g}{}", value / size, letter);
  }
  return fmt::format("{:.3g}", value);
}

std::string count_text(std::int64_t value) {
  const std::string digits = fmt::format("{}", value);
  std::string result;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const std::size_t left = digits.size() - i;
    if (i > 0 && left % 3 == 0 && digits[i - 1] != '-') result += ',';
    result += digits[i];
  }
  return result;
}

ProgressLine::ProgressLine(Terminal& terminal, std::string label, std::string unit)
    : terminal_(terminal), label_(std::move(label)), unit_(std::move(unit)) {
  next_ = start_ + (terminal.live() ? redraw_interval : plain_interval);
}

void ProgressLine::update(const Progress& progress) {
  if (terminal_.quiet()) return;
  const std::scoped_lock lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (ended_ || now < next_) return;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  if (terminal_.live()) {
    terminal_.show_live(text(progress, seconds, true));
    next_ = now + redraw_interval;
  } else {
    terminal_.print_progress(text(progress, seconds, false));
    next_ = now + plain_interval;
  }
}

void ProgressLine::end() {
  const std::scoped_lock lock(mutex_);
  if (ended_) return;
  ended_ = true;
  if (terminal_.live()) terminal_.show_live("");
}

std::string ProgressLine::text(const Progress& progress, double seconds, bool bar) const {
  const double done = progress.count > 0 ? static_cast<double>(progress.finished) /
                                               static_cast<double>(progress.count)
                                         : 0;
  std::string line = fmt::format("{} ", label_);
  if (bar) {
    const auto full = static_cast<std::int64_t>(done * static_cast<double>(bar_width));
    line += fmt::format("[{:#<{}}{:.<{}}] ", "", full, "", bar_width - full);
  }
  line += fmt::format("{:3.0f}%  {}/{} {}", 100 * done, count_text(progress.finished),
                      count_text(progress.count), unit_);
  if (progress.steps > 0 && seconds > 0) {
    line += fmt::format("  {} steps/s", amount_text(static_cast<double>(progress.steps) / seconds));
  }
  line += fmt::format("  {}", duration_text(seconds));
  if (progress.finished > 0) {
    line += fmt::format("  ETA {}", duration_text(seconds * (1 / done - 1)));
  }
  return line;
}

}  // namespace softreg
