// softreg doctor: what this machine offers, why something is not used, and whether every backend
// computes what the reference computes.
#include <fmt/format.h>

#include <algorithm>

#include "common_flags.hpp"
#include "cpu_isa.hpp"
#include "document.hpp"
#include "kernel_compiler.hpp"
#include "machine.hpp"
#include "progress.hpp"
#include "self_test.hpp"
#include "softreg/softreg.hpp"
#include "summary.hpp"
#include "verb.hpp"

namespace softreg {
namespace {

constexpr std::string_view doctor_help =
    R"(Exit code 0 when every backend that can be used passed its self-test, else 1.

Example:
  softreg doctor
  softreg doctor --json
)";

constexpr int self_test_failed = 1;

// Until there are results of a device under bench/results/.
constexpr std::string_view cuda_verified =
    "in the emulator and by the compiler's report; no GPU has run this version's kernels yet";

std::vector<std::string> compiled_instruction_sets() {
  std::vector<std::string> names;
  for (const CpuIsa& isa : cpu_isas()) names.insert(names.begin(), isa.name);
  return names;
}

std::string line(const std::string& name, const std::string& text) {
  return fmt::format("  {:<14}{}\n", name, text);
}

// "32 KiB", "1.5 GiB"
std::string bytes_text(std::int64_t bytes) {
  double value = static_cast<double>(bytes);
  for (const char* unit : {"bytes", "KiB", "MiB"}) {
    if (value < 1024) return fmt::format("{:.4g} {}", value, unit);
    value /= 1024;
  }
  return fmt::format("{:.4g} GiB", value);
}

Json machine_json(const Machine& machine) {
  Json caches = Json::array();
  for (const Cache& cache : machine.caches) {
    caches.push_back({{"level", cache.level}, {"type", cache.type}, {"bytes", cache.bytes}});
  }
  return {{"processor", machine.processor},
          {"features", machine.features},
          {"cores", machine.cores},
          {"cores_online", machine.cores_online},
          {"caches", caches},
          {"memory_bytes", machine.memory_bytes},
          {"memory_available_bytes", machine.memory_available_bytes},
          {"memory_limit_bytes", machine.memory_limit_bytes},
          {"nvidia_driver", machine.nvidia_driver}};
}

std::string machine_text(const Machine& machine) {
  std::string caches;
  for (const Cache& cache : machine.caches) {
    caches +=
        fmt::format("{}L{} {} {}", caches.empty() ? "" : ", ", cache.level,
                    cache.type.empty() ? "" : cache.type.substr(0, 1), bytes_text(cache.bytes));
  }
  std::string text = "machine\n";
  text += line("processor", machine.processor.empty() ? "unknown" : machine.processor);
  text += line("features", fmt::format("{}", fmt::join(machine.features, " ")));
  text += line("cores", fmt::format("{} usable of {} online", machine.cores, machine.cores_online));
  text += line("caches", caches.empty() ? "unknown" : caches);
  text += line("memory", fmt::format("{}, {} available", bytes_text(machine.memory_bytes),
                                     bytes_text(machine.memory_available_bytes)));
  if (machine.memory_limit_bytes > 0) {
    text += line("memory limit", bytes_text(machine.memory_limit_bytes));
  }
  return text + line("NVIDIA driver",
                     machine.nvidia_driver.empty() ? "none loaded" : machine.nvidia_driver);
}

// The one that --device auto takes: the best that can be used.
std::string automatic_device(const std::vector<DeviceReport>& reports) {
  const auto best = std::find_if(reports.rbegin(), reports.rend(), [](const DeviceReport& report) {
    return report.unavailable.empty();
  });
  return best == reports.rend() ? "" : best->name;
}

Json devices_json(const std::vector<DeviceReport>& reports) {
  Json result = Json::array();
  for (const DeviceReport& report : reports) {
    result.push_back({{"name", report.name},
                      {"available", report.unavailable.empty()},
                      {"description", report.description},
                      {"unavailable", report.unavailable}});
  }
  return result;
}

Json tests_json(const std::vector<SelfTest>& tests) {
  Json result = Json::array();
  for (const SelfTest& test : tests) {
    result.push_back({{"device", test.device},
                      {"dtype", test.dtype},
                      {"instances", test.instances},
                      {"largest_difference", test.largest_difference},
                      {"tolerance", test.tolerance},
                      {"passed", test.failure.empty()},
                      {"failure", test.failure}});
  }
  return result;
}

std::string devices_text(const std::vector<DeviceReport>& reports) {
  std::string text = "devices\n";
  for (const DeviceReport& report : reports) {
    text += line(report.name, report.unavailable.empty() ? report.description
                                                         : "not used: " + report.unavailable);
  }
  return text + line("CUDA kernels", fmt::format("verified {}", cuda_verified));
}

std::string tests_text(const std::vector<SelfTest>& tests) {
  std::string text = "self-test against the reference\n";
  for (const SelfTest& test : tests) {
    text +=
        line(test.device,
             fmt::format("{}, {} instances: {}", test.dtype, test.instances,
                         test.failure.empty()
                             ? fmt::format("passed, largest difference {:.2g} of {:.2g} allowed",
                                           test.largest_difference, test.tolerance)
                             : "FAILED: " + test.failure));
  }
  return text;
}

// What makes kernels at run time, and where they are kept.
Json compiler_json(const KernelCompiler& compiler) {
  return {{"available", compiler.unavailable.empty()},
          {"unavailable", compiler.unavailable},
          {"nvrtc", compiler.path},
          {"nvrtc_version", compiler.version},
          {"cache", compiler.cache},
          {"asked", compiler.asked}};
}

std::string compiler_text(const KernelCompiler& compiler) {
  const std::string nvrtc =
      compiler.unavailable.empty()
          ? fmt::format("{}, {} (found, not tried)", compiler.version, compiler.path)
          : "not used: " + compiler.unavailable + "; CUDA has the catalogue of kernels alone";
  return "kernels made at run time\n" +
         line("asked for", compiler.asked + " (SOFTREG_SPECIALISE)") + line("NVRTC", nvrtc) +
         line("cache",
              compiler.cache.empty() ? "none, there is no home directory" : compiler.cache);
}

class Doctor : public Verb {
 public:
  Flags& flags() override { return flags_; }

