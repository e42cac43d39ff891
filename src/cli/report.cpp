// softreg report: figures, tables and a page of a sweep. Python draws them (src/report.py), in the
// place of this process.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "common_flags.hpp"
#include "document.hpp"
#include "softreg/error.hpp"
#include "sweep_directory.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view report_help =
    R"(OUT gets index.html, which needs no other file; each figure as .svg and .png, with its numbers as
.csv; and sweep.csv, the table of `softreg sweep export`:
  looseness           of trace = "shifts" or "bounds": log10(bound / measured) against R
  by_n, by_d          steps and loss, where n or d varies
  by_step_multiple, by_step_size   loss and status, where the step varies
  phase_step_multiple, phase_step_size   status over step and R, where both vary
Python needs matplotlib: --python, else build/venv beside the program's folder, else python3.

Example:
  softreg sweep run examples/sweeps/atlas.toml
  softreg report atlas
  xdg-open atlas/report/index.html
)";

fs::path program_path() { return fs::read_symlink("/proc/self/exe"); }

// Beside the program in a build folder, in share/ of an installation.
fs::path script_path() {
  const fs::path folder = program_path().parent_path();
  for (const char* place : {"report.py", "../share/softreg/report.py"})
    if (fs::exists(folder / place)) return folder / place;
  throw Error(ErrorKind::io,
              fmt::format("the script report.py is missing in {}", quoted_path(folder.string())));
}

// Only a report is ever replaced: it is a whole directory.
void check_output(const fs::path& output, bool force) {
  if (!fs::exists(fs::symlink_status(output))) return;
  const std::string name = quoted_path(output.string());
  if (!force)
    throw Error(ErrorKind::usage, fmt::format("{} already exists", name),
                "--force replaces it, -o names another directory");
  if (!fs::exists(output / "index.html") || !fs::exists(output / "sweep.csv"))
    throw Error(ErrorKind::usage, fmt::format("{} is no report, and is not replaced", name));
}

// Returns only to throw.
[[noreturn]] void become(std::vector<std::string> words) {
  // Both wait until the script can answer them.
  sigset_t waiting;
  sigemptyset(&waiting);
  sigaddset(&waiting, SIGINT);
  sigaddset(&waiting, SIGTERM);
  pthread_sigmask(SIG_SETMASK, &waiting, nullptr);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  throw Error(ErrorKind::device_unavailable,
              fmt::format("a report needs Python, and {} cannot be run: {}", quoted_path(words[0]),
                          std::generic_category().message(errno)),
              "--python FILE (or SOFTREG_PYTHON) names a Python with matplotlib");
}

class Report : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    report_.apply(session.terminal);
    require("report", "DIR", directory_);
    static_cast<void>(SweepDirectory(directory_.text).open(false));
    const fs::path output =
        output_.given ? fs::path(output_.text) : fs::path(directory_.text) / "report";
    check_output(output, force_);
    Json document = document_head("report");
    document["directory"] = directory_.text;
    document["output"] = output.string();
    document["arguments"] = flags_.arguments();
    const std::string how =
        fmt::format("{}{}{}", force_ ? " force" : "", report_.json() ? " json" : "",
                    session.terminal.quiet() ? " quiet" : "");
    become({python(), script_path().string(), program_path().string(), directory_.text,
            output.string(), how, document_text(document)});
  }

 private:
  std::string python() const {
    if (python_.given) return python_.text;
    const fs::path venv = program_path().parent_path() / "../venv/bin/python";
    return fs::exists(venv) ? venv.string() : "python3";
  }

  Flags flags_{"report", "Draws a sweep: figures, tables and one page.", report_help};
  const Setting& directory_{flags_.value({"DIR", "DIR", "of `softreg sweep run`"})};
  const Setting& output_{flags_.value({"-o,--output", "OUT", "the directory to make; DIR/report"})};
  const bool& force_{flags_.toggle("--force", "replace a report that is there")};
  const Setting& python_{flags_.value({"--python", "FILE", "a Python that has matplotlib"})};
  ReportFlags report_{flags_};
};

}  // namespace

std::unique_ptr<Verb> make_report() { return std::make_unique<Report>(); }

}  // namespace softreg
