// Flags that several verbs share, each group with the way from its texts to what the library takes.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "flags.hpp"
#include "problem_file.hpp"
#include "softreg/options.hpp"
#include "softreg/result.hpp"
#include "terminal.hpp"

namespace softreg {

// --json, -q, -v, --config.
class ReportFlags {
 public:
  explicit ReportFlags(Flags& flags);
  bool json() const { return json_; }
  const Setting& config() const { return config_; }
  void apply(Terminal& terminal) const;

 private:
  const bool& json_;
  const bool& quiet_;
  const bool& verbose_;
  const Setting& config_;
};

// An output file and --force.
class OutputFlags {
 public:
  // names: "-o,--output", or "OUT" for an argument.
  OutputFlags(Flags& flags, const std::string& names, const std::string& description);
  const Setting& path() const { return path_; }
  bool force() const { return force_; }

  // Before long work: that the file is none of those that are read, may be created and its
  // directory can be written. Throws Error.
  void check(std::vector<const Setting*> inputs, const ReportFlags& report) const;

 private:
  const Setting& path_;
  const bool& force_;
};

// PROBLEM, --group, --target, --features, --dtype, --x0-from.
class ProblemFlags {
 public:
  ProblemFlags(Flags& flags, std::string verb);

  // Reads the problem, and the starts if --x0-from names a result. Throws Error.
  ProblemFile read(Terminal& terminal) const;
  std::vector<const Setting*> inputs() const { return {&path_, &starts_}; }
  const std::string& path() const { return path_.text; }
  bool starts_elsewhere() const { return !starts_.text.empty(); }  // --x0-from

 private:
  std::string verb_;
  const Setting& path_;
  const Setting& group_;
  const Setting& target_;
  const Setting& features_;
  const Setting& dtype_;
  const Setting& starts_;
};

// --device, --threads, --memory-limit, --batch-invariant, --arithmetic.
class MachineFlags {
 public:
  explicit MachineFlags(Flags& flags);

  // Throws Error (usage).
  void fill(Options& options) const;

 private:
  const Setting& device_;
  const Setting& threads_;
  const Setting& memory_limit_;
  const Setting& batch_invariant_;
  const Setting& arithmetic_;
};

// --loss, --ridge, --logit-weight and the flags of the machine.
class ModelFlags {
 public:
  explicit ModelFlags(Flags& flags);

  // Throws Error (usage).
  void fill(Options& options) const;
  // Those that add to the loss.
  std::vector<const Setting*> regularisers() const { return {&ridge_, &logit_weight_}; }
  // That the file does not say what a flag says too. Throws Error (usage).
  void check_against(const ProblemFile& file) const;

 private:
  const Setting& loss_;
  const Setting& ridge_;
  const Setting& logit_weight_;
  MachineFlags machine_;
};

// What one text says about the model. Throw Error (usage).
AnyLoss parse_loss(Setting setting);
double parse_ridge(const Setting& setting);
double parse_logit_weight(const Setting& setting);

// "float32" or "float64".
template <class T>
constexpr const char* dtype_name() {
  return sizeof(T) == 4 ? "float32" : "float64";
}

std::string loss_name(const AnyLoss& loss);
std::string optimizer_name(const AnyOptimizer& optimizer);

}  // namespace softreg
