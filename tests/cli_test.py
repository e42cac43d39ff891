"""The program as a user types it: every documented flag, array and exit code."""
import json
import os
import pty
import shutil
import subprocess
import time

import numpy as np
import pytest

from program import ENVIRONMENT, PROGRAM, arrays, document, instances, ok, refused, run, softmax

VERBS = ("solve", "evaluate", "check", "gen", "doctor", "sweep run", "sweep status", "sweep resume", "sweep export")
RESULT = {"x", "status", "steps", "loss", "objective", "grad_norm", "meta"}
LOSSES = ("softmax_l2", "rescaled_l2", "cross_entropy", "least_squares", "exp_l2", "cosh_l2", "sinh_l2")
UNPROVEN = ("rescaled_l2", "exp_l2", "cosh_l2", "sinh_l2")  # no automatic step size


@pytest.fixture
def problem(tmp_path):
    a, b = instances(6, 9, 4)
    path = tmp_path / "problem.npz"
    np.savez(path, A=a, b=b)
    return path


def save(path, **named):
    np.savez(path, **named)
    return path


# --- the mathematics, in NumPy ---------------------------------------------------------------


def loss_of(name, z, b):
    if name == "softmax_l2":
        return 0.5 * np.sum((softmax(z) - b) ** 2)
    if name == "rescaled_l2":
        u = np.exp(z)
        return 0.5 * np.sum((u - u.sum() * b) ** 2)
    if name == "cross_entropy":
        return -np.sum(b * np.log(softmax(z)))
    phi = {"least_squares": lambda v: v, "exp_l2": np.exp, "cosh_l2": np.cosh, "sinh_l2": np.sinh}[name]
    return 0.5 * np.sum((phi(z) - b) ** 2)


def gradient_of(function, at, h=1e-6):
    """Central differences: an error of about h^2."""
    result = np.empty_like(at)
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = h
        result[index] = (function(at + step) - function(at - step)) / (2 * h)
    return result


def descend(a, b, x, step, updates):
    for _ in range(updates):
        f = softmax(a @ x)
        x = x - step * (a.T @ (f * (f - b - np.dot(f, f - b))))
    return x


# --- solve -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_solve_writes_the_documented_arrays(tmp_path, dtype):
    a, b = instances(5, 7, 3, dtype=dtype)
    path = save(tmp_path / "p.npz", A=a, b=b)
    doc = document("solve", path, "-o", tmp_path / "r.npz", "--max-steps", 100)
    got = arrays(tmp_path / "r.npz")
    assert set(got) == RESULT
    assert got["x"].shape == (5, 3) and got["x"].dtype == dtype
    for name in ("loss", "objective", "grad_norm"):
        assert got[name].shape == (5,) and got[name].dtype == dtype
    for name in ("status", "steps"):
        assert got[name].shape == (5,) and got[name].dtype == np.int32
    assert json.loads(str(got["meta"])) == doc
    assert doc["dtype"] == np.dtype(dtype).name


def test_solve_is_gradient_descent(tmp_path):
    a, b = instances(4, 9, 3)
    path = save(tmp_path / "p.npz", A=a, b=b)
    ok("solve", path, "-o", tmp_path / "r.npz", "--step-size", 0.7, "--max-steps", 40, "--tol", 0)
    got = arrays(tmp_path / "r.npz")
    expected = np.stack([descend(a[i], b[i], np.zeros(3), 0.7, 40) for i in range(4)])
    # 40 updates of some units of rounding each.
    np.testing.assert_allclose(got["x"], expected, rtol=0, atol=40 * 16 * 2.3e-16)
    losses = [loss_of("softmax_l2", a[i] @ expected[i], b[i]) for i in range(4)]
    np.testing.assert_allclose(got["loss"], losses, rtol=1e-12)
    assert list(got["steps"]) == [40] * 4 and list(got["status"]) == [10] * 4


def test_json_document(problem):
    doc = document("solve", problem, "--max-steps", 64, "--seed", 3)
    for key in ("schema_version", "version", "verb", "device", "isa", "dtype", "loss", "optimizer", "count",
                "n", "d", "status", "steps_total", "solve_seconds", "step_size_seconds",
                "instance_steps_per_second", "workspace_bytes", "plan", "messages", "arguments", "seed"):
        assert key in doc, key
    assert {"road", "class", "lanes", "padding", "bytes"} <= set(doc["plan"])
    assert (doc["schema_version"], doc["verb"], doc["loss"]) == (1, "solve", "softmax_l2")
    assert (doc["count"], doc["n"], doc["d"], doc["seed"]) == (6, 9, 4, 3)
    assert sum(doc["status"].values()) == 6 and 0 < doc["steps_total"] <= 6 * 64
    assert doc["arguments"]["max_steps"] == 64 and doc["arguments"]["step_size"] == "auto"
    assert doc["solve_seconds"] > 0


def test_summary_for_people_is_on_stdout_and_the_rest_on_stderr(problem):
    done = run("solve", problem, "--device", "cpu")
    assert done.returncode == 0 and done.stderr == ""
    assert "6 instances, n = 9, d = 4" in done.stdout and "instance-steps/s" in done.stdout


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", ["gradient_descent", "nesterov"])
def test_every_loss_and_optimizer_descends(problem, tmp_path, loss, optimizer):
    step = ["--step-size", 0.01] if loss in UNPROVEN else []
    ok("evaluate", problem, "-o", tmp_path / "e.npz", "--loss", loss)
    doc = document("solve", problem, "-o", tmp_path / "r.npz", "--loss", loss, "--optimizer", optimizer,
                   "--max-steps", 50, *step)
    assert (doc["loss"], doc["optimizer"]) == (loss, optimizer)
    start, end = arrays(tmp_path / "e.npz")["loss"], arrays(tmp_path / "r.npz")["loss"]
    if loss == "cosh_l2":  # its gradient is exactly zero at the default start
        assert (start == end).all()
    else:
        assert (end < start).all()


def test_cosh_at_zero_is_warned_about(problem):
    assert "gradient is exactly zero" in run("solve", problem, "--loss", "cosh_l2", "--step-size", 0.1).stderr


@pytest.mark.parametrize("alias, name", [("normalized", "softmax_l2"), ("rescaled", "rescaled_l2")])
def test_aliases_of_losses(problem, alias, name):
    assert document("solve", problem, "--loss", alias, "--step-size", 0.01, "--max-steps", 8)["loss"] == name


def test_a_loss_without_a_proven_constant_needs_a_step_size(problem):
    for loss in UNPROVEN:
        assert "step" in refused(2, "solve", problem, "--loss", loss)


# --- arrays in -------------------------------------------------------------------------------


def solved(path, *arguments):
    result = path.with_name("solved.npz")
    ok("solve", path, "-o", result, "--force", "--max-steps", 40, *arguments)
    return arrays(result)


def assert_same(one, other, rows=slice(None)):
    for name in ("x", "status", "steps", "loss", "objective", "grad_norm"):
        np.testing.assert_array_equal(one[name], other[name][rows])


def test_layouts_agree_bit_for_bit(tmp_path):
    a, b = instances(4, 9, 3)
    shared_a = np.broadcast_to(a[0], a.shape)
    uniform = solved(save(tmp_path / "u.npz", A=a, b=b))
    assert_same(solved(save(tmp_path / "f.npz", A=np.asfortranarray(a), b=np.asfortranarray(b))), uniform)
    np.savez_compressed(tmp_path / "z.npz", A=a, b=b)
    assert_same(solved(tmp_path / "z.npz"), uniform)
    assert_same(solved(save(tmp_path / "s.npz", A=a[0], b=b)), solved(save(tmp_path / "t.npz", A=shared_a, b=b)))
    assert_same(solved(save(tmp_path / "sb.npz", A=a, b=b[0])),
                solved(save(tmp_path / "tb.npz", A=a, b=np.broadcast_to(b[0], b.shape))))
    offsets = np.arange(5) * 9
    ragged = solved(save(tmp_path / "r.npz", A=a.reshape(-1, 3), b=b.ravel(), offsets=offsets))
    assert_same(ragged, uniform)
    assert_same(solved(save(tmp_path / "i.npz", A=a.reshape(-1, 3), b=b.ravel(), offsets=offsets.astype(np.int32))),
                uniform)


