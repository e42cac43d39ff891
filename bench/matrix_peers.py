"""Matrix problems, softmax_l2, gradient descent, f32: softreg beside NumPy, PyTorch and JAX where they are installed.

python3 bench/matrix_peers.py [build/release/softreg] [--threads N]

Every peer makes the same steps on the same data in the same run, is checked against softreg's X first, and is
timed by its best of three. The figures are steps per second and their ratio to softreg's.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("program", nargs="?", default="build/release/softreg")
parser.add_argument("--threads", type=int, default=1)
arguments = parser.parse_args()
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(arguments.threads)
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:arguments.threads])  # also for those that read no variable

import numpy as np  # noqa: E402: after the number of threads is set

SHAPES = [(128, 16, 64, 40), (512, 64, 4, 20), (2048, 64, 1, 8), (128, 384, 4, 400)]  # n = m, d, count, steps


def softreg(program, a1, a2, b, eta, steps):
    with tempfile.TemporaryDirectory() as folder:
        problem, result = pathlib.Path(folder, "p.npz"), pathlib.Path(folder, "r.npz")
        np.savez(problem, A1=a1, A2=a2, B=b)
        command = [program, "solve", problem, "-o", result, "--json", "-q", "--step-size", eta, "--max-steps", steps,
                   "--tol", 0, "--device", "cpu", "--threads", arguments.threads, "--force"]
        seconds = min(json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True,
                                                text=True).stdout)["solve_seconds"] for _ in range(3))
        with np.load(result) as file:
            return file["X"], seconds


def numpy_steps(a1, a2, b, eta, steps):
    x = np.zeros((a1.shape[0], a1.shape[2], a2.shape[2]), np.float32)
    a1t, a2t = a1.transpose(0, 2, 1), a2.transpose(0, 2, 1)
    for _ in range(steps):
        f = a1 @ x @ a2t
        f -= f.max(axis=2, keepdims=True)
        np.exp(f, out=f)
        f /= f.sum(axis=2, keepdims=True)
        c = f - b
        c -= (f * c).sum(axis=2, keepdims=True)
        c *= f
        x -= eta * (a1t @ c @ a2)
    return x


def torch_steps():
    import torch
    torch.set_num_threads(arguments.threads)

    def run(a1, a2, b, eta, steps):
        a1, a2, b = (torch.from_numpy(v) for v in (a1, a2, b))
        x = torch.zeros(a1.shape[0], a1.shape[2], a2.shape[2])
        for _ in range(steps):
            f = torch.softmax(a1 @ x @ a2.mT, dim=2)
            c = f - b
            x -= eta * (a1.mT @ (f * (c - (f * c).sum(2, keepdim=True))) @ a2)
        return x.numpy()
    return run


def jax_steps():
    import jax
    import jax.numpy as jnp

    @jax.jit
    def descend(a1, a2, b, eta, steps):
        def step(_, x):
            f = jax.nn.softmax(a1 @ x @ a2.transpose(0, 2, 1), axis=2)
            c = f - b
            p = f * (c - (f * c).sum(axis=2, keepdims=True))
            return x - eta * (a1.transpose(0, 2, 1) @ p @ a2)
        return jax.lax.fori_loop(0, steps, step, jnp.zeros((a1.shape[0], a1.shape[2], a2.shape[2])))

    return lambda *problem: np.asarray(descend(*problem))


def peers():
    yield "numpy", numpy_steps
    for name, make in (("torch", torch_steps), ("jax", jax_steps)):
        try:
            yield name, make()
        except ImportError:
            print(f"{name} is not installed: left out")


def main():
    rng = np.random.default_rng(1)
    others = list(peers())
    for n, d, count, steps in SHAPES:
        a1, a2 = (rng.standard_normal((count, n, d), np.float32) / np.float32(np.sqrt(d)) for _ in range(2))
        b = rng.dirichlet(np.ones(n), (count, n)).astype(np.float32)
        eta = np.float32(0.02)
        x, best = softreg(arguments.program, a1, a2, b, eta, steps)
        line = f"({n},{d}) x {count}: softreg {count * steps / best:.4g} steps/s"
        for name, run in others:
            mine = run(a1, a2, b, eta, steps)
            assert np.abs(mine - x).max() < 1e-3 * np.abs(x).max(), (name, np.abs(mine - x).max())
            times = []
            for _ in range(3):
                start = time.perf_counter()
                run(a1, a2, b, eta, steps)
                times.append(time.perf_counter() - start)
            line += f", {name} {count * steps / min(times):.4g} (x {min(times) / best:.2f})"
        print(line, flush=True)


main()
