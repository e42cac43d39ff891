// libFuzzer: any bytes are a member of an .npz file or an Error. Wraps them into an archive whose
// checksum is right, which mutations of whole archives hardly ever reach.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "npz_contents.hpp"
#include "softreg/error.hpp"
#include "zip_builder.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  softreg::test::ZipBuilder builder;
  softreg::test::ZipForm form;
  form.deflated = size % 2 == 1;
  builder.add("A.npy", std::string(reinterpret_cast<const char*>(data), size), form);
  const std::string archive = builder.finish();
  try {
    softreg::NpzFile file =
        softreg::NpzFile::from_bytes(std::as_bytes(std::span<const char>(archive)), "f");
    softreg::test::contents(file);
  } catch (const softreg::Error&) {
  }
  return 0;
}
