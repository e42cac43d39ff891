// SIGINT, SIGTERM and time limits, served by a thread of their own so that the process ends in time
// whatever the main thread is busy with. The one place outside src/parallel.hpp that starts
// threads.
//
// The main thread's work passes three stages:
//   nothing to save   a signal ends the process at once
//   watched           a signal sets requested(); work that does not return soon is finished for it
//   saving            a signal is remembered for the exit code
// A second signal ends the process at once in every stage. Half-written output never stays.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

namespace softreg {

class Interruption {
 public:
  using Clock = std::chrono::steady_clock;

  // How long watched work may take to return after it was asked to.
  static constexpr std::chrono::milliseconds grace{700};

  // timeout(1) and terminals send one signal to the process and again to its group: what follows so
  // soon is no second wish.
  static constexpr std::chrono::milliseconds echo{50};

  // Call before any other thread exists: the signals are blocked in this thread and in all that
  // follow. A signal that the parent process ignores (nohup) stays ignored.
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  // True once a signal has come: the work should return.
  bool requested() const { return signal_.load() != 0; }

  // 0 without a signal; else 75 once the work is resumable, and 128 + the signal before.
  int exit_code() const;

  // What is done so far stays, and another call can go on: from here on a signal ends with exit
  // code 75, and nobody is told that nothing was saved.
  void make_resumable();

  // From now on the work may be abandoned: when a signal has come, or `time_limit` seconds (0:
  // none) have passed, and end_watch() was not called within the grace, `finish` runs in another
  // thread and the process exits with what it returns.
  void watch(double time_limit, std::function<int()> finish);

  // The work has returned and the caller saves it. Never returns if `finish` has begun already.
  void end_watch();

  // Something will now appear under the output's name: from here on nobody is told that nothing was
  // saved.
  void begin_saving() { may_be_saved_ = true; }

 private:
  enum class Stage { nothing_to_save, watched, abandoned, saving };

  void serve();
  std::optional<Clock::time_point> next_deadline();
  void take_signal();
  void abandon_if_overdue();

  std::atomic<int> signal_{0};
  Clock::time_point first_at_;    // of serve()'s thread
  int signals_ = -1, wake_ = -1;  // descriptors that serve() sleeps on
  std::atomic<bool> ended_{false}, may_be_saved_{false}, resumable_{false};
  std::mutex mutex_;
  std::condition_variable never_;
  Stage stage_ = Stage::nothing_to_save;
  std::optional<Clock::time_point> deadline_;
  std::function<int()> finish_;
  std::thread thread_;
};

}  // namespace softreg
