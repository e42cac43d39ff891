"""Ragged batches on the CPU beside the uniform batch of equal work: n drawn from 8 to 128, and n = 68; d = 16.

python3 bench/ragged.py [build/release/softreg] [--threads N]

softmax_l2, gradient descent of a fixed number of steps; both batches in turn, best of seven. The fewer the instances,
the fewer of them share a shape and lie side by side.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("program", nargs="?", default="build/release/softreg")
parser.add_argument("--threads", type=int, default=1)
arguments = parser.parse_args()


def softreg(*words):
    command = [arguments.program, *(str(word) for word in words), "--json", "-q"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


with tempfile.TemporaryDirectory() as folder:
    for dtype in ("f32", "f64"):
        for count in (8000, 2000, 500, 100):
            files = {rows: pathlib.Path(folder, f"{dtype}-{count}-{rows.replace(':', '-')}.npz")
                     for rows in ("8:128", "68")}
            seconds = dict.fromkeys(files, float("inf"))
            for rows, file in files.items():
                softreg("gen", file, "--n", rows, "--d", 16, "--count", count, "--dtype", dtype, "--radius", 2)
            for _ in range(7):
                for rows, file in files.items():
                    run = softreg("solve", file, "--device", "cpu", "--threads", arguments.threads, "--tol", 0,
                                  "--max-steps", 1600000 // count, "--step-size", 0.01)
                    seconds[rows] = min(seconds[rows], run["solve_seconds"])
            ragged, uniform = seconds.values()
            print(f"{dtype} {count:5,} instances: ragged {ragged:.3f} s, uniform {uniform:.3f} s, "
                  f"ratio {ragged / uniform:.2f}", flush=True)
