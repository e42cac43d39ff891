// A backend is a name, a question and two functions. backends() lists them, best last.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "run.hpp"
#include "softreg/result.hpp"

namespace softreg {

struct Backend {
  std::string_view name;
  std::string (*unavailable)();  // empty: ready
  std::string (*description)();
  // plan fills the summary without running; run solves run.fit and publishes. Both throw Error.
  void (*plan_f32)(const Run<float>&, PlanSummary&);
  void (*plan_f64)(const Run<double>&, PlanSummary&);
  void (*run_f32)(Run<float>&, PlanSummary&);
  void (*run_f64)(Run<double>&, PlanSummary&);

  void plan(const Run<float>& r, PlanSummary& s) const { plan_f32(r, s); }
  void plan(const Run<double>& r, PlanSummary& s) const { plan_f64(r, s); }
  void run(Run<float>& r, PlanSummary& s) const { run_f32(r, s); }
  void run(Run<double>& r, PlanSummary& s) const { run_f64(r, s); }
};

extern const Backend reference_backend, cpu_backend, cuda_backend;
std::span<const Backend* const> backends();

// Throws Error device_unavailable; automatic: CUDA if it can be used, else the CPU and a warning.
// hint: what to do where CUDA is asked for and cannot be used.
const Backend& choose_backend(Device device, const char* hint, std::vector<std::string>& warnings);

}  // namespace softreg