  int run(Session& session) override {
    report_.apply(session.terminal);
    const Machine machine = describe_machine();
    const std::vector<DeviceReport> reports = devices();
    const KernelCompiler compiler = kernel_compiler();
    const std::vector<SelfTest> tests = run_self_tests();
    const bool passed = std::all_of(tests.begin(), tests.end(),
                                    [](const SelfTest& test) { return test.failure.empty(); });
    Json document = document_head("doctor");
    document["device"] = automatic_device(reports);
    document["dtype"] = {dtype_name<float>(), dtype_name<double>()};
    document["seed"] = self_test_seed;
    document["instruction_sets"] = compiled_instruction_sets();
    document["machine"] = machine_json(machine);
    document["devices"] = devices_json(reports);
    document["cuda_verified"] = cuda_verified;
    document["specialised_kernels"] = compiler_json(compiler);
    document["self_test"] = tests_json(tests);
    document["passed"] = passed;
    document["arguments"] = flags_.arguments();
    const std::string text = fmt::format("softreg {}, lanes compiled for {}\n", version,
                                         fmt::join(compiled_instruction_sets(), ", ")) +
                             machine_text(machine) + devices_text(reports) +
                             compiler_text(compiler) + tests_text(tests);
    session.terminal.print(report_.json() ? document_text(document) : text);
    return passed ? 0 : self_test_failed;
  }

 private:
  Flags flags_{"doctor", "What this machine offers, and whether it computes rightly.", doctor_help};
  ReportFlags report_{flags_};
};

}  // namespace

std::unique_ptr<Verb> make_doctor() { return std::make_unique<Doctor>(); }

}  // namespace softreg
