"""Whether the tests of the kernels see mistakes: each mutation below breaks one line of kernels/, and
a test must fail: the comparison of kernels in evaluators_test, for one loss and with one kernel of
each kind; else group_test; else that comparison for another loss, or with AddressSanitizer.

    python3 tests/mutations.py [-j JOBS] [WORD ...]     # all, or those whose description has a WORD

Needs a C++ compiler (SOFTREG_CXX, else c++), GoogleTest and fmt; no build. Prints what caught each
one; exits with 1 if any survives, with 2 if one cannot be applied (its text must be there exactly
once) or compiled."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
CXX = os.environ.get("SOFTREG_CXX", "c++")
FLAGS = ["-std=c++20", "-O1", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
SECONDS = 100  # of processor time; unbroken, the tests take 5, with AddressSanitizer 30

# What makes the programs small: one loss, and one kernel of each kind.
ONE_LOSS = ("include/softreg/model/catalog.hpp",
            """using AnyLoss =
    std::variant<SoftmaxL2, RescaledL2, CrossEntropy, LeastSquares, ExpL2, CoshL2, SinhL2>;""",
            "using AnyLoss = std::variant<ONE_LOSS>;")
FEW_KERNELS = ("policy.hpp",
               """std::tuple<Float16x4, Float32x8, Float64x16, Float128x32, Float256x16, Float256x64,
                            Float512x32, Float1024x64, Double16x4, Double32x8, Double64x16,
                            Double128x32, Double256x8, Double256x64, BlockStream, BlockResident,
                            BlockTiles, BlockStreamBounds, BlockTilesBounds>;""",
               """std::tuple<Float16x4, Float32x8, Float128x32, Float256x64, Float1024x64, Double32x8,
                            Double64x16, Double128x32, Double256x8, BlockStream,
                            BlockStreamBounds>;""")
MACHINE = """#include "kernels/emulated_parts.hpp"
#undef SR_EMULATED_{parts}_PARTS  // all here, and only what is used
#define SR_EMULATED_{parts}_PARTS(kind)
#include "kernels/emulated_{header}.hpp"
#include "softreg/model/losses/least_squares.hpp"
#include "softreg/model/losses/softmax_l2.hpp"
template struct softreg::{machine}<softreg::ONE_LOSS>;
"""
# What the other suites of evaluators_test call, which are not run.
NO_CPU = """#include "cpu_isa.hpp"
#include "plan.hpp"
namespace softreg {
std::span<const CpuIsa> cpu_isas() { return {}; }
CpuPlan plan_cpu(const BatchShape&, int, std::int64_t, int) { return {}; }
}
"""
# Sources: here, or (no path) what is above. The first of a test is compiled anew for every mutation,
# the others only where a mutation says so.
EMULATOR = ("tests/kernels/emulator.cpp", "tests/kernels/fiber.cpp")
SIZES = ("tests/kernels/evaluators_test.cpp",)  # of workspace and shared memory
YARDSTICK = ("lanes.cpp", "tests/kernels/emulated_machines.cpp")
TESTS = {"evaluators_test": ("launch.cpp", *SIZES, *YARDSTICK, "no_cpu.cpp", *EMULATOR),
         "group_test": ("tests/kernels/group_test.cpp", *EMULATOR)}
FILTERS = {"evaluators_test": "Kernels/*:RegisterPlacements.*", "group_test": "*"}
SOFTMAX, LINEAR = "-DONE_LOSS=SoftmaxL2", "-DONE_LOSS=LeastSquares"  # which sees the sign of a zero logit
TRIED = (("evaluators_test", (SOFTMAX,)), ("group_test", (SOFTMAX,)), ("evaluators_test", (LINEAR,)),
         ("evaluators_test", (SOFTMAX, "-fsanitize=address")))

GRID, LANES, REGISTERS = "simt_grid.hpp", "lane_grid.hpp", "register_placement.hpp"
GROUP, KERNEL = "simt_group.hpp", "solve_kernel.hpp"

# What is wrong, file, text, what takes its place, what else must be compiled anew. Not here, because
# nothing can be wrong: another lane of several that hold the same number writes it; no waiting for
# the common turn (solve_kernel.hpp), which saves time alone.
MUTATIONS = [
    # Barriers.
    ("no barrier in over_warps", GRID, """      sync();
      value = tree<1>""", "      value = tree<1>"),
    ("no barrier in scatter_columns", GRID, """      }
      sync();
      SR_UNROLL
      for (int p = 0; p < own_columns; ++p)
        s[p]""", """      }
      SR_UNROLL
      for (int p = 0; p < own_columns; ++p)
        s[p]"""),
    ("no barrier in total of several numbers", GRID, """        sync();
        SR_UNROLL
        for (int k""", """        SR_UNROLL
        for (int k"""),
    ("halves of the exchange do not alternate", GRID, "half_ ^= 1;", "half_ ^= 0;"),
    ("no barrier before partials are read in combine", GROUP, """      sync();
      value = tree""", "      value = tree"),
    ("no barrier after partials are read in combine", GROUP,
     "    sync();  // also keeps the next", "    // also keeps the next"),
    ("no barrier after once", GROUP, """    if (rank() == 0) f();
    sync();""", "    if (rank() == 0) f();"),
    ("no barrier after for_each", GROUP, "i += Lanes) f(i);\n    sync();", "i += Lanes) f(i);"),
    ("no barrier after fold", GROUP, """      done(i, s);
    }
    sync();""", """      done(i, s);
    }"""),
    ("no barrier after serial", GROUP, "s = f(i, s);\n    sync();", "s = f(i, s);"),
    ("no barrier before visit", REGISTERS, "    g.sync();\n    visit_each(point, f);",
     "    visit_each(point, f);", SIZES),
    ("no barrier after visit", REGISTERS, "    visit_each(point, f);\n    g.sync();",
     "    visit_each(point, f);", SIZES),
    ("no barrier after visit_gradient", REGISTERS, "    visit_each(grad, f);\n    g.sync();",
     "    visit_each(grad, f);", SIZES),
    # Lanes.
    ("numbers spread from another lane", GRID, "p / Own * lanes_apart)", "(Held / Own - p / Own) * lanes_apart)"),
    ("shuffle from the lane of another number", GRID, "first_lane() + keeper(k), member",
     "first_lane() + keeper(k ^ 1), member"),
    ("shuffle from the first group of the warp", GRID, "first_lane() + keeper(k), member", "keeper(k), member"),
    ("halving keeps the wrong half", GRID, "(rank() & Offset) != 0", "(rank() & Offset) == 0"),
    ("rows scattered to another lane", GRID, "across(z[k + h], h)", "across(z[k + h], Columns / 2 / h)"),
    ("replicas of columns not added", GRID, "for (int h = replicas / 2; h > 0; h /= 2)",
     "for (int h = replicas / 4; h > 0; h /= 2)"),
    ("shares of a warp written over each other", GRID, "(lane % Columns * shares + grid().share(lane))",
     "(lane % Columns * shares)"),
    ("warps written over each other", GRID, "partial[rank() / width] = value", "partial[rank() / width / 2] = value"),
    ("half of the warps added twice", GRID, "op(tree<2 * Offset>(of, w, op), tree<2 * Offset>(of, w + Offset, op))",
     "op(tree<2 * Offset>(of, w + Offset, op), tree<2 * Offset>(of, w + Offset, op))"),
    ("total of columns without the last halving of shares", GRID, "within_warp<shares / 2 * stride, stride>(mine",
     "within_warp<shares / 2 * stride, 2 * stride>(mine"),
    ("total of columns over half of the columns", GRID, "within_warp<Columns / 2, 1>", "within_warp<Columns / 4, 1>"),
    ("total of columns over replicas too", GRID, "within_warp<shares / 2 * stride, stride>(mine",
     "within_warp<width / 2, Columns>(mine"),
    ("maximum does not go from lane to lane", GRID, "within_warp<width / 2, 1>(mine, Larger{})", "mine"),
    ("lanes disagree about a maximum with NaN", GRID, "if constexpr (Op::commutes)", "if constexpr (true)"),
    ("cancelled for one lane", GRID, "total(rank() == 0 ? simt::poll(cancelled) : 0) != 0",
     "(rank() == 0 ? simt::poll(cancelled) : 0) != 0"),
    ("mask of the neighbour group", GROUP, "<< first_lane();", "<< ((first_lane() + width) % simt::warp_size);"),
    ("mask of the whole warp", GROUP, ">> (simt::warp_size - width) << first_lane()", ">> 0"),
    ("group takes its lanes from another place", GROUP, "simt::thread_index() & (Lanes - 1)",
     "(simt::thread_index() + 1) & (Lanes - 1)"),
    # Which rows and columns.
    ("share of the columns of another lane", LANES, "lane % warp() / (columns * replicas())",
     "lane % warp() / (columns * replicas()) / 2", YARDSTICK),
    ("every warp and replica writes", LANES, "return lane < warp() && lane / columns % replicas() == 0",
     "return lane >= 0", YARDSTICK, SIZES),
    ("every warp writes", LANES, "return lane < warp() && ", "return ", YARDSTICK, SIZES),
    ("no lane of the first replica writes", LANES, "lane / columns % replicas() == 0",
     "lane / columns % replicas() == replicas()", YARDSTICK),
    ("rows of another lane", LANES, "lane - column + (k % columns ^ column)",
     "lane - column + (k % columns)", YARDSTICK),
    ("columns of another share", LANES, "(p / own_columns() ^ share(lane))", "(p / own_columns())", YARDSTICK),
    # Padding.
    ("one row too many", REGISTERS, "row(r) < simt::opaque(n)", "row(r) <= simt::opaque(n)"),
    ("one row too few", REGISTERS, "row(r) < simt::opaque(n)", "row(r) + 1 < simt::opaque(n)"),
    ("the last row of A is padding", REGISTERS, "i >= n ?", "i + 1 >= n ?"),
    ("a row of A too many", REGISTERS, "i >= n ?", "i > n ?"),
    ("a row of b too many", REGISTERS, "row(r) < n ? target", "row(r) <= n ? target"),
    ("a weight too many", REGISTERS, "i < n ? of(i)", "i <= n ? of(i)"),
    ("one column too many", REGISTERS, "column(p) < parameters()", "column(p) <= parameters()"),
    ("one column too few", REGISTERS, "column(p) < parameters()", "column(p) + 1 < parameters()"),
    ("a column of A too many", REGISTERS, ": j < d ?", ": j <= d ?"),
    ("a number of the start too many", REGISTERS, "start && column(p) < d", "start && column(p) <= d"),
    ("columns padded with +0", REGISTERS, "from(i, j) : -T(0)", "from(i, j) : T(0)"),
    ("rows padded with +0", REGISTERS, "has(r) ? z[r] : -T(0)", "has(r) ? z[r] : T(0)"),
    ("sums begin with -0", REGISTERS, "T s = T(0);", "T s = -T(0);"),
    # What the lanes hold.
    ("no maximum of the own rows", REGISTERS, "most = max_(most, z[r])", "most = z[r]"),
    ("guard of a step long past", REGISTERS, "set_shift(const Segment&, T value) { lagged_shift = value; }",
     "set_shift(const Segment&, T) {}"),
    ("lines of rows overlap", REGISTERS, "(Columns / Line::size) + l) * lanes",
     "(Columns / Line::size - 1) + l) * lanes"),
    ("lines of warps overlap", REGISTERS, "* lanes + g.rank()];", "* lanes + g.rank() % 128];"),
    ("line of another part of the row", REGISTERS, "const Line now = line(k, l);", "const Line now = line(k, l ^ 1);"),
    ("line of another row", REGISTERS, "const Line now = line(k, l);",
     "const Line now = line(k ^ (k > Held - shared_rows), l);"),
    ("gradient of the step before is kept", REGISTERS, "grad[p] = sum[p];", "grad[p] = grad[p] + sum[p];"),
    ("x in place of the point", REGISTERS, "f(x[p], point[p], grad[p]); });\n    return true",
     "f(point[p], x[p], grad[p]); });\n    return true"),
    ("x in place of the point, at tests", REGISTERS, "moved |= f(x[p], point[p], grad[p])",
     "moved |= f(point[p], x[p], grad[p])"),
    ("the point is not the start", REGISTERS, "point[p] = x[p];", "point[p] = T(0);"),
    ("x is returned, not the point", REGISTERS, "visit_each(point, f);", "visit_each(x, f);"),
    ("only the last column says whether it moved", REGISTERS, "moved |= ", "moved = "),
    ("a lane asks only itself whether it moved", REGISTERS, "g.total_of_columns(moved) > 0", "moved > 0"),
    ("ridge on x", REGISTERS, "grad[p] + f(point[p])", "grad[p] + f(x[p])"),
    # Memory.
    ("exchange two values short", GRID, "return grid.warps() * (columns",
     "return -2 * int(sizeof(T)) + grid.warps() * (columns", SIZES),
    ("slab two values short", REGISTERS, "rows * p.lanes() * std::int64_t{sizeof(T)}",
     "(rows * p.lanes() - 2) * std::int64_t{sizeof(T)}", SIZES),
    ("slab begins in the exchange", REGISTERS, "2 * exchange_bytes<T>(P.grid))) {}", "exchange_bytes<T>(P.grid))) {}"),
    ("scratch half as large", GROUP, "? lanes / simt::warp_size * scratch_value_bytes",
     "? lanes / simt::warp_size * scratch_value_bytes / 2", SIZES),
    ("groups of a block share the workspace", KERNEL, "workspace + group * stride",
     "workspace + simt::block_index() * stride"),
    ("blocks share the workspace", KERNEL, "workspace + group * stride", "workspace + group_in_block * stride"),
    ("workspaces overlap", KERNEL, "workspace + group * stride", "workspace + group * (stride - 1)"),
    ("workspace two values short", KERNEL, "      return trace;", "      return trace > 0 ? trace - 2 : 0;", SIZES),
    ("workspace of a block two values short", KERNEL, "return memory_solve_values<T>(e, watched);",
     "return memory_solve_values<T>(e, watched) - 2;", SIZES),
    ("memory of traces has the rows of another instance", KERNEL, "{workspace, batch.rows_of(i)}",
     "{workspace, batch.rows_of(0)}"),
    # Instances.
    ("the first instance is forgotten", KERNEL, "{ return group; }", "{ return group + 1; }"),
    ("first instance of another group", KERNEL, "{ return group; }", "{ return group / 2; }"),
    ("an instance is taken twice", KERNEL, "g.total(g.rank() == 0 ? simt::add(taken, 1) : 0)",
     "g.total(g.rank() == 0 ? simt::add(taken, 1) : 0) / 2"),
    ("every lane takes an instance", KERNEL, "g.total(g.rank() == 0 ? simt::add(taken, 1) : 0)",
     "g.total(simt::add(taken, 1))"),
    ("every second instance is skipped", KERNEL, "g.rank() == 0 ? simt::add(taken, 1) : 0",
     "g.rank() == 0 ? simt::add(taken, 2) : 0"),
    ("the queue is raced for", KERNEL,
     "    return std::int64_t{groups} + g.total(g.rank() == 0 ? simt::add(taken, 1) : 0);",
     """    const int next = g.total(g.rank() == 0 ? *taken : 0);
    g.once([this] { simt::add(taken, 1); });
    return std::int64_t{groups} + next;"""),
    ("the queue begins one too late", KERNEL, "std::int64_t{groups} + g.total", "std::int64_t{groups} + 1 + g.total"),
    ("instance not told to the placement", KERNEL, "e.instance = e.p.instance = i;", "e.instance = i;"),
    ("the next instance goes on where the last one ended", KERNEL, "        turns = {};\n", ""),
    ("the next instance keeps the guard of the last one", KERNEL, "    e.init();\n", ""),
]


class Broken(Exception):
    """The mutation or its compilation has failed, not the test."""


def replaced(path, old, new):
    text = path.read_text()
    if text.count(old) != 1:
        raise Broken(f"{path.name} has {text.count(old)} times, not once: {old!r}")
    return text.replace(old, new)


def call(command):
    def limit():
        os.nice(10)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace",
                          preexec_fn=limit, check=False)


def succeed(command):
    done = call(command)
    if done.returncode != 0:
        raise Broken(f"{' '.join(map(str, command))}\n{done.stderr[:2000]}")


class Programs:
    """Test programs of one loss: that of the kernels as they are, and mutants of it."""

    def __init__(self, folder):
        self.folder = folder
        catalog, old, new = ONE_LOSS
        (folder / catalog).parent.mkdir(parents=True)
        (folder / catalog).write_text(replaced(ROOT / catalog, old, new))
        (folder / "launch.cpp").write_text(
            MACHINE.format(parts="LAUNCHER", header="launch", machine="EmulatedLauncher"))
        (folder / "lanes.cpp").write_text(
            MACHINE.format(parts="LANES", header="lanes", machine="EmulatedLanes"))
        (folder / "no_cpu.cpp").write_text(NO_CPU)
        self.kernels("unbroken")
        self.lock = threading.Lock()
        self.prepared = set()

    def kernels(self, name, *mutation):
        """A folder of their headers."""
        to = self.folder / name / "kernels"
        to.mkdir(parents=True)
        for header in (ROOT / "kernels").glob("*.hpp"):
            (to / header.name).write_text(header.read_text())
        for file, old, new in (FEW_KERNELS, *mutation):
            (to / file).write_text(replaced(to / file, old, new))

    def run(self, name, test, options, anew):
        """None if all is well, else what has failed."""
        objects = []
        for source in TESTS[test]:
            fresh = name == "unbroken" or source in anew or source == TESTS[test][0]
            to = self.folder / (name if fresh else "unbroken") / "".join(("objects", *options))
            to.mkdir(exist_ok=True)
            objects.append(to / f"{pathlib.Path(source).stem}.o")
            if not fresh or (name == "unbroken" and objects[-1].exists()):  # others may be linking it
                continue
            folders = (self.folder / "include", self.folder / name / "kernels",
                       *(ROOT / f for f in ("tests", "src", "include")))
            succeed([CXX, *FLAGS, *options, *(f"-I{f}" for f in folders),
                     "-c", (ROOT if "/" in source else self.folder) / source, "-o", objects[-1]])
        program = objects[0].parent / test
        succeed([CXX, *options, *objects, "-o", program, "-lfmt", "-lgtest", "-lgtest_main"])
        failure = verdict(call([program, f"--gtest_filter={FILTERS[test]}", "--gtest_fail_fast", "--gtest_brief=1"]))
        return failure and f"{test}: {failure}"

    def prepare(self, test, options):
        """The program as it is, which must pass."""
        with self.lock:
            if (test, options) not in self.prepared:
                failure = self.run("unbroken", test, options, ())
                if failure:
                    raise Broken(f"without a mutation, {failure}")
                self.prepared.add((test, options))

    def mutate(self, number, mutation):
        _, file, old, new, *anew = mutation
        self.kernels(str(number), (file, old, new))
        for test, options in TRIED:
            self.prepare(test, options)
            failure = self.run(str(number), test, options, sum(anew, ()))
            if failure:
                return failure
        return None


def verdict(done):
    """What of a run of the tests was wrong, in one line; None: nothing."""
    if done.returncode == -signal.SIGXCPU:
        return f"did not end in {SECONDS} s"
    if done.returncode == 0:
        return None
    text = (done.stdout + done.stderr).replace(f"{ROOT}/", "")
    for pattern, name in ((r"ERROR: (AddressSanitizer: \S+)", "{}"),
                          (r'description "(.*)"', "thrown: {}"),
                          (r'  ""\n(.*)', "bits: {}"),
                          (r"Failure\n((?:.+\n)+)", "{}")):
        found = re.search(pattern, text)
        if found:
            line = name.format(" ".join(found[1].split()))
            return line if len(line) < 140 else line[:137] + "..."
    if done.returncode < 0:
        return f"died of {signal.Signals(-done.returncode).name}"
    return f"exit status {done.returncode}: {text[-200:]!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count())
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    chosen = [m for m in MUTATIONS if not arguments.words or any(w in m[0] for w in arguments.words)]
    if not chosen:
        parser.error("no mutation has such a word")
    width = max(len(m[0]) for m in chosen)
    survivors = broken = 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        try:
            programs = Programs(pathlib.Path(folder))
            programs.prepare(*TRIED[0])
            for _, file, old, *_ in chosen:
                replaced(ROOT / "kernels" / file, old, "")
        except Broken as error:
            print(error)
            return 2
        running = [pool.submit(programs.mutate, n, m) for n, m in enumerate(chosen)]
        for (what, *_), result in zip(chosen, running):
            try:
                failure = result.result()
                survivors += failure is None
                print(f"{what:{width}}  {failure or 'SURVIVED'}", flush=True)
            except Broken as error:
                broken += 1
                print(f"{what:{width}}  BROKEN: {error}", flush=True)
    print(f"{len(chosen)} mutations, {survivors} survived")
    return 2 if broken else int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
