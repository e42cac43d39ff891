"""The dependency rules of the rooms: who may include whom, and which words belong to which file.

Every rule is a function from the tree to sentences; each is also shown a seeded violation in a copy
of the tree and must report it.
"""
import os
import pathlib
import re
import shutil

import pytest

ROOT = pathlib.Path(os.environ.get("SOFTREG_SOURCE_DIR", pathlib.Path(__file__).parents[1]))
ROOMS = ("include", "kernels", "src")
SUFFIXES = {".hpp", ".h", ".cpp", ".cu", ".cuh"}


def files(root, *patterns):
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            if path.suffix in SUFFIXES:
                yield path.relative_to(root).as_posix(), path.read_text()


def code(text):
    """The text without comments and string literals; line numbers stay."""
    def blank(match):
        return "\n" * match.group().count("\n")
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def includes(text):
    return re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', text, flags=re.M)


def words(root, patterns, forbidden, why, allowed=()):
    for name, text in files(root, *patterns):
        if name not in allowed:
            for number, line in enumerate(code(text).split("\n"), 1):
                if found := re.search(forbidden, line):
                    yield f"{name}:{number}: '{found.group().strip()}': {why}"


def public_headers_need_only_the_standard_library(root):
    for name, text in files(root, "include/**/*"):
        for bracket, target in includes(text):
            own = bracket == '"' and target.startswith("softreg/") and (root / "include" / target).is_file()
            if not own and not (bracket == "<" and re.fullmatch(r"[a-z0-9_]+(\.h)?", target)
                                and "cuda" not in target):
                yield f"{name}: includes {target}: public headers know the standard library and softreg/"


def model_knows_only_the_model(root):
    for name, text in files(root, "include/softreg/model/**/*"):
        for bracket, target in includes(text):
            if bracket == '"' and not target.startswith("softreg/model/"):
                yield f"{name}: includes {target}: the model knows only the model"


def rooms_look_down_only(root):
    below = {"include": ("include",), "kernels": ("kernels", "include"),
             "src": ("src", "kernels", "include")}
    for room in ROOMS:
        for name, text in files(root, f"{room}/**/*"):
            for bracket, target in includes(text):
                homes = [root / home for home in below[room]]
                if room == "src" and name.startswith("src/cli/"):
                    homes.append(root / "src/cli")
                elif bracket == '"' and target.startswith("cli/"):
                    yield f"{name}: includes {target}: only the program knows src/cli"
                if bracket == '"' and not any((home / target).is_file() for home in homes):
                    yield f"{name}: includes {target}, which is in none of {', '.join(below[room])}"


def mathematics_has_no_loop_and_no_thread(root):
    # s[0] picks one of the named sums; an index that is computed, a cast or an arrow is a pointer
    # that walks.
    return words(root, ("include/softreg/model/losses/*", "include/softreg/model/elementwise_l2.hpp",
                        "include/softreg/model/optimizers/*"),
                 r"\b(for|while|do|goto|threadIdx|blockIdx|__\w+__|asm|reinterpret_cast)\b|->\s*\w+\s*[\[(.]"
                 r"|\[(?!\d+\])[^\]]*\]|\+\+|--",
                 "a loss or an optimizer is a few scalar functions: no loop, pointer or thread")


def formulas_are_included_loss_by_loss(root):
    for name, text in files(root, *(f"{room}/**/*" for room in ROOMS)):
        for _, target in includes(text):
            if "model/losses/" in target:
                yield f"{name}: includes {target}: a change of one loss would compile it for all (cmake/losses.cmake)"


def kernel_headers_are_plain_cpp(root):
    return words(root, ("kernels/**/*.hpp",), r"<<<|\bcuda[A-Z]\w*|\bcu[A-Z]\w*\s*\(|\b__shared__|\b__global__",
                 "kernels/*.hpp compile with g++", allowed=("kernels/simt.hpp",))


def kernel_headers_include_no_cuda(root):
    for name, text in files(root, "kernels/**/*.hpp", "src/**/*.hpp", "src/**/*.cpp"):
        for _, target in includes(text):
            if re.match(r"(cuda|cublas|nvrtc|cooperative_groups|cub/|thrust/)", target) or target.endswith(".cuh"):
                yield f"{name}: includes {target}: only .cu and .cuh may"


def one_place_asks_for_the_compiler(root):
    return words(root, tuple(f"{room}/**/*" for room in ROOMS), r"__CUDACC__|__CUDA_ARCH__|__NVCC__",
                 "only the seam and math.hpp ask which compiler this is",
                 allowed=("kernels/simt.hpp", "include/softreg/model/math.hpp"))


def one_place_synchronises(root):
    return words(root, ("kernels/**/*", "include/**/*"), r"\b(__sync\w+|sync_block|sync_warp|__shfl\w*|shuffle|shuffle_xor)\b",
                 "only simt_group.hpp and simt_grid.hpp synchronise, so no caller can forget a barrier",
                 allowed=("kernels/simt.hpp", "kernels/simt_group.hpp", "kernels/simt_grid.hpp"))


