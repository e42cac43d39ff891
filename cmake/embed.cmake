# cmake -DHEADERS=... -DOUTPUT=... -P embed.cmake: a source file that has these headers as text, each
# under the name by which kernels include it.
set(content "// Made by cmake/embed.cmake.
#include \"kernel_sources.hpp\"

namespace softreg {
namespace {

constexpr SourceFile sources[] = {\n")
foreach(header IN LISTS HEADERS)
  file(READ ${header} text)
  string(REGEX REPLACE "^.*/(kernels|include)/" "" name ${header})
  string(APPEND content "{\"${name}\", R\"source(${text})source\"},\n")
endforeach()
string(APPEND content "};

}  // namespace

std::span<const SourceFile> kernel_sources() { return sources; }

}  // namespace softreg\n")
file(WRITE ${OUTPUT} "${content}")
