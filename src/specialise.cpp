#include "specialise.hpp"

#include <fmt/format.h>

#include <cctype>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <set>
#include <utility>

#include "content_hash.hpp"
#include "kernel_compiler.hpp"
#include "kernel_sources.hpp"
#include "softreg/error.hpp"

namespace softreg {
namespace {

// Machine code, so that no driver compiles again; rounding as in cmake/cuda.cmake. Last: functions
// without SR_HD, which are constexpr or never called, are no errors.
constexpr const char* options[] = {"--gpu-architecture=sm_90a", "--std=c++20", "--fmad=false",
                                   "--device-as-default-execution-space"};

// softmax_l2: SoftmaxL2
std::string type_name(std::string_view name) {
  std::string type;
  bool begins = true;
  for (const char c : name) {
    if (c != '_') type += begins ? static_cast<char>(std::toupper(c)) : c;
    begins = c == '_';
  }
  return type;
}

// The bindings name every member: this does not compile when a policy gets another one.
std::string policy_text(const KernelPolicy& policy) {
  const auto& [name, placement, value_bytes, grid, occupancy, shared_rows, watches_bounds, places,
               plain, least_rows, least_parameters] = policy;
  const auto& [lanes, columns, rows, parameters] = grid;
  const auto& [threads, blocks] = occupancy;
  return fmt::format(
      "\"{}\", Placement({}), {}, {{{}, {}, {}, {}}}, {{{}, {}}}, {}, {}, {}, {}, {}, {}", name,
      static_cast<int>(placement), value_bytes, lanes, columns, rows, parameters, threads, blocks,
      shared_rows, watches_bounds, places, plain, least_rows, least_parameters);
}

// The sources, and each standard header that they include as one that brings the stand-ins.
std::vector<SourceFile> headers() {
  constexpr std::string_view include = "#include <";
  const std::span<const SourceFile> sources = kernel_sources();
  std::vector<SourceFile> all(sources.begin(), sources.end());
  std::set<std::string_view> standard;
  for (const SourceFile& source : sources) {
    const std::string_view text = source.text;
    for (std::size_t at = text.find(include); at != text.npos; at = text.find(include, at)) {
      at += include.size();
      standard.insert(text.substr(at, text.find('>', at) - at));
    }
  }
  for (const std::string_view name : standard)
    all.push_back({name, "#include \"std_for_nvrtc.cuh\"\n"});
  return all;
}

std::string basis(const Nvrtc& compiler) {
  std::error_code none;  // two releases of one version differ in size
  std::string all =
      fmt::format("{} {}", compiler.version(), std::filesystem::file_size(compiler.path(), none));
  for (const char* const option : options) all += fmt::format("\n{}", option);
  for (const SourceFile& source : kernel_sources())
    all += fmt::format("\n{}\n{}", source.name, source.text);
  return content_hash(all);
}

}  // namespace

KernelSource kernel_source(const KernelRequest& request) {
  const char* const number = request.value_bytes == 4 ? "float" : "double";
  const char* const kernel =
      request.kernel.policy.cluster() > 1 ? "cluster_solve_kernel" : "solve_kernel";
  return {fmt::format("#include \"fast.hpp\"\n"
                      "#include \"softreg/model/losses/{}.hpp\"\n"
                      "#include \"solve_kernel.hpp\"\n"
                      "namespace softreg {{\n"
                      "struct Specialised {{ static constexpr KernelPolicy policy{{{}}}; }};\n"
                      "}}\n",
                      request.loss, policy_text(request.kernel.policy)),
          fmt::format("softreg::{}<softreg::Specialised, softreg::{}, {}, {}>", kernel,
                      type_name(request.loss), number,
                      request.kernel.fast ? fmt::format("softreg::Fast<{}>", number) : number)};
}

Specialiser::Specialiser(std::vector<std::string> candidates, KernelCache cache)
    : candidates_(std::move(candidates)), cache_(std::move(cache)) {
  if (kernel_sources().empty()) unavailable_ = "this build has no CUDA";
}

// The mutex is held.
void Specialiser::open() {
  if (compiler_ || !unavailable_.empty()) return;
  try {
    compiler_.emplace(candidates_);
    basis_ = basis(*compiler_);
  } catch (const Error& error) {
    unavailable_ = error.what();
    if (!error.hint().empty()) unavailable_ += " (" + error.hint() + ")";
  }
}

std::string Specialiser::unavailable() {
  const std::lock_guard lock(mutex_);
  open();
  return unavailable_;
}

const Nvrtc& Specialiser::compiler() {
  const std::lock_guard lock(mutex_);
  open();
  if (!compiler_) throw Error(ErrorKind::device_unavailable, unavailable_);
  return *compiler_;
}

const KernelImage& Specialiser::kernel(const KernelRequest& request) {
  const KernelSource source = kernel_source(request);
  const std::string key = source.text + source.kernel;
  std::promise<KernelImage> mine;
  std::shared_future<KernelImage> image;
  bool missing = false;
  {
    const std::lock_guard lock(mutex_);
    open();
    if (!compiler_) throw Error(ErrorKind::device_unavailable, unavailable_);
    const auto at = kernels_.try_emplace(key).first;
    missing = !at->second.valid();
    if (missing) at->second = mine.get_future().share();
    image = at->second;
  }
  if (missing) try {
      mine.set_value(make(source));
    } catch (...) {
      const std::lock_guard lock(mutex_);
      kernels_.erase(key);
      mine.set_exception(std::current_exception());
    }
  return image.get();
}

KernelImage Specialiser::make(const KernelSource& source) const {
  const std::string key = content_hash(basis_ + source.text + source.kernel);
  if (std::optional<std::string> stored = cache_.find(key)) {
    const std::size_t end = stored->find('\n');
    return {stored->substr(end + 1), stored->substr(0, end)};
  }
  KernelImage image = compiler_->compile(source.text, headers(), source.kernel, options);
  cache_.store(key, image.symbol + "\n" + image.code);
  return image;
}

Specialiser& specialiser() {
  static Specialiser one(nvrtc_candidates(), KernelCache(kernel_cache_directory()));
  return one;
}

KernelCompiler kernel_compiler() {
  Specialiser& maker = specialiser();
  constexpr const char* words[] = {"never", "auto", "always"};
  KernelCompiler found{maker.unavailable(), "", "", maker.cache().directory().string(),
                       words[static_cast<int>(specialise_setting())]};
  if (!found.unavailable.empty()) return found;
  found.path = maker.compiler().path();
  found.version = maker.compiler().version();
  return found;
}

Specialise specialise_setting() {
  const char* const value = std::getenv("SOFTREG_SPECIALISE");
  const std::string_view wanted = value == nullptr || *value == 0 ? "never" : value;
  if (wanted == "never") return Specialise::never;
  if (wanted == "auto") return Specialise::when_it_pays;
  if (wanted == "always") return Specialise::always;
  throw Error(
      ErrorKind::usage,
      fmt::format("SOFTREG_SPECIALISE is '{}' but it must be never, auto or always", wanted));
}

}  // namespace softreg
