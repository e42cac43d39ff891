// A signalfd and an eventfd under one poll(): no code runs in a signal handler.
#include "interruption.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "softreg/error.hpp"

namespace softreg {
namespace {

constexpr int interrupted_resumable = 75;

// An OutputFile in the middle of its writing has its temporary file open; abandoning the process
// must not leave it behind. Other threads may be holding locks, so the kernel is asked, not they.
void remove_open_temporaries() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
    const std::filesystem::path target = std::filesystem::read_symlink(entry.path(), ignored);
    const std::string name = target.filename().string();
    if (name.rfind(".softreg-", 0) == 0 && target.extension() == ".tmp") {
      std::filesystem::remove(target, ignored);
    }
  }
}

[[noreturn]] void exit_at_once(int code) {
  remove_open_temporaries();
  ::_exit(code);
}

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
      sigaddset(&set, signal);
    }
  }
  return set;
}

void wake(int descriptor) {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(descriptor, &one, sizeof one));
}

}  // namespace

Interruption::Interruption() {
  const sigset_t set = handled_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signals_ < 0 || wake_ < 0) {
    throw Error(ErrorKind::internal, fmt::format("cannot watch for signals: {}",
                                                 std::generic_category().message(errno)));
  }
  thread_ = std::thread([this] { serve(); });
}

Interruption::~Interruption() {
  ended_ = true;
  wake(wake_);
  thread_.join();
  ::close(signals_);
  ::close(wake_);
}

int Interruption::exit_code() const {
  const int signal = signal_.load();
  if (signal == 0) return 0;
  return resumable_ ? interrupted_resumable : 128 + signal;
}

void Interruption::make_resumable() {
  begin_saving();
  resumable_ = true;
}

void Interruption::watch(double time_limit, std::function<int()> finish) {
  const std::scoped_lock lock(mutex_);
  finish_ = std::move(finish);
  stage_ = Stage::watched;
  if (requested()) {
    deadline_ = Clock::now() + grace;
  } else if (time_limit > 0) {
    // A limit beyond a century is none; its conversion to ticks could overflow.
    const double seconds = std::min(time_limit, 3.2e9);
    deadline_ = Clock::now() + grace +
                std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  wake(wake_);
}

void Interruption::end_watch() {
  std::unique_lock lock(mutex_);
  // `finish` reads what the caller's stack owns, so the caller waits for the process to end.
  never_.wait(lock, [this] { return stage_ != Stage::abandoned; });
  stage_ = Stage::saving;
  deadline_.reset();
  finish_ = nullptr;
}

std::optional<Interruption::Clock::time_point> Interruption::next_deadline() {
  const std::scoped_lock lock(mutex_);
  return deadline_;
}

void Interruption::serve() {
  while (!ended_) {
    std::array<pollfd, 2> waits{{{signals_, POLLIN, 0}, {wake_, POLLIN, 0}}};
    int timeout = -1;
    if (const auto deadline = next_deadline()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
      timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
    }
    ::poll(waits.data(), waits.size(), timeout);
    std::uint64_t count = 0;
    static_cast<void>(!::read(wake_, &count, sizeof count));
    take_signal();
    abandon_if_overdue();
  }
}

void Interruption::take_signal() {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const bool second = requested();
    if (!second) {
      first_at_ = Clock::now();
      signal_ = static_cast<int>(info.ssi_signo);
    } else if (Clock::now() - first_at_ < echo) {
      continue;
    }
    const std::scoped_lock lock(mutex_);
    if (second || stage_ == Stage::nothing_to_save) {
      const std::string_view text =
          may_be_saved_ ? "interrupted\n" : "interrupted: nothing was saved\n";
      static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
      exit_at_once(exit_code());
    }
    if (stage_ == Stage::watched) deadline_ = Clock::now() + grace;
  }
}

void Interruption::abandon_if_overdue() {
  const std::scoped_lock lock(mutex_);
  if (stage_ != Stage::watched || !deadline_ || Clock::now() < *deadline_) return;
  stage_ = Stage::abandoned;
  deadline_.reset();
  // This thread stays free to hear a second signal.
  std::thread([finish = std::move(finish_)] {
    const int code = finish();
    std::fflush(nullptr);
    exit_at_once(code);
  }).detach();
}

}  // namespace softreg
