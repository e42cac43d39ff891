"""`softreg report`: what it writes of a small sweep, and how it refuses."""
import csv
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as tree

import pytest

from program import ENVIRONMENT, PROGRAM, document, ok, refused
from sweeps import SMALL, shards, sweep

needs_matplotlib = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None,
                                      reason=f"{sys.executable} has no matplotlib (cmake/bootstrap.sh test installs it)")
GRID = SMALL.replace("n = 12", "n = [4, 12]") + 'loss = ["softmax_l2", "rescaled_l2"]\nstep_size = [0.01, 1]\ntrace = "bounds"\n'
FIGURES = ("looseness", "by_n", "by_step_size", "phase_step_size")


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@needs_matplotlib
def test_a_report(tmp_path):
    directory, _ = sweep(tmp_path, GRID, name="R & D")
    doc = document("report", directory, "--python", sys.executable, timeout=600)
    out = directory / "report"
    expected = ["index.html", "sweep.csv"] + [f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png", "csv")]
    assert doc["files"] == names(out) == sorted(expected) and doc["verb"] == "report" and doc["output"] == str(out)
    ok("sweep", "export", directory, "--csv", tmp_path / "t.csv")
    assert (out / "sweep.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "<title>Sweep R &amp; D</title>" in page and page.count("<svg") == len(FIGURES)
    assert not re.search(r'(src|href)="(?!#|[a-z_]+\.(png|csv)")', page), "the page needs another file"
    for name in FIGURES:
        tree.parse(out / f"{name}.svg")
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    with open(out / "looseness.csv", newline="", encoding="utf-8") as file:
        points = list(csv.DictReader(file))
    rows = document("sweep", "export", directory)["cells"]
    for point in points:
        if point["bound"] == "D5":
            assert float(point["least"]) == min(row["d5_log10_ratio_min"] for row in rows if row["loss"] == point["series"]
                                                and row["radius"] == float(point["radius"]))
    assert {point["bound"] for point in points} >= {"D5", "D8", "D12", "D18", "D19", "P1", "P6@4"}
    with open(out / "phase_step_size.csv", newline="", encoding="utf-8") as file:
        fields = list(csv.DictReader(file))
    assert len(fields) == 2 * 2 * 2  # loss, radius, step
    for field in fields:
        cells = [row for row in rows if row["loss"] == field["series"] and row["radius"] == float(field["radius"])
                 and row["step_size"] == float(field["step_size"])]
        share = sum(row["status_max_steps"] for row in cells) / sum(row["instances"] for row in cells)
        assert float(field["max_steps"]) == pytest.approx(share, abs=1e-12)
    assert not [name for name in names(directory) if name.startswith(".")]


@needs_matplotlib
def test_a_report_is_replaced_only_when_asked(tmp_path):
    directory, _ = sweep(tmp_path, SMALL.replace("[1, 2]", "2"))
    words = ["report", directory, "-o", tmp_path / "out", "--python", sys.executable]
    assert "files written to" in ok(*words)
    assert names(tmp_path / "out") == ["index.html", "sweep.csv"]  # nothing varies
    assert "already exists" in refused(2, *words)
    (tmp_path / "out" / "old.png").touch()
    ok(*words, "--force")
    assert names(tmp_path / "out") == ["index.html", "sweep.csv"]
    assert "is no report" in refused(2, "report", directory, "-o", tmp_path, "--force")


@needs_matplotlib
def test_a_damaged_sweep_leaves_no_report(tmp_path):
    directory, _ = sweep(tmp_path, SMALL)
    name = next(iter(shards(directory)))
    (directory / "shards" / name).write_bytes(b"")
    assert name in refused(8, "report", directory, "--python", sys.executable, "-q")
    assert names(directory) == ["manifest.json", "shards"]
    (directory / "shards" / name).unlink()
    ok("sweep", "resume", directory, "-q")
    ok("report", directory, "-o", tmp_path / "absent" / "out", "--python", sys.executable, "-q")
    assert "index.html" in names(tmp_path / "absent" / "out")


@needs_matplotlib
@pytest.mark.parametrize("delay", [0.05, 0.2, 0.4, 0.6, 1.0])
def test_an_interrupted_report_is_none_or_whole(tmp_path, delay):
    directory, _ = sweep(tmp_path, GRID)
    process = subprocess.Popen([PROGRAM, "report", directory, "--python", sys.executable], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert "Traceback" not in said
    if process.returncode == 0 and delay > 0.05:  # a fast machine has made it by then
        assert {"index.html", "sweep.csv", "phase_step_size.csv"} <= set(names(directory / "report"))
        return
    assert process.returncode == 130 and "interrupted" in said
    assert names(directory) == ["manifest.json", "shards"]


def test_refusals(tmp_path):
    directory, _ = sweep(tmp_path, SMALL)
    assert "needs DIR" in refused(2, "report")
    refused(8, "report", tmp_path)
    assert "--python" in refused(5, "report", directory, "--python", tmp_path / "none")
    assert names(directory) == ["manifest.json", "shards"]
    assert "softreg report atlas" in ok("report", "--help")


def test_without_matplotlib(tmp_path):
    directory, _ = sweep(tmp_path, SMALL)
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', encoding="utf-8")  # no site-packages
    bare.chmod(0o755)
    if subprocess.run([bare, "-c", "import matplotlib"], capture_output=True, check=False, env=os.environ).returncode == 0:
        pytest.skip("matplotlib is part of this Python")
    said = refused(5, "report", directory, SOFTREG_PYTHON=str(bare))
    assert "needs matplotlib" in said and "pip install matplotlib" in said
    assert names(directory) == ["manifest.json", "shards"]
