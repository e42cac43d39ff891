"""SIGINT and SIGTERM at random moments: the exit code in time, and a result that is absent or whole.

40 signals; SOFTREG_SLOW=1 sends 200.
"""
import fcntl
import os
import random
import signal
import subprocess
import time

import numpy as np
import pytest

from program import ENVIRONMENT, PROGRAM, arrays, instances, ok

SIGNALS = 200 if os.environ.get("SOFTREG_SLOW") == "1" else 40
IN_TIME = 2.0  # seconds from the signal to the end: the promise

STEPS = 6000  # of the work that can finish: it lasts longer than the longest delay on a fast machine
ENDLESS = ["--max-steps", 2 ** 31 - 2, "--tol", 0]
# The middle one tests the stop, and with it the cancel flag, not once; the last is one instance.
WORKLOADS = {
    "many": ("many.npz", ["--max-steps", STEPS, "--tol", 0, "--check-every", 8]),
    "endless": ("many.npz", [*ENDLESS, "--check-every", 2 ** 31 - 2]),
    "huge": ("huge.npz", [*ENDLESS, "--check-every", 2 ** 31 - 2]),
    "reference": ("many.npz", [*ENDLESS, "--device", "reference"]),
    "shifts": ("many.npz", [*ENDLESS, "--trace", "shifts"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("signals")
    a, b = instances(800, 40, 8, dtype=np.float32)
    np.savez(path / "many.npz", A=a, b=b)
    a, b = instances(1, 400_000, 16, dtype=np.float32)
    np.savez(path / "huge.npz", A=a, b=b)
    return path


def interrupted(folder, arguments, number, delay, result):
    """Starts, waits, sends; returns (exit code, seconds from the signal to the end)."""
    result.unlink(missing_ok=True)
    process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    time.sleep(delay)
    if process.poll() is not None:
        return None, 0
    sent = time.monotonic()
    process.send_signal(number)
    code = process.wait(timeout=60)
    took = time.monotonic() - sent
    assert not list(folder.glob(".softreg*")), "a temporary file was left behind"
    return code, took


def check_saved(result, problem):
    """Finished instances are complete, the others as product says: x = x0, no steps, NaN."""
    got = arrays(result)
    count = np.load(problem)["A"].shape[0]
    rest = got["status"] == 40
    assert got["x"].shape[0] == got["status"].shape[0] == count
    assert set(np.unique(got["status"])) <= {10, 40} and not rest.all()
    assert (got["x"][rest] == 0).all() and (got["steps"][rest] == 0).all()
    assert np.isnan(got["loss"][rest]).all() and np.isnan(got["grad_norm"][rest]).all()
    assert np.isfinite(got["loss"][~rest]).all() and (got["steps"][~rest] == STEPS).all()
    return rest.sum()


def test_signals_at_random_moments(folder):
    rng = random.Random(20230426)
    whole = folder / "whole.npz"
    ok("solve", folder / "many.npz", "-o", whole, *WORKLOADS["many"][1])
    expected = arrays(whole)
    slowest, saved, absent, sent, late = 0.0, 0, 0, 0, 0
    for turn in range(SIGNALS):
        name = rng.choice(["many", "many", *WORKLOADS])
        problem, options = WORKLOADS[name]
        number = rng.choice([signal.SIGINT, signal.SIGTERM])
        result = folder / "result.npz"
        arguments = ["solve", folder / problem, "-o", result, "-q", *options]
        # The first moments, before the solve begins, are as interesting as all the rest.
        delay = rng.choice([rng.uniform(0, 0.1), rng.uniform(0, 1.0)])
        code, took = interrupted(folder, arguments, number, delay, result)
        if code is None:
            assert name == "many", "endless work ended"
            continue
        sent += 1
        if code == 0:  # The signal met a process that had saved everything and was leaving.
            assert name == "many", (turn, name)
            got = arrays(result)
            assert (got["status"] == 10).all()
            np.testing.assert_array_equal(got["x"], expected["x"])
            late += 1
            continue
        # Before main() has begun, a signal ends the process in the kernel's own way.
        assert code in (128 + number, -number), (turn, name, code)
        assert code > 0 or delay < 0.2
        assert took < IN_TIME, (turn, name, took)
        slowest = max(slowest, took)
        if not result.exists():
            absent += 1
            continue
        saved += 1
        assert name == "many", "nothing of the endless work can be finished"
        check_saved(result, folder / problem)
        got = arrays(result)
        done = got["status"] != 40
        np.testing.assert_array_equal(got["x"][done], expected["x"][done])
    assert sent - late >= SIGNALS // 2 and saved > 0 and absent > 0
    print(f"[count] signals: {sent} sent, {saved} results saved, {absent} absent, {late} too late, "
          f"slowest end {slowest:.2f} s")


def test_a_second_signal_ends_at_once(folder):
    process = subprocess.Popen([PROGRAM, "solve", str(folder / "huge.npz"), *map(str, WORKLOADS["huge"][1]), "-q"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    # The first signal names the exit code; without the second one the grace lasts 0.7 s.
    assert process.wait(timeout=60) == 143
    assert time.monotonic() - sent < 0.5


def test_the_echo_of_a_signal_is_not_a_second_one(folder):
    process = subprocess.Popen([PROGRAM, "solve", str(folder / "huge.npz"), "-q",
                                *map(str, WORKLOADS["huge"][1])], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    # The way of one signal, which would have saved what was finished; a second one says less.
    assert "no instance was finished" in said


@pytest.mark.parametrize("verb", [
    ["evaluate", "PROBLEM", "-o", "RESULT"], ["check", "PROBLEM", "-o", "RESULT", *ENDLESS],
    ["gen", "RESULT", "--n", 2000, "--d", 50, "--count", 1000]])
def test_other_verbs(folder, verb):
    words = {"PROBLEM": folder / "huge.npz", "RESULT": folder / "other.npz"}
    for delay in (0.05, 0.3, 0.6):
        code, took = interrupted(folder, [words.get(word, word) for word in verb], signal.SIGINT, delay,
                                 folder / "other.npz")
        assert code in (130, -2, None) and took < IN_TIME
        if (folder / "other.npz").exists():
            assert "meta" in arrays(folder / "other.npz")  # whole


def test_what_is_said_is_true(folder):
    said = {}
    for name, words in {"huge": ["-o", folder / "said.npz", "-q"], "no output": ["-q"]}.items():
        process = subprocess.Popen([PROGRAM, "solve", str(folder / "huge.npz"), *map(str, WORKLOADS["huge"][1]),
                                    *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env=ENVIRONMENT)
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        said[name] = process.communicate(timeout=60)[1]
        assert process.returncode == 143
    assert set(said.values()) <= {"interrupted: no instance was finished, and nothing was saved\n",
                                  "interrupted: nothing was saved\n"}
    assert not (folder / "said.npz").exists()


def test_nobody_is_told_that_nothing_was_saved_when_it_was(folder):
    result = folder / "written.npz"
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * 4096)  # what the program prints waits until somebody reads
    process = subprocess.Popen([PROGRAM, "gen", str(result), "--n", "3", "--d", "2", "--count", "1"], stdout=writer,
                               stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    end = time.monotonic() + 30
    while not result.exists() and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == "interrupted\n"
    assert process.returncode == 143 and "meta" in arrays(result)
    os.close(reader)
    os.close(writer)


def test_a_signal_that_the_parent_ignores_stays_ignored(folder):
    result = folder / "ignored.npz"
    process = subprocess.Popen([PROGRAM, "solve", str(folder / "many.npz"), "-o", str(result), "-q",
                                "--max-steps", "300"],
                               stdout=subprocess.DEVNULL, env=ENVIRONMENT,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 0 and result.exists()