def plans_are_pure(root):
    return words(root, ("src/plan*", "src/device_groups.*", "kernels/policy.hpp"), r"\bcuda[A-Z]\w*|\bcudaError\w*|\bstd::thread\b|\bgetenv\b",
                 "a plan is a pure function of shapes and DeviceInfo")


def one_place_has_threads(root):
    signals = ("src/cli/interruption.hpp", "src/cli/interruption.cpp")  # a thread that waits for them
    yield from words(root, ("include/**/*", "kernels/**/*", "src/**/*"),
                     r"\btbb::|\bstd::j?thread\b|\bstd::async\b|\bpthread_create\b",
                     "all threading passes src/parallel.hpp", allowed=("src/parallel.hpp", *signals))
    for name, text in files(root, *(f"{room}/**/*" for room in ROOMS)):
        for _, target in includes(text):
            if re.match(r"(oneapi/)?tbb/|omp\.h", target) and name != "src/parallel.hpp":
                yield f"{name}: includes {target}: all threading passes src/parallel.hpp"


def nothing_knows_the_tests(root):
    yield from words(root, tuple(f"{room}/**/*" for room in ROOMS), r"\b(UNIT_)?TESTING\b|\bGTEST_\w+|\bFRIEND_TEST\b",
                     "there is no code for tests outside tests/")
    for name, text in files(root, *(f"{room}/**/*" for room in ROOMS)):
        for _, target in includes(text):
            if re.match(r"(tests/|gtest|gmock|rapidcheck|emulator|kernels/emulator)", target):
                yield f"{name}: includes {target}: nothing uses the tests"


# rule, file of the seeded violation, the seed
RULES = [
    (public_headers_need_only_the_standard_library, "include/softreg/seed.hpp", "#include <cuda_runtime.h>\n"),
    (public_headers_need_only_the_standard_library, "include/softreg/seed.hpp", "#include <fmt/format.h>\n"),
    (public_headers_need_only_the_standard_library, "include/softreg/seed.hpp", '#include "plan.hpp"\n'),
    (model_knows_only_the_model, "include/softreg/model/seed.hpp", '#include "softreg/options.hpp"\n'),
    (rooms_look_down_only, "include/softreg/seed.hpp", '#include "simt.hpp"\n'),
    (rooms_look_down_only, "kernels/seed.hpp", '#include "plan.hpp"\n'),
    (rooms_look_down_only, "src/seed.cpp", '#include "cli/main.hpp"\n'),
    (mathematics_has_no_loop_and_no_thread, "include/softreg/model/losses/seed.hpp",
     "T sum(const T* p) { T s = 0; for (int i = 0; i < 3; ++i) s += p[i]; return s; }\n"),
    (mathematics_has_no_loop_and_no_thread, "include/softreg/model/losses/seed.hpp", "T pick(const T* p, int i) { return p[i]; }\n"),
    (mathematics_has_no_loop_and_no_thread, "include/softreg/model/optimizers/seed.hpp", "int lane() { return threadIdx.x; }\n"),
    (formulas_are_included_loss_by_loss, "src/seed.hpp", '#include "softreg/model/losses/softmax_l2.hpp"\n'),
    (kernel_headers_are_plain_cpp, "kernels/seed.hpp", "void go() { kernel<<<1, 32>>>(); }\n"),
    (kernel_headers_are_plain_cpp, "kernels/seed.hpp", "void go() { cudaDeviceSynchronize(); }\n"),
    (kernel_headers_include_no_cuda, "src/seed.cpp", "#include <cuda_runtime.h>\n"),
    (one_place_asks_for_the_compiler, "src/seed.cpp", "#ifdef __CUDACC__\n#endif\n"),
    (one_place_synchronises, "kernels/seed.hpp", "void wait() { simt::sync_block(); }\n"),
    (plans_are_pure, "src/plan_seed.cpp", "int n; auto e = cudaGetDeviceCount(&n);\n"),
    (one_place_has_threads, "src/seed.cpp", "#include <oneapi/tbb/parallel_for.h>\n"),
    (one_place_has_threads, "src/seed.cpp", "std::thread worker;\n"),
    (nothing_knows_the_tests, "src/seed.cpp", "#ifdef TESTING\n#endif\n"),
    (nothing_knows_the_tests, "kernels/seed.hpp", '#include "kernels/emulator.hpp"\n'),
]


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, _, _ in RULES), ids=lambda rule: rule.__name__)
def test_tree_keeps(rule):
    assert any(files(ROOT, "include/**/*")), f"no sources under {ROOT}"
    assert list(rule(ROOT)) == []


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for room in ROOMS:
        if (ROOT / room).is_dir():
            shutil.copytree(ROOT / room, root / room)
    return root


@pytest.mark.parametrize("rule, name, seed", RULES, ids=lambda value: getattr(value, "__name__", None))
def test_violation_is_seen(copy, rule, name, seed):
    path = copy / name
    path.write_text(seed)
    try:
        assert any(sentence.startswith(name) for sentence in rule(copy))
    finally:
        path.unlink()
