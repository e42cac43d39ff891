#!/bin/sh
# What traces cost: the time of a solve without one, with `shifts` and with `bounds`, side by side.
# usage: sh bench/trace_cost.sh [PROGRAM]   (default build/release/softreg); best of five, one thread
set -eu
program=${1:-build/release/softreg}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

seconds() { # FILE TRACE: the least solve_seconds of five
  for _ in 1 2 3 4 5; do
    "$program" solve "$1" --device cpu --threads 1 --tol 0 --max-steps 200 --trace "$2" --json -q |
      sed -n 's/^ *"solve_seconds": \([0-9.e-]*\),*$/\1/p'
  done | sort -g | head -n 1
}

measure() { # NAME GEN-OPTIONS...
  name=$1
  shift
  "$program" gen "$folder/p.npz" "$@" --radius 2 --force -q > "$folder/gen.txt"
  plain=$(seconds "$folder/p.npz" none)
  echo "$name $plain $(seconds "$folder/p.npz" shifts) $(seconds "$folder/p.npz" bounds)" |
    awk '{printf "%-16s %8.3f s  %5.2f  %5.2f\n", $1, $2, $3 / $2, $4 / $2}'
}

echo "problem            no trace  shifts  bounds"
measure '(16,4)' --n 16 --d 4 --count 20000
measure '(32,8)' --n 32 --d 8 --count 10000
measure '(64,16)' --n 64 --d 16 --count 4000
measure '(128,32)' --n 128 --d 32 --count 1000
measure '(256,64)' --n 256 --d 64 --count 300
measure 'matrix(128,16)' --problem matrix --n 128 --d 16 --count 20
