#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "runtime_compiler.hpp"

namespace softreg {
namespace {

namespace fs = std::filesystem;

constexpr const char* library = "libnvrtc.so.13";

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Adds the files of NVIDIA's PyPI packages below a Python's prefix.
void add_packages(const fs::path& prefix, std::vector<std::string>& found) {
  std::error_code none, unreadable;
  for (fs::directory_iterator at(prefix / "lib", unreadable), end; !unreadable && at != end;
       at.increment(unreadable)) {
    if (at->path().filename().string().rfind("python3", 0) != 0) continue;
    for (const char* const package : {"cu13/lib", "cuda_nvrtc/lib"}) {
      const fs::path file = at->path() / "site-packages/nvidia" / package / library;
      if (fs::exists(file, none)) found.push_back(file.string());
    }
  }
}

}  // namespace

std::vector<std::string> nvrtc_candidates() {
  std::error_code none;
  if (const std::string only = variable("SOFTREG_NVRTC"); !only.empty())
    return {fs::exists(only, none) ? fs::absolute(only, none).string() : only};
  std::vector<std::string> found = {library};
  for (const std::string& toolkit :
       {variable("CUDA_PATH"), variable("CUDA_HOME"), std::string("/usr/local/cuda")}) {
    const fs::path file = fs::path(toolkit) / "lib64" / library;
    if (!toolkit.empty() && fs::exists(file, none)) found.push_back(file.string());
  }
  if (const std::string venv = variable("VIRTUAL_ENV"); !venv.empty()) add_packages(venv, found);
  const std::string path = variable("PATH");
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const fs::path folder = path.substr(begin, end - begin);
    if (folder.is_absolute() && fs::exists(folder / "python3", none))
      add_packages(folder.parent_path(), found);
    begin = end + 1;
  }
  return found;
}

}  // namespace softreg
