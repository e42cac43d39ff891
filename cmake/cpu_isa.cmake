# The lane-group evaluators, compiled once per instruction set and chosen at run time by CPUID.
#
# Flags per file and inline functions do not mix: every object emits its own copy of each inline
# function or template that it uses, the linker keeps one of them, and a v4 copy kept for all
# crashes on an older processor. So the whole namespace is renamed per object
# (-Dsoftreg=softreg_x86_64_v3): no symbol of ours is shared. Templates of std:: could still be;
# tests/isa_symbols_test.py demands that no weak symbol of an ISA object exists anywhere else.
set(SOFTREG_ISAS x86-64 x86-64-v3 x86-64-v4 CACHE STRING
  "Instruction sets for which the CPU backend is compiled; a processor needs one of them")
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  message(FATAL_ERROR "softreg needs an x86-64 processor, this one is ${CMAKE_SYSTEM_PROCESSOR}")
endif()

foreach(isa IN LISTS SOFTREG_ISAS)
  if(NOT isa MATCHES "^x86-64(-v[34])?$")
    message(FATAL_ERROR "SOFTREG_ISAS has '${isa}' but knows x86-64, x86-64-v3 and x86-64-v4 only")
  endif()
endforeach()
if(NOT SOFTREG_ISAS)
  message(FATAL_ERROR "SOFTREG_ISAS is empty")
endif()

function(softreg_add_cpu_isas target)
  softreg_for_each_loss(sources LaneSolver lane_solver.hpp cpp)
  list(APPEND sources ${PROJECT_SOURCE_DIR}/src/cpu_lanes.cpp
    ${PROJECT_SOURCE_DIR}/src/lane_parts.cpp)
  foreach(isa IN LISTS SOFTREG_ISAS)
    string(REPLACE "-" "_" name ${isa})
    set(objects softreg_${name})
    add_library(${objects} OBJECT ${sources})
    target_include_directories(${objects} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(${objects} PRIVATE softreg_flags softreg_kernels)
    target_compile_definitions(${objects} PRIVATE softreg=${objects} SOFTREG_ISA=${name})
    target_compile_options(${objects} PRIVATE -march=${isa})
    # The baseline has no fused multiply-add, so that little of it vectorises: -O3 would gain a fifth
    # and double its compile time.
    if(NOT SOFTREG_SANITIZE AND NOT isa STREQUAL x86-64)
      target_compile_options(${objects} PRIVATE -O3)
    endif()
    target_compile_definitions(${target} PRIVATE SOFTREG_HAS_${name})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
  endforeach()
endfunction()
