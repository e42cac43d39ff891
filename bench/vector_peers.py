"""Vector problems, softmax_l2, gradient descent: softreg beside NumPy, PyTorch, JAX and Numba where they are installed.

python3 bench/vector_peers.py [build/release/softreg] [--threads N] [--shapes 16x4,64x16] [--double] [--shared]

Every peer makes the same steps on the same data in the same run, is checked against softreg's x first (which also
compiles what is to be compiled), and is timed by its best of three. The figures are steps per second and softreg's
ratio to them; the last of a line is its ratio to the best peer, and what part of the machine's own bound softreg is
at: 4 n d operations a step at the rate of multiply-adds, or A read twice from the cache that holds it, by
bench/machine_probe right before. Each peer is written for its best speed: the counts
are such that a batch's A stays in a cache of 1 MiB, which those that step all of it at once need. --shared: one A for
all instances, which makes matrix products of theirs (and leaves Numba out).
"""
import argparse
import json
import math
import os
import pathlib
import platform
import subprocess
import tempfile
import time

SHAPES = [(16, 4, 1024, 1500), (32, 8, 512, 2500), (64, 16, 256, 2500), (128, 32, 64, 5000), (256, 64, 16, 8000),
          (1024, 64, 4, 8000), (32, 128, 64, 6000)]  # n, d, count, steps
SHARED = [(64, 16, 4096, 200), (256, 32, 4096, 50), (1024, 64, 1024, 40)]


def shapes(text):
    known = {f"{shape[0]}x{shape[1]}": shape for shape in SHAPES}
    unknown = [name for name in text.split(",") if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return [known[name] for name in text.split(",")]


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("program", nargs="?", default="build/release/softreg")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--shapes", type=shapes, metavar="NxD,...")
parser.add_argument("--double", action="store_true", help="float64, not float32")
parser.add_argument("--shared", action="store_true", help="one A for all; shapes of its own")
arguments = parser.parse_args()
if arguments.shared and arguments.shapes:
    parser.error("--shared has shapes of its own")
arguments.shapes = arguments.shapes or (SHARED if arguments.shared else SHAPES)
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = str(arguments.threads)
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:arguments.threads])  # also for those that read no variable

import numpy as np  # noqa: E402: after the number of threads is set

real = np.float64 if arguments.double else np.float32


def softreg(program, a, b, eta, steps):
    with tempfile.TemporaryDirectory() as folder:
        problem, result = pathlib.Path(folder, "p.npz"), pathlib.Path(folder, "r.npz")
        np.savez(problem, A=a, b=b)
        command = [program, "solve", problem, "-o", result, "--json", "-q", "--step-size", eta, "--max-steps", steps,
                   "--tol", 0, "--device", "cpu", "--threads", arguments.threads, "--force"]
        seconds = min(json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True,
                                                text=True).stdout)["solve_seconds"] for _ in range(3))
        with np.load(result) as file:
            return file["x"], seconds


class Machine:
    """The rates that bench/machine_probe, built beside the program, measures: the best of three."""

    @classmethod
    def of(cls, program):
        """None, and why, where there is no probe of as many threads."""
        probe = pathlib.Path(program).resolve().parent / "bench" / "machine_probe"
        if probe.exists() and arguments.threads <= 2:
            return cls(probe)
        print("no bound of the machine: its probe runs one or two threads" if probe.exists() else
              f"no bound of the machine: {probe} is not built")
        return None

    def __init__(self, probe):
        text = subprocess.run([probe, "--benchmark_format=json", "--benchmark_repetitions=3",
                               "--benchmark_min_time=0.1", f"--benchmark_filter=threads:{arguments.threads}$"],
                              check=True, capture_output=True, text=True).stdout
        self.flops, self.reads = 0, {}  # a second; by KiB of the array
        for row in json.loads(text)["benchmarks"]:
            name = row["name"].split("/")
            if row["run_type"] == "aggregate":
                continue
            if name[0] == "fma":
                self.flops = max(self.flops, row["FLOP/s"])
            else:
                size = int(name[1])
                self.reads[size] = max(self.reads.get(size, 0), row["bytes_per_second"])

    def __str__(self):
        sizes = ", ".join(f"{size} KiB {rate / 1e9:.0f}" for size, rate in self.reads.items())
        return f"machine: {self.flops / 1e9:.0f} GFLOP/s; GB/s from {sizes}"

    def bound(self, n, d):
        """Steps a second. Of an A with more columns than rows, n of them do (A^T = Q R). The cache is that of one A,
        though a pack holds several: of packs whose A together take 16 to 32 KiB the bound is a little high."""
        numbers = n * min(n, d)
        kib = numbers * real().itemsize / 1024
        read = next((rate for size, rate in self.reads.items() if kib <= size), min(self.reads.values()))
        multiplied = self.flops * 4 / real().itemsize / (4 * numbers)
        return multiplied if arguments.shared else min(multiplied, read / (2 * kib * 1024))


