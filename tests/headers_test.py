"""Every public header and every kernel header compiles alone, twice included, warnings as errors."""
import concurrent.futures
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(os.environ["SOFTREG_SOURCE_DIR"])
COMPILER = os.environ["SOFTREG_CXX"]
FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror",
         "-ffp-contract=off", "-x", "c++", "-"]


def complaint(include_dirs, header):
    """What the compiler says about a file that holds nothing but this header."""
    program = f'#include "{header}"\n#include "{header}"\nint main() {{}}\n'
    run = subprocess.run([COMPILER, *(f"-I{path}" for path in include_dirs), *FLAGS],
                         input=program, capture_output=True, text=True, timeout=120)
    return run.stderr if run.returncode else ""


@pytest.mark.parametrize("room, include_dirs", [
    ("include", ["include"]),
    ("kernels", ["kernels", "include"]),
])
def test_headers_compile_alone(room, include_dirs):
    headers = [path.relative_to(ROOT / room).as_posix() for path in sorted((ROOT / room).rglob("*.hpp"))]
    assert headers
    dirs = [ROOT / name for name in include_dirs]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = pool.map(lambda header: complaint(dirs, header), headers)
    assert {header: text for header, text in zip(headers, complaints) if text} == {}
    print(f"[count] {room} headers compiled alone: {len(headers)}")


@pytest.mark.parametrize("seed", ["inline std::string name();\n", "#pragma once\nint f(long n) { return n; }\n"])
def test_header_that_leans_on_others_is_seen(tmp_path, seed):
    (tmp_path / "seed.hpp").write_text(seed)
    assert complaint([tmp_path], "seed.hpp")
