"""Kernels made at run time for exact shapes: machine code that stays in registers, made once for all
processes. Needs NVRTC, and no GPU. Prints registers, and milliseconds made and found again."""
import os
import pathlib
import subprocess

import pytest

from resources_test import kernels

PROGRAM = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"]) / "tests/kernel_image"
REGISTER_LIMIT = 255
# rows, parameters, loss, bytes of a number: the fullest that a warp holds, and what pads worst
SHAPES = [(96, 21, "softmax_l2", 4), (64, 9, "softmax_l2", 4), (64, 9, "cross_entropy", 8),
          (160, 5, "rescaled_l2", 4), (32, 31, "cosh_l2", 4)]


def make(folder, *shape, **environment):
    """(cubin, milliseconds) as another process makes or finds it."""
    cubin = folder / "kernel.cubin"
    run = subprocess.run([PROGRAM, *map(str, shape), cubin], capture_output=True, text=True,
                         env={**os.environ, "SOFTREG_CACHE_DIR": str(folder / "cache"), **environment})
    if run.returncode == 77:
        pytest.skip(run.stderr.strip())
    assert run.returncode == 0, run.stderr
    return cubin, float(run.stdout)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape[:2])) + "-" + shape[2])
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
    run = subprocess.run([PROGRAM, "32", "4", "softmax_l2", "4", tmp_path / "kernel.cubin"],
                         capture_output=True, text=True, env={**os.environ, "SOFTREG_NVRTC": "/nowhere/libnvrtc.so"})
    assert run.returncode == 77 and "NVRTC was not found: /nowhere/libnvrtc.so" in run.stderr