def numpy_steps():
    # Before NumPy 2.2 by matmul, which is about a tenth slower.
    matvec = getattr(np, "matvec", lambda m, v: np.matmul(m, v[:, :, None])[:, :, 0])
    vecmat = getattr(np, "vecmat", lambda v, m: np.matmul(v[:, None], m)[:, 0])
    vecdot = getattr(np, "vecdot", lambda v, w: np.matmul(v[:, None], w[:, :, None])[:, 0, 0])

    def moves(f, b, eta):  # eta dL/dz at the logits f, which become the softmax
        f -= f.max(axis=1, keepdims=True)
        np.exp(f, out=f)
        f /= f.sum(axis=1, keepdims=True)
        c = f - b
        c -= vecdot(f, c)[:, None]
        c *= f
        c *= eta
        return c

    def run(a, b, eta, steps):
        x = np.zeros((a.shape[0], a.shape[2]), a.dtype)
        for _ in range(steps):
            x -= vecmat(moves(matvec(a, x), b, eta), a)
        return x

    def run_shared(a, b, eta, steps):
        x = np.zeros((b.shape[0], a.shape[1]), a.dtype)
        for _ in range(steps):
            x -= moves(x @ a.T, b, eta) @ a
        return x
    return np.__version__, run_shared if arguments.shared else run


def torch_steps():
    import torch
    torch.set_num_threads(arguments.threads)

    @torch.inference_mode()
    def run(a, b, eta, steps):
        a, b = torch.from_numpy(a), torch.from_numpy(b)[:, None]
        x = torch.zeros(a.shape[0], 1, a.shape[2], dtype=a.dtype)  # rows: up to four times as fast as columns
        for _ in range(steps):
            f = torch.softmax(torch.bmm(x, a.mT), dim=2)
            c = f - b
            c -= (f * c).sum(2, keepdim=True)
            c *= f
            x.sub_(torch.bmm(c, a), alpha=float(eta))  # baddbmm_ adds term by term to x and loses four digits
        return x[:, 0].numpy()

    @torch.inference_mode()
    def run_shared(a, b, eta, steps):
        a, b = torch.from_numpy(a), torch.from_numpy(b)
        x = torch.zeros(b.shape[0], a.shape[1], dtype=a.dtype)
        for _ in range(steps):
            f = torch.softmax(x @ a.mT, dim=1)
            c = f - b
            c -= (f * c).sum(1, keepdim=True)
            c *= f
            x.sub_(c @ a, alpha=float(eta))
        return x.numpy()
    return torch.__version__, run_shared if arguments.shared else run


def jax_steps():
    import jax
    import jax.numpy as jnp
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", arguments.double)

    def descend(a, b, eta, steps):
        def step(_, x):
            f = jax.nn.softmax(a @ x)
            c = f - b
            return x - eta * ((f * (c - f @ c)) @ a)
        return jax.lax.fori_loop(0, steps, step, jnp.zeros(a.shape[1], a.dtype))

    batch = jax.jit(jax.vmap(descend, in_axes=(None if arguments.shared else 0, 0, None, None)))
    return jax.__version__, lambda *problem: np.asarray(batch(*problem).block_until_ready())


