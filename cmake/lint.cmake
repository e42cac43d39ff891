# Targets `format` (rewrites) and `lint` (complains): the work is done by cmake/lint.sh.
add_custom_target(format COMMAND sh cmake/lint.sh format
  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} USES_TERMINAL)
add_custom_target(lint COMMAND sh cmake/lint.sh check ${PROJECT_BINARY_DIR}
  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} USES_TERMINAL)

# What clang-tidy reads, some twenty sources in one file: one by one it walks through the standard
# library for each of them, which takes most of its time. Never built; lint.sh wants the commands.
# Sources of a group share their anonymous namespace and what they include: those that must not, as
# the compiler then says, are a group of their own, in an order that compiles.
set(apart_sources zip_reader vector_file output_file cuda memory_solver cli/flags)
list(TRANSFORM apart_sources REPLACE "(.+)" "src/\\1.cpp")
foreach(group softreg softreg_files softreg_cli apart)
  set(sources ${${group}_sources})
  list(FILTER sources EXCLUDE REGEX "/losses/")  # made; lint.sh takes those of one loss
  list(TRANSFORM sources REPLACE "^${PROJECT_SOURCE_DIR}/" "")
  if(NOT group STREQUAL apart)
    list(REMOVE_ITEM sources ${apart_sources})
  endif()
  add_library(linted_${group} OBJECT EXCLUDE_FROM_ALL ${sources})
  set_target_properties(linted_${group} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 20)
  target_compile_definitions(linted_${group} PRIVATE SOFTREG_HAS_x86_64_v3)
  target_include_directories(linted_${group} PRIVATE src)
  target_link_libraries(linted_${group} PRIVATE softreg_flags softreg_kernels softreg_threads fmt::fmt
    Eigen3::Eigen xsmm::xsmm xxhash::header deflate::deflate nlohmann_json::nlohmann_json CLI11::CLI11
    tomlplusplus::tomlplusplus)
endforeach()
