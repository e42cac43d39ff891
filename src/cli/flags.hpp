// The flags of a verb and where their values come from: the command line, else the environment
// (SOFTREG_MAX_STEPS for --max-steps), else the file that --config names, else the default.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace softreg {

// One flag's value, and the words that name its origin in a message: "--tol", "SOFTREG_TOL".
struct Setting {
  std::string text;
  std::string origin;
  bool given = false;  // not the default
};

struct FlagText {
  std::string names;        // "-o,--output", or "PROBLEM" for an argument without a flag
  std::string placeholder;  // "FILE"
  std::string description;
  std::string fallback = "";  // the default; empty: none
};

class Flags {
 public:
  Flags(std::string_view verb, std::string_view summary, std::string_view examples);
  ~Flags();
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  // The references stay valid; they hold the values once parse() has returned.
  const Setting& value(const FlagText& flag);
  const bool& toggle(const std::string& names, const std::string& description);

  // Two toggles of which a weaker source cannot set one where a stronger source has set the other.
  void contradict(const bool& one, const bool& other);

  // Throws Error (usage). Returns false when --help was asked for: then text() is for stdout.
  bool parse(const std::vector<std::string>& arguments);

  std::string help() const;

  // Every value in effect, as numbers where they are numbers: {"max_steps": 1000, ...}.
  nlohmann::ordered_json arguments() const;

  // For shell completion: every name, such as "--tol", with its description.
  std::vector<std::pair<std::string, std::string>> names() const;

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

// Reading a setting's text. All throw Error (usage) that names the origin, the text and what was
// expected.
double parse_number(const Setting& setting, double at_least, double at_most);
inline constexpr double largest_double = std::numeric_limits<double>::max();
double parse_positive(const Setting& setting);
std::int64_t parse_whole(const Setting& setting, std::int64_t at_least, std::int64_t at_most);
std::uint64_t parse_seed(const Setting& setting);
std::int64_t parse_bytes(const Setting& setting);  // with K, M or G: powers of 1024
std::vector<std::string> parse_list(const Setting& setting);

// The position of the text among `choices`.
std::size_t parse_choice(const Setting& setting, const std::vector<std::string>& choices);

// The variables SOFTREG_... of the environment that no verb has an option for, in order.
std::vector<std::string> unknown_environment();

// Throws Error (usage) when the setting has no text: "solve needs PROBLEM".
void require(std::string_view verb, std::string_view name, const Setting& setting);

}  // namespace softreg