def numba_steps():
    import numba

    def compiled(function):
        return numba.njit(function, fastmath=True, error_model="numpy")

    # exp(v) = 2^k exp(r), |r| <= log(2) / 2, by a Taylor polynomial: LLVM has no vector form of np.exp, and calling
    # it term by term is a fifth to a third of all the time.
    integer, mantissa, bias, degree, least = ((np.int64, 52, 1023, 13, -700) if arguments.double else
                                              (np.int32, 23, 127, 6, -87))
    bias, least, per_log2 = integer(bias), real(least), real(1 / math.log(2))
    log2_high, log2_low = real(0.693359375), real(math.log(2) - 0.693359375)
    taylor = tuple(real(1 / math.factorial(k)) for k in range(degree, -1, -1))

    @compiled
    def exponential(v):
        v = max(v, least)
        k = np.rint(v * per_log2)
        r = (v - k * log2_high) - k * log2_low
        p = real(0)
        for coefficient in taylor:
            p = p * r + coefficient
        return p * integer((integer(k) + bias) << mantissa).view(real)

    @compiled
    def dots(m, v, out):  # out = m v, four rows at once
        rows, columns = m.shape
        fours = rows // 4 * 4
        for i in range(0, fours, 4):
            s0 = s1 = s2 = s3 = real(0)
            for k in range(columns):
                s0 += m[i, k] * v[k]
                s1 += m[i + 1, k] * v[k]
                s2 += m[i + 2, k] * v[k]
                s3 += m[i + 3, k] * v[k]
            out[i], out[i + 1], out[i + 2], out[i + 3] = s0, s1, s2, s3
        for i in range(fours, rows):
            s0 = real(0)
            for k in range(columns):
                s0 += m[i, k] * v[k]
            out[i] = s0

    @compiled
    def combination(m, v, out):  # out = m^T v, four rows at once
        rows, columns = m.shape
        fours = rows // 4 * 4
        for k in range(columns):
            out[k] = 0
        for i in range(0, fours, 4):
            v0, v1, v2, v3 = v[i], v[i + 1], v[i + 2], v[i + 3]
            for k in range(columns):
                out[k] += v0 * m[i, k] + v1 * m[i + 1, k] + v2 * m[i + 2, k] + v3 * m[i + 3, k]
        for i in range(fours, rows):
            for k in range(columns):
                out[k] += v[i] * m[i, k]

    def descent(forward, backward):
        @numba.njit(fastmath=True, error_model="numpy", parallel=arguments.threads > 1)
        def descend(m, b, eta, steps, x):
            for i in numba.prange(x.shape[0]):
                n, d = b.shape[1], x.shape[1]
                f, g = np.empty(n, real), np.empty(d, real)
                for _ in range(steps):
                    forward(m[i], x[i], f)
                    top = f[0]
                    for j in range(n):
                        top = max(top, f[j])
                    total = real(0)
                    for j in range(n):
                        f[j] = exponential(f[j] - top)
                        total += f[j]
                    scale, mean = real(1) / total, real(0)
                    for j in range(n):
                        f[j] *= scale
                        mean += f[j] * (f[j] - b[i, j])
                    for j in range(n):
                        f[j] *= f[j] - b[i, j] - mean
                    backward(m[i], f, g)
                    for k in range(d):
                        x[i, k] -= eta * g[k]
        return descend

    by_rows, by_columns = descent(dots, combination), descent(combination, dots)

    def run(a, b, eta, steps):
        x = np.zeros((a.shape[0], a.shape[2]), a.dtype)
        if a.shape[2] < min(a.shape[1], 64):  # rows too short for vectors: A^T, once and within the time
            by_columns(np.ascontiguousarray(a.transpose(0, 2, 1)), b, eta, steps, x)
        else:
            by_rows(a, b, eta, steps, x)
        return x
    return numba.__version__, run


def peers():
    makers = {"numpy": numpy_steps, "torch": torch_steps, "jax": jax_steps, "numba": numba_steps}
    if arguments.shared:
        del makers["numba"]
    for name, make in makers.items():
        try:
            version, run = make()
        except ImportError:
            print(f"{name} is not installed: left out")
            continue
        print(f"{name} {version}")
        yield name, run


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    print(f"{processor()}, threads: {arguments.threads}, {real.__name__}")
    rng = np.random.default_rng(1)
    tolerance = 1e-8 if arguments.double else 1e-3
    others = list(peers())
    machine = Machine.of(arguments.program)
    if machine:
        print(machine)
    for n, d, count, steps in arguments.shapes:
        a = (rng.standard_normal((n, d) if arguments.shared else (count, n, d)) / np.sqrt(d)).astype(real)
        b = rng.dirichlet(np.ones(n), count).astype(real)
        eta = real(0.5)
        x, best = softreg(arguments.program, a, b, eta, steps)
        line = f"({n},{d}) x {count}: softreg {count * steps / best:.4g} steps/s"
        fastest = (math.inf, "")
        for name, run in others:
            mine = run(a, b, eta, steps)
            assert mine.dtype == real and mine.shape == x.shape, (name, mine.dtype, mine.shape)
            assert np.abs(mine - x).max() < tolerance * np.abs(x).max(), (name, np.abs(mine - x).max())
            times = []
            for _ in range(3):
                start = time.perf_counter()
                run(a, b, eta, steps)
                times.append(time.perf_counter() - start)
            line += f", {name} {count * steps / min(times):.4g} (x {min(times) / best:.2f})"
            fastest = min(fastest, (min(times), name))
        part = f"; {count * steps / best / machine.bound(n, d):.0%} of the machine's bound" if machine else ""
        print(f"{line}; best peer: {fastest[1]} (x {fastest[0] / best:.2f}){part}", flush=True)


main()
