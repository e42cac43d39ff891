# examples/demo.py as a user runs it: both parts end with their tables, errors are one sentence.
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(os.environ["SOFTREG_SOURCE_DIR"])
MARKETS = [str(year) for year in range(1971, 1991)]


def demo(*arguments, **environment):
    return subprocess.run(
        [sys.executable, str(SOURCE / "examples" / "demo.py"), *arguments],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True, encoding="utf-8", timeout=300)


@pytest.fixture(scope="module")
def quick():
    done = demo("--quick")
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


def test_the_output_fits_a_terminal_and_has_no_colour_in_a_pipe(quick):
    assert "\033" not in quick.stdout
    assert max(map(len, quick.stdout.splitlines())) <= 100
    assert re.search(r"^Solved in [\d.]+ s, [\d.]+ s with everything\.$", quick.stdout, re.M)


def test_a_missing_program_is_one_sentence(tmp_path):
    missing = tmp_path / "softreg"
    done = demo("--quick", SOFTREG_PROGRAM=str(missing))
    assert done.returncode == 2
    assert done.stderr == (
        f"demo: there is no program at {missing}; `sh cmake/bootstrap.sh demo` builds it\n")


@pytest.mark.parametrize("code", [1, 5])
def test_a_failing_command_passes_on_its_words_and_its_exit_code(tmp_path, code):
    failing = tmp_path / "softreg"
    failing.write_text(f"#!/bin/sh\necho 'error: the words of the program' >&2\nexit {code}\n")
    failing.chmod(0o755)
    done = demo("--quick", SOFTREG_PROGRAM=str(failing))
    assert done.returncode == code
    first, last = done.stderr.splitlines()
    assert first == "error: the words of the program"
    assert last.startswith("demo: `softreg gen ") and f"exit code {code};" in last


def test_a_violation_is_shown_and_ends_with_its_code(tmp_path):
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
    done = demo("--quick", SOFTREG_PROGRAM=str(wrapper))
    assert done.returncode == 7, done.stderr
    assert [row[7] for row in rows(done.stdout, ["R", "updates"])] == ["3", "3", "3"]
