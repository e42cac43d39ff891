"""Whether the tests of the kernels see mistakes: each mutation below breaks one line of kernels/, and
a test must fail: the comparison of kernels in evaluators_test, for one loss and with some of the
kernels (one cluster: they are slow, and group_test knows how they add); else group_test; else that comparison for another loss, or with AddressSanitizer.

    python3 tests/mutations.py [WORD ...]     # all, or those whose description has one of the words

Needs a C++ compiler (SOFTREG_CXX, else c++), GoogleTest and fmt; no build. Prints what caught each
one; exits with 1 if any survives, with 2 if one cannot be applied (its text must be there exactly
once) or compiled."""
import argparse
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = ["-std=c++20", "-O1", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
SECONDS = 100  # of processor time for one call: some mutants do not end

GRID, LANES, REGISTERS = "simt_grid.hpp", "lane_grid.hpp", "register_placement.hpp"
GROUP, KERNEL, POLICY = "simt_group.hpp", "solve_kernel.hpp", "policy.hpp"
COORDINATES, ONE_PASS = "grid_coordinates.hpp", "one_pass_placement.hpp"
PRODUCTS, STREAM, QUEUE = "simt_products.hpp", "stream_solve.hpp", "queue.hpp"

# What makes the programs small: one loss, and one kernel of each kind.
ALL_LOSSES = """using AnyLoss =
    std::variant<SoftmaxL2, RescaledL2, CrossEntropy, LeastSquares, ExpL2, CoshL2, SinhL2>;"""
FEW_KERNELS = """using Policies = std::tuple<Float16x4, Float32x8, Float128x32, Float256x64, Float1024x64, Double32x8,
    Double64x16, Double128x32, Double256x8, FloatStream16, BlockShared, BlockStream, BlockStreamBounds>;"""
CATALOG = "include/softreg/model/catalog.hpp"
MACHINE = """#include "kernels/emulated_parts.hpp"
#undef SR_EMULATED_{parts}_PARTS  // all here, and only what is used
#define SR_EMULATED_{parts}_PARTS(kind)
#include "kernels/emulated_{header}.hpp"
#include "softreg/model/losses/least_squares.hpp"
#include "softreg/model/losses/softmax_l2.hpp"
template struct softreg::{machine}<softreg::ONE_LOSS>;
"""
WRITTEN = {
    "launch.cpp": MACHINE.format(parts="LAUNCHER", header="launch", machine="EmulatedLauncher"),
    "lanes.cpp": MACHINE.format(parts="LANES", header="lanes", machine="EmulatedLanes"),
    # What the other suites of evaluators_test call, which are not run.
    "no_cpu.cpp": """#include "cpu_isa.hpp"
#include "plan.hpp"
namespace softreg {
std::span<const CpuIsa> cpu_isas() { return {}; }
CpuPlan plan_cpu(const BatchShape&, int, std::int64_t, const CpuCore&) { return {}; }
}
"""}

# The sources of a test; where kernels/ has no part in one, it is compiled once for all mutants. The
# yardstick of evaluators_test knows nothing of kernels/ but lane_grid.hpp.
YARDSTICK = ("lanes.cpp", "tests/kernels/emulated_machines.cpp")
REST = ("no_cpu.cpp", "tests/kernels/emulator.cpp", "tests/kernels/fiber.cpp")
TESTS = {"evaluators_test": ("launch.cpp", "tests/kernels/evaluators_test.cpp", *YARDSTICK, *REST),
         "group_test": ("tests/kernels/group_test.cpp", *REST[1:])}
FILTERS = {"evaluators_test": "Kernels/*:RegisterPlacements.*", "group_test": "*"}
SOFTMAX, LINEAR = "-DONE_LOSS=SoftmaxL2", "-DONE_LOSS=LeastSquares"  # which sees the sign of a zero logit
TRIED = (("evaluators_test", SOFTMAX), ("group_test", SOFTMAX), ("evaluators_test", LINEAR),
         ("evaluators_test", SOFTMAX, "-fsanitize=address"))

# What is wrong, file, text, what takes its place. Not here, because nothing can be wrong: another
# lane of several that hold the same number writes it; no waiting for the common turn
# (solve_kernel.hpp), which saves time alone; no barrier after the logits (simt_products.hpp), which
# only several softmaxes need.
MUTATIONS = [
    # Barriers.
    ("no barrier in over_warps", GRID, "sync_block();\n      value = over", "value = over"),
    ("no barrier in scatter_columns", GRID, "sync_block();\n      SR_UNROLL", "SR_UNROLL"),
    ("no barrier in total of several numbers", GRID, "sync_block();\n        SR_UNROLL", "SR_UNROLL"),
    ("a cluster's blocks may not have begun", GRID, "if constexpr (Blocks > 1) sync();  // all", "// all"),
    ("no barrier in over_blocks", GRID, "sync();\n      value = over<Blocks>", "value = over<Blocks>"),
    ("no barrier in columns_over_blocks", GRID, "sync();\n    SR_UNROLL\n    for (int p = 0; p < own_columns; ++p)\n      s[p] = over<Blocks>",
     "SR_UNROLL\n    for (int p = 0; p < own_columns; ++p)\n      s[p] = over<Blocks>"),
    ("blocks write over each other", GRID, "in_block(values + simt::cluster_rank(), rank", "in_block(values, rank"),
    ("columns of blocks written over each other", GRID, "sums + simt::cluster_rank() * places + place", "sums + place"),
    ("sums of rows and of columns in one half", GRID, "beyond<V>(Half * half_bytes)", "beyond<V>(0)"),
    ("a half is written while it is read", GRID, "if (read_[Half]) sync();\n", ""),
    ("no barrier after what is seldom asked for", GRID, "sync();\n      read_[rows_half] = false;",
     "read_[rows_half] = false;"),
    ("no barrier before partials are read in combine", GROUP, "sync();\n      value = tree", "value = tree"),
    ("no barrier after partials are read in combine", GROUP, "sync();  // also", "// also"),
    ("no barrier after once", GROUP, "if (rank() == 0) f();\n    sync();", "if (rank() == 0) f();"),
    ("no barrier after for_each", GROUP, "i += Lanes) f(i);\n    sync();", "i += Lanes) f(i);"),
    ("no barrier after multiply", GROUP, "left, right, done);\n    sync();", "left, right, done);"),
    ("no barrier after the parts", GROUP, "rank() / Part::lanes);\n    sync();", "rank() / Part::lanes);"),
    ("a square tells of rows beyond the last", GROUP, "if (i + k * down < rows && c", "if (c"),
    ("a square tells of columns beyond the last", GROUP, "rows && c + l * wide < columns)", "rows)"),
    ("a part takes the segments of another", GROUP, "f(Part{}, rank() / Part::lanes);", "f(Part{}, 0);"),
    ("no barrier after serial", GROUP, "s = f(i, s);\n    sync();", "s = f(i, s);"),
    ("no barrier before visit", COORDINATES, "g.sync();\n    visit_each(point, f)", "visit_each(point, f)"),
    ("no barrier after visit", COORDINATES, "visit_each(point, f);\n    g.sync();", "visit_each(point, f);"),
    ("no barrier before visit_gradient", COORDINATES, "g.sync();\n    visit_each(grad, f)", "visit_each(grad, f)"),
    ("no barrier after visit_gradient", COORDINATES, "visit_each(grad, f);\n    g.sync();", "visit_each(grad, f);"),
    # Lanes.
    ("numbers spread from another lane", GRID, "p / Own * lanes_apart)", "(Held / Own - p / Own) * lanes_apart)"),
    ("shuffle from the lane of another number", GRID, "first_lane() + keeper(k), member",
     "first_lane() + keeper(k ^ 1), member"),
    ("shuffle from the first group of the warp", GRID, "first_lane() + keeper(k), member", "keeper(k), member"),
    ("halving keeps the wrong half", GROUP, "(rank() & Offset) != 0", "(rank() & Offset) == 0"),
    ("rows scattered to another lane", GRID, "across(z[k + h], h)", "across(z[k + h], Columns / 2 / h)"),
    ("a row's sum goes on from another lane's", GRID, "across(z[k + half], half)", "across(z[k + half], half / 2)"),
    ("a column's sum goes on from another lane's", GRID, "shares / 2 * stride);", "shares / 2);"),
    ("replicas of columns not added", GRID, "for (int h = replicas / 2; h > 0; h /= 2)",
     "for (int h = replicas / 4; h > 0; h /= 2)"),
    ("shares of a warp written over each other", GRID, "lane % Columns * shares + grid().share(lane)",
     "lane % Columns * shares"),
    ("warps written over each other", GRID, "partial[warp()] = value", "partial[warp() / 2] = value"),
    ("total of columns without the last halving of shares", GRID, "within_warp<shares / 2 * stride, stride>(mine",
     "within_warp<shares / 2 * stride, 2 * stride>(mine"),
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
     "lane % warp() / (columns * replicas()) / 2"),
    ("every warp and replica writes", LANES, "return lane < warp() && lane / columns % replicas() == 0",
     "return lane >= 0"),
    ("no lane of the first replica writes", LANES, "lane / columns % replicas() == 0",
     "lane / columns % replicas() == replicas()"),
    ("rows of another lane", LANES, "lane - column + (k % columns ^ column)", "lane - column + (k % columns)"),
    ("columns of another share", LANES, "(p / own_columns() ^ share(lane))", "(p / own_columns())"),
    # Padding.
    ("one row too many", REGISTERS, "row(r) < simt::opaque(n)", "row(r) <= simt::opaque(n)"),
    ("one row too few", REGISTERS, "row(r) < simt::opaque(n)", "row(r) + 1 < simt::opaque(n)"),
    ("a row of every lane too many", REGISTERS, "(r + 1) * lanes <=", "r * lanes <="),
    ("the last row of A is padding", REGISTERS, "i >= n) return;", "i + 1 >= n) return;"),
    ("a row of A too many", REGISTERS, "i >= n) return;", "i > n) return;"),
    ("a row of b too many", REGISTERS, "i < n ? target", "i <= n ? target"),
    ("a weight too many", REGISTERS, "i < n ? of(i)", "i <= n ? of(i)"),
    ("one column too many", COORDINATES, "j < parameters()", "j <= parameters()"),
    ("one column too few", COORDINATES, "j < parameters()", "j + 1 < parameters()"),
    ("a column of A too many", REGISTERS, "Base::has_column(j) ?", "Base::has_column(j - 1) ?"),
    ("a number of the start too many", COORDINATES, "start && has_column(j)", "start && has_column(j - 1)"),
    ("columns padded with +0", REGISTERS, "* unit : -T(0)", "* unit : T(0)"),
    ("rows padded with +0", REGISTERS, "has(r) ? z[r] : -T(0)", "has(r) ? z[r] : T(0)"),
    ("sums begin with -0", REGISTERS, "-lagged_shift : T(0), [", "-lagged_shift : -T(0), ["),
    # What the lanes hold.
    ("no maximum of the own rows", REGISTERS, "most = max_(most, z[r])", "most = z[r]"),
    ("guard of a step long past", COORDINATES, "set_shift(const Segment&, T value) { lagged_shift = value; }",
     "set_shift(const Segment&, T) {}"),
    ("lines of rows overlap", REGISTERS, "* (held_columns / Line::size) + l) *",
     "* (held_columns / Line::size - 1) + l) *"),
    ("lines of warps overlap", REGISTERS, "g.rank_in_block()];", "g.rank_in_block() % 128];"),
    ("line of another part of the row", REGISTERS, "const Line now = line(k, l);", "const Line now = line(k, l ^ 1);"),
    ("line of another row", REGISTERS, "const Line now = line(k, l);",
     "const Line now = line(k ^ (k > held_rows - shared_rows), l);"),
    ("x in place of the point", COORDINATES, "f(x[p], point[p], grad[p]); });\n    return true",
     "f(point[p], x[p], grad[p]); });\n    return true"),
    ("the step size of another instance", COORDINATES, "step_size[instance]", "step_size[0]"),
    ("the point is not the start", COORDINATES, "point[p] = x[p];", "point[p] = T(0);"),
    ("x is returned, not the point", COORDINATES, "visit_each(point, f);", "visit_each(x, f);"),
    ("only the last column says whether it moved", COORDINATES, "moved |= ", "moved = "),
    ("a lane asks only itself whether it moved", COORDINATES, "g.total_of_columns(moved) > 0", "moved > 0"),
    ("ridge on x", COORDINATES, "grad[p] + f(point[p])", "grad[p] + f(x[p])"),
    # Tiles that pass by.
    ("a tile is read before it has come", ONE_PASS, "simt::wait_copies<stages - 1>();", ""),
    ("a tile too few is waited for", ONE_PASS, "simt::wait_copies<stages - 1>();", "simt::wait_copies<stages>();"),
    ("the next tile comes where this one is to be read", ONE_PASS, "simt::wait_copies<stages - 1>();",
     "simt::wait_copies<stages - 1>();\n      if (stages > 0) begin_next_copies();"),
    ("copies are no group", ONE_PASS, "    simt::commit_copies();\n", ""),
    ("copies on their way at the end", ONE_PASS, "void finish() const { simt::wait_copies<0>(); }",
     "void finish() const {}"),
    ("copies of the last instance come late", ONE_PASS, "    simt::wait_copies<0>();\n    a_", "    a_"),
    ("rows copied to another place", ONE_PASS, "q ^ place", "q"),
    ("the first tile does not come again", ONE_PASS, "ahead_ + 1 == tiles_ ? 0", "ahead_ + 1 > tiles_ ? 0"),
    ("a row copied too many", ONE_PASS, "first + q < n", "first + q <= n"),
    ("a column copied too many", ONE_PASS, "has_row && column + p < d", "has_row && column + p <= d"),
    ("columns of another share in a line", ONE_PASS, "(p / own ^ share) * own", "(p / own) * own"),
    ("a row of a tile too many", ONE_PASS, "return row(r) < n;", "return row(r) <= n;"),
    ("columns of a tile padded with +0", ONE_PASS, "start_of(instance), -T(0)", "start_of(instance), T(0)"),
    ("the gradient is made twice", ONE_PASS, "    combined_ = true;\n", ""),
    ("the gradient of the step before", ONE_PASS, "    combined_ = false;\n", ""),
    ("sums of the step before", ONE_PASS, "    terms_ = {};\n", ""),
    # Products with an A in memory, for several instances.
    ("points are read before they are there", PRODUCTS, "      sync();\n      if (Rows == 1", "      if (Rows == 1"),
    ("points are written while they are read", PRODUCTS, "      sync();  // nobody", "      // nobody"),
    ("parts are read before they are there", PRODUCTS, "      sync();\n      for (int k = rank(); k < sums",
     "      for (int k = rank(); k < sums"),
    ("parts are written while they are read", PRODUCTS, "      parts = other;\n", ""),
    ("the sum of another place", PRODUCTS, "grad[k % Places]", "grad[(k + 1) % Places]"),
    ("the parts of another sum", PRODUCTS, "(lane / alike * left + k)", "(lane / alike * left + (left - 1 - k))"),
    ("a row of two too many", PRODUCTS, "a.rows - i > Lanes", "a.rows - i >= Lanes"),
    ("the second row is the first", PRODUCTS, "value[r][c] = from[c][i + r * Lanes]", "value[r][c] = from[c][i]"),
    ("a column beyond the last", PRODUCTS, "(c < most ? c : most)", "c"),
    ("a sum too many", PRODUCTS, "k / Places <= most;", "k / Places <= most + 1;"),
    ("points of the first columns", PRODUCTS, "x[k][column + j]", "x[k][j]"),
    ("a place goes on where the last instance ended", STREAM, "      place[k].turns = {};\n", ""),
    ("the sums of the first place", STREAM, "turns.describing, place[k].sums", "turns.describing, place[0].sums"),
    ("places share a workspace", STREAM, "T* const own = workspace + k * stride;\n    return", "T* const own = workspace;\n    return"),
    ("a place takes no other instance", STREAM, "begin(k, queue.next(g));", "begin(k, batch.count);"),
    # Memory.
    ("exchange two values short", GRID, "return (grid.warps() / blocks",
     "return -2 * int(sizeof(T)) + (grid.warps() / blocks"),
    ("slab two values short", REGISTERS, "rows * (p.lanes() / p.cluster()) * std::int64_t{sizeof(T)}",
     "(rows > 0 ? rows * (p.lanes() / p.cluster()) - 2 : 0) * std::int64_t{sizeof(T)}"),
    ("slab begins in the exchange", REGISTERS, "2 * exchange_bytes<T>(P.grid, P.cluster()))) {}",
     "exchange_bytes<T>(P.grid, P.cluster()))) {}"),
    ("scratch half as large", GROUP, "? lanes / simt::warp_size * scratch_value_bytes",
     "? lanes / simt::warp_size * scratch_value_bytes / 2"),
    ("groups of a block share the workspace", KERNEL, "workspace + group * stride",
     "workspace + simt::block_index() * stride"),
    ("workspaces overlap", KERNEL, "workspace + group * stride", "workspace + group * (stride - 1)"),
    ("workspace two values short", KERNEL, "      return trace;", "      return trace > 0 ? trace - 2 : 0;"),
    ("workspace of a block two values short", KERNEL, "return memory_solve_values<T>(e, watched);",
     "return memory_solve_values<T>(e, watched) - 2;"),
    ("memory of traces has the rows of another instance", KERNEL, "{workspace, batch.rows_of(i)}",
     "{workspace, batch.rows_of(0)}"),
    # Instances.
    ("the first instance is forgotten", QUEUE, "{ return group; }", "{ return group + 1; }"),
    ("an instance is taken twice", QUEUE, "g.total(g.rank() == 0 ? simt::add(taken, 1) : 0)",
     "g.total(g.rank() == 0 ? simt::add(taken, 1) : 0) / 2"),
    ("every lane takes an instance", QUEUE, "g.total(g.rank() == 0 ? simt::add(taken, 1) : 0)",
     "g.total(simt::add(taken, 1))"),
    ("every second instance is skipped", QUEUE, "g.rank() == 0 ? simt::add(taken, 1) : 0",
     "g.rank() == 0 ? simt::add(taken, 2) : 0"),
    ("the queue is raced for", QUEUE,
     "    return std::int64_t{groups} + g.total(g.rank() == 0 ? simt::add(taken, 1) : 0);",
     """    const int next = g.total(g.rank() == 0 ? *taken : 0);
    g.once([this] { simt::add(taken, 1); });
    return std::int64_t{groups} + next;"""),
    ("instance not told to the placement", KERNEL, "e.instance = e.p.instance = i;\n    e.before = {workspace, ",
     "e.instance = i;\n    e.before = {workspace, "),
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


def copy_kernels(to, *edits):
    to.mkdir(exist_ok=True)
    for header in (ROOT / "kernels").glob("*.hpp"):
        text = header.read_text()
        if header.name == POLICY:
            text = re.sub(r"using Policies =\s*std::tuple<[^;]*>;", FEW_KERNELS, text)
        (to / header.name).write_text(text)
    for file, old, new in edits:
        (to / file).write_text(replaced(to / file, old, new))


def call(command):
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, errors="replace", check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5)))


