// CLI11 splits the command line; origins, precedence and every message are ours.
#include "flags.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "nearest_name.hpp"
#include "softreg/error.hpp"
#include "text.hpp"
#include "toml_file.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

[[noreturn]] void refuse(const std::string& sentence, const std::string& hint = "") {
  throw Error(ErrorKind::usage, sentence, hint);
}

// "--max-steps" for an option of that name, "PROBLEM" for a positional argument.
std::string shown_name(const CLI::Option& option) {
  if (!option.get_lnames().empty()) return "--" + option.get_lnames().front();
  if (!option.get_snames().empty()) return "-" + option.get_snames().front();
  return option.get_name();
}

std::string environment_name(const std::string& long_name) {
  std::string result = "SOFTREG_" + long_name;
  for (char& c : result)
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

[[noreturn]] void refuse_unknown(const CLI::App& app, const std::string& verb,
                                 const std::string& word) {
  if (word.size() < 2 || word[0] != '-') {
    refuse(fmt::format("{} takes no argument {}", verb, softreg::quoted(word)),
           fmt::format("`softreg {} --help` lists what it takes", verb));
  }
  const std::string name = word.substr(0, word.find('='));
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) names.push_back(shown_name(*option));
  const std::string nearest = nearest_name(name, names);
  refuse(fmt::format("{} has no option {}", verb, softreg::quoted(name)),
         nearest.empty() ? fmt::format("`softreg {} --help` lists the options", verb)
                         : fmt::format("did you mean {}?", nearest));
}

bool parse_truth(const std::string& text, const std::string& origin) {
  for (const char* yes : {"1", "true", "on", "yes"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"0", "false", "off", "no"}) {
    if (text == no) return false;
  }
  refuse(fmt::format("{} is {}; expected true or false", origin, softreg::quoted(text)));
}

}  // namespace

// Strongest first.
enum class Source { command_line, environment, verb_table, config, fallback };

struct Flags::Parser {
  struct Toggle {
    CLI::Option* option = nullptr;
    bool value = false;
    Source source = Source::fallback;
    const Toggle* opposite = nullptr;

    // A stronger source has said something about it.
    bool settled(Source by) const {
      return source < by || (opposite != nullptr && opposite->value && opposite->source < by);
    }
  };
  struct Value {
    CLI::Option* option = nullptr;
    Setting setting;
  };

  void parse_words(const std::vector<std::string>& arguments);
  void fill_from_environment();
  void fill_from_config(const std::string& path);
  void fill_from_table(const toml::table& settings, const std::string& path, Source source,
                       const std::string& group);
  std::string table_name() const;  // "sweep.run"
  const CLI::Option* find(const std::string& key) const;
  void set(const CLI::Option* option, const std::string& text, const std::string& origin,
           Source source);
  void check_words() const;

  std::string verb;
  CLI::App app;
  std::deque<Value> values;  // the addresses of its elements stay
  std::deque<Toggle> toggles;
  const Setting* config = nullptr;
};

Flags::Flags(std::string_view verb, std::string_view summary, std::string_view examples)
    : parser_(std::make_unique<Parser>()) {
  parser_->verb = verb;
  CLI::App& app = parser_->app;
  app.description(std::string(summary));
  app.name(fmt::format("softreg {}", verb));
  app.footer(std::string(examples));
  app.allow_extras();
  app.get_formatter()->column_width(34);
  app.get_formatter()->label("Positionals", "Arguments");
}

Flags::~Flags() = default;

const Setting& Flags::value(const FlagText& flag) {
  parser_->values.emplace_back();
  Parser::Value& entry = parser_->values.back();
  entry.setting.text = flag.fallback;
  entry.option = parser_->app.add_option(flag.names, entry.setting.text, flag.description);
  entry.option->type_name(flag.placeholder)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  if (!flag.fallback.empty()) entry.option->default_str(flag.fallback);
  entry.setting.origin = shown_name(*entry.option);
  if (entry.setting.origin == "--config") parser_->config = &entry.setting;
  return entry.setting;
}

const bool& Flags::toggle(const std::string& names, const std::string& description) {
  parser_->toggles.emplace_back();
  Parser::Toggle& entry = parser_->toggles.back();
  entry.option = parser_->app.add_flag(names, entry.value, description);
  entry.option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  return entry.value;
}

void Flags::contradict(const bool& one, const bool& other) {
  const auto toggle = [this](const bool& value) {
    return std::find_if(parser_->toggles.begin(), parser_->toggles.end(),
                        [&](const Parser::Toggle& t) { return &t.value == &value; });
  };
  toggle(one)->opposite = &*toggle(other);
  toggle(other)->opposite = &*toggle(one);
}

bool Flags::parse(const std::vector<std::string>& arguments) {
  try {
    parser_->parse_words(arguments);
  } catch (const CLI::CallForHelp&) {
    return false;
  }
  parser_->fill_from_environment();
  const Setting* config = parser_->config;
  if (config != nullptr && !config->text.empty()) parser_->fill_from_config(config->text);
  return true;
}

void Flags::Parser::parse_words(const std::vector<std::string>& arguments) {
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    throw;
  } catch (const CLI::ArgumentMismatch& mismatch) {
    const std::string text = mismatch.what();
    refuse(fmt::format("{} needs a value", text.substr(0, text.find_first_of(": "))));
  } catch (const CLI::ParseError& error) {
    refuse(error.what());
  }
  std::vector<std::string> extras = app.remaining();
  extras.erase(std::remove(extras.begin(), extras.end(), "--"), extras.end());
  if (!extras.empty()) refuse_unknown(app, verb, extras.front());
  for (Value& value : values) {
    const std::size_t times = value.option->count();
    if (times > 1) refuse(fmt::format("{} is given {} times", value.setting.origin, times));
    value.setting.given = times == 1;
  }
  for (Toggle& toggle : toggles) {
    if (toggle.option->count() > 0) toggle.source = Source::command_line;
  }
  check_words();
}

