#!/bin/sh
# sh evidence.sh OUTDIR: what this machine's GPU does with the bundle that this script lies in. Runs the
# GPU tests, compute-sanitizer's four tools where the machine has them, and one timing per size class but those of the
# trace bounds;
# writes OUTDIR/evidence.json and a log per stage. Takes at most 8 minutes: every stage has its own
# time limit. Exit codes: 0 everything passed, 1 something failed, 2 usage, 5 no usable GPU.
set -eu

seconds_in_all=470
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer:/usr/local/nvidia/bin
start=$(date +%s)
failures=0

[ $# -eq 1 ] || { echo "usage: sh evidence.sh OUTDIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
export SOFTREG_CACHE_DIR="$work/kernels"
trap 'rm -rf "$work"' EXIT

say() { printf '==> %s\n' "$*" >&2; }

# A JSON string of all of stdin.
quote() {
  printf '"'
  sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e "s/$(printf '\t')/ /g" | tr -d '\000-\010\013-\037' |
    awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }'
  printf '"'
}
text() { printf '%s' "$*" | quote; }
manifest() { sed -n "s/^$1=//p" "$here/manifest"; }

# The stage's own limit, or what is left of all; 0: nothing is left.
limited() {
  left=$((seconds_in_all - $(date +%s) + start))
  [ "$left" -lt "$1" ] || left=$1
  [ "$left" -gt 0 ] || left=0
  printf '%s' "$left"
}
# within LIMIT COMMAND...: exit code 124 when the time was up, before or meanwhile.
within() {
  seconds=$(limited "$1")
  shift
  [ "$seconds" -gt 0 ] || return 124
  timeout -k 5 "$seconds" "$@"
}

# stage NAME LIMIT COMMAND...: runs it into OUTDIR/NAME.log and appends a result to the JSON.
stage() {
  name=$1
  seconds=$2
  shift 2
  say "$name (at most $seconds s)"
  began=$(date +%s)
  code=0
  within "$seconds" "$@" > "$out/$name.log" 2>&1 || code=$?
  case $code in
    0) result=passed ;;
    124 | 137) result="out of time" ;;
    *) result=failed ;;
  esac
  if grep -q '^\[  PASSED  \] 0 tests' "$out/$name.log"; then result="nothing ran"; fi
  [ "$result" = passed ] || failures=$((failures + 1))
  record "$name" "$result" "$code" "$(($(date +%s) - began))" "$*"
}

# record NAME RESULT EXIT_CODE SECONDS COMMAND
record() {
  [ ! -s "$work/stages" ] || printf ',\n' >> "$work/stages"
  printf '    {"name": %s, "result": %s, "exit_code": %s, "seconds": %s, "command": %s, "log": %s}' \
    "$(text "$1")" "$(text "$2")" "$3" "$4" "$(text "$5")" "$(text "$1.log")" >> "$work/stages"
}

smi() {
  command -v nvidia-smi > /dev/null || return 0
  timeout 20 nvidia-smi --query-gpu="$1" --format=csv,noheader 2> /dev/null | head -n 1 || true
}

# write_json DEVICE REASON
write_json() {
  {
    printf '{\n  "schema_version": 1,\n'
    printf '  "date": %s,\n' "$(text "$(date -u +%Y-%m-%dT%H:%M:%SZ)")"
    printf '  "softreg_version": %s,\n' "$(text "$(manifest softreg_version)")"
    printf '  "commit": %s,\n' "$(text "$(manifest commit)")"
    printf '  "device": %s,\n  "reason": %s,\n' "$(text "$1")" "$(text "$2")"
    printf '  "driver": %s,\n' "$(text "$(smi driver_version)")"
    printf '  "clocks": %s,\n' "$(text "$(smi clocks.sm,clocks.mem,clocks.max.sm)")"
    printf '  "kernel": %s,\n' "$(text "$(uname -sr)")"
    printf '  "seconds": %s,\n  "failures": %s,\n' "$(($(date +%s) - start))" "$failures"
    printf '  "doctor": %s,\n' "$(document "$out/doctor.json")"
    printf '  "stages": [\n%s\n  ],\n' "$(cat "$work/stages" 2> /dev/null)"
    printf '  "timings": [\n%s\n  ]\n}\n' "$(cat "$work/timings" 2> /dev/null)"
  } > "$work/evidence.json"
  mv "$work/evidence.json" "$out/evidence.json"
  say "$out/evidence.json"
}

# A JSON document that a program wrote, or null.
document() { if [ -s "$1" ] && [ "$(head -c 1 "$1")" = "{" ]; then cat "$1"; else printf null; fi; }

