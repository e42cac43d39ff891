"""What ptxas gave every CUDA kernel in the built objects: no stack frame and no local memory (so no
spill), but for two traces; and no more registers than the policy's occupancy leaves. Prints one line per policy and
number type. Needs no GPU."""
import collections
import os
import pathlib
import re
import subprocess

from machine_code import tool

BUILD = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"])
POLICIES = pathlib.Path(os.environ["SOFTREG_SOURCE_DIR"]) / "kernels/policy.hpp"
REGISTER_FILE = 65536  # per multiprocessor; ptxas hands out eights
REGISTER_LIMIT = 255  # per thread: the instruction set names no more
# Bytes of a thread's stack frame. The kernels of the trace `bounds` keep some thirty sums, which in
# float64 are sixty registers; they spill a few of them once a step.
STACK_LIMIT = {("BlockStreamBounds", "double"): 96, ("BlockTilesBounds", "double"): 192}  # others: none


def register_ceilings():
    """Policy -> registers per thread with which its blocks fit a multiprocessor, as many as it plans for."""
    text = POLICIES.read_text()
    occupancy = dict(re.findall(r'struct (\w+) \{\s*static constexpr auto policy =\s*in_registers\("\w+", \d, \{[^}]*\},'
                                r'\s*\{(\d+, \d+)\}', text))
    occupancy |= {name: "256, 1" for name in re.findall(r"struct (\w+) \{\s*static constexpr auto policy = in_(?:memory|one_pass)", text)}
    ceilings = {}
    for name, numbers in occupancy.items():
        threads, blocks = map(int, numbers.split(","))
        ceilings[name] = min(REGISTER_LIMIT, REGISTER_FILE // (threads * blocks) // 8 * 8)
    return ceilings


def kernels(path):
    """(name, registers, stack, local) of every kernel in an object or library."""
    dump = subprocess.run([tool("cuobjdump"), "--dump-resource-usage", path],
                          capture_output=True, text=True, check=True).stdout
    dump = subprocess.run(["c++filt"], input=dump, capture_output=True, text=True, check=True).stdout
    return [(name, int(registers), int(stack), int(local)) for name, registers, stack, local in
            re.findall(r"Function (.+):\n\s+REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", dump)]


def policy_and_type(name):
    """Of solve_kernel<policy, loss, number type>."""
    found = re.search(r"solve_kernel<softreg::(\w+), .*, (float|double)>\(", name)
    assert found, f"no policy in the name of the kernel {name}"
    return found.groups()


def violations(rows, ceiling, stack_limit=lambda _: 0):
    for name, registers, stack, local in rows:
        if stack > stack_limit(name) or local:
            yield f"{stack} bytes of stack, {local} bytes of local memory: {name}"
        if registers > ceiling(name):
            yield f"{registers} registers, at most {ceiling(name)}: {name}"


def test_every_kernel_stays_in_registers():
    objects = sorted(BUILD.glob("CMakeFiles/softreg_cuda.dir/losses/Launcher/*.cu.o"))
    assert objects, "no CUDA objects in this build"
    ceilings = register_ceilings()
    assert ceilings
    table = collections.defaultdict(list)
    framed = 0
    sentences = []
    for path in objects:
        rows = kernels(path)
        assert rows, f"no kernel in {path.name}"
        sentences += [f"{path.name}: {sentence}" for sentence in
                      violations(rows, lambda name: ceilings[policy_and_type(name)[0]],
                                 lambda name: STACK_LIMIT.get(policy_and_type(name), 0))]
        for name, registers, stack, _ in rows:
            table[policy_and_type(name)].append(registers)
            framed += stack > 0
    print(f"\n{'policy':24} {'type':8} {'kernels':>8} {'registers':>12} {'at most':>8}")
    for (policy, number), registers in sorted(table.items()):
        print(f"{policy:24} {number:8} {len(registers):8} {min(registers):6} ..{max(registers):4} {ceilings[policy]:8}")
    print(f"[count] kernels without stack frame and spills: {sum(map(len, table.values())) - framed}, "
          f"of traces with a small frame: {framed}")
    assert sentences == []


def test_jobs_on_data_stay_in_registers():
    """The kernels of arrays that the caller has on the device (kernels/data_jobs.hpp)."""
    rows = kernels(BUILD / "CMakeFiles/softreg_cuda.dir/src/cuda_device.cu.o")
    assert rows
    registers = [row[1] for row in rows]
    print(f"[count] kernels for data: {len(rows)}, of {min(registers)} to {max(registers)} registers")
    assert list(violations(rows, lambda _: REGISTER_LIMIT)) == []


def test_stack_frame_is_seen(tmp_path):
    cache = (BUILD / "CMakeCache.txt").read_text()
    nvcc = re.search(r"^CMAKE_CUDA_COMPILER:\w+=(.+)$", cache, flags=re.M).group(1)
    source = tmp_path / "seed.cu"
    source.write_text("""__global__ void seed(float* a) {
      float copy[100];
      for (int i = 0; i < 100; ++i) copy[i] = a[i];
      a[0] = copy[static_cast<int>(a[1])];
    }""")
    subprocess.run([nvcc, "-arch=sm_90a", "-c", source, "-o", tmp_path / "seed.o"], check=True)
    rows = kernels(tmp_path / "seed.o")
    assert any("400 bytes of stack" in sentence for sentence in violations(rows, lambda _: REGISTER_LIMIT))
    assert any("registers, at most 8" in sentence for sentence in violations(rows, lambda _: 8))