def test_a_ragged_batch_is_its_instances(tmp_path):
    parts = [instances(1, n, 3, seed=n) for n in (2, 17, 1, 40)]
    a, b = (np.concatenate([p[k][0] for p in parts]) for k in (0, 1))
    offsets = np.cumsum([0, 2, 17, 1, 40])
    path = save(tmp_path / "r.npz", A=a, b=b, offsets=offsets)
    doc = document("solve", path, "--max-steps", 8)
    assert doc["n"] == [1, 40] and doc["count"] == 4
    together = solved(path)
    for i, (single_a, single_b) in enumerate(parts):
        assert_same(solved(save(tmp_path / f"{i}.npz", A=single_a, b=single_b)), together, slice(i, i + 1))


def test_shared_a_and_b_take_their_count_from_what_differs(tmp_path):
    a, b = instances(1, 9, 3)
    rng = np.random.default_rng(5)
    starts = rng.standard_normal((7, 3))
    got = solved(save(tmp_path / "p.npz", A=a[0], b=b[0], x0=starts))
    assert got["x"].shape == (7, 3)
    for i in (0, 6):
        assert_same(solved(save(tmp_path / "q.npz", A=a[0], b=b[0], x0=starts[i])), got, slice(i, i + 1))
    assert solved(save(tmp_path / "s.npz", A=a[0], b=b[0], step_size=np.full(5, 0.1)))["x"].shape == (5, 3)
    assert solved(save(tmp_path / "o.npz", A=a[0], b=b[0]))["x"].shape == (1, 3)


def test_step_sizes_starts_and_weights_per_instance(tmp_path):
    a, b = instances(3, 9, 4)
    steps = np.array([0.2, 0.5, 0.9])
    each = solved(save(tmp_path / "p.npz", A=a, b=b, step_size=steps, x0=np.full(4, 0.25)))
    for i, step in enumerate(steps):
        alone = solved(save(tmp_path / "q.npz", A=a[i:i + 1], b=b[i:i + 1], x0=np.full(4, 0.25)), "--step-size", step)
        assert_same(alone, each, slice(i, i + 1))
    flag = solved(save(tmp_path / "p.npz", A=a, b=b), "--logit-weight", 0.5, "--step-size", 0.5)
    for shape in ((3, 9), (9,)):
        assert_same(solved(save(tmp_path / "w.npz", A=a, b=b, w=np.full(shape, 0.5)), "--step-size", 0.5), flag)
    assert (flag["objective"] > flag["loss"]).all()


def test_what_file_and_flag_both_say_is_refused(tmp_path):
    a, b = instances(3, 9, 4)
    path = save(tmp_path / "p.npz", A=a, b=b, step_size=np.full(3, 0.1), w=np.ones(9))
    assert "step_size" in refused(2, "solve", path, "--step-size", 1)
    assert "'w'" in refused(2, "solve", path, "--logit-weight", 1)


def test_an_unused_array_is_named(tmp_path):
    a, b = instances(2, 5, 2)
    path = save(tmp_path / "p.npz", A=a, b=b, x_0=np.zeros(2))
    done = run("solve", path)
    assert done.returncode == 0 and "'x_0'" in done.stderr
    assert "x_0" not in run("solve", path, "-q").stderr
    for words in (["solve"], ["check"], ["solve", "--dry-run"], ["evaluate", "-o", tmp_path / "e.npz"],
                  ["evaluate", "-o", tmp_path / "e.npz", "--dry-run"]):
        assert any("'x_0'" in warning for warning in document(*words, path)["warnings"])


def test_a_start_that_is_overridden_is_named(tmp_path):
    a, b = instances(2, 5, 2)
    path = save(tmp_path / "p.npz", A=a, b=b, x0=np.ones(2))
    ok("solve", path, "-o", tmp_path / "r.npz", "--max-steps", 8)
    done = run("solve", path, "--x0-from", tmp_path / "r.npz", "--json", "--max-steps", 0, "-o", tmp_path / "s.npz")
    assert "'x0'" in done.stderr and any("'x0'" in warning for warning in json.loads(done.stdout)["warnings"])
    np.testing.assert_array_equal(arrays(tmp_path / "s.npz")["x"], arrays(tmp_path / "r.npz")["x"])


def test_numbers_that_overflow_float32_are_named(tmp_path):
    a, b = instances(3, 5, 2)
    a[1, 2, 0] = 1e39
    path = save(tmp_path / "p.npz", A=a, b=b)
    for order in (a, np.asfortranarray(a)):
        save(path, A=order, b=b)
        done = run("solve", path, "--dtype", "f32")
        assert "array 'A'" in done.stderr and "1 numbers that overflow float32, the first is 1e+39" in done.stderr
    assert "overflow" not in run("solve", path).stderr
    csv = table(tmp_path / "t.csv", ["x"] * 15, b.ravel(), a.reshape(-1, 2))
    columns = ["--group", "market", "--target", "share", "--features", "price,air", "--dtype", "f32"]
    assert "the features of" in run("solve", csv, *columns).stderr


@pytest.mark.parametrize("flag, inside, outside", [
    ("keep", np.float32, np.float32), ("keep", np.float64, np.float64),
    ("f32", np.float64, np.float32), ("f64", np.float32, np.float64)])
def test_dtype(tmp_path, flag, inside, outside):
    a, b = instances(2, 5, 2, dtype=inside)
    got = solved(save(tmp_path / "p.npz", A=a, b=b), "--dtype", flag)
    assert got["x"].dtype == outside and got["loss"].dtype == outside
    assert_same(solved(save(tmp_path / "q.npz", A=a.astype(outside), b=b.astype(outside))), got)


def table(path, groups, b, features):
    with open(path, "w", encoding="utf-8") as file:
        file.write("market,share,price,air\n")
        for row in zip(groups, b, *features.T):
            file.write(",".join([row[0], *map(repr, map(float, row[1:]))]) + "\n")
    return path


def test_csv_in_long_form(tmp_path):
    a, b = instances(1, 9, 2)
    groups = ["Köln", "Bonn", "Köln", "Köln", "Bonn", "Köln", "Aachen", "Bonn", "Köln"]
    path = table(tmp_path / "t.csv", groups, b[0], a[0])
    columns = ["--group", "market", "--target", "share", "--features", "price,air"]
    doc = document("solve", path, *columns, "-o", tmp_path / "r.npz", "--max-steps", 40)
    got = arrays(tmp_path / "r.npz")
    assert list(got["group"]) == ["Köln", "Bonn", "Aachen"]
    assert doc["n"] == [1, 5] and doc["d"] == 2 and doc["dtype"] == "float64"
    rows = [[i for i, g in enumerate(groups) if g == label] for label in got["group"]]
    order = sum(rows, [])
    offsets = np.cumsum([0, *map(len, rows)])
    assert_same(solved(save(tmp_path / "p.npz", A=a[0][order], b=b[0][order], offsets=offsets)), got)
    ok("solve", path, *columns, "-o", tmp_path / "s.npz", "--dtype", "f32")
    assert arrays(tmp_path / "s.npz")["x"].dtype == np.float32
    ok("evaluate", path, *columns, "-o", tmp_path / "e.npz")
    assert list(arrays(tmp_path / "e.npz")["group"]) == ["Köln", "Bonn", "Aachen"]
    refused(2, "solve", path)
    refused(2, "solve", path, "--group", "market", "--target", "share")
    refused(4, "solve", path, "--group", "market", "--target", "share", "--features", "price,aair")


# --- options ---------------------------------------------------------------------------------


def test_ridge_and_ball(problem, tmp_path):
    plain = solved(problem, "--tol", 0)
    ridged = solved(problem, "--ridge", 0.1, "--tol", 0)
    norms = np.linalg.norm(ridged["x"], axis=1)
    assert (norms < np.linalg.norm(plain["x"], axis=1)).all()
    np.testing.assert_allclose(ridged["objective"], ridged["loss"] + 0.05 * norms ** 2, rtol=1e-13)
    radius = 0.5 * np.linalg.norm(plain["x"], axis=1).min()
    held = solved(problem, "--ball", radius, "--tol", 0)
    np.testing.assert_allclose(np.linalg.norm(held["x"], axis=1), radius, rtol=1e-13)


