// softreg completion: scripts for bash and zsh, made from the flags that the verbs themselves have.
#include <fmt/format.h>

#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view completion_help = R"(Example:
  source <(softreg completion bash)
  softreg completion zsh > ~/.zfunc/_softreg
)";

// The first words of the verbs, each once.
std::vector<std::string> first_words() {
  std::vector<std::string> words;
  for (const VerbEntry& verb : verbs()) {
    const std::string word(verb.name.substr(0, verb.name.find(' ')));
    if (words.empty() || words.back() != word) words.push_back(word);
  }
  return words;
}

std::string verb_names() {
  return fmt::format("{} --help --version", fmt::join(first_words(), " "));
}

// For each first word that several verbs share, `format` with the word and their second words.
std::string groups(fmt::format_string<std::string, std::string> format) {
  std::string cases;
  for (const std::string& word : first_words()) {
    const std::vector<std::string> parts = parts_of(word);
    if (!parts.empty())
      cases += fmt::format(format, std::string(word), fmt::format("{}", fmt::join(parts, " ")));
  }
  return cases;
}

std::string bash_script() {
  const std::string group_cases = groups(R"(    {0}) if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "{1}" -- "$current")
        return
      fi
      verb+=" ${{COMP_WORDS[2]}}" ;;
)");
  std::string cases;
  for (const VerbEntry& verb : verbs()) {
    std::string names;
    for (const auto& [name, description] : verb.make()->flags().names()) names += " " + name;
    cases += fmt::format("    \"{}\") words=\"{}\" ;;\n", verb.name, names.substr(1));
  }
  return fmt::format(R"(_softreg() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words="" verb="${{COMP_WORDS[1]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "{}" -- "$current")
    return
  fi
  case "$verb" in
{}  esac
  case "$verb" in
{}  esac
  if [[ "$current" == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}}
complete -o filenames -F _softreg softreg
)",
                     verb_names(), group_cases, cases);
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
  const std::string group_cases = groups(R"(    {0}) if (( CURRENT == 2 )); then
        compadd -- {1}
        return
      fi
      verb+=" $words[2]"
      shift words
      (( CURRENT-- )) ;;
)");
  std::string cases;
  for (const VerbEntry& verb : verbs()) {
    std::string names;
    for (const auto& [name, description] : verb.make()->flags().names()) {
      names += fmt::format(" '{}[{}]'", name, zsh_text(description));
    }
    cases += fmt::format("    \"{}\") _arguments{} '*:file:_files' ;;\n", verb.name, names);
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
  case "$verb" in
{}  esac
}}
if [ "$funcstack[1]" = "_softreg" ]; then
  _softreg "$@"
else
  compdef _softreg softreg
fi
)",
                     verb_names(), group_cases, cases);
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
  Flags flags_{"completion", "Prints a completion script.", completion_help};
  const Setting& shell_{flags_.value({"SHELL", "bash|zsh", "for which shell"})};
};

}  // namespace

std::unique_ptr<Verb> make_completion() { return std::make_unique<Completion>(); }

}  // namespace softreg
