# examples/demo.py as a user runs it: its parts end with their tables, errors are one sentence.
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(os.environ["SOFTREG_SOURCE_DIR"])
MARKETS = [str(year) for year in range(1971, 1991)]


def demo(*arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, str(SOURCE / "examples" / "demo.py"), "--folder", str(folder), *arguments],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True, encoding="utf-8", timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def quick(folder):
    done = demo("--quick", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def rows(text, head):
    """The cells of the table under the line that begins with `head`."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:len(head)] == head)
    table = []
    for line in lines[start + 2:]:
        if not re.match(r" *\d+  ", line):
            break
        table.append(re.split(r" {2,}", line.strip()))
    return table


def test_the_theorem_table_has_a_row_per_radius_and_no_violation(quick):
    table = rows(quick.stdout, ["R", "updates"])
    assert [row[0] for row in table] == ["1", "2", "4"]
    for row in table:
        assert float(row[2]) > 0 and float(row[3]) > 0
        assert 0 < float(row[4].removesuffix(" %")) <= 100
        assert row[7] == "none"
        # |Δf| <= ½|A||Δx| with |A| <= 4, so the paper's bound is 64^1.5 exp(160) / 2 times it.
        assert float(row[6].removeprefix("10^")) > 71.8


def test_every_market_is_fitted(quick):
    table = rows(quick.stdout, ["market", "products"])
    assert [row[0] for row in table] == MARKETS
    assert sum(int(row[1]) for row in table) == 2217
    for row in table:
        assert 0.0026 < float(row[2]) < 0.0081
        assert float(row[4]) < 0, "dearer cars sell less"


def test_every_market_counts_its_ends(quick):
    table = rows(quick.stdout, ["market", "ends"])
    assert [row[0] for row in table] == MARKETS
    # Four starts per market: at least one finishes somewhere in most markets.
    assert sum(int(row[1]) > 0 for row in table) >= 10
    for row in table:
        assert 0 <= int(row[1]) <= 4


def test_the_atlas_has_every_bound_at_every_radius_and_a_report(quick, folder):
    lines = quick.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:3] == ["bound", "R", "="])
    table = [re.split(r" {2,}", line.strip()) for line in lines[start + 2:start + 21]]
    assert [row[0] for row in table[:4]] == ["D8", "P6", "P6@4", "D5"]
    assert len({row[0] for row in table}) == 19
    for row in table:
        assert all(float(cell) > -1e-6 for cell in row[1:5]) and row[5] == "none"
    page = Path(re.search(r"in pictures: (.+)", quick.stdout)[1])
    assert page == folder / "atlas" / "report" / "index.html" and "<svg" in page.read_text()


def test_the_output_fits_a_terminal_and_has_no_colour_in_a_pipe(quick):
    assert "\033" not in quick.stdout
    assert max(map(len, quick.stdout.splitlines())) <= 100
    assert re.search(r"^Solved in [\d.]+ s, [\d.]+ s with everything\.$", quick.stdout, re.M)


def test_a_missing_program_is_one_sentence(tmp_path):
    missing = tmp_path / "softreg"
    done = demo("--quick", folder=tmp_path / "new", SOFTREG_PROGRAM=str(missing))
    assert done.returncode == 2
    assert done.stderr == (
        f"demo: there is no program at {missing}; `sh cmake/bootstrap.sh demo` builds it\n")


@pytest.mark.parametrize("code", [1, 5])
def test_a_failing_command_passes_on_its_words_and_its_exit_code(tmp_path, code):
    failing = tmp_path / "softreg"
    failing.write_text(f"#!/bin/sh\necho 'error: the words of the program' >&2\nexit {code}\n")
    failing.chmod(0o755)
    done = demo("--quick", folder=tmp_path / "new", SOFTREG_PROGRAM=str(failing))
    assert done.returncode == code
    first, last = done.stderr.splitlines()
    assert first == "error: the words of the program"
    assert last.startswith("demo: `softreg gen ") and f"exit code {code};" in last


def test_only_what_a_demo_made_is_replaced(tmp_path):
    (tmp_path / "mine").write_text("kept")
    done = demo("--quick", folder=tmp_path)
    assert done.returncode == 2 and "is not empty" in done.stderr
    assert (tmp_path / "mine").read_text() == "kept"


def test_a_violation_is_shown_and_ends_with_its_code(quick, folder, tmp_path):
    # The real program, except that every check reports a violation and exits 7.
    wrapper = tmp_path / "softreg"
    wrapper.write_text(f"""#!{sys.executable}
import json, subprocess, sys
done = subprocess.run([{os.environ["SOFTREG_PROGRAM"]!r}, *sys.argv[1:]], stdout=subprocess.PIPE)
if sys.argv[1] != "check":
    sys.stdout.buffer.write(done.stdout)
    sys.exit(done.returncode)
document = json.loads(done.stdout)
document["bounds"][0]["violations"] = 3
print(json.dumps(document))
sys.exit(7)
""")
    wrapper.chmod(0o755)
    done = demo("--quick", folder=folder, SOFTREG_PROGRAM=str(wrapper))  # replaces the first
    assert done.returncode == 7, done.stderr
    assert [row[7] for row in rows(done.stdout, ["R", "updates"])] == ["3", "3", "3"]