def test_tolerance_and_check_every(problem):
    loose = solved(problem, "--tol", 0.01)
    assert (loose["status"] == 0).all() and (loose["steps"] % 8 == 0).all() and (loose["steps"] < 40).all()
    assert (loose["grad_norm"] <= 0.01).all()
    every = solved(problem, "--tol", 0.01, "--check-every", 1)
    assert (every["steps"] <= loose["steps"]).all() and (every["steps"] > loose["steps"] - 8).all()
    assert (solved(problem, "--check-every", 1000)["steps"] == 40).all()


def test_continuing_from_a_result_is_one_longer_solve(problem, tmp_path):
    ok("solve", problem, "-o", tmp_path / "a.npz", "--max-steps", 24, "--tol", 0)
    ok("solve", problem, "-o", tmp_path / "b.npz", "--max-steps", 16, "--tol", 0, "--x0-from", tmp_path / "a.npz")
    # Not bit for bit: the shift under the exponentials is remembered from the step before.
    np.testing.assert_allclose(arrays(tmp_path / "b.npz")["x"], solved(problem, "--tol", 0)["x"], rtol=0,
                               atol=16 * 16 * 2.3e-16)


def test_starts_of_a_wrong_shape_are_refused(problem, tmp_path):
    a, b = instances(6, 9, 5)
    ok("solve", save(tmp_path / "q.npz", A=a, b=b), "-o", tmp_path / "r.npz")
    text = refused(4, "solve", problem, "--x0-from", tmp_path / "r.npz")
    assert "(6, 5)" in text and "(6, 4)" in text
    refused(4, "solve", problem, "--x0-from", problem)
    refused(8, "solve", problem, "--x0-from", tmp_path / "absent.npz")


def test_trace_of_losses(problem):
    got = solved(problem, "--trace", "loss", "--tol", 0.01)
    assert list(got["trace_step"]) == [0, 8, 16, 24, 32, 40]
    assert got["trace_loss"].shape == (6, 6)
    for i in range(6):
        tests = got["steps"][i] // 8 + 1
        row = got["trace_loss"][i]
        assert np.isfinite(row[:tests]).all() and np.isnan(row[tests:]).all()
        assert row[tests - 1] == got["loss"][i] and (np.diff(row[:tests]) < 0).all()


def test_trace_of_shifts(problem, tmp_path):
    got = solved(problem, "--trace", "shifts", "--trace-full", "--tol", 0, "--step-size", 0.7)
    summary = {"shift_f_max", "shift_f_sum", "shift_x_max", "shift_x_sum", "shift_ratio_max"}
    assert set(got) == RESULT | summary | {"shift_f", "shift_x"}
    assert got["shift_f"].shape == got["shift_x"].shape == (6, 40)
    for part in ("f", "x"):
        steps = got[f"shift_{part}"]
        np.testing.assert_array_equal(got[f"shift_{part}_max"], steps.max(axis=1))
        np.testing.assert_allclose(got[f"shift_{part}_sum"], steps.sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(got["shift_ratio_max"], (got["shift_f"] / got["shift_x"]).max(axis=1), rtol=1e-13)
    a, b = instances(6, 9, 4)
    for i in range(6):
        path = [descend(a[i], b[i], np.zeros(4), 0.7, t) for t in range(4)]
        f = [softmax(a[i] @ x) for x in path]
        # Differences of numbers below 1, which err by some units of rounding.
        np.testing.assert_allclose(got["shift_x"][i, :3], [np.linalg.norm(path[t + 1] - path[t]) for t in range(3)],
                                   rtol=0, atol=1e-14)
        np.testing.assert_allclose(got["shift_f"][i, :3], [np.linalg.norm(f[t + 1] - f[t]) for t in range(3)],
                                   rtol=0, atol=1e-14)
    assert "shift_f" not in solved(problem, "--trace", "shifts")
    ok("solve", problem, "-o", tmp_path / "n.npz", "--trace", "shifts", "--trace-full", "--max-steps", 0)
    none = arrays(tmp_path / "n.npz")
    assert none["shift_f"].shape == none["shift_x"].shape == (6, 0)


def test_shifts_of_an_instance_that_did_not_run_are_not_numbers(tmp_path):
    a, b = instances(3, 5, 2)
    a[1, 2, 1] = np.nan
    got = solved(save(tmp_path / "p.npz", A=a, b=b), "--trace", "shifts")
    for name in ("shift_f_max", "shift_f_sum", "shift_x_max", "shift_x_sum", "shift_ratio_max"):
        assert list(np.isnan(got[name])) == [False, True, False]
    got = solved(save(tmp_path / "p.npz", A=a, b=b), "--trace", "bounds")
    for name in ("target_shift_max", "data_shift_max", "error_change_max", "shift_f_max"):
        assert list(np.isnan(got[name])) == [False, True, False]
    assert np.isnan(got["bound_log10_ratio"][1]).all() and not np.isnan(got["bound_log10_ratio"][0]).all()


def test_time_limit(tmp_path):
    a, b = instances(2000, 60, 20)
    path = save(tmp_path / "p.npz", A=a, b=b)
    start = time.monotonic()
    doc = document("solve", path, "-o", tmp_path / "r.npz", "--max-steps", 10 ** 8, "--tol", 0,
                   "--check-every", 10 ** 8, "--time-limit", 0.5)
    assert time.monotonic() - start < 0.5 + 2 + 2  # and start-up on a busy machine
    got = arrays(tmp_path / "r.npz")
    assert doc["status"] == {"not_run": 2000} and doc["interrupted"]
    assert "the time limit of 0.5 s ended it: 0 of 2000 instances were finished" in str(doc["warnings"])
    assert (got["status"] == 40).all() and (got["steps"] == 0).all() and (got["x"] == 0).all()
    assert np.isnan(got["loss"]).all() and np.isnan(got["objective"]).all() and np.isnan(got["grad_norm"]).all()
    # Over while the data are screened, before the first step.
    path = save(tmp_path / "q.npz", A=np.tile(a, (4, 1, 1)), b=np.tile(b, (4, 1)))
    doc = document("solve", path, "-o", tmp_path / "s.npz", "--max-steps", 10 ** 8, "--tol", 0,
                   "--check-every", 10 ** 8, "--time-limit", 0.01)
    assert "the time limit of 0.01 s ended it: 0 of 8000 instances were finished" in str(doc["warnings"])


def test_threads_devices_and_memory_do_not_change_bits(problem):
    base = solved(problem, "--device", "cpu")
    assert_same(solved(problem, "--device", "cpu", "--threads", 1), base)
    assert_same(solved(problem, "--device", "cpu", "--memory-limit", "1M"), base)
    assert document("solve", problem, "--device", "cpu", "--threads", 1)["plan"]["threads"] == 1
    assert document("solve", problem, "--device", "reference")["device"] == "reference"
    cores = document("doctor")["machine"]["cores"]
    assert document("solve", problem, "--device", "cpu", "--threads", 1000)["plan"]["threads"] == min(cores, 6)


def test_too_little_memory(problem):
    refused(6, "solve", problem, "--device", "cpu", "--memory-limit", 1)


def test_without_a_gpu_auto_warns_once_and_cuda_is_refused(problem):
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    done = run("solve", problem, **hidden)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "CUDA" in line] == done.stderr.splitlines()
    assert len(done.stderr.splitlines()) == 1
    assert "CUDA" in refused(5, "solve", problem, "--device", "cuda", **hidden)


def test_fail_on(tmp_path):
    a, b = instances(3, 5, 2)
    good = save(tmp_path / "good.npz", A=a, b=b)
    bad_a = a.copy()
    bad_a[1, 2, 1] = np.nan
    bad = save(tmp_path / "bad.npz", A=bad_a, b=b)

    def code(path, *arguments):
        return run("solve", path, *arguments, "--step-size", 0.5).returncode
    short, loose = ["--max-steps", 1], ["--tol", 1]
    assert code(good, *short) == 0 and code(bad, *short) == 0
    assert code(good, *short, "--fail-on", "not-converged") == 3
    said = run("solve", good, *short, "--step-size", 0.5, "--fail-on", "not-converged").stderr
    assert "error: 3 of 3 instances are what --fail-on asks for" in said
    assert code(good, *loose, "--fail-on", "any") == 0
    assert code(good, *short, "--fail-on", "bad-input") == 0
    assert code(bad, *loose, "--fail-on", "bad-input") == 3
    assert code(bad, *loose, "--fail-on", "any") == 3
    assert code(bad, *loose, "--fail-on", "not-converged") == 0


