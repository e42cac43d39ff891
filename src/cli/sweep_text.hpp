// The short tables that a person sees of a sweep, made from the documents of --json.
#pragma once
#include <string>

#include "document.hpp"

namespace softreg {

std::string sweep_plan_text(const Json& document);    // of --dry-run
std::string sweep_run_text(const Json& document);     // of run and resume
std::string sweep_status_text(const Json& document);  // of status

}  // namespace softreg
