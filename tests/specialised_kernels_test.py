"""Kernels made at run time for exact shapes: machine code that stays in registers, made once for all
processes. Needs NVRTC, and no GPU. Prints registers, and milliseconds made and found again."""
import os
import pathlib
import subprocess

import pytest

from resources_test import kernels

PROGRAM = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"]) / "tests/kernel_image"
REGISTER_LIMIT = 255
# rows, parameters, loss, bytes of a number, kind: of every class the fullest in the fast arithmetic, and some that fill
# no class
SHAPES = [(16, 4, "softmax_l2", 4, "fast"), (32, 8, "softmax_l2", 4, "fast"), (64, 16, "softmax_l2", 4, "fast"),
          (128, 32, "softmax_l2", 4, "fast"), (256, 16, "softmax_l2", 4, "fast"), (256, 64, "softmax_l2", 4, "fast"),
          (512, 32, "softmax_l2", 4, "fast"), (1024, 64, "softmax_l2", 4, "fast"), (96, 21, "cross_entropy", 4, "fast"),
          (40, 9, "softmax_l2", 4, "plain"), (64, 9, "cross_entropy", 8, "plain"), (160, 5, "rescaled_l2", 4, "full"),
          (1000, 63, "cosh_l2", 4, "plain")]


def make(folder, *shape, **environment):
    """(cubin, milliseconds) as another process makes or finds it."""
    cubin = folder / "kernel.cubin"
    run = subprocess.run([PROGRAM, *map(str, shape), cubin], capture_output=True, text=True,
                         env={**os.environ, "SOFTREG_CACHE_DIR": str(folder / "cache"), **environment})
    if run.returncode == 77:
        pytest.skip(run.stderr.strip())
    assert run.returncode == 0, run.stderr
    return cubin, float(run.stdout)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape)))
def test_stays_in_registers(tmp_path, shape):
    cubin, made = make(tmp_path, *shape)
    code = cubin.read_bytes()
    assert code[:4] == b"\x7fELF"
    (name, registers, stack, local), = kernels(cubin)
    assert "solve_kernel<softreg::Exact" in name
    assert (stack, local) == (0, 0) and registers <= REGISTER_LIMIT
    again, found = make(tmp_path, *shape)
    assert again.read_bytes() == code and found < made
    print(f"{shape}: {registers} registers, {len(code)} bytes; made in {made:.0f} ms, found in {found:.1f} ms")


def test_nothing_is_made_without_nvrtc(tmp_path):
    run = subprocess.run([PROGRAM, "32", "4", "softmax_l2", "4", "plain", tmp_path / "kernel.cubin"],
                         capture_output=True, text=True, env={**os.environ, "SOFTREG_NVRTC": "/nowhere/libnvrtc.so"})
    assert run.returncode == 77 and "NVRTC was not found: /nowhere/libnvrtc.so" in run.stderr
