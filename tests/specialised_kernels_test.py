"""Kernels made at run time for exact shapes: machine code that stays in registers, made once for all
processes. Needs NVRTC, and no GPU. Prints registers, and milliseconds made and found again."""
import os
import pathlib

import pytest

import kernel_steps
from resources_test import REGISTER_LIMIT, kernels

BUILD = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"])
# rows, parameters, loss, bytes of a number, kind: of every class the fullest in the fast arithmetic, and some that fill
# no class
SHAPES = [(16, 4, "softmax_l2", 4, "fast"), (32, 8, "softmax_l2", 4, "fast"), (64, 16, "softmax_l2", 4, "fast"),
          (128, 32, "softmax_l2", 4, "fast"), (256, 16, "softmax_l2", 4, "fast"), (256, 64, "softmax_l2", 4, "fast"),
          (512, 32, "softmax_l2", 4, "fast"), (1024, 64, "softmax_l2", 4, "fast"), (4096, 128, "softmax_l2", 4, "fast"),
          (96, 21, "cross_entropy", 4, "fast"),
          (40, 9, "softmax_l2", 4, "plain"), (64, 9, "cross_entropy", 8, "plain"), (160, 5, "rescaled_l2", 4, "full"),
          (1000, 63, "cosh_l2", 4, "fast")]


def make(folder, shape, **environment):
    """(cubin, milliseconds, Policy) as another process makes or finds it."""
    cubin = folder / "kernel.cubin"
    took, policy = kernel_steps.make(BUILD, shape, cubin, SOFTREG_CACHE_DIR=str(folder / "cache"), **environment)
    if policy is None:
        pytest.skip(took)
    return cubin, took, policy


# The fullest classes have no register left: what they keep in memory, a step touches twice at most, of 900 instructions.
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape)))
def test_stays_in_registers(tmp_path, shape):
    cubin, made, policy = make(tmp_path, shape)
    code = cubin.read_bytes()
    assert code[:4] == b"\x7fELF"
    (name, registers, stack, local), = kernels(cubin)
    assert "solve_kernel<softreg::Specialised" in name
    assert local == 0 and registers <= REGISTER_LIMIT and stack <= (16 if registers == REGISTER_LIMIT else 0)
    if stack:
        step = kernel_steps.made_step(policy, cubin)
        assert sum(i.base in {"LDL", "STL"} for i in step.instructions(step.unchecked)) <= 2
    again, found, _ = make(tmp_path, shape)
    assert again.read_bytes() == code and found < made
    print(f"{shape}: {registers} registers, {len(code)} bytes; made in {made:.0f} ms, found in {found:.1f} ms")


def test_nothing_is_made_without_nvrtc(tmp_path):
    reason, policy = kernel_steps.make(BUILD, (32, 4, "softmax_l2", 4, "plain"), tmp_path / "kernel.cubin",
                                       SOFTREG_NVRTC="/nowhere/libnvrtc.so")
    assert policy is None and "NVRTC cannot be used: /nowhere/libnvrtc.so" in reason
