#!/bin/sh
# sh bench/gpu/pack.sh [OUT.tar.gz]: packs build/release into one archive that runs on a machine with
# an NVIDIA GPU, its driver, glibc and nothing else (no network, no compiler, no cuBLAS). Programs in
# bin/, libraries in lib/, found by $ORIGIN; evidence.sh beside them. Environment: SOFTREG_BUILD_DIR
# packs another build folder, SOFTREG_BUNDLE_BYTES sets another limit than 50,000,000 bytes, and
# SOFTREG_BUNDLE_WITHOUT_CUDA=1 packs a build without kernels (to try the scripts).
set -eu

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${SOFTREG_BUILD_DIR:-$root/build/release}
limit=${SOFTREG_BUNDLE_BYTES:-50000000}
out=${1:-softreg-gpu.tar.gz}

[ $# -le 1 ] || fail "usage: sh bench/gpu/pack.sh [OUT.tar.gz]"
for tool in ldd readelf tar; do
  command -v "$tool" > /dev/null || fail "$tool is needed and was not found (Debian packages libc-bin, binutils, tar)"
done
for needed in softreg libsoftreg.so tests/gpu_test; do
  [ -e "$build/$needed" ] || fail "$build/$needed does not exist: build first (cmake --workflow --preset check)"
done
readelf -S "$build/libsoftreg.so" | grep -q nv_fatbin || [ "${SOFTREG_BUNDLE_WITHOUT_CUDA:-0}" = 1 ] ||
  fail "$build/libsoftreg.so has no CUDA kernels: configure with nvcc, or name the build in SOFTREG_BUILD_DIR"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=$work/softreg-gpu
mkdir -p "$bundle/bin" "$bundle/lib"

cp "$here/evidence.sh" "$here/README.md" "$root/LICENSE" "$bundle/"
cp "$build/libsoftreg.so" "$bundle/lib/"

# Part of every machine that runs the archive; a second copy would not fit its loader.
belongs_to_glibc() {
  case $1 in
    linux-vdso.so.* | *ld-linux-* | libc.so.* | libm.so.* | libpthread.so.* | libdl.so.* | librt.so.*) return 0 ;;
    *) return 1 ;;
  esac
}

# Lines "NAME PATH" of the libraries of a program; no PATH for a library that is not found.
libraries() {
  env -i PATH="$PATH" ldd "$1" | sed -n -e 's/^[[:space:]]*\([^ ]*\) => not found$/\1 /p' \
    -e 's/^[[:space:]]*\([^ ]*\) => \(.*\) (0x[0-9a-f]*)$/\1 \2/p'
}

for program in softreg tests/gpu_test tests/backends_test bench/solve_bench; do
  [ -x "$build/$program" ] || continue
  cp "$build/$program" "$bundle/bin/"
  libraries "$build/$program" >> "$work/libraries"
done
while read -r name path; do
  if belongs_to_glibc "$name" || [ "$name" = libsoftreg.so ]; then continue; fi
  case $name in
    libcublas* | libcudart* | libcuda.so*) fail "$name is linked, but a bundle holds no CUDA library" ;;
  esac
  [ -f "$path" ] || fail "the library $name was not found on this machine"
  cp -L "$path" "$bundle/lib/$name"
done < "$work/libraries"

# The bundle must find everything in itself, whatever this machine has installed.
for program in "$bundle"/bin/*; do
  libraries "$program" > "$work/found"
  while read -r name path; do
    if belongs_to_glibc "$name"; then continue; fi
    case $path in
      "$bundle"/*) ;;
      *) fail "${program##*/} takes $name from $path and not from the bundle" ;;
    esac
  done < "$work/found"
done

# The newest version of glibc that anything in the bundle asks for.
glibc=$(for file in "$bundle"/bin/* "$bundle"/lib/*; do readelf -V "$file"; done |
  sed -n 's/.*Name: GLIBC_\([0-9.]*\).*/\1/p' | sort -t . -k 1,1n -k 2,2n | tail -n 1)
{
  printf 'softreg_version=%s\n' "$(sed -n 's/.*SOFTREG_VERSION_STRING "\(.*\)".*/\1/p' "$root/include/softreg/version.hpp")"
  printf 'commit=%s\n' "$(git -C "$root" rev-parse HEAD 2> /dev/null || echo unknown)"
  printf 'glibc=%s\n' "$glibc"
} > "$bundle/manifest"

tar -C "$work" --owner=0 --group=0 -czf "$work/archive" softreg-gpu
bytes=$(wc -c < "$work/archive" | tr -d ' ')
[ "$bytes" -le "$limit" ] || fail "the archive has $bytes bytes but may have at most $limit"
mv "$work/archive" "$out"
printf '%s: %s bytes, needs glibc %s or newer\n' "$out" "$bytes" "$glibc"
