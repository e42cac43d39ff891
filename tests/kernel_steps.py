"""The steps of the kernels that hold an instance in registers. Of the catalogue's, which there are is read from the
objects, and how large their instances are from kernels/policy.hpp; those made at run time tell it."""
import collections
import os
import pathlib
import re
import subprocess

from machine_code import kernels
from step_path import COLUMNS, Step

SOURCE = pathlib.Path(os.environ.get("SOFTREG_SOURCE_DIR", pathlib.Path(__file__).parents[1]))
OBJECTS = "CMakeFiles/softreg_cuda.dir/losses/Launcher"
CHECK_EVERY = 8  # steps from test to test, by default
# Rows and parameters of instances that fill their class in float32.
FULL = [(16, 4), (32, 8), (64, 16), (128, 32), (256, 16), (256, 64), (512, 32), (1024, 64),
        (4096, 128)]

Policy = collections.namedtuple("Policy", "lanes rows parameters")
# A policy that in_registers() makes of a lane grid.
FORM = (r'struct (?P<name>\w+) \{\s*static constexpr auto policy =\s*in_registers\(\s*"\w+",\s*\d+,'
        r'\s*\{(?P<lanes>\d+), \d+, (?P<rows>\d+), (?P<parameters>\d+)\}')


def policies():
    text = (SOURCE / "kernels/policy.hpp").read_text()
    found = {match["name"]: Policy(*(int(match[field]) for field in Policy._fields))
             for match in re.finditer(FORM, text)}
    assert found, "no policy in kernels/policy.hpp that keeps A in registers"
    return found


def nvcc(build):
    """Path and version of the compiler of a build."""
    cache = (build / "CMakeCache.txt").read_text()
    path = re.search(r"^CMAKE_CUDA_COMPILER:\w+=(.+)$", cache, flags=re.M).group(1)
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    return path, re.search(r"V(\d+\.\d+\.\d+)", told).group(1)


class KernelStep(Step):
    """One step of one warp, averaged over tests: the unchecked one and its share of a test."""

    def __init__(self, policy, text):
        self.policy, needed = policy, 2 * policy.rows * policy.parameters // policy.lanes
        super().__init__(text, needed)
        unchecked, checked = self.counts(self.unchecked), self.counts(self.checked)
        self.columns = {column: unchecked[column] for column in COLUMNS}
        self.totals = sum(unchecked.values()), sum(checked.values())
        self.instructions_per_step = self.totals[0] + (self.totals[1] - self.totals[0]) / CHECK_EVERY


def steps(path):
    """(name of the policy, KernelStep) of every kernel in an object that keeps A in registers."""
    known = policies()

    def policy(name):
        return re.search(r"solve_kernel<softreg::(\w+), ", name).group(1)
    for name, text in kernels(path, lambda name: policy(name) in known):
        yield policy(name), KernelStep(known[policy(name)], text)


def make(build, shape, cubin, **environment):
    """(milliseconds, Policy) of the kernel that NVRTC makes of rows, parameters, loss, bytes of a number, and `plain`,
    `fast` or `full`; (why there is none, None) without NVRTC."""
    run = subprocess.run([build / "tests/kernel_image", *map(str, shape), cubin], capture_output=True, text=True,
                         env={**os.environ, **environment})
    if run.returncode == 77:
        return run.stderr.strip(), None
    assert run.returncode == 0, run.stderr
    took, *policy = run.stdout.split()
    return float(took), Policy(*map(int, policy))


def made_step(policy, cubin):
    (_, text), = kernels(cubin)
    return KernelStep(policy, text)


def fast_steps(build, folder, loss="softmax_l2"):
    """(rows x parameters, KernelStep) of the fast kernels of full instances; none without NVRTC."""
    for rows, parameters in FULL:
        cubin = pathlib.Path(folder) / f"{rows}x{parameters}.cubin"
        _, policy = make(build, (rows, parameters, loss, 4, "fast"), cubin)
        if policy:
            yield f"{rows}x{parameters}", made_step(policy, cubin)
