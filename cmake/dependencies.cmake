# The libraries of Debian 12 that softreg stands on. None of them appears in a public header.
find_package(fmt REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(Threads REQUIRED)

# Libraries that ship no CMake package of their own.
function(softreg_find_library target header library)
  find_path(${library}_INCLUDE_DIR ${header} REQUIRED)
  find_library(${library}_LIBRARY ${library} REQUIRED)
  mark_as_advanced(${library}_INCLUDE_DIR ${library}_LIBRARY)
  add_library(${target} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES
    IMPORTED_LOCATION ${${library}_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${${library}_INCLUDE_DIR})
endfunction()
softreg_find_library(deflate::deflate libdeflate.h deflate)
# Of xxHash the header alone, compiled in.
find_path(xxhash_INCLUDE_DIR xxhash.h REQUIRED)
mark_as_advanced(xxhash_INCLUDE_DIR)
add_library(xxhash::header INTERFACE IMPORTED GLOBAL)
set_target_properties(xxhash::header PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES ${xxhash_INCLUDE_DIR})
# Static: its kernels are generated at run time. The second library stands for the BLAS that it
# would fall back to, which is never called.
softreg_find_library(xsmm::noblas libxsmm.h xsmmnoblas)
softreg_find_library(xsmm::xsmm libxsmm.h xsmm)
set_property(TARGET xsmm::xsmm APPEND PROPERTY
  INTERFACE_LINK_LIBRARIES xsmm::noblas Threads::Threads ${CMAKE_DL_LIBS} m)

# What src/parallel.hpp uses. Debian's oneTBB is not instrumented for ThreadSanitizer, so the
# preset tsan puts std::thread there.
add_library(softreg_threads INTERFACE)
if(SOFTREG_THREADS STREQUAL "std")
  target_compile_definitions(softreg_threads INTERFACE SOFTREG_STD_THREADS=1)
  target_link_libraries(softreg_threads INTERFACE Threads::Threads)
elseif(SOFTREG_THREADS STREQUAL "tbb")
  find_package(TBB REQUIRED)
  target_link_libraries(softreg_threads INTERFACE TBB::tbb Threads::Threads)
else()
  message(FATAL_ERROR "SOFTREG_THREADS is '${SOFTREG_THREADS}'; expected tbb or std")
endif()
