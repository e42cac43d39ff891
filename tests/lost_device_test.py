"""A solve whose device fails, whichever call it is: what was finished is saved, with the bits that it has anyway, and
the exit code tells of the failure."""
import os
import pathlib
import re

import numpy as np
import pytest

import program

PROGRAM = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"]) / "tests/emulated_softreg"
COUNT = 6
NOT_RUN, DEVICE_ERROR = 40, 41


def solve(folder, name, call=0, failure=0):
    output = folder / f"{name}.npz"
    done = program.run("solve", folder / "problem.npz", "--device", "cuda", "--memory-limit", 2304, "--max-steps", 5,
                       "--step-size", 0.1, "--check-every", 2, "-o", output, "--force", program=PROGRAM,
                       EMULATED_FAIL_CALL=str(call), EMULATED_FAILURE=str(failure))
    return done, program.arrays(output) if output.exists() else None


@pytest.mark.parametrize("failure, status", [(9, DEVICE_ERROR), (1, NOT_RUN)])
def test_what_was_finished_is_saved(tmp_path, failure, status):
    a, b = program.instances(COUNT, 12, 3, dtype=np.float32)
    np.savez(tmp_path / "problem.npz", A=a, b=b)
    done, whole = solve(tmp_path, "whole")
    assert done.returncode == 0, done.stderr
    saved = set()
    for call in range(1, 500):
        done, result = solve(tmp_path, str(call), call, failure)
        if done.returncode == 0:
            break
        assert done.returncode == failure, done.stderr
        assert len(re.findall(r"^error: ", done.stderr, flags=re.M)) == 1, done.stderr
        if result is None:
            saved.add(0)
            assert not done.stdout and "finished" not in done.stderr
            continue
        finished = result["status"] == whole["status"]
        saved.add(int(finished.sum()))
        assert set(result["status"][~finished]) <= {status}
        assert f"interrupted: {finished.sum()} of {COUNT} instances were finished" in done.stderr
        for name in ("x", "loss", "steps"):
            assert np.array_equal(result[name][finished], whole[name][finished]), (call, name)
    assert done.returncode == 0, "no call was the last"
    print(f"[count] calls that failed: {call - 1}; instances saved then: {sorted(saved)}")
    assert {0, 2, 4} <= saved