# timing CLASS DTYPE COUNT STEPS GEN-FLAGS...: one solve, no early stop; where there is a fast arithmetic, also with it
# (its kernel is made first, seconds that do not count). Instances of block_shared share one A, and have the
# b of one in turns; python3 with NumPy makes them.
timing() {
  class=$1 dtype=$2 count=$3 steps=$4
  shift 4
  if [ "$class" = block_shared ] && ! python3 -c 'import numpy' >> "$out/timings.log" 2>&1; then
    say "timing_${class}_$dtype: not run, python3 has no NumPy"
    return
  fi
  say "timing_${class}_$dtype (at most 50 s)"
  code=0 made=$count
  [ "$class" != block_shared ] || made=1
  within 5 "$here/bin/softreg" gen "$work/problem.npz" "$@" --count "$made" --radius 2 \
    --dtype "$dtype" --seed 1 --force >> "$out/timings.log" 2>&1 || code=$?
  if [ "$code" -eq 0 ] && [ "$class" = block_shared ]; then
    within 20 python3 -c 'import sys, numpy
p = numpy.load(sys.argv[1])
b = [numpy.roll(p["b"][0], k) for k in range(int(sys.argv[2]))]
numpy.savez(sys.argv[1], A=p["A"][0], b=numpy.stack(b))' "$work/problem.npz" "$count" >> "$out/timings.log" 2>&1 || code=$?
  fi
  if [ "$code" -eq 0 ]; then
    within 5 "$here/bin/softreg" solve "$work/problem.npz" --device cuda --optimizer nesterov \
      --max-steps "$steps" --tol 0 --json > "$work/solve.json" 2>> "$out/timings.log" || code=$?
    case $class$dtype in
      lanes*f32)
        for repetition in making measured; do
          within 20 "$here/bin/softreg" solve "$work/problem.npz" --device cuda --optimizer nesterov --arithmetic fast \
            --max-steps "$steps" --tol 0 --json > "$work/fast.json" 2>> "$out/timings.log" ||
            echo "$class, fast, $repetition: exit code $?" >> "$out/timings.log"
        done ;;
    esac
  fi
  [ "$code" -eq 0 ] || failures=$((failures + 1))
  [ ! -s "$work/timings" ] || printf ',\n' >> "$work/timings"
  printf '    {"class": %s, "dtype": %s, "exit_code": %s, "solve": %s, "fast": %s}' \
    "$(text "$class")" "$(text "$dtype")" "$code" "$(document "$work/solve.json")" \
    "$(document "$work/fast.json")" >> "$work/timings"
  rm -f "$work/problem.npz" "$work/solve.json" "$work/fast.json"
}

within 60 "$here/bin/softreg" doctor --json > "$out/doctor.json" 2> "$out/doctor.log" || true
"$here/bin/gpu_test" --gtest_filter=GpuSmall.StatusesAreThoseOfTheLanes > "$out/device.log" 2>&1 || true
reason=$(sed -n '/Skipped$/{n;p;q;}' "$out/device.log")
if grep -q '^\[  SKIPPED \]' "$out/device.log"; then
  : "${reason:=the GPU tests were skipped}"
  say "no usable GPU: $reason"
  write_json none "$reason"
  exit 5
fi
device=$(smi name)
say "device: ${device:=unknown}"

stage gpu_test 120 "$here/bin/gpu_test" '--gtest_filter=Gpu*-GpuLarge*:GpuMade*' "--gtest_output=json:$out/gpu_test.json"
stage gpu_made 120 "$here/bin/gpu_test" '--gtest_filter=GpuMade*'
stage gpu_large 80 "$here/bin/gpu_test" '--gtest_filter=GpuLarge*'
[ ! -x "$here/bin/backends_test" ] || stage backends_test 40 "$here/bin/backends_test" '--gtest_filter=Gpu*'
timing lanes1_16x4 f32 400000 2000 --n 16 --d 4
timing lanes2_32x8 f32 200000 2000 --n 32 --d 8
timing lanes8_64x16 f32 100000 2000 --n 64 --d 16
timing lanes32_128x32 f32 10000 2000 --n 128 --d 32
timing lanes32_256x16 f32 10000 2000 --n 256 --d 16
timing lanes128_256x64 f32 4000 2000 --n 256 --d 64
timing lanes128_512x32 f32 4000 2000 --n 512 --d 32
timing lanes256_1024x64 f32 1000 2000 --n 1024 --d 64
timing lanes2048_4096x128 f32 60 2000 --n 4096 --d 128
timing lanes2_16x4 f64 200000 2000 --n 16 --d 4
timing lanes8_32x8 f64 100000 2000 --n 32 --d 8
timing lanes16_64x16 f64 50000 2000 --n 64 --d 16
timing lanes64_128x32 f64 4000 2000 --n 128 --d 32
timing lanes64_256x8 f64 20000 2000 --n 256 --d 8
timing lanes256_256x64 f64 1000 2000 --n 256 --d 64
timing lanes2048_2048x128 f64 60 2000 --n 2048 --d 128
timing stream2048_x16 f32 200 1000 --n 16384 --d 16
timing stream2048_x128 f32 60 1000 --n 8192 --d 128
timing stream2048_x8 f64 200 1000 --n 16384 --d 8
timing stream2048_x32 f64 60 1000 --n 8192 --d 32
timing block_shared f32 2112 1000 --n 2048 --d 256
timing block_shared f64 2112 1000 --n 4096 --d 64
timing block_stream f32 500 1000 --n 2048 --d 256
timing block_stream f64 500 1000 --n 4096 --d 64
timing block_resident f32 2000 200 --problem matrix --n 64 --d 16
timing block_resident f64 2000 200 --problem matrix --n 64 --d 16
timing block_tiles f32 132 20 --problem matrix --n 512 --d 64
timing block_tiles f64 132 20 --problem matrix --n 512 --d 64

for tool in memcheck racecheck initcheck synccheck; do
  if command -v compute-sanitizer > /dev/null; then
    stage "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$here/bin/gpu_test" '--gtest_filter=GpuSmall.*'
  else
    record "$tool" "not run: compute-sanitizer is not installed" null 0 ""
  fi
done

write_json "$device" ""
[ "$failures" -eq 0 ] || { say "$failures stages failed"; exit 1; }
