# softreg_flags: language level, warnings as errors, floating-point rules and sanitizers of every
# translation unit of ours. The bits of the results rest on these flags; no fast-math, ever.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# The program and the library stand side by side in the build folder and find each other by $ORIGIN,
# so the folder can be copied; the installed program has the library in ../lib.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
set(CMAKE_INSTALL_RPATH $ORIGIN $ORIGIN/.. $ORIGIN/../lib)

# -fno-math-errno and -fno-trapping-math change no result; g++ 12 needs them to vectorise lane loops.
# Errors name a source file relative to the project, wherever it was built.
set(softreg_cxx_flags -Wall -Wextra -Wshadow -Wconversion -Werror
    -ffp-contract=off -fno-math-errno -fno-trapping-math -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)

if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND softreg_cxx_flags -Wreserved-identifier -Wzero-as-null-pointer-constant
    -Wsuggest-override)
endif()

# g++ 12 sees overlaps in std::string::insert and replace that are not there (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND softreg_cxx_flags -Wno-restrict)
endif()

# g++ and builds with a sanitizer parse common headers once; the preset clang sees
# each file as it is, so that none leans on what is parsed before it.
set(softreg_precompile OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" OR SOFTREG_SANITIZE)
  set(softreg_precompile ON)
endif()

add_library(softreg_flags INTERFACE)
target_compile_options(softreg_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${softreg_cxx_flags}>")
if(SOFTREG_SANITIZE)
  # -g1: line numbers in reports at a third of the compile time and size of -g.
  set(softreg_sanitize_flags -fsanitize=${SOFTREG_SANITIZE} -fno-sanitize-recover=all
      -fno-omit-frame-pointer -g1)
  target_compile_options(softreg_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:${softreg_sanitize_flags}>")
  target_link_options(softreg_flags INTERFACE -fsanitize=${SOFTREG_SANITIZE})
endif()