def compiled(command):
    done = call([os.environ.get("SOFTREG_CXX", "c++"), *command])
    if done.returncode != 0:
        raise Broken(done.stderr[:2000])


def failure(folder, test, *options, mutated=None):
    """What goes wrong with the kernels as they are, or with a file of them mutated; None: nothing."""
    objects = []
    for source in TESTS[test]:
        again = mutated and source not in REST and (source not in YARDSTICK or mutated == LANES)
        kernels = folder / ("mutant" if again else "unbroken")
        objects.append(kernels / "".join((pathlib.Path(source).stem, *options, ".o")))
        if again or not objects[-1].exists():
            compiled([*FLAGS, *options, f"-I{folder}/include", f"-I{kernels}",
                      *(f"-I{ROOT}/{f}" for f in ("tests", "src", "include")),
                      "-c", (ROOT if "/" in source else folder) / source, "-o", objects[-1]])
    program = folder / "program"
    compiled([*options, *objects, "-o", program, "-lfmt", "-lgtest", "-lgtest_main"])
    done = call([program, f"--gtest_filter={FILTERS[test]}", "--gtest_fail_fast", "--gtest_brief=1"])
    if done.returncode == 0:
        return None
    # Of what the test says of its first failure, the last line: what was compared.
    said = re.search(r"ERROR: (AddressSanitizer: \S+)|Failure\n(?:.+\n)*?(.+)\n[\n[/]", done.stdout + done.stderr)
    if said:
        return f"{test}: {(said[1] or said[2])[:120]}"
    if done.returncode < 0:
        return f"{test}: {signal.Signals(-done.returncode).name}"
    return f"{test}: exit status {done.returncode}"


