#!/bin/sh
# lint.sh format: rewrites the sources with clang-format.
# lint.sh check BUILD: format, clang-tidy, cppcheck, shellcheck, Python syntax; BUILD is a
# configured build folder (its compile commands are used). Every complaint is an error.
set -eu
cd "$(dirname "$0")/.."

sources() {
  find include kernels src tests bench \( -name '*.hpp' -o -name '*.h' -o -name '*.cpp' \
    -o -name '*.cu' -o -name '*.cuh' \) -print
}
scripts() { find cmake bench tests examples .ci \( -name '*.sh' -o -name run \) -print; }

step() { printf '==> lint: %s\n' "$*"; }

# The kernel headers have no source file of their own in C++: one that includes them all.
kernel_headers() {
  mkdir -p "$1/lint"
  for header in kernels/*.hpp; do
    printf '#include "%s"\n' "$(basename "$header")"
  done > "$1/lint/kernel_headers.cpp"
  printf '%s\n' "$1/lint/kernel_headers.cpp"
}

check() {
  jobs=$(nproc)
  step clang-format
  sources | xargs clang-format --dry-run -Werror
  step shellcheck
  scripts | xargs shellcheck
  step "Python syntax"
  find tests bench examples -name '*.py' -exec /usr/bin/python3 -c '
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path).read(), path)' {} +
  step cppcheck  # 2.10 does not parse [=, *this] and [&]<class T>(); clang-tidy reads those files
  cppcheck -q -j "$jobs" --std=c++20 --language=c++ --inline-suppr --error-exitcode=1 \
    --enable=warning,performance,portability --suppress=syntaxError --suppress=internalAstError -I include -I kernels -I src src kernels
  step clang-tidy
  # What it reads may lie in a build folder that is nowhere below .clang-tidy.
  config=$(cat .clang-tidy)
  clang-tidy --quiet --config="$config" "$(kernel_headers "$1")" -- -std=c++20 -Iinclude -Ikernels
  # The groups of lint.cmake, and what is in none: sources of a namespace of their own, that of a build
  # without CUDA, and of what is compiled loss by loss one loss.
  groups=$(grep -c '"file":.*/CMakeFiles/linted_' "$1/compile_commands.json") || groups=0
  [ "$groups" -ge 4 ] || { echo "lint: only $groups groups of sources in $1/compile_commands.json" >&2; exit 1; }
  run-clang-tidy-14 -quiet -config="$config" -j "$jobs" -p "$1" \
    "($1/CMakeFiles/linted_.*|$PWD/src/(cpu_lanes|lane_parts|cuda_absent)|$1/losses/(Memory|Lane)Solver/softmax_l2)\.c" \
    > "$1/lint/clang-tidy.log" 2>&1 || {
    sed 's/\x1b\[[0-9;]*m//g' "$1/lint/clang-tidy.log" | grep -E '(error|warning|note):' | sort -u
    exit 1
  }
  step "no complaint"
}

case "$*" in
  format) sources | xargs clang-format -i ;;
  'check '*) check "$2" ;;
  *) sed -n '2,4s/^# //p' "$0" >&2; exit 2 ;;
esac
