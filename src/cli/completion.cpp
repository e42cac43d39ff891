// softreg completion: scripts for bash and zsh, made from the flags that the verbs themselves have.
#include <fmt/format.h>

#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view help_text = R"(Example:
  source <(softreg completion bash)
  softreg completion zsh > ~/.zfunc/_softreg
)";

std::string verb_names() {
  std::string names;
  for (const VerbEntry& verb : verbs()) names += fmt::format("{} ", verb.name);
  return names + "--help --version";
}

std::string bash_script() {
  std::string cases;
  for (const VerbEntry& verb : verbs()) {
    std::string names;
    for (const auto& [name, description] : verb.make()->flags().names()) names += " " + name;
    cases += fmt::format("    {}) words=\"{}\" ;;\n", verb.name, names.substr(1));
  }
  return fmt::format(R"(_softreg() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "{}" -- "$current")
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{}  esac
  if [[ "$current" == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}}
complete -o filenames -F _softreg softreg
)",
                     verb_names(), cases);
}

// zsh reads "--name[description]"; brackets, colons and quotes inside would end it early.
std::string zsh_text(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':') result += '\\';
    if (c == '\'') result += "'\\'";
    result += c;
  }
  return result;
}

std::string zsh_script() {
  std::string cases;
  for (const VerbEntry& verb : verbs()) {
    std::string names;
    for (const auto& [name, description] : verb.make()->flags().names()) {
      names += fmt::format(" '{}[{}]'", name, zsh_text(description));
    }
    cases += fmt::format("    {}) _arguments{} '*:file:_files' ;;\n", verb.name, names);
  }
  return fmt::format(R"(#compdef softreg
_softreg() {{
  if (( CURRENT == 2 )); then
    compadd -- {}
    return
  fi
  local verb="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$verb" in
{}  esac
}}
if [ "$funcstack[1]" = "_softreg" ]; then
  _softreg "$@"
else
  compdef _softreg softreg
fi
)",
                     verb_names(), cases);
}

class Completion : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    require("completion", "SHELL", shell_);
    const bool bash = parse_choice(shell_, {"bash", "zsh"}) == 0;
    session.terminal.print(bash ? bash_script() : zsh_script());
    return 0;
  }

 private:
  Flags flags_{"completion", "Prints a completion script.", help_text};
  const Setting& shell_{flags_.value({"SHELL", "bash|zsh", "for which shell"})};
};

}  // namespace

std::unique_ptr<Verb> make_completion() { return std::make_unique<Completion>(); }

}  // namespace softreg
