#include "runtime_compiler.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "softreg/error.hpp"

namespace softreg {

// As nvrtc.h declares them, which need not be there when softreg is built.
struct Nvrtc::Functions {
  using Program = struct NvrtcProgram*;
  int (*version)(int* major, int* minor);
  const char* (*error_string)(int result);
  int (*create)(Program*, const char* source, const char* name, int headers,
                const char* const* header_texts, const char* const* header_names);
  int (*destroy)(Program*);
  int (*add_name)(Program, const char* expression);
  int (*compile)(Program, int options, const char* const*);
  int (*log_size)(Program, std::size_t*);
  int (*log)(Program, char*);
  int (*code_size)(Program, std::size_t*);
  int (*code)(Program, char*);
  int (*lowered_name)(Program, const char* expression, const char** name);

  bool resolve(void* library) {
    const auto find = [library](auto& function, const char* name) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
      return function != nullptr;
    };
    return find(version, "nvrtcVersion") && find(error_string, "nvrtcGetErrorString") &&
           find(create, "nvrtcCreateProgram") && find(destroy, "nvrtcDestroyProgram") &&
           find(add_name, "nvrtcAddNameExpression") && find(compile, "nvrtcCompileProgram") &&
           find(log_size, "nvrtcGetProgramLogSize") && find(log, "nvrtcGetProgramLog") &&
           find(code_size, "nvrtcGetCUBINSize") && find(code, "nvrtcGetCUBIN") &&
           find(lowered_name, "nvrtcGetLoweredName");
  }
};

Nvrtc::Nvrtc(std::span<const std::string> candidates) {
  std::string reason;  // of the first file that is there, else of the first
  bool broken = false;
  std::error_code none;
  for (const std::string& name : candidates) {
    void* const library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* const said = ::dlerror();
      const bool there = std::filesystem::exists(name, none);
      if ((reason.empty() || (there && !broken)) && said != nullptr) reason = said;
      broken = broken || there;
      continue;
    }
    auto functions = std::make_unique<Functions>();
    int major = 0, minor = 0;
    if (!functions->resolve(library) || functions->version(&major, &minor) != 0) {
      if (!broken) reason = name + " is no NVRTC";
      broken = true;
      ::dlclose(library);
      continue;
    }
    Dl_info file{};
    const bool known = ::dladdr(reinterpret_cast<void*>(functions->version), &file) != 0;
    path_ = known && file.dli_fname != nullptr ? file.dli_fname : name;
    version_ = fmt::format("{}.{}", major, minor);
    functions_ = functions.release();  // as long as the library: until the process ends
    return;
  }
  throw Error(ErrorKind::device_unavailable,
              "NVRTC cannot be used: " + (reason.empty() ? "nowhere to look" : reason),
              "install the CUDA toolkit 13 or the PyPI package nvidia-cuda-nvrtc, or set "
              "SOFTREG_NVRTC to the file libnvrtc.so.13");
}

KernelImage Nvrtc::compile(const std::string& source, std::span<const SourceFile> headers,
                           const std::string& kernel, std::span<const char* const> options) const {
  const Functions& f = *functions_;
  std::vector<std::string> strings;  // that end in 0, as the texts of headers need not
  for (const SourceFile& header : headers) {
    strings.emplace_back(header.name);
    strings.emplace_back(header.text);
  }
  std::vector<const char*> names, texts;
  for (std::size_t k = 0; k < strings.size(); k += 2) {
    names.push_back(strings[k].c_str());
    texts.push_back(strings[k + 1].c_str());
  }
  Functions::Program program = nullptr;
  const auto check = [&](int result) {
    if (result == 0) return;
    std::size_t size = 0;
    std::string log;
    if (program != nullptr && f.log_size(program, &size) == 0 && size > 1) {
      log.resize(size);
      if (f.log(program, log.data()) != 0) log.clear();
      log.resize(std::min(log.find('\0'), log.size()));
    }
    if (const std::size_t at = log.find("error:"); at != log.npos)  // warnings may be before it
      log.erase(0, log.rfind('\n', at) + 1);
    log.resize(std::min(log.find('\n'), log.size()));
    throw Error(ErrorKind::internal, fmt::format("NVRTC {} cannot compile {}: {}", version_, kernel,
                                                 log.empty() ? f.error_string(result) : log));
  };
  check(f.create(&program, source.c_str(), "specialised.cu", static_cast<int>(headers.size()),
                 texts.data(), names.data()));
  const auto destroy = [&f](Functions::Program* p) { f.destroy(p); };
  const std::unique_ptr<Functions::Program, decltype(destroy)> owner(&program, destroy);
  check(f.add_name(program, kernel.c_str()));
  check(f.compile(program, static_cast<int>(options.size()), options.data()));
  std::size_t size = 0;
  check(f.code_size(program, &size));
  KernelImage image{std::string(size, '\0'), ""};
  check(f.code(program, image.code.data()));
  const char* symbol = nullptr;
  check(f.lowered_name(program, kernel.c_str(), &symbol));
  image.symbol = symbol;
  return image;
}

}  // namespace softreg
