// libFuzzer: any bytes are a table or an Error; a table is consistent.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "csv.hpp"
#include "softreg/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const softreg::CsvTable table = softreg::parse_csv(text, "f", "g", "t", {"a", "b"});
    const auto rows = static_cast<std::size_t>(table.offsets.back());
    if (rows == 0 || table.target.size() != rows || table.features.size() != 2 * rows ||
        table.labels.size() + 1 != table.offsets.size()) {
      std::abort();
    }
  } catch (const softreg::Error&) {
  }
  return 0;
}