// An empty value is one that was forgotten, as is an option where a value should be.
void Flags::Parser::check_words() const {
  for (const Value& value : values) {
    const auto& [text, origin, given] = value.setting;
    if (!given) continue;
    if (text.empty()) refuse(fmt::format("{} is empty; expected a value", origin));
    if (text.starts_with("--") && find(text.substr(2)) != nullptr) {
      refuse(fmt::format("{} needs a value", origin), fmt::format("{} is an option", text));
    }
  }
}

std::string Flags::help() const { return parser_->app.help(); }

const CLI::Option* Flags::Parser::find(const std::string& key) const {
  std::string name = key;
  std::replace(name.begin(), name.end(), '_', '-');
  for (const CLI::Option* option : app.get_options()) {
    if (name != "help" && option->check_lname(name)) return option;
  }
  return nullptr;
}

void Flags::Parser::set(const CLI::Option* option, const std::string& text,
                        const std::string& origin, Source source) {
  for (Value& value : values) {
    if (value.option == option && !value.setting.given) value.setting = {text, origin, true};
  }
  for (Toggle& toggle : toggles) {
    if (toggle.option != option || toggle.settled(source)) continue;
    toggle.value = parse_truth(text, origin);
    toggle.source = source;
  }
}

void Flags::Parser::fill_from_environment() {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || option->get_lnames().front() == "help") continue;
    const std::string name = environment_name(option->get_lnames().front());
    const char* text = std::getenv(name.c_str());
    if (text != nullptr && *text != '\0') set(option, text, name, Source::environment);
  }
}

void Flags::Parser::fill_from_config(const std::string& path) {
  const toml::table table = read_toml(path);
  // The verb's own table first: what is set once stays. `sweep run` has [sweep.run], then [sweep].
  const std::size_t space = verb.find(' ');
  const auto group = table[verb.substr(0, space)];
  if (space != std::string::npos) {
    if (const toml::table* own = group[verb.substr(space + 1)].as_table())
      fill_from_table(*own, path, Source::verb_table, verb + " ");
  }
  if (const toml::table* own = group.as_table())
    fill_from_table(*own, path, Source::verb_table, verb.substr(0, space) + " ");
  fill_from_table(table, path, Source::config, "");
}

// group: "sweep " for the table [sweep], in which [sweep.run] is another verb's.
void Flags::Parser::fill_from_table(const toml::table& settings, const std::string& path,
                                    Source source, const std::string& group) {
  std::map<const CLI::Option*, std::string> names;  // under which each is set
  for (const auto& [key, node] : settings) {
    const std::string name(key.str());
    if (node.is_table() && is_verb(group + name)) continue;
    const std::string origin = fmt::format("{} in {}, line {},", softreg::quoted(name),
                                           quoted_path(path), node.source().begin.line);
    const CLI::Option* option = find(name);
    if (option == nullptr || name == "config") {
      refuse(fmt::format("{} is not an option of {}", origin, verb),
             fmt::format("options of one verb belong into its table, such as [{}]", table_name()));
    }
    const auto [other, is_new] = names.emplace(option, name);
    if (!is_new) {
      refuse(fmt::format("{} and {} are one option; only one of them can hold", origin,
                         softreg::quoted(other->second)));
    }
    const std::string text = toml_text(node, origin);
    if (text.empty()) refuse(fmt::format("{} is empty; expected a value", origin));
    set(option, text, origin, source);
  }
}

std::string Flags::Parser::table_name() const {
  std::string name = verb;
  std::replace(name.begin(), name.end(), ' ', '.');
  return name;
}

nlohmann::ordered_json Flags::arguments() const {
  nlohmann::ordered_json result = nlohmann::ordered_json::object();
  const auto key = [](const CLI::Option& option) {
    std::string name =
        option.get_lnames().empty() ? option.get_name() : option.get_lnames().front();
    for (char& c : name)
      c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return name;
  };
  for (const Parser::Value& value : parser_->values) {
    const std::string& text = value.setting.text;
    const auto number = nlohmann::ordered_json::parse(text, nullptr, false);
    const bool is_number = number.is_number() && !value.option->get_positional();
    result[key(*value.option)] = text.empty() ? nlohmann::ordered_json()
                                 : is_number  ? number
                                              : nlohmann::ordered_json(text);
  }
  for (const Parser::Toggle& toggle : parser_->toggles) result[key(*toggle.option)] = toggle.value;
  return result;
}

std::vector<std::pair<std::string, std::string>> Flags::names() const {
  std::vector<std::pair<std::string, std::string>> result;
  for (const CLI::Option* option : parser_->app.get_options()) {
    if (!option->nonpositional()) continue;
    result.emplace_back(shown_name(*option), option->get_description());
  }
  return result;
}

std::vector<std::string> unknown_environment() {
  std::set<std::string> found;
  for (char** variable = ::environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    if (text.starts_with("SOFTREG_")) found.emplace(text.substr(0, text.find('=')));
  }
  // Of the library; SOFTREG_PROGRAM of the examples: where this program lies.
  for (const char* const name : {"SOFTREG_ISA", "SOFTREG_NVRTC", "SOFTREG_CACHE_DIR",
                                 "SOFTREG_SPECIALISE", "SOFTREG_PROGRAM"})
    found.erase(name);
  if (found.empty()) return {};
  for (const VerbEntry& verb : verbs()) {
    for (const auto& [name, description] : verb.make()->flags().names())
      if (name != "--help") found.erase(environment_name(name.substr(2)));
  }
  return {found.begin(), found.end()};
}

}  // namespace softreg
