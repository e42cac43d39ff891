"""`cmake --install` into an empty prefix: a ten-line project finds softreg there with nothing else,
and the installed program starts from any place."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["SOFTREG_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"])


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """Installed, then moved: nothing in it may remember where it was."""
    first = tmp_path_factory.mktemp("install") / "first"
    run("cmake", "--install", BUILD, "--prefix", first)
    moved = first.with_name("moved prefix")
    first.rename(moved)
    return moved


def test_consumer_builds_and_solves(prefix, tmp_path):
    shutil.copytree(SOURCE / "tests/package", tmp_path / "consumer")
    run("cmake", "-S", tmp_path / "consumer", "-B", tmp_path / "build", "-G", "Ninja",
        f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={os.environ['SOFTREG_CXX']}",
        "-DCMAKE_DISABLE_FIND_PACKAGE_TBB=ON", "-DCMAKE_DISABLE_FIND_PACKAGE_fmt=ON")
    run("cmake", "--build", tmp_path / "build")
    assert run(tmp_path / "build/consumer") == "converged\nconverged\n"


def test_installed_program_starts(prefix, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    assert "softreg" in run(prefix / "bin/softreg", "--help", cwd=tmp_path, env=environment)


def test_nothing_looks_into_the_build_folder(prefix):
    folders = [os.fsencode(folder) + b"/" for folder in (BUILD, SOURCE)]
    for path in prefix.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            # Source locations in error messages: nvcc gives them as it was called.
            content = re.sub(rb"[^\0]*/src/\w+\.cu\b", b"", content)
            assert not any(folder in content for folder in folders), path


def test_library_is_small_enough(prefix):
    size = (prefix / "lib/libsoftreg.so").stat().st_size
    print(f"[count] libsoftreg.so bytes: {size}")
    assert size <= 30e6
