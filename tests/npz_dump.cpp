// Prints what softreg reads from an .npz file and, given a second path, writes it there again: for
// numpy_files_test.py. An Error goes to stderr and its kind becomes the exit status.
#include <cstdio>
#include <string>
#include <vector>

#include "npz_contents.hpp"
#include "softreg/error.hpp"

namespace {

using softreg::NpyHeader;
using softreg::NpzFile;
using softreg::NpzWriter;

template <class T>
void copy_numbers(NpzFile& file, const std::string& name, NpzWriter& writer) {
  const std::vector<std::int64_t> shape = file.header(name).shape;
  writer.add<T>(name, file.read<T>(name), shape);
}

void copy_array(NpzFile& file, const std::string& name, NpzWriter& writer) {
  const NpyHeader header = file.header(name);
  switch (header.dtype) {
    case softreg::Dtype::f32:
      return copy_numbers<float>(file, name, writer);
    case softreg::Dtype::f64:
      return copy_numbers<double>(file, name, writer);
    case softreg::Dtype::i32:
      return copy_numbers<std::int32_t>(file, name, writer);
    case softreg::Dtype::i64:
      return copy_numbers<std::int64_t>(file, name, writer);
    case softreg::Dtype::unicode:
    case softreg::Dtype::bytes:
      break;
  }
  const std::vector<std::string> strings = file.read_strings(name);
  header.shape.empty() ? writer.add_text(name, strings[0]) : writer.add_strings(name, strings);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::fprintf(stderr, "usage: npz_dump FILE.npz [COPY.npz]\n");
    return 2;
  }
  try {
    NpzFile file = NpzFile::open(argv[1]);
    std::fputs(softreg::test::contents(file).c_str(), stdout);
    if (argc == 2) return 0;
    NpzWriter writer(argv[2], false);
    for (const std::string& name : file.names()) copy_array(file, name, writer);
    writer.finish();
  } catch (const softreg::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return static_cast<int>(error.kind());
  }
  return 0;
}
