// The program: picks the verb, and turns every failure into one sentence and an exit code.
#include <fcntl.h>
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <stdexcept>

#include "softreg/error.hpp"
#include "softreg/version.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace softreg {

const std::vector<VerbEntry>& verbs() {
  static const std::vector<VerbEntry> all{
      {"solve", "solve a batch of problems", make_solve},
      {"evaluate", "loss, gradient and fitted distribution at x0", make_evaluate},
      {"check", "solve, and compare every shift with its proven bound", make_check},
      {"gen", "write synthetic problems with known answers", make_gen},
      {"sweep run", "generate and solve every cell of a grid", make_sweep_run},
      {"sweep status", "how much of a sweep is done, and whether it is sound", make_sweep_status},
      {"sweep resume", "do what is left of a sweep, and what is damaged", make_sweep_resume},
      {"sweep export", "a table of a sweep, one row per cell", make_sweep_export},
      {"report", "figures, tables and a page of a sweep", make_report},
      {"doctor", "what this machine offers, and whether it computes rightly", make_doctor},
      {"completion", "completion for bash or zsh", make_completion},
  };
  return all;
}

bool is_verb(std::string_view name) {
  const std::string group = std::string(name) + " ";
  for (const VerbEntry& verb : verbs()) {
    if (verb.name == name || verb.name.starts_with(group)) return true;
  }
  return false;
}

std::vector<std::string> parts_of(std::string_view name) {
  std::vector<std::string> parts;
  const std::string group = std::string(name) + " ";
  for (const VerbEntry& verb : verbs())
    if (verb.name.starts_with(group)) parts.emplace_back(verb.name.substr(group.size()));
  return parts;
}

namespace {

std::string overview() {
  std::string text =
      "Solves batches of softmax-regression problems by gradient trajectories.\n\n"
      "Usage: softreg VERB [options]\n\n";
  for (const VerbEntry& verb : verbs())
    text += fmt::format("  {:<14}{}\n", verb.name, verb.summary);
  text +=
      "\n`softreg VERB --help` shows a verb's options and an example. A flag such as --max-steps "
      "may "
      "also\ncome from the environment (SOFTREG_MAX_STEPS) or from --config FILE.toml.\n\n"
      "Exit codes: 0 done, 1 internal error, 2 usage, 3 --fail-on met, 4 invalid input,\n"
      "  5 requested device unavailable, 6 out of memory, 7 a bound was violated, 8 input or "
      "output\n"
      "  failed, 9 device lost, 75 a sweep was interrupted and can be resumed, 130 and 143 ended "
      "by a\n  signal.\n\n"
      "Example:\n  softreg gen problem.npz --n 64 --d 16 --count 1000\n"
      "  softreg solve problem.npz -o result.npz\n";
  return text;
}

const VerbEntry* find_verb(const std::string& name) {
  for (const VerbEntry& verb : verbs()) {
    if (verb.name == name) return &verb;
  }
  return nullptr;
}

[[noreturn]] void refuse_verb(const std::vector<std::string>& words) {
  const std::string& name = words[0];
  if (is_verb(name) && words.size() > 1 && !words[1].starts_with('-')) {
    throw Error(ErrorKind::usage,
                fmt::format("{} has no verb {}; it has {}", name, softreg::quoted(words[1]),
                            fmt::join(parts_of(name), ", ")));
  }
  if (is_verb(name)) {
    throw Error(ErrorKind::usage,
                fmt::format("{} needs one of {}", name, fmt::join(parts_of(name), ", ")),
                fmt::format("`softreg {} {} --help` shows an example", name, parts_of(name)[0]));
  }
  for (const char* later : {"bench", "lab"}) {
    if (name == later) {
      throw Error(ErrorKind::usage,
                  fmt::format("the verb {} is not available in this version of softreg", name));
    }
  }
  throw Error(ErrorKind::usage, fmt::format("there is no verb {}", softreg::quoted(name)),
              "`softreg --help` lists the verbs");
}

int run(const std::vector<std::string>& words, Session& session) {
  if (words.empty()) {
    throw Error(ErrorKind::usage, "softreg needs a verb", "`softreg --help` lists the verbs");
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "--version") {
    session.terminal.print(words[0] == "--version" ? fmt::format("softreg {}\n", version)
                                                   : overview());
    return 0;
  }
  // A verb is one word, or two: `sweep run`.
  std::ptrdiff_t length = 1;
  const VerbEntry* entry = find_verb(words[0]);
  if (entry == nullptr && words.size() > 1) {
    length = 2;
    entry = find_verb(words[0] + " " + words[1]);
  }
  if (entry == nullptr && is_verb(words[0]) && words.size() > 1 &&
      (words[1] == "--help" || words[1] == "-h")) {
    session.terminal.print(overview());
    return 0;
  }
  if (entry == nullptr) refuse_verb(words);
  const std::unique_ptr<Verb> verb = entry->make();
  if (!verb->flags().parse({words.begin() + length, words.end()})) {
    session.terminal.print(verb->flags().help());
    return 0;
  }
  return verb->run(session);
}

// A file that we open must not get the number of a closed stdout or stderr: what is printed would
// end up inside it. Printing to the placeholder fails, and is reported where it can be.
void occupy_standard_descriptors() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) == -1) static_cast<void>(::open("/dev/null", O_RDONLY));
  }
}

}  // namespace

int report_failures(Terminal& terminal, const std::function<int()>& work) {
  const auto fail = [&](const Error& error) {
    terminal.error(error);
    return static_cast<int>(error.kind());
  };
  try {
    return work();
  } catch (const Error& error) {
    return fail(error);
  } catch (const std::bad_alloc&) {
    return fail(Error(ErrorKind::out_of_memory, "out of memory",
                      "`softreg solve --dry-run` says how much a solve needs"));
  } catch (const std::length_error&) {
    return fail(Error(ErrorKind::out_of_memory, "out of memory: an array is too large"));
  } catch (const std::exception& error) {
    return fail(Error(ErrorKind::internal, fmt::format("internal error: {}", error.what())));
  }
}

}  // namespace softreg

int main(int argc, char** argv) {
  softreg::occupy_standard_descriptors();
  // A reader of ours that goes away is an error of writing, not the end of a long solve.
  std::signal(SIGPIPE, SIG_IGN);
  // A file that may not grow further is one too, and its temporary file must not stay.
  std::signal(SIGXFSZ, SIG_IGN);
  softreg::Terminal terminal;
  std::optional<softreg::Interruption> interruption;
  const int code = softreg::report_failures(terminal, [&] {
    interruption.emplace();
    softreg::Session session{terminal, *interruption};
    return softreg::run({argv + 1, argv + argc}, session);
  });
  return interruption && interruption->requested() ? interruption->exit_code() : code;
}
