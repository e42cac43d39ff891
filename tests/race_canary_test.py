"""The ThreadSanitizer build reports the race of race_canary.cpp, and only that.

SOFTREG_RACE_CANARY is the program's path; the preset tsan sets it."""
import os
import subprocess

import pytest

CANARY = os.environ.get("SOFTREG_RACE_CANARY")
pytestmark = pytest.mark.skipif(not CANARY, reason="race_canary is built by the preset tsan only")

REPORT = "WARNING: ThreadSanitizer: data race"
TSAN_EXIT = 66


def run(*arguments):
    environment = dict(os.environ, TSAN_OPTIONS=f"exitcode={TSAN_EXIT}")
    return subprocess.run([CANARY, *arguments], env=environment, capture_output=True, text=True,
                          timeout=60, check=False)


def test_race_is_reported():
    done = run()
    assert REPORT in done.stderr
    assert "race_canary.cpp" in done.stderr
    assert done.returncode == TSAN_EXIT


def test_correct_program_is_not():
    done = run("atomic")
    assert "ThreadSanitizer" not in done.stderr
    assert done.returncode == 0
    assert done.stdout == "sum 2000\n"
