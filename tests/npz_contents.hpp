// Everything an .npz file holds, read through NpzFile: for comparing, printing and fuzzing.
#pragma once
#include <fmt/format.h>

#include <cstring>
#include <string>
#include <vector>

#include "npz.hpp"

namespace softreg::test {

// One line per array: name, dtype, order, shape, then the elements: floats as the hexadecimal bits
// of float64, integers in decimal, strings as hexadecimal bytes.
inline std::string contents(NpzFile& file) {
  std::string out;
  for (const std::string& name : file.names()) {
    const NpyHeader& header = file.header(name);
    out += fmt::format("{} {} {} {}", name, softreg::name(header.dtype),
                       header.fortran_order ? "F" : "C", shape_text(header.shape));
    if (readable_as<double>(header.dtype)) {
      for (const double value : file.read<double>(name)) {
        std::uint64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        out += fmt::format(" {:016x}", bits);
      }
    } else if (readable_as<std::int64_t>(header.dtype)) {
      for (const std::int64_t value : file.read<std::int64_t>(name)) {
        out += fmt::format(" {}", value);
      }
    } else {
      for (const std::string& text : file.read_strings(name)) {
        out += " x";
        for (const char c : text) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
      }
    }
    out += '\n';
  }
  return out;
}

}  // namespace softreg::test
