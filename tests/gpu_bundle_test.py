"""bench/gpu: the bundle is packed, moved and run on this machine without a GPU, from another folder
and with an empty environment; nothing but glibc comes from outside it."""
import json
import os
import pathlib
import re
import subprocess
import tarfile

import pytest

SOURCE = pathlib.Path(os.environ["SOFTREG_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"])
CACHE = (BUILD / "CMakeCache.txt").read_text()
pytestmark = pytest.mark.skipif(re.search(r"^SOFTREG_SANITIZE:STRING=.", CACHE, re.M) is not None,
                                reason="a build with sanitizers is not packed")

GLIBC = re.compile(r"(linux-vdso|ld-linux[^/]*|libc|libm|libpthread|libdl|librt)\.so\S*")
LIMIT = 50_000_000


def has_kernels():
    sections = subprocess.run(["readelf", "-S", BUILD / "libsoftreg.so"], capture_output=True, text=True, check=True)
    return "nv_fatbin" in sections.stdout


def pack(out, **environment):
    allowed = {} if has_kernels() else {"SOFTREG_BUNDLE_WITHOUT_CUDA": "1"}
    return subprocess.run(["sh", SOURCE / "bench/gpu/pack.sh", out], capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"], "SOFTREG_BUILD_DIR": str(BUILD), **allowed, **environment})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Packed in one folder, unpacked in another whose name has a space."""
    archive = tmp_path_factory.mktemp("packed") / "softreg-gpu.tar.gz"
    done = pack(archive)
    assert done.returncode == 0, done.stderr
    size = archive.stat().st_size
    print(f"[count] bytes of the GPU bundle: {size}")
    assert size <= LIMIT and f"{size} bytes" in done.stdout
    target = tmp_path_factory.mktemp("un packed")
    with tarfile.open(archive) as tar:
        tar.extractall(target)
    return target / "softreg-gpu"


def run(bundle, cwd, *command, **environment):
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=120,
                          env={"PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": "", **environment})


def test_only_glibc_comes_from_outside(bundle, tmp_path):
    programs = sorted((bundle / "bin").iterdir())
    assert {"softreg", "gpu_test"} <= {p.name for p in programs}
    assert not list(bundle.glob("**/*cublas*")) and not list(bundle.glob("**/*cudart*"))
    inside = 0
    for program in programs:
        out = run(bundle, tmp_path, program, LD_TRACE_LOADED_OBJECTS="1").stdout
        lines = [line.strip() for line in out.splitlines()]
        assert len(lines) > 3, out
        for line in lines:
            if GLIBC.fullmatch(pathlib.Path(line.split()[0]).name):
                continue
            path = re.fullmatch(r"\S+ => (.+) \(0x[0-9a-f]+\)", line)
            assert path and path[1].startswith(f"{bundle}/"), f"{program.name}: {line}"
            inside += 1
    print(f"[count] libraries resolved inside the bundle: {inside}")


def test_evidence_without_a_gpu(bundle, tmp_path):
    out = tmp_path / "out dir"
    done = run(bundle, tmp_path, "sh", bundle / "evidence.sh", out)
    assert done.returncode == 5, done.stderr
    assert "no usable GPU" in done.stderr
    evidence = json.loads((out / "evidence.json").read_text())
    assert evidence["device"] == "none"
    assert "CUDA" in evidence["reason"] or "driver" in evidence["reason"], evidence["reason"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", evidence["date"])
    version = re.search(r'"(\d+\.\d+\.\d+)"', (SOURCE / "include/softreg/version.hpp").read_text())[1]
    assert evidence["softreg_version"] == version
    assert evidence["stages"] == [] and evidence["timings"] == []
    assert evidence["doctor"]["verb"] == "doctor"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out dir"]


def test_evidence_with_everything_stubbed(bundle, tmp_path):
    """The road that needs a GPU, with stand-ins for every program: what passes, fails and hangs is told
    apart, and strange output does not break the JSON."""
    fake = tmp_path / "fake"
    (fake / "bin").mkdir(parents=True)
    (fake / "evidence.sh").write_text((bundle / "evidence.sh").read_text().replace(" 120 ", " 2 "))
    (fake / "manifest").write_text("softreg_version=9.9.9\ncommit=abc\"d\\e\n")

    def program(path, text):
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    program(fake / "bin/gpu_test", 'case "$*" in *Statuses*) echo "[       OK ]";; *=GpuLarge*|*=GpuMade*) '
            'echo "[  PASSED  ] 0 tests.";; *) sleep 60;; esac\n')
    program(fake / "bin/backends_test", "exit 3\n")
    program(fake / "bin/softreg", 'case "$1" in solve) echo "{\\"solve_seconds\\": 1.5}";; doctor) echo "no json";; '
            'gen) [ "$4" != 0 ];; esac\n')
    tools = tmp_path / "tools"
    tools.mkdir()
    program(tools / "compute-sanitizer", 'case "$2" in racecheck) exit 9;; esac\nexit 0\n')
    program(tools / "python3", "exit 0\n")  # makes problems whose A is shared
    program(tools / "nvidia-smi", 'echo "GPU \\"X\\" \\\\ 1"\n')
    out = tmp_path / "out"
    done = run(fake, tmp_path, "sh", fake / "evidence.sh", out, PATH=f"{tools}:/usr/bin:/bin")
    assert done.returncode == 1, done.stderr
    evidence = json.loads((out / "evidence.json").read_text())
    assert evidence["device"] == 'GPU "X" \\ 1' and evidence["reason"] == ""
    assert evidence["commit"] == 'abc"d\\e' and evidence["doctor"] is None
    stages = {stage["name"]: stage for stage in evidence["stages"]}
    assert stages["gpu_test"]["result"] == "out of time"
    assert stages["gpu_large"]["result"] == stages["gpu_made"]["result"] == "nothing ran"
    assert (stages["backends_test"]["result"], stages["backends_test"]["exit_code"]) == ("failed", 3)
    assert stages["memcheck"]["result"] == "passed" and stages["racecheck"]["exit_code"] == 9
    assert evidence["failures"] == 5
    assert len(evidence["timings"]) == 28
    assert all(timing["solve"] == {"solve_seconds": 1.5} for timing in evidence["timings"])
    assert sum(timing["fast"] == {"solve_seconds": 1.5} for timing in evidence["timings"]) == 9


def test_pack_refuses(tmp_path):
    out = tmp_path / "x.tar.gz"
    done = pack(out, SOFTREG_BUNDLE_BYTES="1000")
    assert done.returncode == 1 and "may have at most 1000" in done.stderr
    done = pack(out, SOFTREG_BUILD_DIR=str(tmp_path))
    assert done.returncode == 1 and "does not exist: build first" in done.stderr
    if not has_kernels():
        done = pack(out, SOFTREG_BUNDLE_WITHOUT_CUDA="0")
        assert done.returncode == 1 and "has no CUDA kernels" in done.stderr
    assert not out.exists()
