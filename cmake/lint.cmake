# Targets `format` (rewrites) and `lint` (complains): the work is done by cmake/lint.sh.
add_custom_target(format COMMAND sh cmake/lint.sh format
  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} USES_TERMINAL)
add_custom_target(lint COMMAND sh cmake/lint.sh check ${PROJECT_BINARY_DIR}
  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} USES_TERMINAL)
