// libFuzzer: any bytes are an .npz file or an Error, nothing else.
#include <cstddef>
#include <cstdint>
#include <span>

#include "npz_contents.hpp"
#include "softreg/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    softreg::NpzFile file = softreg::NpzFile::from_bytes(std::as_bytes(std::span(data, size)), "f");
    softreg::test::contents(file);
  } catch (const softreg::Error&) {
  }
  return 0;
}
