#!/bin/sh
# From a bare Debian 12 machine to a running softreg: installs what is missing, builds, and then
# runs the main job (`demo`) or the tests (`test`). A second run needs no network.
set -eu

usage() {
  cat <<'END'
usage: sh cmake/bootstrap.sh demo          build softreg and run the main job, examples/demo.py
       sh cmake/bootstrap.sh test          build everything with CUDA and run the unit tests
       sh cmake/bootstrap.sh test --all    the same, then clang, the sanitizers and lint (CI)
Missing Debian packages are installed by apt-get (as root or with sudo), PyPI packages into
build/venv; all else stays below build/.
END
}

program_packages='g++ cmake ninja-build libtbb-dev libcli11-dev libfmt-dev nlohmann-json3-dev
  libtomlplusplus-dev libeigen3-dev libdeflate-dev libxsmm-dev libxxhash-dev
  python3-venv'
test_packages='libgtest-dev libgmock-dev librapidcheck-dev libmpfr-dev
  libgmp-dev libbenchmark-dev binutils'
check_packages='clang libclang-rt-14-dev clang-tidy clang-format cppcheck shellcheck'

more_packages=

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

missing_packages() {
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
      printf '%s ' "$package"
  done
}

# Runs a command of apt-get as root; its many lines are shown only when it fails.
apt() {
  if [ "$(id -u)" -eq 0 ]; then root=; else root=sudo; fi
  mkdir -p build
  $root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" > build/apt.log 2>&1 ||
    { cat build/apt.log >&2; fail "apt-get $1 failed (its messages are above)"; }
}

install_packages() {
  command -v dpkg-query >/dev/null ||
    fail "no dpkg-query here: this script is for Debian 12; elsewhere install the libraries that it" \
      "names and run: cmake --workflow --preset check"
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || { say "Debian packages: all installed"; return; }
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
    fail "installing Debian packages needs root or sudo; missing are: $missing"
  say "Debian packages: installing $missing"
  apt update
  for package in $missing; do
    apt-cache show "$package" >/dev/null 2>&1 ||
      fail "the Debian package $package is not in this machine's package lists (Debian 12 has it)"
  done
  # shellcheck disable=SC2086  # a list of names
  apt install -y --no-install-recommends $missing
}

# install_python STAMP REQUIREMENT...: into build/venv, once per set of requirements.
install_python() {
  stamp=build/venv/.$1
  shift
  if ! build/venv/bin/python -c '' 2>/dev/null; then
    say "Python: making the private environment build/venv"
    rm -rf build/venv
    /usr/bin/python3 -m venv build/venv || fail "python3 -m venv build/venv failed"
  fi
  [ "$(cat "$stamp" 2>/dev/null)" != "$*" ] || return 0
  say "PyPI packages: installing $* into build/venv"
  build/venv/bin/python -m pip install -q --disable-pip-version-check "$@" ||
    fail "pip could not install (its messages are above): $*"
  echo "$*" > "$stamp"
}

# Debian has no nvcc of its own; PyPI has NVIDIA's compiler, and cmake/cuda.cmake finds it.
install_cuda() {
  if nvcc=$(command -v nvcc); then
    say "CUDA compiler: $nvcc"
  else
    install_python cuda 'nvidia-cuda-nvcc==13.0.*' 'nvidia-cuda-crt==13.0.*' \
      'nvidia-nvvm==13.0.*' 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cccl==13.0.*'
    # nvcc looks for the static runtime in lib64; the wheels put it into lib.
    for toolkit in build/venv/lib/python3*/site-packages/nvidia/cu13; do
      ln -sfn lib "$toolkit/lib64"
    done
    say "CUDA compiler: from PyPI, in build/venv"
  fi
  install_python cuobjdump 'nvidia-cuda-cuobjdump==13.2.*' 'nvidia-cuda-nvdisasm==13.2.*'
  # What makes kernels at run time; of a toolkit it is a part.
  if [ -n "$nvcc" ] && [ -e "$(dirname "$(readlink -f "$nvcc")")/../lib64/libnvrtc.so.13" ]; then
    say "NVRTC: the toolkit's"
  else
    install_python nvrtc 'nvidia-cuda-nvrtc==13.0.*'
  fi
}

# build PRESET TESTS(ON|OFF) TARGET
build() {
  say "configure and build: preset $1"
  cmake --preset "$1" -DSOFTREG_TESTS="$2"
  cmake --build "build/$1" --target "$3" -j "$(nproc)"
}

run_tests() {
  say "tests: preset $1"
  ctest --preset "$1" -j "$(nproc)"
}

timed() {
  start=$(date +%s)
  "$@"
  say "time: $* took $(($(date +%s) - start)) s"
}

demo() {
  say "softreg demo: install what is missing, build build/release/softreg, run examples/demo.py"
  # shellcheck disable=SC2086  # lists of names
  install_packages $program_packages
  install_python demo 'numpy==2.4.*' 'matplotlib==3.*'
  # CUDA is compiled in if a compiler is already there; the demo does not need it.
  # A build folder that has the tests keeps them.
  # shellcheck disable=SC2086
  if [ -z "$(missing_packages $test_packages)" ]; then tests=ON; else tests=OFF; fi
  timed build release $tests softreg_cli
  say "running examples/demo.py"
  SOFTREG_PROGRAM=$PWD/build/release/softreg exec build/venv/bin/python examples/demo.py
}

run_unit_tests() {
  say "softreg test: install what is missing, build preset release with CUDA, run the unit tests"
  # shellcheck disable=SC2086
  install_packages $program_packages $test_packages $more_packages
  install_python demo 'numpy==2.4.*' 'matplotlib==3.*'
  install_python test 'scipy==1.17.*' 'pytest==9.*'
  install_cuda
  timed build release ON all
  timed run_tests release
}

run_all_tests() {
  more_packages=$check_packages
  timed run_unit_tests
  timed build clang ON compiled_tests
  timed run_tests clang
  timed build asan ON all
  timed run_tests asan
  timed build tsan ON threaded_tests
  timed run_tests tsan
  say "lint"
  timed cmake --build build/clang --target lint
}

cd "$(dirname "$0")/.."
case "$*" in
  demo) demo ;;
  test) run_unit_tests ;;
  'test --all') run_all_tests ;;
  --help | -h) usage ;;
  *) usage >&2; exit 2 ;;
esac
