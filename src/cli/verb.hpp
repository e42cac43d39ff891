// A verb of the program: its flags, and what it does with them.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "flags.hpp"
#include "interruption.hpp"
#include "terminal.hpp"

namespace softreg {

// What every verb works with, owned by main().
struct Session {
  Terminal& terminal;
  Interruption& interruption;
};

class Verb {
 public:
  virtual ~Verb() = default;
  virtual Flags& flags() = 0;

  // After flags().parse(). Returns the exit code; throws Error.
  virtual int run(Session& session) = 0;
};

std::unique_ptr<Verb> make_solve();
std::unique_ptr<Verb> make_evaluate();
std::unique_ptr<Verb> make_check();
std::unique_ptr<Verb> make_gen();
std::unique_ptr<Verb> make_sweep_run();
std::unique_ptr<Verb> make_sweep_status();
std::unique_ptr<Verb> make_sweep_resume();
std::unique_ptr<Verb> make_sweep_export();
std::unique_ptr<Verb> make_report();
std::unique_ptr<Verb> make_doctor();
std::unique_ptr<Verb> make_completion();

struct VerbEntry {
  std::string_view name, summary;
  std::unique_ptr<Verb> (*make)();
};

// What `work` returns; or, when it throws, the exit code of its error, which is shown.
int report_failures(Terminal& terminal, const std::function<int()>& work);

// A name is one word, or two: "sweep run".
const std::vector<VerbEntry>& verbs();

// A name of verbs(), or the first word of one.
bool is_verb(std::string_view name);

// The second words of the verbs that begin with this one: "run", "status", ... of "sweep".
std::vector<std::string> parts_of(std::string_view name);

}  // namespace softreg
