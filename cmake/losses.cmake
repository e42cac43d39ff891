# A machine for a loss is a template. Here is made, per machine and loss, the source file that
# instantiates it: a change of one loss compiles that loss alone, and a new one, a header in
# model/losses/, is everywhere.
file(GLOB softreg_loss_headers CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/include/softreg/model/losses/*.hpp)

# Appends to the list `sources` one file per loss: template struct softreg::<machine><Loss>, which
# `header` defines. With types of numbers as further arguments, one file per loss and type:
# softreg::<machine><Loss, type>.
function(softreg_for_each_loss sources machine header suffix)
  foreach(loss_header IN LISTS softreg_loss_headers)
    get_filename_component(name ${loss_header} NAME_WE)  # softmax_l2
    set(loss "")                                         # SoftmaxL2
    string(REPLACE "_" ";" words ${name})
    foreach(word IN LISTS words)
      string(SUBSTRING ${word} 0 1 first)
      string(SUBSTRING ${word} 1 -1 rest)
      string(TOUPPER ${first} first)
      string(APPEND loss ${first}${rest})
    endforeach()
    set(content "// Made by cmake/losses.cmake.
#include \"${header}\"
#include \"softreg/model/losses/${name}.hpp\"
")
    set(source ${PROJECT_BINARY_DIR}/losses/${machine}/${name})
    foreach(type IN LISTS ARGN)
      file(CONFIGURE OUTPUT ${source}_${type}.${suffix} CONTENT
        "${content}template struct softreg::${machine}<softreg::${loss}, ${type}>;\n")
      list(APPEND ${sources} ${source}_${type}.${suffix})
    endforeach()
    if(NOT ARGN)
      file(CONFIGURE OUTPUT ${source}.${suffix} CONTENT
        "${content}template struct softreg::${machine}<softreg::${loss}>;\n")
      list(APPEND ${sources} ${source}.${suffix})
    endif()
  endforeach()
  set(${sources} ${${sources}} PARENT_SCOPE)
endfunction()