def test_bad_instances_are_named(tmp_path):
    a, b = instances(3, 5, 2)
    a[1, 2, 1] = np.nan
    path = save(tmp_path / "bad.npz", A=a, b=b)
    done = run("solve", path, "--json", "--device", "cpu", "-o", tmp_path / "r.npz")
    doc = json.loads(done.stdout)
    assert doc["status"]["bad_input"] == 1
    assert doc["messages"][0]["instance"] == 1 and doc["messages"][0]["row"] == 2
    assert "instance 1, row 2" in done.stderr
    assert list(arrays(tmp_path / "r.npz")["status"] == 20) == [False, True, False]


# --- where settings come from ----------------------------------------------------------------


def test_flag_before_environment_before_config_before_default(problem, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('max-steps = 16\ntol = 0.0\n[solve]\ncheck_every = 4\n[gen]\nseed = 5\n')

    def arguments(*words, **environment):
        return document("solve", problem, *words, **environment)["arguments"]
    assert arguments()["max_steps"] == 1000
    assert arguments("--config", config)["max_steps"] == 16
    assert arguments("--config", config)["check_every"] == 4 and arguments("--config", config)["seed"] == 0
    assert arguments(SOFTREG_CONFIG=str(config))["max_steps"] == 16
    assert arguments("--config", config, SOFTREG_MAX_STEPS="24")["max_steps"] == 24
    assert arguments("--config", config, "--max-steps", 32, SOFTREG_MAX_STEPS="24")["max_steps"] == 32
    config.write_text('max-steps = 16\n[solve]\nmax_steps = 40\n')
    assert arguments("--config", config)["max_steps"] == 40
    assert json.loads(ok("solve", problem, SOFTREG_JSON="1"))["arguments"]["json"] is True
    assert not ok("solve", problem, SOFTREG_JSON="off").startswith("{")


def test_a_toggle_yields_to_its_opposite_from_a_stronger_source(problem, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("quiet = true\n")
    assert "note: " in run("solve", problem, "-v", SOFTREG_QUIET="1").stderr
    assert "note: " in run("solve", problem, "--config", config, SOFTREG_VERBOSE="1").stderr
    assert run("solve", problem, "-q", SOFTREG_VERBOSE="1").stderr == ""
    assert "note: " in run("solve", problem, "--quiet=false", SOFTREG_VERBOSE="1").stderr
    config.write_text("quiet = true\n[solve]\nverbose = true\n")
    assert "note: " in run("solve", problem, "--config", config).stderr
    refused(2, "solve", problem, SOFTREG_VERBOSE="1", SOFTREG_QUIET="1")
    config.write_text("quiet = true\nverbose = true\n")
    refused(2, "solve", problem, "--config", config)


def test_unknown_variables_are_named_once(problem):
    known = {"SOFTREG_ISA": "x86-64-v3", "SOFTREG_FAMILY": "plain", "SOFTREG_TOL": "1", "SOFTREG_CACHE_DIR": "/nowhere",
             "SOFTREG_NVRTC": "/nowhere", "SOFTREG_SPECIALISE": "auto",
             "SOFTREG_PROGRAM": "build/release/softreg"}  # the examples' own
    assert "SOFTREG" not in run("solve", problem, **known).stderr
    lines = run("solve", problem, SOFTREG_TOLL="1", SOFTREG_MAXSTEPS="3", **known).stderr.splitlines()
    assert sum("'SOFTREG_MAXSTEPS', 'SOFTREG_TOLL'" in line for line in lines) == 1
    assert "SOFTREG" not in run("solve", problem, "-q", SOFTREG_TOLL="1").stderr


@pytest.mark.parametrize("text, words", [
    ("max-step = 3\n", ["'max-step'", "line 1"]), ("[solve]\nlos = 'x'\n", ["'los'", "line 2"]),
    ("tol = 1979-05-27\n", ["'tol'"]), ("tol = \n", ["line 1"]), ("tol = 'x'\n", ["'x'", "line 1"]),
    ("json = 'perhaps'\n", ["'perhaps'"])])
def test_wrong_config(problem, tmp_path, text, words):
    config = tmp_path / "c.toml"
    config.write_text(text)
    sentence = refused(2, "solve", problem, "--config", config)
    assert all(word in sentence for word in words), sentence


def test_missing_config(problem, tmp_path):
    refused(8, "solve", problem, "--config", tmp_path / "absent.toml")


def test_wrong_environment_is_named(problem):
    assert "SOFTREG_TOL" in refused(2, "solve", problem, SOFTREG_TOL="small")


# --- files -----------------------------------------------------------------------------------


def test_overwriting_needs_force(problem, tmp_path):
    result = tmp_path / "r.npz"
    ok("solve", problem, "-o", result)
    before = result.read_bytes()
    for verb in (["solve", problem, "-o"], ["evaluate", problem, "-o"], ["check", problem, "-o"],
                 ["gen", "--n", 3, "--d", 2, "--count", 1]):
        assert "--force" in refused(2, *verb, result)
        assert result.read_bytes() == before
    ok("evaluate", problem, "-o", result, "--force")
    assert "grad" in arrays(result)
    assert not list(tmp_path.glob(".softreg*"))


def test_a_result_whose_name_was_taken_meanwhile_is_kept(problem, tmp_path):
    result, beside = tmp_path / "r.npz", tmp_path / "r.1.npz"
    solving = subprocess.Popen([PROGRAM, "solve", problem, "-o", result, "--max-steps", str(10 ** 9), "--tol", "0",
                                "--time-limit", "5"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=ENVIRONMENT)
    time.sleep(2)
    result.write_text("mine")
    shown, errors = solving.communicate(timeout=60)
    assert solving.returncode == 8 and "not_run" in shown, errors
    assert f"exists already and was kept; the new file is '{beside}'" in errors
    assert result.read_text() == "mine"
    assert (arrays(beside)["status"] == 40).all()


def test_an_output_is_no_input(problem, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("max-steps = 5\n")
    for words in ([problem, "-o", problem], [problem, "-o", config, "--config", config],
                  [problem, "-o", problem, "--x0-from", problem]):
        assert "names" in refused(2, "solve", *words, "--force")
    assert "SOFTREG_CONFIG" in refused(2, "solve", problem, "-o", config, "--force", SOFTREG_CONFIG=config)
    assert config.read_text() == "max-steps = 5\n"


def test_an_output_that_cannot_be_written_is_refused_before_the_work(problem, tmp_path):
    start = time.monotonic()
    refused(8, "solve", problem, "-o", tmp_path / "no" / "r.npz", "--max-steps", 10 ** 9, "--tol", 0)
    refused(2, "solve", problem, "-o", tmp_path, "--force", "--max-steps", 10 ** 9, "--tol", 0)
    assert time.monotonic() - start < 20


def test_dry_run_writes_nothing(problem, tmp_path):
    for verb in ("solve", "check", "evaluate"):
        doc = document(verb, problem, "-o", tmp_path / "r.npz", "--dry-run")
        assert doc["dry_run"] and doc["workspace_bytes"] > 0 and doc["plan"]["bytes"] == doc["workspace_bytes"]
        assert "workspace" in ok(verb, problem, "-o", tmp_path / "r.npz", "--dry-run")
        assert "results" in ok(verb, problem, "-o", tmp_path / "r.npz", "--dry-run")
        assert doc["result_bytes"] == document(verb, problem, "-o", tmp_path / "d.npz", "--force")["result_bytes"]
    doc = document("gen", tmp_path / "r.npz", "--n", "3:5", "--d", 2, "--count", 10, "--dry-run")
    assert 30 <= doc["rows"] <= 50
    assert not (tmp_path / "r.npz").exists()


def test_dry_run_plans_what_will_run(problem, tmp_path):
    words = ["evaluate", problem, "-o", tmp_path / "e.npz", "--device", "cpu", "--threads", 1]
    planned = document(*words, "--dry-run")["workspace_bytes"]
    assert document(*words, "--memory-limit", planned)["workspace_bytes"] == planned
    refused(6, *words, "--force", "--memory-limit", planned - 1)


def test_bytes_of_results(problem, tmp_path):
    def counted(*words):
        planned = document("solve", problem, "--max-steps", 40, *words, "--dry-run")["result_bytes"]
        got = solved(problem, *words)
        return planned, sum(value.nbytes for name, value in got.items() if name != "meta")
    for words in ([], ["--trace", "loss"], ["--trace", "loss", "--check-every", 1]):
        planned, saved = counted(*words)
        assert planned == saved
    planned, saved = counted("--trace", "shifts", "--trace-full")
    assert planned > saved  # what is kept of a trajectory is more than its five columns
    assert document("evaluate", problem, "--dry-run")["dry_run"]
    doc = document("evaluate", problem, "-o", tmp_path / "e.npz", "--dry-run")
    ok("evaluate", problem, "-o", tmp_path / "e.npz")
    got = arrays(tmp_path / "e.npz")
    saved = sum(value.nbytes for name, value in got.items() if name != "meta")
    assert doc["result_bytes"] == saved + got["f"].nbytes + 6 * 4  # and d objective / dz, steps


def test_every_document_has_the_common_keys(problem, tmp_path):
    gen = ["gen", tmp_path / "g.npz", "--n", 3, "--d", 2, "--count", 1]
    evaluate = ["evaluate", problem, "-o", tmp_path / "e.npz"]
    for words in (["solve", problem], ["solve", problem, "--dry-run"], ["check", problem],
                  ["check", problem, "--dry-run"], evaluate, [*evaluate, "--dry-run"], gen, [*gen, "--dry-run"],
                  ["doctor"]):
        assert {"schema_version", "version", "verb", "device", "dtype", "seed", "arguments"} <= set(document(*words))
    assert document("solve", problem, "--dry-run", "--optimizer", "nesterov")["optimizer"] == "nesterov"


def test_unreadable_problems(tmp_path):
    refused(8, "solve", tmp_path / "absent.npz")
    refused(2, "solve", tmp_path / "problem.txt")
    (tmp_path / "noise.npz").write_bytes(b"PK" + bytes(range(256)))
    refused(8, "solve", tmp_path / "noise.npz")


def test_a_full_disk_behind_stdout_is_an_error(problem):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([PROGRAM, "solve", str(problem), "-q"], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=60, env=ENVIRONMENT)
    assert done.returncode == 8 and done.stderr.startswith("error: ")


def test_a_closed_stdout_does_not_end_up_in_the_result(problem, tmp_path):
    result = tmp_path / "r.npz"
    done = subprocess.run([PROGRAM, "solve", str(problem), "-o", str(result), "-q"], stderr=subprocess.PIPE,
                          text=True, timeout=60, env=ENVIRONMENT, preexec_fn=lambda: os.close(1))
    assert done.returncode == 8 and "standard output" in done.stderr
    assert set(arrays(result)) == RESULT


# --- evaluate --------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_evaluate(tmp_path, loss):
    a, b = instances(3, 6, 3)
    x0 = np.random.default_rng(2).standard_normal((3, 3))
    path = save(tmp_path / "p.npz", A=a, b=b, x0=x0)
    ok("evaluate", path, "-o", tmp_path / "e.npz", "--loss", loss, "--gradients", "x,A", "--ridge", 0.3,
       "--logit-weight", 0.2)
    got = arrays(tmp_path / "e.npz")
    normalized = loss in ("softmax_l2", "rescaled_l2", "cross_entropy")
    assert ("log_mass" in got) == normalized
    assert got["grad_A"].shape == a.shape and got["f"].shape == b.shape and got["attended"].shape == (3, 3)

    def objective(ai, xi, bi):
        z = ai @ xi
        return loss_of(loss, z, bi) + 0.15 * np.sum(xi ** 2) + 0.5 * np.sum((0.2 * z) ** 2)
    phi = {"least_squares": lambda v: v, "exp_l2": np.exp, "cosh_l2": np.cosh, "sinh_l2": np.sinh}
    for i in range(3):
        z = a[i] @ x0[i]
        f = softmax(z) if normalized else phi[loss](z)
        np.testing.assert_allclose(got["loss"][i], loss_of(loss, z, b[i]), rtol=1e-12)
        np.testing.assert_allclose(got["objective"][i], objective(a[i], x0[i], b[i]), rtol=1e-12)
        np.testing.assert_allclose(got["f"][i], f, rtol=1e-13)
        np.testing.assert_allclose(got["attended"][i], a[i].T @ f, rtol=1e-12, atol=1e-14)
        if normalized:
            np.testing.assert_allclose(got["log_mass"][i], np.log(np.exp(z).sum()), rtol=1e-13)
        # Central differences are good to about 1e-9 of numbers of this size.
        np.testing.assert_allclose(got["grad"][i], gradient_of(lambda x: objective(a[i], x, b[i]), x0[i]),
                                   rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(got["grad_A"][i], gradient_of(lambda m: objective(m, x0[i], b[i]), a[i]),
                                   rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(got["grad_norm"][i], np.linalg.norm(got["grad"][i]), rtol=1e-13)


def test_evaluate_ragged(tmp_path):
    a, b = instances(1, 10, 2)
    path = save(tmp_path / "p.npz", A=a[0], b=b[0], offsets=[0, 3, 10], x0=np.ones((2, 2)))
    ok("evaluate", path, "-o", tmp_path / "e.npz", "--gradients", "x,A")
    got = arrays(tmp_path / "e.npz")
    assert got["f"].shape == (10,) and got["grad_A"].shape == (10, 2)
    np.testing.assert_allclose([got["f"][:3].sum(), got["f"][3:].sum()], 1, rtol=1e-14)
    np.testing.assert_allclose(got["f"][3:], softmax(a[0][3:] @ np.ones(2)), rtol=1e-13)
    ok("evaluate", path, "-o", tmp_path / "g.npz")
    assert "grad_A" not in arrays(tmp_path / "g.npz")


def test_evaluate_needs_an_output(problem):
    refused(2, "evaluate", problem)
    refused(2, "evaluate", problem, "-o", problem.with_name("e.npz"), "--gradients", "y")


def test_evaluate_needs_no_step_sizes(tmp_path):
    a, b = instances(3, 6, 3)
    path = save(tmp_path / "p.npz", A=a, b=b, step_size=np.array([1, 0, np.nan]))
    ok("evaluate", path, "-o", tmp_path / "e.npz")
    assert list(arrays(tmp_path / "e.npz")["status"]) == [10, 10, 10]


def test_evaluate_at_an_earlier_result(problem, tmp_path):
    got = solved(problem)
    ok("evaluate", problem, "-o", tmp_path / "e.npz", "--x0-from", problem.with_name("solved.npz"))
    np.testing.assert_array_equal(arrays(tmp_path / "e.npz")["x"], got["x"])
    np.testing.assert_allclose(arrays(tmp_path / "e.npz")["loss"], got["loss"], rtol=1e-12)


# --- sequences -------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_a_sequence_is_solved_context_by_context(problem, tmp_path, device):
    words = ["--device", device, "--optimizer", "nesterov", "--ridge", 0.1]
    got = solved(problem, "--sequence", *words)
    whole = arrays(problem)
    x = {}
    for i in range(6):
        one = save(tmp_path / "one.npz", A=whole["A"][i:i + 1], b=whole["b"][i:i + 1], **x)
        alone = solved(one, *words)
        for name in RESULT - {"meta"}:
            np.testing.assert_array_equal(got[name][i], alone[name][0])
        x = {"x0": alone["x"]}


def test_a_sequence_passes_over_what_cannot_run(problem, tmp_path):
    whole = arrays(problem)
    whole["A"][2, 0, 0] = np.nan
    got = solved(save(tmp_path / "p.npz", **whole), "--sequence", "--tol", 0)
    kept = [0, 1, 3, 4, 5]
    clean = solved(save(tmp_path / "q.npz", A=whole["A"][kept], b=whole["b"][kept]), "--sequence", "--tol", 0)
    assert got["status"][2] == 20 and (got["x"][2] == got["x"][1]).all()
    np.testing.assert_array_equal(got["x"][kept], clean["x"])


def test_the_start_of_a_sequence(problem, tmp_path):
    a, b = instances(6, 9, 4)
    start = np.arange(4.0)
    shared = solved(save(tmp_path / "s.npz", A=a, b=b, x0=start), "--sequence")
    ok("solve", problem, "-o", tmp_path / "r.npz", "--max-steps", 3)
    earlier = arrays(tmp_path / "r.npz")["x"]
    from_result = solved(problem, "--sequence", "--x0-from", tmp_path / "r.npz")
    np.testing.assert_array_equal(
        from_result["x"], solved(save(tmp_path / "t.npz", A=a, b=b, x0=earlier[0]), "--sequence")["x"])
    assert not np.array_equal(shared["x"], from_result["x"])
    text = refused(4, "solve", save(tmp_path / "u.npz", A=a, b=b, x0=earlier), "--sequence")
    assert "24 numbers but a sequence needs 4" in text
    ragged = save(tmp_path / "v.npz", A=a.reshape(54, 4), b=b.reshape(54), offsets=[0, 9, 20, 54])
    assert "instance 1 has 11 rows but instance 0 has 9" in refused(4, "solve", ragged, "--sequence")


def test_a_sequence_is_planned_and_interrupted(problem, tmp_path):
    doc = document("solve", problem, "--sequence", "--dry-run", "--device", "cpu")
    assert doc["plan"]["sequence"] and doc["arguments"]["sequence"] and doc["plan"]["threads"] == 1
    assert doc["result_bytes"] == document("solve", problem, "--dry-run", "--device", "cpu")["result_bytes"]
    assert "one instance at a time" in ok("solve", problem, "--sequence", "--dry-run")
    assert not document("solve", problem)["plan"]["sequence"]
    # Many contexts, of which a slow machine solves at least one and a fast one not all; automatic step sizes would take
    # their time before the first.
    a, b = instances(6000, 60, 20)
    doc = document("solve", save(tmp_path / "p.npz", A=a, b=b), "--sequence", "-o", tmp_path / "r.npz",
                   "--max-steps", 2000, "--tol", 0, "--step-size", 0.01, "--time-limit", 1.5)
    got = arrays(tmp_path / "r.npz")
    ran = doc["status"]["max_steps"]
    assert doc["interrupted"] and (got["status"][:ran] == 10).all() and (got["status"][ran:] == 40).all()
    assert (got["x"][ran:] == got["x"][ran - 1]).all()


# --- check -----------------------------------------------------------------------------------


def test_check(tmp_path):
    ok("gen", tmp_path / "p.npz", "--n", 16, "--d", 4, "--count", 20, "--radius", 4, "--dtype", "f64")
    doc = document("check", tmp_path / "p.npz", "-o", tmp_path / "r.npz", "--max-steps", 50)
    assert doc["verb"] == "check" and [b["id"] for b in doc["bounds"]] == [
        "D8", "P6", "P6@4", "D5", "D6", "D7", "D9", "D10", "D12z", "D8e", "D8l", "D12", "P1", "P2", "P3", "P4"]
    for bound in doc["bounds"]:
        assert {"id", "quantity", "statement", "provenance", "measured", "bound", "log10_ratio", "instances",
                "hypotheses_hold", "violations"} <= set(bound)
        assert bound["violations"] == 0 and bound["log10_ratio"] > 0 and bound["instances"] == 20
    sharp = doc["bounds"][0]
    assert sharp["provenance"] == "derived" and sharp["measured"] < sharp["bound"]
    assert np.isclose(sharp["log10_ratio"], np.log10(sharp["bound"] / sharp["measured"]), rtol=1e-6)
    got = arrays(tmp_path / "r.npz")
    assert {"x", "shift_f_max", "shift_f_sum", "shift_x_max", "shift_x_sum", "shift_ratio_max"} <= set(got)
    assert list(got["bound_id"]) == [b["id"] for b in doc["bounds"]]
    assert got["bound_log10_ratio"].shape == (20, 16)
    np.testing.assert_allclose(np.nanmin(got["bound_log10_ratio"], axis=0),
                               [b["log10_ratio"] for b in doc["bounds"]], rtol=1e-12)
    context = doc["in_context"]
    assert context["updates"] == sharp["updates"] and 0 < context["small_steps"] <= context["updates"]
    assert np.isclose(context["target_shift"], got["shift_f_max"].max()) and context["identity"] < 1e-15
    assert np.isclose(context["data_shift"], got["data_shift_max"].max()) and context["data_shift"] > 0
    assert context["error_change"] == got["error_change_max"].max() <= context["target_shift"]
    assert json.loads(str(got["meta"])) == doc
    text = ok("check", tmp_path / "p.npz", "--max-steps", 50)
    assert "P6@4" in text and "none" in text


def test_what_no_bound_speaks_of_is_not_judged(problem):
    text = ok("check", problem, "--loss", "exp_l2", "--step-size", "1e-3", "--max-steps", 8, "-q")
    assert text.count("not judged") == 3 and "none" not in text


def test_check_traces_bounds_or_shifts(problem):
    doc = document("check", problem, "--trace", "shifts")
    assert [b["id"] for b in doc["bounds"]] == ["D8", "P6", "P6@4"] and "in_context" not in doc
    for kind in ("loss", "none"):
        assert "expected bounds, shifts" in refused(2, "check", problem, "--trace", kind)


def test_check_of_the_rescaled_problem(problem):
    doc = document("check", problem, "--loss", "rescaled_l2", "--step-size", "1e-4", "--max-steps", 8)
    ids = [b["id"] for b in doc["bounds"]]
    assert {"D18", "D18l", "D19"} <= set(ids) and not {"D8l", "D12"} & set(ids)
    assert all(b["violations"] == 0 for b in doc["bounds"])


def test_check_shows_violations_of_smaller_bounds(problem):
    text = run("check", problem, "--max-steps", 8, "--bound-factor", "1e-3")
    assert text.returncode == 7 and "none" in text.stdout
    doc = json.loads(run("check", problem, "--max-steps", 8, "--bound-factor", "1e-3", "--json").stdout)
    whole = document("check", problem, "--max-steps", 8)
    for small, bound in zip(doc["bounds"], whole["bounds"]):
        assert np.isclose(small["log10_ratio"], bound["log10_ratio"] - 3, atol=1e-6)
        assert (small["violations"] > 0) == (small["log10_ratio"] < 0)
    assert "positive finite" in refused(2, "check", problem, "--bound-factor", 0)


def test_check_moves_the_data(problem, tmp_path):
    doc = document("check", problem, "--max-steps", 8, "--perturb", 0.01, "--seed", 3)
    assert [b["id"] for b in doc["data_shift"]] == [
        "D8A", "D5A", "D6A", "D7A", "D9A", "D10A", "D12zA", "D8eA", "D8lA"]
    assert all(b["violations"] == 0 and b["measured"] > 0 for b in doc["data_shift"])
    document("check", problem, "--max-steps", 8, "--perturb", 0.01, "--step-multiple", 2)
    for delta in ("1e-30", "1e300"):
        assert "put no bound to the test" in run("check", problem, "--max-steps", 8, "--perturb", delta).stderr
    assert "After moving the data by 0.01" in ok("check", problem, "--max-steps", 8, "--perturb", 0.01)
    ok("gen", tmp_path / "m.npz", "--problem", "matrix", "--n", 5, "--m", 4, "--d", 2, "--count", 3)
    assert document("check", tmp_path / "m.npz", "--perturb", 1)["data_shift"][0]["updates"] == 3
    assert run("check", problem, "--perturb", 1, "--bound-factor", "1e-3").returncode == 7
    assert "softmax" in refused(2, "check", problem, "--perturb", 1, "--loss", "exp_l2", "--step-size", "1e-3",
                                "-o", tmp_path / "r.npz")


def walking(path, count=12, n=9, d=3, **more):
    """Contexts of one sequence: A walks, b stays."""
    rng = np.random.default_rng(4)
    a = np.cumsum(np.concatenate([rng.standard_normal((1, n, d)) / 2, 0.05 * rng.standard_normal((count - 1, n, d))]),
                  axis=0)
    return save(path, A=a, b=rng.dirichlet(np.ones(n)), **more)


def test_check_of_a_sequence(tmp_path):
    path = walking(tmp_path / "p.npz")
    words = ["check", path, "--sequence", "--logit-weight", 1, "--max-steps", 20000]
    doc = document(*words, "-o", tmp_path / "r.npz")
    got, data, along = arrays(tmp_path / "r.npz"), arrays(path), doc["sequence"]
    ok("solve", *words[1:], "-o", tmp_path / "s.npz")
    np.testing.assert_array_equal(got["x"], arrays(tmp_path / "s.npz")["x"])
    assert along["contexts"] == 12 and along["transitions"] == 11 and along["identity"] < 1e-15
    assert [b["id"] for b in along["bounds"]] == ["D8S", "D8Sz", "D8ST", "D17S"]
    assert all(b["violations"] == 0 and b["log10_ratio"] > 0 for b in along["bounds"])
    assert [b["updates"] for b in along["bounds"]] == [11, 11, 1, 11] and not along["without_minimiser_bound"]
    f = np.stack([softmax(a @ x) for a, x in zip(data["A"], got["x"])])
    np.testing.assert_allclose(got["sequence_drift"][1:], np.linalg.norm(np.diff(f, axis=0), axis=1), atol=1e-15)
    np.testing.assert_allclose(got["sequence_x_shift"][1:], np.linalg.norm(np.diff(got["x"], axis=0), axis=1), rtol=1e-12)
    norms = [np.linalg.norm(a, 2) for a in data["A"]]
    moved = [np.linalg.norm(a, 2) for a in np.diff(data["A"], axis=0)]
    lengths = np.linalg.norm(got["x"], axis=1)
    bound = 0.5 * (norms[1:] * got["sequence_x_shift"][1:] + moved * lengths[:-1])
    np.testing.assert_allclose(got["sequence_drift_bound"][1:], bound, rtol=1e-10)
    assert np.isclose(along["summed_bound"], bound.sum()) and np.isclose(along["total_drift"], np.linalg.norm(f[-1] - f[0]))
    for name in ("drift", "drift_bound", "drift_bound_z", "x_shift", "minimiser_bound"):
        assert got[f"sequence_{name}"].shape == (12,) and got[f"sequence_{name}"].dtype == np.float64
        assert np.isnan(got[f"sequence_{name}"][0])
    text = ok(*words)
    assert "11 transitions" in text and "D17S" in text and "the target drifts by" in text
    small = run(*words, "--bound-factor", "1e-3", "--json")
    assert small.returncode == 7
    assert all(b["violations"] > 0 for b in json.loads(small.stdout)["sequence"]["bounds"][:3])


def test_check_of_a_sequence_says_what_it_leaves_out(tmp_path, problem):
    doc = document("check", problem, "--sequence")
    assert doc["sequence"]["without_minimiser_bound"] == [
        {"why": "no ridge or logit weight proves the objective strongly convex", "transitions": 5}]
    assert "D17S is left out for 5 transitions: no ridge" in ok("check", problem, "--sequence")
    ok("gen", tmp_path / "m.npz", "--problem", "matrix", "--n", 5, "--m", 4, "--d", 2, "--count", 3)
    matrix = document("check", tmp_path / "m.npz", "--sequence", "--trace", "shifts")["sequence"]
    assert matrix["bounds"][0]["updates"] == 2 and matrix["without_minimiser_bound"][0]["transitions"] == 2
    assert "sequence" not in document("check", problem)
    assert "sequence" not in document("check", problem, "--sequence", "--loss", "least_squares")
    done = run("check", problem, "--sequence", "--max-steps", 10 ** 9, "--tol", 0, "--time-limit", 0.2, "--json")
    assert "sequence" not in json.loads(done.stdout) and "its drift is not reported" in done.stderr
    one = walking(tmp_path / "one.npz", count=1)
    assert "no transition, as 1 of the contexts ran" in ok("check", one, "--sequence")
    assert document("check", one, "--sequence")["sequence"]["total_drift"] is None
    rng = np.random.default_rng(5)
    still = save(tmp_path / "still.npz", A=np.repeat(rng.standard_normal((1, 9, 3)), 3, axis=0), b=rng.dirichlet(np.ones(9)))
    done = run("check", still, "--sequence", "--logit-weight", 1, "--tol", 1e-14, "--json")
    assert "no transition moved f by more than rounding can" in done.stderr
    assert json.loads(done.stdout)["sequence"]["total_bound_z"] < 1e-12
    for words, sentence in ((["--perturb", 1], "--perturb and --sequence do not go together"),
                            (["--attack", 2], "--attack solves nothing, and --sequence does not go with it")):
        assert sentence in refused(2, "check", problem, "--sequence", *words)


def test_check_attacks(tmp_path):
    ok("gen", tmp_path / "p.npz", "--n", 2, "--d", 2, "--count", 170, "--dtype", "f64")
    doc = document("check", tmp_path / "p.npz", "--attack", 200)
    sharp = doc["bounds"][0]
    assert sharp["id"] == "D8" and 0.999 < sharp["measured"] / sharp["bound"] <= 1 + 1e-9
    assert all(b["violations"] == 0 for b in doc["bounds"]) and doc["attack_steps"] == 200
    text = ok("check", tmp_path / "p.npz", "--attack", 20)
    assert "170 climbs of at most 20 steps" in text and "never" in text
    done = run("check", tmp_path / "p.npz", "--attack", 20, "--bound-factor", "0.1")
    assert done.returncode == 7 and "error: what was measured exceeds the bound of D8, D5" in done.stderr
    assert "runs on the CPU" in refused(5, "check", tmp_path / "p.npz", "--attack", 20, "--device", "cuda")
    assert "--memory-limit" in refused(2, "check", tmp_path / "p.npz", "--attack", 20, "--memory-limit", "1M")
    a, b = instances(3, 4, 2)
    a[1, 0, 0] = np.nan
    done = run("check", save(tmp_path / "nan.npz", A=a, b=b), "--attack", 5, "--json")
    assert done.returncode == 0 and "1 of 3 instances were not judged" in done.stderr
    assert "1 of 3 instances were not judged" in json.loads(done.stdout)["warnings"][0]
    done = run("check", save(tmp_path / "zero.npz", A=0 * b[:, :, None], b=b), "--attack", 5)
    assert done.returncode == 0 and "no climb moved f" in done.stderr
    assert "do not go together" in refused(2, "check", tmp_path / "p.npz", "--attack", 20, "--perturb", 1)
    assert "--dry-run" in refused(2, "check", tmp_path / "p.npz", "--attack", 20, "--dry-run")
    for words in (["--trace", "shifts"], ["--max-steps", 5], ["--optimizer", "nesterov"], ["--fail-on", "any"],
                  ["--ridge", 1], ["--logit-weight", 1], ["--step-multiple", 2]):
        assert f"{words[0]} does not go with it" in refused(2, "check", tmp_path / "p.npz", "--attack", 20, *words)
    assert "softmax" in refused(2, "check", tmp_path / "p.npz", "--attack", 2, "--loss", "exp_l2")
    ok("gen", tmp_path / "s.npz", "--n", 2, "--d", 2, "--count", 3)
    assert "float64" in refused(2, "check", tmp_path / "s.npz", "--attack", 2)
    ok("gen", tmp_path / "m.npz", "--problem", "matrix", "--n", 2, "--d", 2, "--count", 3, "--dtype", "f64")
    assert "vector problem" in refused(2, "check", tmp_path / "m.npz", "--attack", 2)


def test_check_says_how_many_updates_were_judged(tmp_path):
    a, b = instances(4, 9, 3)
    steps = np.array([0.5, 1e300, 0.5, 1e300])
    path = save(tmp_path / "p.npz", A=1e10 * a, b=b, step_size=steps)
    done = run("check", path, "--json", "--max-steps", 16, "--tol", 0)
    doc = json.loads(done.stdout)
    judged = doc["bounds"][0]["updates"]
    assert judged < doc["updates_tried"]
    sentence = f"{judged} of {doc['updates_tried']} updates were judged"
    assert sentence in done.stderr and any(sentence in warning for warning in doc["warnings"])
    assert "were judged" not in run("check", save(path, A=a, b=b)).stderr


# --- gen -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["plain", "spiked", "aligned", "near_rank_one", "offset", "one_hot"])
def test_gen(tmp_path, family):
    words = ["--n", 12, "--d", 3, "--count", 5, "--family", family, "--radius", 2, "--dtype", "f64", "--seed", 9]
    doc = document("gen", tmp_path / "p.npz", *words)
    ok("gen", tmp_path / "q.npz", *words)
    ok("gen", tmp_path / "other.npz", *words[:-1], 10)
    got, again, other = (arrays(tmp_path / name) for name in ("p.npz", "q.npz", "other.npz"))
    assert got["A"].shape == (5, 12, 3) and got["b"].shape == (5, 12) and got["x_star"].shape == (5, 3)
    assert got["A"].dtype == got["b"].dtype == np.float64
    np.testing.assert_array_equal(got["A"], again["A"])
    assert (got["A"] != other["A"]).any()
    for i in range(5):
        f = softmax(got["A"][i] @ got["x_star"][i])
        expected = (np.arange(12) == f.argmax()) if family == "one_hot" else f
        np.testing.assert_allclose(got["b"][i], expected, atol=1e-13)
        np.testing.assert_allclose(np.linalg.norm(got["A"][i], 2), 2, rtol=1e-11)
        np.testing.assert_allclose(np.linalg.norm(got["x_star"][i]), 2, rtol=1e-11)
    assert doc["family"] == family and doc["seed"] == 9 and json.loads(str(got["meta"]))["rows"] == 60


def test_gen_ragged_and_defaults(tmp_path):
    ok("gen", tmp_path / "p.npz", "--n", "2:9", "--d", 3, "--count", 40)
    got = arrays(tmp_path / "p.npz")
    rows = np.diff(got["offsets"])
    assert got["offsets"].shape == (41,) and got["offsets"].dtype == np.int64
    assert rows.min() >= 2 and rows.max() <= 9 and len(set(rows)) > 3
    assert got["A"].shape == (got["offsets"][-1], 3) and got["A"].dtype == np.float32
    ok("solve", tmp_path / "p.npz", "--max-steps", 8)


# --- doctor, help, completion, terminal -------------------------------------------------------


def test_doctor():
    doc = document("doctor")
    assert doc["passed"] and {d["name"] for d in doc["devices"]} == {"reference", "cpu", "cuda"}
    assert all(t["passed"] and t["largest_difference"] <= t["tolerance"] for t in doc["self_test"])
    tested = {(t["device"], t["dtype"]) for t in doc["self_test"]}
    assert {("reference", "float32"), ("cpu", "float32"), ("cpu", "float64")} <= tested
    assert doc["machine"]["cores"] >= 1 and doc["machine"]["memory_bytes"] > 2 ** 28
    for device in doc["devices"]:
        assert device["available"] == (device["unavailable"] == "") == bool(device["description"])
    assert "not used: SOFTREG_ISA is 'sparc' but it must be one of" in ok("doctor", SOFTREG_ISA="sparc")
    text = ok("doctor", CUDA_VISIBLE_DEVICES="", SOFTREG_ISA="")
    assert "self-test" in text and "not used: " in text and doc["cuda_verified"] in text
    compiler = doc["specialised_kernels"]
    assert compiler["available"] == (compiler["unavailable"] == "") == bool(compiler["nvrtc"]) == bool(compiler["nvrtc_version"])
    assert compiler["asked"] == "never"
    assert "'often'" in refused(2, "doctor", SOFTREG_SPECIALISE="often")
    text = ok("doctor", SOFTREG_NVRTC="/nowhere", SOFTREG_CACHE_DIR="/some/cache")
    assert "NVRTC         not used: " in text and "/some/cache" in text


def test_help_and_version():
    overview = ok("--help")
    assert all(verb in overview for verb in VERBS) and "130" in overview
    assert ok("--version").startswith("softreg ")
    for verb in (*VERBS, "completion"):
        assert "Example" in ok(*verb.split(), "--help")
    solve = ok("solve", "--help")
    for flag in ("--loss", "--optimizer", "--step-size", "--max-steps", "--tol", "--check-every", "--ridge",
                 "--logit-weight", "--ball", "--device", "--dtype", "--threads", "--memory-limit", "--time-limit",
                 "--x0-from", "--sequence", "--trace", "--trace-full", "--fail-on", "--batch-invariant",
                 "--arithmetic", "--seed", "--json", "--dry-run", "--force", "-q", "-v", "-o", "--config",
                 "--group", "--target", "--features"):
        assert flag in solve, flag


def test_options_of_later_versions_are_refused(problem):
    assert "not available" in refused(2, "solve", problem, "--optimizer", "newton")


def test_bits_may_be_allowed_to_depend_on_the_batch(problem):
    assert document("solve", problem, "--batch-invariant", "off")["status"] == document("solve", problem)["status"]


@pytest.mark.parametrize("words, reason", [
    (["--device", "cpu", "--dtype", "f32"], "for CUDA, not for the device cpu"),
    (["--dtype", "f64"], "for float32, not for float64"),
    (["--dtype", "f32", "--trace", "shifts"], "for solving and its losses, not for shifts")])
def test_fast_arithmetic_has_its_place(problem, words, reason):
    assert reason in refused(2, "solve", problem, "--arithmetic", "fast", *words)


def test_fast_arithmetic_wants_cuda(problem):
    refused(5, "solve", problem, "--arithmetic", "fast", "--dtype", "f32", CUDA_VISIBLE_DEVICES="")
    assert "not for an attack" in refused(2, "check", problem, "--attack", 3, "--arithmetic", "fast")


def test_fast_arithmetic_is_not_for_sweeps(tmp_path):
    (tmp_path / "sweep.toml").write_text("n = 4\nd = 2\ncount = 1\n")
    for dry in ([], ["--dry-run"]):
        words = ["sweep", "run", tmp_path / "sweep.toml", "-o", tmp_path / "out", "--arithmetic", "fast", *dry]
        assert "not for sweeps" in refused(2, *words)


def test_verbs_and_problems_of_later_versions_are_refused(tmp_path):
    for verb in ("bench", "lab"):
        assert "not available" in refused(2, verb)
    for words in (["--m", 3], ["--d2", 3]):
        assert "belongs to --problem matrix" in refused(2, "gen", tmp_path / "p.npz", "--n", 3, "--d", 2, "--count", 1,
                                                        *words)


def test_a_slip_of_the_pen_is_answered(problem):
    assert "--max-steps" in refused(2, "solve", problem, "--max-step", 3)
    assert "softreg --help" in refused(2, "slove", problem)
    refused(2)


def test_completion_for_bash(tmp_path):
    script = tmp_path / "complete.sh"
    script.write_text(ok("completion", "bash") + """
COMP_WORDS=(softreg solve --max); COMP_CWORD=2; _softreg; echo "${COMPREPLY[*]}"
COMP_WORDS=(softreg ev); COMP_CWORD=1; _softreg; echo "${COMPREPLY[*]}"
""", encoding="utf-8")
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["--max-steps", "evaluate"] and not done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh on this machine")
def test_completion_for_zsh(tmp_path):
    script = tmp_path / "_softreg"
    script.write_text(ok("completion", "zsh"), encoding="utf-8")
    assert subprocess.run(["zsh", "-n", str(script)], timeout=60).returncode == 0


def on_a_terminal(*arguments, **environment):
    """Runs with stderr on a terminal; returns (exit code, what appeared there)."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=theirs,
                               env={**ENVIRONMENT, **environment})
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(ours)
    return process.wait(timeout=60), seen.decode()


def test_progress_is_live_on_a_terminal_only(tmp_path):
    a, b = instances(9000, 60, 10)
    path = save(tmp_path / "p.npz", A=a, b=b)
    words = ["solve", path, "--tol", 0, "--step-size", 0.1, "--device", "cpu", "--max-steps"]
    # With sanitizers a pack of instances takes half a second; without them all of them do.
    code, seen = on_a_terminal(*words, 500, "--time-limit", 4)
    assert code == 0 and "/9,000 instances" in seen and "steps/s" in seen and "ETA" in seen and "\r" in seen
    assert on_a_terminal(*words, 2, "-q")[1] == ""
    done = run(*words, 2)
    assert done.returncode == 0 and done.stderr == ""  # it takes less than 30 s


def test_colours_only_where_they_are_wanted(problem):
    words = ["solve", problem, "--loss", "nothing"]
    assert "\033[" in on_a_terminal(*words)[1]
    assert "\033[" not in on_a_terminal(*words, NO_COLOR="1")[1]
    assert "\033[" not in run(*words).stderr


def test_quiet_and_verbose(problem):
    assert run("solve", problem, "-q", CUDA_VISIBLE_DEVICES="").stderr == ""
    assert "note: " in run("solve", problem, "-v").stderr
    refused(2, "solve", problem, "-q", "-v")


def test_check_of_a_loss_without_a_softmax_judges_nothing(problem):
    done = run("check", problem, "--loss", "least_squares", "--json")
    assert done.returncode == 0 and "least_squares" in done.stderr
    assert [bound["hypotheses_hold"] for bound in json.loads(done.stdout)["bounds"]] == [0, 0, 0]
