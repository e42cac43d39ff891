#include "common_flags.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>
#include <variant>

#include "output_file.hpp"
#include "softreg/error.hpp"
#include "text.hpp"
#include "variant_names.hpp"

namespace softreg {
ReportFlags::ReportFlags(Flags& flags)
    : json_(flags.toggle("--json", "print one JSON document instead of a table")),
      quiet_(flags.toggle("-q,--quiet", "no progress, no warnings")),
      verbose_(flags.toggle("-v,--verbose", "more about what is done and how")),
      config_(
          flags.value({"--config", "FILE.toml", "options by name, [VERB] tables for one verb's"})) {
  flags.contradict(quiet_, verbose_);
}

void ReportFlags::apply(Terminal& terminal) const {
  if (quiet_ && verbose_)
    throw Error(ErrorKind::usage, "--quiet and --verbose contradict each other");
  terminal.set_verbosity(quiet_     ? Verbosity::quiet
                         : verbose_ ? Verbosity::verbose
                                    : Verbosity::normal);
  const std::vector<std::string> unknown = unknown_environment();
  if (unknown.empty()) return;
  std::vector<std::string> shown;
  for (const std::string& name : unknown) shown.push_back(softreg::quoted(name));
  terminal.warn(fmt::format("the environment has {}, which no verb has an option for",
                            fmt::join(shown, ", ")));
}

OutputFlags::OutputFlags(Flags& flags, const std::string& names, const std::string& description)
    : path_(flags.value({names, "FILE.npz", description})),
      force_(flags.toggle("--force", "overwrite the output file if it exists")) {}

void OutputFlags::check(std::vector<const Setting*> inputs, const ReportFlags& report) const {
  inputs.push_back(&report.config());
  for (const Setting* input : inputs) {
    std::error_code absent;
    if (!std::filesystem::equivalent(path_.text, input->text, absent)) continue;
    throw Error(ErrorKind::usage,
                fmt::format("{} is {}, the file that {} names", path_.origin,
                            quoted_path(path_.text), input->origin),
                "name another file for the output");
  }
  if (path_.text.empty()) return;
  check_output_path(path_.text, force_);
  // Creates and removes a temporary file, as the one that the result will be written to.
  OutputFile(path_.text, force_);
}

ProblemFlags::ProblemFlags(Flags& flags, std::string verb)
    : verb_(std::move(verb)),
      path_(flags.value({"PROBLEM", "FILE", ".npz with A and b, or .csv in long form"})),
      group_(flags.value({"--group", "COLUMN", ".csv: the column that names the instance"})),
      target_(flags.value({"--target", "COLUMN", ".csv: the column of b"})),
      features_(flags.value({"--features", "COLUMN,...", ".csv: the columns of A"})),
      dtype_(flags.value(
          {"--dtype", "keep|f32|f64", "dtype of the arithmetic; keep: the file's", "keep"})),
      starts_(flags.value({"--x0-from", "RESULT.npz", "start from the x of an earlier result"})) {}

ProblemFile ProblemFlags::read(Terminal& terminal) const {
  require(verb_, "PROBLEM", path_);
  const auto dtype = static_cast<DtypeChoice>(parse_choice(dtype_, {"keep", "f32", "f64"}));
  ProblemFile file =
      read_problem_file(path_.text, {group_.text, target_.text, parse_list(features_)}, dtype);
  if (!starts_.text.empty()) read_starts(starts_.text, file);
  for (const std::string& warning : file.warnings) terminal.warn(warning);
  return file;
}

MachineFlags::MachineFlags(Flags& flags)
    : device_(flags.value({"--device", "NAME", "auto, cpu, cuda or reference", "auto"})),
      threads_(flags.value({"--threads", "N", "CPU threads; all cores if not given"})),
      memory_limit_(flags.value({"--memory-limit", "BYTES[K|M|G]", "most memory for workspace"})),
      batch_invariant_(
          flags.value({"--batch-invariant", "on|off",
                       "off allows bits that depend on the number of instances, where that is "
                       "faster (CUDA: many of one large A)",
                       "on"})),
      arithmetic_(flags.value({"--arithmetic", "portable|fast",
                               "portable: our own exp and log, on every device; fast: a GPU's",
                               "portable"})) {}

void MachineFlags::fill(Options& options) const {
  constexpr Device devices[] = {Device::automatic, Device::cpu, Device::cuda, Device::reference};
  options.device = devices[parse_choice(device_, {"auto", "cpu", "cuda", "reference"})];
  if (threads_.given) options.threads = static_cast<int>(parse_whole(threads_, 1, 1 << 20));
  if (memory_limit_.given) options.memory_limit = parse_bytes(memory_limit_);
  options.batch_invariant = parse_choice(batch_invariant_, {"on", "off"}) == 0;
  constexpr Arithmetic arithmetics[] = {Arithmetic::portable, Arithmetic::fast};
  options.arithmetic = arithmetics[parse_choice(arithmetic_, {"portable", "fast"})];
}

ModelFlags::ModelFlags(Flags& flags)
    : loss_(flags.value({"--loss", "NAME", any_of_names<AnyLoss>(), "softmax_l2"})),
      ridge_(flags.value({"--ridge", "L", "adds L/2 |x|^2", "0"})),
      logit_weight_(flags.value({"--logit-weight", "W",
                                 "adds 1/2 |W A x|^2; the file's array w weighs row by row", "0"})),
      machine_(flags) {}

void ModelFlags::fill(Options& options) const {
  options.loss = parse_loss(loss_);
  options.ridge = parse_ridge(ridge_);
  options.logit_weight = parse_logit_weight(logit_weight_);
  machine_.fill(options);
}

AnyLoss parse_loss(Setting setting) {
  if (setting.text == "normalized") setting.text = "softmax_l2";
  if (setting.text == "rescaled") setting.text = "rescaled_l2";
  return member_named<AnyLoss>(setting);
}

double parse_ridge(const Setting& setting) { return parse_number(setting, 0, largest_double); }

double parse_logit_weight(const Setting& setting) {
  return parse_number(setting, -largest_double, largest_double);
}

void ModelFlags::check_against(const ProblemFile& file) const {
  const bool has_w =
      std::visit([](const auto& problem) { return !problem.w.empty(); }, file.problem);
  if (!has_w || !logit_weight_.given) return;
  throw Error(ErrorKind::usage,
              fmt::format("{} is {} but the problem has an array 'w'; only one of them can hold",
                          logit_weight_.origin, logit_weight_.text));
}

std::string loss_name(const AnyLoss& loss) {
  return std::visit([](const auto& member) { return std::string(member.name); }, loss);
}

std::string optimizer_name(const AnyOptimizer& optimizer) {
  return std::visit([](const auto& member) { return std::string(member.name); }, optimizer);
}

}  // namespace softreg
