"""Machine instructions per gradient-descent step of the kernels that keep A in registers: compared with
instructions.json beside this file (5 % more: a warning; 15 %: a failure), where nvcc is the one that it names.
Needs no GPU. SOFTREG_WRITE_INSTRUCTIONS=1 writes that file."""
import json
import os
import pathlib
import subprocess
import warnings

import pytest

import kernel_steps
from machine_code import Function, kernels
from step_path import Step

BUILD = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"])
EXPECTED = pathlib.Path(__file__).with_suffix("").with_name("instructions.json")
WARNS, FAILS = 1.05, 1.15
NVCC, VERSION = kernel_steps.nvcc(BUILD)
FAST = "softmax_l2_fast"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Name -> KernelStep; those made at run time only where there is NVRTC."""
    objects = sorted((BUILD / kernel_steps.OBJECTS).glob("*.cu.o"))
    assert objects, "no CUDA objects in this build"
    steps = {f"{path.name.removesuffix('.cu.o')} {policy}": step
             for path in objects for policy, step in kernel_steps.steps(path)}
    return steps | {f"{FAST} {shape}": step
                    for shape, step in kernel_steps.fast_steps(BUILD, tmp_path_factory.mktemp("fast"))}


def growth(now, then):
    """(name, factor) of every count that grew."""
    return [(f"{name}, {which}", new / old) for name in now.keys() & then.keys()
            for which, new, old in zip(("unchecked", "checked"), now[name], then[name]) if new > old]


def test_products_are_in_registers(measured):
    """All fused multiplications that the shape needs are on the step's way, and outside every inner loop of it."""
    assert measured
    missing = {name: (step.unrolled_products(), step.needed) for name, step in measured.items()
               if step.unrolled_products() < step.needed}
    print(f"[count] kernels whose step was found in their machine code: {len(measured)}")
    assert missing == {}


def test_steps_have_not_grown(measured):
    now = {name: list(step.totals) for name, step in sorted(measured.items())}
    if os.environ.get("SOFTREG_WRITE_INSTRUCTIONS"):
        lines = ",\n".join(f"    {json.dumps(name)}: {counts}" for name, counts in now.items())
        EXPECTED.write_text(f'{{\n  "nvcc": "{VERSION}",\n  "unchecked and checked step": {{\n{lines}\n  }}\n}}\n')
    file = json.loads(EXPECTED.read_text())
    if file["nvcc"] != VERSION:
        pytest.skip(f"nvcc is {VERSION}, {EXPECTED.name} was written with {file['nvcc']}: nothing is compared")
    then = {name: counts for name, counts in file["unchecked and checked step"].items()
            if name in now or not name.startswith(FAST)}
    assert now.keys() == then.keys(), "write the file again (SOFTREG_WRITE_INSTRUCTIONS=1): the kernels are others"
    grown = sorted(growth(now, then), key=lambda one: -one[1])
    sentences = [f"{100 * factor - 100:.1f} % more instructions: {name}" for name, factor in grown if factor > WARNS]
    for sentence in sentences:
        print(sentence)
        warnings.warn(sentence)
    print(f"[count] steps compared: {2 * len(now)}; larger: {len(grown)}, by more than 5 %: {len(sentences)}")
    assert [name for name, factor in grown if factor > FAILS] == []


SEEDS = """
struct Outcome { int status, step; float loss, objective, norm; };
__global__ void seed(const float* a, const float* b, Outcome* out, float* trace, int rows, int steps, int every) {
  float x[5], y[5];
  for (int j = 0; j < 5; ++j) { x[j] = a[j]; y[j] = a[5 + j]; }
  #pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    float z = 0, most = 0;
    #pragma unroll
    for (int j = 0; j < 5; ++j) z = fmaf(y[j], x[j], z);
    if (static_cast<int>(threadIdx.x) < rows) z = fmaf(z, 3.f, fmaf(z, z, 2.f)) + __expf(z);  // a size test
    if (trace) trace[step] = z * z;                                                           // an option
    if (step == every) {
      most = sqrtf(z);
      *out = {40, step, z, z + most, most};
    }
    z = __shfl_xor_sync(0xffffffffu, z, 1);
    #pragma unroll
    for (int j = 0; j < 5; ++j) x[j] = fmaf(y[j], z, x[j]);
  }
  if (x[0] + x[1] + x[2] + x[3] + x[4] == 1) out->status = 1;
}
__global__ void rolled(const float* a, const float* b, Outcome* out, float* trace, int rows, int steps, int every) {
  float x = a[0];
  #pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    float z = 0;
    #pragma unroll 1
    for (int j = 0; j < rows; ++j) {
      z = fmaf(b[j], x, z);
      z = fmaf(b[j + rows], z, x);
    }
    if (step == every) *out = {40, step, z, z + x, x * z};
    x = x * z;
  }
  out->status = static_cast<int>(x);
}
"""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    (folder / "seed.cu").write_text(SEEDS)
    subprocess.run([NVCC, "-arch=sm_90a", "-fmad=false", "-c", folder / "seed.cu", "-o", folder / "seed.o"], check=True)
    return {name.split("(")[0]: text for name, text in kernels(folder / "seed.o")}


def test_step_is_counted(seeds):
    step = Step(seeds["seed"], 10)
    unchecked, checked = step.counts(step.unchecked), step.counts(step.checked)
    path = list(step.instructions(step.unchecked))
    assert unchecked["FMA"] == 12 and unchecked["SHFL"] == 1 and unchecked["MUFU"] == 1 and step.inner_loops() == {}
    assert not any(i.base in {"STG", "CALL"} for i in path)  # neither trace nor result
    assert step.unrolled_products() == 12
    stores = [i for i in step.instructions(step.checked) if i.base == "STG"]
    assert len(stores) == 5 and checked["MUFU"] == 2 and checked["FMA"] > 12


def test_products_in_a_loop_are_seen(seeds):
    step = Step(seeds["rolled"], 2)
    assert list(step.inner_loops().values()) == [2] and step.unrolled_products() == 0


def test_graph_has_every_block_once(seeds):
    for text in seeds.values():
        function = Function(text)
        assert sum(map(len, function.blocks.values())) == len(function.code) > 50
        assert len(function.loops) >= 2  # the step, and the branch to itself that ends every kernel
        assert all(target in function.blocks for onward in function.successors.values() for target in onward)


@pytest.mark.parametrize("line, writes", [
    ("LDS.128 R72, [R5+0xf000]", {"R72", "R73", "R74", "R75"}), ("@P0 LDG.E.64 R8, desc[UR6][R2.64]", {"R8", "R9"}),
    ("CS2R R4, SRZ", {"R4", "R5"}), ("CS2R.32 R4, SR_CLOCKLO", {"R4"}), ("IMAD.WIDE.U32 R12, R23, 0x14, R12", {"R12", "R13"}),
    ("FFMA R9, R97, R41, R8", {"R9"}), ("STG.E.64 desc[UR6][R12.64], R8", set()), ("IADD3 R9, P0, R8, R7, RZ", {"R9", "P0"})])
def test_written_registers_are_known(line, writes):
    (block, code), = Function(f"        /*0000*/ {line} ;").blocks.items()
    assert code[0].writes == writes


def test_growth_is_seen():
    assert growth({"a": [100, 130], "b": [50, 50]}, {"a": [100, 100], "b": [60, 50], "c": [1, 1]}) == \
        [("a, checked", 1.3)]
