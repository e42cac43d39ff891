#include "softreg/result.hpp"

namespace softreg {

std::string_view status_name(Status status) {
  switch (status) {
    case Status::converged:
      return "converged";
    case Status::stalled:
      return "stalled";
    case Status::max_steps:
      return "max_steps";
    case Status::diverged:
      return "diverged";
    case Status::bad_input:
      return "bad_input";
    case Status::bad_target:
      return "bad_target";
    case Status::bad_parameter:
      return "bad_parameter";
    case Status::overflow:
      return "overflow";
    case Status::singular:
      return "singular";
    case Status::not_run:
      return "not_run";
    case Status::device_error:
      return "device_error";
  }
  return "unknown";
}

}  // namespace softreg
