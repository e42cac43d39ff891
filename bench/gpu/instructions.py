"""Machine instructions per gradient-descent step of every kernel that keeps A in registers, as Markdown; needs no GPU.

build/venv/bin/python bench/gpu/instructions.py [build/release] [--loss softmax_l2] [--type float] [--all]

An instance as large as its kernel allows, no ball, ridge, weights, trace, nor evaluate(); a test every 8 steps. What is
counted how: tests/step_path.py. `bound`: steps/s of 132 multiprocessors at 1.98 GHz that issue 4 instructions of warps
a clock and never wait.
"""
import argparse
import datetime
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests"))
import kernel_steps

ISSUE = 132 * 1.98e9 * 4
# What a bare kernel of the same mathematics (softmax_l2 in float with approximate exp, no test, no option, the fewest
# lanes of at most 128 registers of A) was compiled to: lanes, instructions of a warp's step.
BARE = {(16, 4): (1, 269), (32, 8): (2, 423), (64, 16): (8, 459), (128, 32): (32, 508), (256, 64): (128, 486),
        (1024, 64): (256, 920)}

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("build", nargs="?", default="build/release", type=pathlib.Path)
parser.add_argument("--loss", default="softmax_l2")
parser.add_argument("--type", default="float", choices=["float", "double"])
parser.add_argument("--all", action="store_true", help="every loss and type")
arguments = parser.parse_args()


def bound(lanes, instructions):
    return f"{ISSUE / instructions * 32 / lanes:.2g}"


def table(title, steps):
    print(f"\n## {title}\n")
    print("| kernel | lanes | " + " | ".join(kernel_steps.COLUMNS) +
          " | unchecked | test / 8 | **step** | bound | bare kernel: step (lanes), bound |")
    print("|---|" + "---:|" * (len(kernel_steps.COLUMNS) + 6))
    for name, step in steps:
        policy = step.policy
        lanes, bare = BARE.get((policy.rows, policy.parameters), (0, 0))
        test = step.instructions_per_step - step.totals[0]
        print(f"| {name} | {policy.lanes} | " + " | ".join(str(n) for n in step.columns.values()) +
              f" | {step.totals[0]} | {test:.1f} | **{step.instructions_per_step:.0f}** | "
              f"{bound(policy.lanes, step.instructions_per_step)} | " +
              (f"{bare} ({lanes}), {bound(lanes, bare)} |" if bare else "– |"))


objects = sorted((arguments.build / kernel_steps.OBJECTS).glob(
    "*.cu.o" if arguments.all else f"{arguments.loss}_{arguments.type}.cu.o"))
if not objects:
    parser.error(f"no such CUDA objects below {arguments.build}")
command = f"build/venv/bin/python {' '.join(sys.argv)}"
print(f"# Machine instructions per step\n\n`{command}`, {datetime.date.today()}, sm_90a, "
      f"nvcc {kernel_steps.nvcc(arguments.build)[1]}\n\n" + "\n".join(__doc__.strip().split("\n")[4:]))
for path in objects:
    table(path.name.removesuffix(".cu.o"), kernel_steps.steps(path))
if arguments.all or arguments.type == "float":
    with tempfile.TemporaryDirectory() as folder:
        table(f"{arguments.loss}, fast arithmetic, made at run time",
              kernel_steps.fast_steps(arguments.build, folder, arguments.loss))
