// Which backends there are and which one a device means.
#include "backend.hpp"

#include "softreg/error.hpp"
#include "softreg/softreg.hpp"

namespace softreg {

std::span<const Backend* const> backends() {
  static const Backend* const all[] = {&reference_backend, &cpu_backend, &cuda_backend};
  return all;
}

std::vector<DeviceReport> devices() {
  std::vector<DeviceReport> reports;
  for (const Backend* b : backends()) {
    DeviceReport r{std::string(b->name), "", b->unavailable()};
    if (r.unavailable.empty()) r.description = b->description();
    reports.push_back(r);
  }
  return reports;
}

const Backend& choose_backend(Device device, const char* hint, std::vector<std::string>& warnings) {
  if (device == Device::reference) return reference_backend;
  if (device == Device::cpu) return cpu_backend;
  const std::string reason = cuda_backend.unavailable();
  if (reason.empty()) return cuda_backend;
  if (device == Device::cuda)
    throw Error(ErrorKind::device_unavailable, "CUDA cannot be used: " + reason, hint);
  warnings.push_back("CUDA is not used: " + reason + "; running on the CPU");
  return cpu_backend;
}

}  // namespace softreg