def verdict(folder, controls, file, old, new):
    """What caught the mutation; None: nothing."""
    copy_kernels(folder / "mutant", (file, old, new))
    for tried in TRIED:
        if tried[0] == "group_test" and file not in (GRID, GROUP, LANES):  # it knows no others
            continue
        if tried not in controls:
            controls.add(tried)
            if found := failure(folder, *tried):
                raise Broken(f"without a mutation, {found}")
        if found := failure(folder, *tried, mutated=file):
            return found
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    words = parser.parse_args().words
    for word in words:
        if not any(word in what for what, *_ in MUTATIONS):
            parser.error(f"no mutation has {word!r}")
    chosen = [m for m in MUTATIONS if not words or any(w in m[0] for w in words)]
    survivors = 0
    with tempfile.TemporaryDirectory() as name:
        folder, controls = pathlib.Path(name), set()
        try:
            for _, file, old, new in MUTATIONS:
                replaced(ROOT / "kernels" / file, old, new)
            copy_kernels(folder / "unbroken")
            (folder / CATALOG).parent.mkdir(parents=True)
            (folder / CATALOG).write_text(
                replaced(ROOT / CATALOG, ALL_LOSSES, "using AnyLoss = std::variant<ONE_LOSS>;"))
            for source, text in WRITTEN.items():
                (folder / source).write_text(text)
            for what, *mutation in chosen:
                found = verdict(folder, controls, *mutation)
                survivors += found is None
                print(f"{what}: {found or 'SURVIVED'}", flush=True)
        except Broken as error:
            print(error)
            return 2
    print(f"{len(chosen)} mutations, {survivors} survived")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
