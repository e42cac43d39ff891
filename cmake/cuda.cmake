# The CUDA backend: only .cu files meet nvcc. Without nvcc the same symbols come from cuda_absent.cpp.
set(SOFTREG_HAVE_CUDA OFF)

# nvcc from PATH, CUDA_PATH, NVIDIA's usual place, or the private venv of cmake/bootstrap.sh.
if(NOT SOFTREG_CUDA STREQUAL "OFF" AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  file(GLOB venv_toolkit ${PROJECT_SOURCE_DIR}/build/venv/lib/python3*/site-packages/nvidia/cu*/bin)
  find_program(SOFTREG_NVCC nvcc HINTS ENV CUDA_PATH PATH_SUFFIXES bin
               PATHS /usr/local/cuda/bin ${venv_toolkit})
  mark_as_advanced(SOFTREG_NVCC)
  if(SOFTREG_NVCC)
    set(CMAKE_CUDA_COMPILER ${SOFTREG_NVCC} CACHE FILEPATH "nvcc" FORCE)
  endif()
endif()

if(SOFTREG_CUDA STREQUAL "OFF")
  message(STATUS "CUDA backend: off (SOFTREG_CUDA)")
elseif(CMAKE_CUDA_COMPILER OR DEFINED ENV{CUDACXX})
  set(CMAKE_CUDA_ARCHITECTURES ${SOFTREG_CUDA_ARCHITECTURES})
  enable_language(CUDA)
  # CMake 3.25 does not know that nvcc speaks C++20.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA_STANDARD 20)
  set(SOFTREG_HAVE_CUDA ON)
  message(STATUS "CUDA backend: nvcc ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
elseif(SOFTREG_CUDA STREQUAL "AUTO")
  message(STATUS "CUDA backend: not compiled, nvcc was not found")
else()
  message(FATAL_ERROR "SOFTREG_CUDA is ${SOFTREG_CUDA} but nvcc was not found: put it on PATH or set "
                      "CMAKE_CUDA_COMPILER (`sh cmake/bootstrap.sh test` installs one)")
endif()

# What NVRTC compiles at run time is in the library as text.
function(softreg_embed_kernel_sources target)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.hpp)
  file(GLOB_RECURSE model_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/softreg/model/*.hpp)
  list(APPEND headers ${model_headers} ${PROJECT_SOURCE_DIR}/kernels/std_for_nvrtc.cuh)
  set(source ${PROJECT_BINARY_DIR}/kernel_sources.cpp)
  set(script ${PROJECT_SOURCE_DIR}/cmake/embed.cmake)
  add_custom_command(OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} "-DHEADERS=${headers}" -DOUTPUT=${source} -P ${script}
    DEPENDS ${headers} ${script} VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()

function(softreg_add_cuda target)
  if(NOT SOFTREG_HAVE_CUDA)
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src/cuda_absent.cpp)
    return()
  endif()
  softreg_for_each_loss(kernel_sources Launcher launcher.cuh cu float double)
  # An object library of its own: tests/resources_test.py reads the objects.
  add_library(softreg_cuda OBJECT ${kernel_sources} ${PROJECT_SOURCE_DIR}/src/cuda_device.cu)
  target_include_directories(softreg_cuda PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(softreg_cuda PRIVATE softreg_kernels)
  # Machine code is kept compressed: a fifth of its bytes; the driver unpacks what it loads.
  target_compile_options(softreg_cuda PRIVATE -fmad=false -Werror=all-warnings -Xfatbin=-compress-all
    "-Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas,-ffp-contract=off,-fno-math-errno,-fno-trapping-math")
  softreg_embed_kernel_sources(${target})
  # The static runtime lets one binary start on a machine without a driver; its symbols stay inside.
  target_link_libraries(${target} PRIVATE softreg_cuda)
  target_link_options(${target} PRIVATE -Wl,--exclude-libs,libcudart_static.a)
endfunction()
