"""Sweeps: cells equal what gen and solve make, parts equal the whole, and damage is found and mended."""
import csv
import json
import os
import random
import resource
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from program import ENVIRONMENT, PROGRAM, arrays, document, ok, refused, run
from sweeps import SMALL, columns, grid, shards, sweep

NOBODY = 65534


# --- what a cell is --------------------------------------------------------------------------


def flags(**values):
    return [word for name, value in values.items() for word in ("--" + name.replace("_", "-"), value)]


@pytest.mark.parametrize("generate, descend", [
    ({"n": 12, "d": 3, "radius": 2, "seed": 7}, {}),
    ({"n": "5:30", "d": 4, "family": "spiked", "dtype": "f64"}, {"optimizer": "nesterov", "step_multiple": 1.7}),
    ({"n": 40, "d": 2, "family": "one_hot"}, {"loss": "cross_entropy", "ridge": 0.01, "tol": 1e-3}),
    ({"n": 6, "d": 9, "family": "near_rank_one", "seed": 2 ** 63 + 1},
     {"loss": "exp_l2", "step_size": 0.02, "logit_weight": 0.3, "ball": 0.8, "check_every": 3}),
    ({"problem": "matrix", "n": 7, "m": 5, "d": 3, "d2": 2, "radius": 1.5}, {"step_multiple": 4}),
    ({"problem": "matrix", "n": "2:9", "d": 3, "dtype": "f64", "family": "aligned"}, {"loss": "least_squares"}),
    ({"problem": "matrix", "n": "2:9", "m": 4, "d": 3}, {"optimizer": "nesterov"}),
])
def test_a_cell_is_what_gen_and_solve_make(tmp_path, generate, descend):
    generate, descend = {"count": 57, **generate}, {"max_steps": 50, **descend}
    ok("gen", tmp_path / "p.npz", *flags(**generate))
    ok("solve", tmp_path / "p.npz", "-o", tmp_path / "r.npz", *flags(**descend))
    solved = arrays(tmp_path / "r.npz")
    text = "".join(f"{key} = {json.dumps(str(value))}\n" for key, value in {**generate, **descend}.items())
    for chunk in (57, 10):
        directory, doc = sweep(tmp_path, text + f"chunk = {chunk}\n", "--arrays", name=f"by {chunk}")
        got = columns(directory)
        assert set(got) == set(solved) - {"meta"}
        for name, values in got.items():
            assert values.dtype == solved[name].dtype and values.tobytes() == solved[name].tobytes(), name
        assert sum(doc["status"].values()) == 57 and doc["shards"]["made"] == -(-57 // chunk)


def test_the_grid_is_all_combinations_in_the_order_of_the_keys(tmp_path):
    directory, doc = sweep(tmp_path, """
problem = ["vector", "matrix"]
n = [4, "3:6"]
d = 2
m = [3, 5]
count = 10
dtype = ["f32", "f64"]
loss = ["softmax_l2", "least_squares"]
max_steps = [0, 8]
""")
    assert doc["cells"] == 2 * 2 * 2 * 2 + 2 * 2 * 2 * 2 * 2 and doc["instances"] == 10 * doc["cells"]
    rows = document("sweep", "export", directory)["cells"]
    assert [row["problem"] for row in rows] == ["vector"] * 16 + ["matrix"] * 32
    assert [row["max_steps"] for row in rows[:4]] == [0, 8, 0, 8]
    assert [row["m"] for row in rows[:16]] == [None] * 16 and rows[8]["n"] == [3, 6]
    assert len({row["id"] for row in rows}) == len(rows)
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    assert [cell["id"] for cell in manifest["cells"]] == [row["id"] for row in rows]
    assert manifest["id"] == doc["sweep"]


def test_the_table_has_the_quantiles_of_the_shards(tmp_path):
    directory, _ = sweep(tmp_path, SMALL.replace("[1, 2]", "2") + 'trace = "shifts"\ntol = 2e-2\n')
    ok("sweep", "export", directory, "--csv", tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        row, = csv.DictReader(file)
    got = columns(directory)
    assert set(got) == {"status", "steps", "loss", "objective", "grad_norm", "shift_f_max", "shift_x_max",
                        "shift_ratio_max", "d8_log10_ratio", "d8_violations"}
    for name in ("loss", "steps", "grad_norm", "shift_f_max", "shift_x_max", "shift_ratio_max", "d8_log10_ratio"):
        for quantile, share in {"min": 0, "q05": .05, "q25": .25, "median": .5, "q75": .75, "q95": .95, "max": 1}.items():
            values = got[name].astype(float)
            expected = np.quantile(values[np.isfinite(values)], share, method="lower")
            assert float(row[f"{name}_{quantile}"]) == expected, (name, quantile)
    moved = got["steps"] > 0
    assert (got["d8_log10_ratio"][moved] > 0).all() and np.isnan(got["shift_x_max"][~moved]).all() and row["d8_violations"] == "0"
    assert int(row["status_converged"]) == (got["status"] == 0).sum() > 0
    assert int(row["status_max_steps"]) == (got["status"] == 10).sum() > 0
    assert int(row["steps_total"]) == got["steps"].sum() and row["instances"] == row["count"] == "50"
    assert row["n"] == "12" and row["ball"] == "" and row["device"] == "cpu"
    assert "already exists" in refused(2, "sweep", "export", directory, "--csv", tmp_path / "t.csv")
    ok("sweep", "export", directory, "--csv", tmp_path / "t.csv", "--force")
    for own in ("manifest.json", "shards/t.csv"):
        assert "of the sweep itself" in refused(2, "sweep", "export", directory, "--csv", directory / own, "--force")


BOUNDS = {"D8": "d8", "P6": "p6", "P6@4": "p6_at_4", "D5": "d5", "D6": "d6", "D7": "d7", "D9": "d9", "D10": "d10", "D12z": "d12z",
          "D8e": "d8e", "D8l": "d8l", "D12": "d12", "D18": "d18", "D18l": "d18l", "D19": "d19", "P1": "p1", "P2": "p2", "P3": "p3",
          "P4": "p4"}


@pytest.mark.parametrize("generate, descend", [
    ({"n": 9, "d": 3, "radius": 2}, {"loss": "softmax_l2", "step_multiple": 4}),
    ({"n": "3:9", "d": 3, "dtype": "f64"}, {"loss": "rescaled_l2", "step_size": 0.01}),
    ({"problem": "matrix", "n": 5, "d": 3, "dtype": "f64"}, {"loss": "softmax_l2", "optimizer": "nesterov"}),
    ({"problem": "matrix", "n": 5, "d": 3}, {"loss": "rescaled_l2", "step_size": 0.01}),
    ({"n": 9, "d": 3}, {"loss": "cross_entropy", "logit_weight": 0.1}),
    ({"n": 9, "d": 3}, {"loss": "least_squares"}),
])
def test_bounds_are_those_of_check(tmp_path, generate, descend):
    generate, descend = {"count": 30, "radius": 1, **generate}, {"max_steps": 30, **descend}
    ok("gen", tmp_path / "p.npz", *flags(**generate))
    reports = document("check", tmp_path / "p.npz", "-o", tmp_path / "r.npz", *flags(**descend))["bounds"]
    checked = arrays(tmp_path / "r.npz")
    text = "".join(f"{key} = {json.dumps(str(value))}\n" for key, value in {**generate, **descend}.items())
    directory, _ = sweep(tmp_path, text + 'chunk = 11\ntrace = "bounds"\n')
    got = columns(directory)
    row, = document("sweep", "export", directory)["cells"]
    if descend["loss"] == "least_squares":  # has no softmax, of which the theorems speak
        assert not [name for name in got if name.endswith("_log10_ratio") or name.endswith("_violations")]
        checked["bound_id"] = []
    for k, name in enumerate(checked["bound_id"]):
        column = BOUNDS[str(name)]
        ratios = got.pop(f"{column}_log10_ratio")
        assert ratios.tobytes() == np.ascontiguousarray(checked["bound_log10_ratio"][:, k]).tobytes(), name
        found = [report["violations"] for report in reports if report["id"] == name]
        assert [got.pop(f"{column}_violations").sum()] == [row[f"{column}_violations"]] == found
        if not np.isnan(ratios).all():
            assert row[f"{column}_log10_ratio_min"] == ratios[~np.isnan(ratios)].min()
    # What check did not judge is not a number.
    assert all(np.isnan(values).all() for name, values in got.items() if name.endswith("_log10_ratio"))


def test_cells_of_any_loss_have_the_columns_of_a_table(tmp_path):
    text = SMALL + 'trace = "bounds"\nloss = ["softmax_l2", "rescaled_l2"]\nproblem = ["vector", "matrix"]\nstep_size = 0.01\ndtype = "f64"\n'
    directory, doc = sweep(tmp_path, text)
    again, once_more = sweep(tmp_path, text, "--threads", 1, name="again")
    assert doc["result_hash"] == once_more["result_hash"] and shards(directory) == shards(again)
    assert document("sweep", "resume", directory)["shards"]["made"] == 0
    rows = document("sweep", "export", directory)["cells"]
    assert len({tuple(row) for row in rows}) == 1
    for row in rows:
        rescaled, vector = row["loss"] == "rescaled_l2", row["problem"] == "vector"
        for column, there in {"d5": True, "d12": not rescaled, "d18": rescaled, "d19": rescaled and vector, "p4": vector}.items():
            assert (row[f"{column}_log10_ratio_median"] is not None) == (row[f"{column}_violations"] is not None) == there, column


def test_the_numbers_do_not_depend_on_chunks_threads_or_the_run(tmp_path):
    one, doc = sweep(tmp_path, SMALL, name="one")
    two, again = sweep(tmp_path, SMALL, "--threads", 1, name="two")
    assert doc["result_hash"] == again["result_hash"] and shards(one) == shards(two)
    text = SMALL.replace("chunk = 20", "chunk = 7")
    other, _ = sweep(tmp_path, text, name="other")
    cells = [[{k: v for k, v in row.items() if k != "id"} for row in document("sweep", "export", d)["cells"]]
             for d in (one, other)]
    assert cells[0] == cells[1]


# --- what a user reads -----------------------------------------------------------------------


def test_dry_run_does_nothing(tmp_path):
    path = grid(tmp_path, SMALL.replace("count = 50", "count = 10_000_000").replace("chunk = 20", ""))
    started = time.monotonic()
    doc = document("sweep", "run", path, "-o", tmp_path / "d", "--dry-run")
    assert time.monotonic() - started < 2
    assert doc["instances"] == doc["instances_to_do"] == 2 * 10 ** 7 and doc["shards"]["sweep"] == 2000
    assert doc["updates_at_most"] == 40 * doc["instances"] and doc["dry_run"]
    assert list(tmp_path.iterdir()) == [path]
    text = ok("sweep", "run", path, "--dry-run")
    assert "20,000,000 instances" in text and "bytes" in text


def test_the_bytes_of_a_dry_run_are_those_that_come(tmp_path):
    for words in ([], ["--arrays"]):
        text = SMALL + 'trace = "bounds"\ndtype = ["f32", "f64"]\n'
        promised = document("sweep", "run", grid(tmp_path, text), "--dry-run", *words)["bytes"]
        directory, _ = sweep(tmp_path, text, *words, name=f"d{len(words)}")
        assert abs(sum(map(len, shards(directory).values())) - promised) < 0.1 * promised


def test_status_and_documents(tmp_path):
    directory, doc = sweep(tmp_path, SMALL)
    for key in ("schema_version", "version", "verb", "directory", "sweep", "part", "cells", "instances", "shards",
                "device", "status", "steps_total", "seconds", "interrupted", "result_hash", "arguments"):
        assert key in doc, key
    status = document("sweep", "status", directory)
    assert status["complete"] and status["result_hash"] == doc["result_hash"] and status["shards"]["present"] == 6
    next((directory / "shards").iterdir()).unlink()
    status = document("sweep", "status", directory)
    assert not status["complete"] and status["result_hash"] is None and status["cells_done"] == 1
    assert "5 of 6" in ok("sweep", "status", directory)
    done = run("sweep", "export", directory, "--csv", tmp_path / "t.csv")
    assert done.returncode == 0 and "1 of 6 shards are missing" in done.stderr
    assert ok("sweep", "resume", directory, "-q") and document("sweep", "status", directory)["complete"]


def test_settings_may_stand_in_a_file(tmp_path):
    config = grid(tmp_path, '[sweep.run]\narrays = true\n[sweep]\nquiet = true\n[solve]\nmax-steps = 3\n', "c.toml")
    directory, _ = sweep(tmp_path, SMALL, "--config", config)
    assert "x" in columns(directory)
    assert "[sweep.status]" in refused(2, "sweep", "status", directory, "--config",
                                       grid(tmp_path, "[sweep]\narrays = true\n", "d.toml"))


def test_the_default_directory_is_the_name_of_the_file(tmp_path):
    ok("sweep", "run", grid(tmp_path, SMALL, "my grid.toml"), "-q", cwd=tmp_path)
    assert (tmp_path / "my grid" / "manifest.json").exists()


def test_completion_knows_both_words(tmp_path):
    script = tmp_path / "complete.sh"
    script.write_text(ok("completion", "bash") + """
COMP_WORDS=(softreg sw); COMP_CWORD=1; _softreg; echo "${COMPREPLY[*]}"
COMP_WORDS=(softreg sweep re); COMP_CWORD=2; _softreg; echo "${COMPREPLY[*]}"
COMP_WORDS=(softreg sweep run --par); COMP_CWORD=3; _softreg; echo "${COMPREPLY[*]}"
""", encoding="utf-8")
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["sweep", "resume", "--part"] and not done.stderr


BAD_GRIDS = [
    ("", "does not say 'n'"), ("n = 3\nd = 2\n", "does not say 'count'"), ("n =", "line 3"),
    ("nn = 3", "did you mean 'n'?"), ("steps = 3", "'steps'"), ("max_step = 3", "'max_steps'"),
    ("n = 0", "'n' in"), ("n = '5:3'", "5 is more than 3"), ("n = true", "'true'"), ("n = [3, 'x']", "'x'"),
    ("n = 2.5", "'2.5'"), ("n = []", "empty list"), ("n = ''", "is empty"), ("n = 1979-05-27", "a date"),
    ("n = [3, 3]", "one cell twice"), ("radius = [1, 1.0]", "one cell twice"), ("radius = -1", "'-1'"),
    ("family = 'odd'", "odd"), ("dtype = 'f16'", "f32, f64"), ("m = 3", "belongs to --problem matrix"),
    ("problem = 'tensor'", "vector, matrix"), ("loss = 'hinge'", "softmax_l2"), ("loss = 'exp_l2'", "no proven step size"),
    ("optimizer = 'adam'", "nesterov"), ("step_size = 0", "'0'"), ("step_size = 1e-60", "1e-60 (0 in float32)"), ("step_multiple = -1", "'-1'"),
    ("step_size = 0.1\nstep_multiple = 2", "only one of them can hold"), ("max_steps = -1", "'-1'"),
    ("tol = 'nan'", "'nan'"), ("ball = 0", "'0'"), ("chunk = 0", "'0'"), ("chunk = [1, 2]", "has 2 values"),
    ("trace = 'loss'", "none, shifts, bounds"), ("arrays = 1", "false, true"), ("max-steps = 3\nmax_steps = 4", "the same as"),
    ("seed = -1", "'-1'"), ("count = 9_000_000_000_000_000_000", "more than"), ("chunk = 1\ncount = 2_000_000", "shards"),
    (f"seed = {list(range(1000))}\nmax_steps = {list(range(1000))}", "more than 100000 cells"),
    ("ball = 1e300", "1e+300"), ("[n]\nx = 3", "table"),
]


@pytest.mark.parametrize("text, words", BAD_GRIDS)
def test_bad_grids(tmp_path, text, words):
    base = {"n": "3", "d": "2", "count": "5"} if text and text != "n = 3\nd = 2\n" else {}
    rest = "".join(f"{key} = {value}\n" for key, value in base.items()
                   if not any(line.startswith((f"{key} =", f"[{key}]")) for line in text.split("\n")))
    path = grid(tmp_path, rest + text)
    said = refused(2, "sweep", "run", path, "-o", tmp_path / "d")
    assert words in said and "sweep.toml" in said or words in ("more than", "shards", "more than 100000 cells",
                                                               "no proven step size", "1e+300", "odd",
                                                               "1e-60 (0 in float32)"), said
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code, words", [
    (2, ["sweep"]), (2, ["sweep", "rune"]), (2, ["sweep", "run"]), (8, ["sweep", "run", "absent.toml"]),
    (2, ["sweep", "status"]), (8, ["sweep", "status", "absent"]), (2, ["sweep", "resume"]), (8, ["sweep", "resume", "."]),
    (2, ["sweep", "export", "d"]), (8, ["sweep", "export", "absent", "--csv", "t.csv"]),
    (2, ["sweep", "run", "g.toml", "--part", "0/3"]), (2, ["sweep", "run", "g.toml", "--part", "4/3"]),
    (2, ["sweep", "run", "g.toml", "--part", "2"]), (2, ["sweep", "run", "g.toml", "--device", "tpu"]),
    (2, ["sweep", "run", "g.toml", "-o", "full"]), (8, ["sweep", "run", "g.toml", "-o", "g.toml"]),
    (6, ["sweep", "run", "huge.toml"]), (5, ["sweep", "run", "g.toml", "--device", "cuda"])])
def test_bad_calls(tmp_path, code, words):
    grid(tmp_path, SMALL, "g.toml")
    grid(tmp_path, "n = 40_000_000\nd = 2_000\ncount = 1\n", "huge.toml")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    refused(code, *words, cwd=tmp_path, CUDA_VISIBLE_DEVICES="")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full", "g.toml", "huge.toml"]


def test_the_examples(tmp_path):
    folder = Path(__file__).resolve().parents[1] / "examples" / "sweeps"
    for path in folder.glob("*.toml"):
        doc = document("sweep", "run", path, "--dry-run")
        assert path.stem != "million" or doc["instances"] == 10 ** 6
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in {"srun": 'exec "$@"', "scontrol": 'echo "$@" >> requeued'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    path = grid(tmp_path, SMALL)
    for task in ("3", "1", "2"):
        slurm = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_CPUS_PER_TASK": "1",
                 "SLURM_ARRAY_JOB_ID": "17", "SOFTREG_PROGRAM": PROGRAM, "PATH": f"{tools}:{os.environ['PATH']}"}
        subprocess.run(["sh", folder / "slurm_array.sh", path, tmp_path / "d"], env={**ENVIRONMENT, **slurm}, check=True,
                       capture_output=True, timeout=60, cwd=tmp_path)
    assert document("sweep", "status", tmp_path / "d")["complete"] and not (tmp_path / "requeued").exists()


# --- several processes -----------------------------------------------------------------------


def test_parts_at_once_make_what_one_run_makes(tmp_path):
    text = SMALL + "seed = [1, 2, 3]\nstep_multiple = [1, 2]\n"
    whole, doc = sweep(tmp_path, text, name="whole")
    path, parts = grid(tmp_path, text), tmp_path / "parts"
    running = [subprocess.Popen([PROGRAM, "sweep", "run", path, "-o", parts, "--part", f"{i}/4", "--json", "-q",
                                 "--threads", "1"], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
               for i in (1, 2, 3, 4)]
    documents = [json.loads(process.communicate(timeout=120)[0]) for process in running]
    assert [process.returncode for process in running] == [0] * 4
    assert shards(parts) == shards(whole)
    assert sum(d["shards"]["made"] for d in documents) == len(shards(whole)) == 36
    assert all(0 < d["shards"]["made"] < 36 for d in documents)
    assert document("sweep", "status", parts)["result_hash"] == doc["result_hash"]


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 7, 40])
def test_parts_cover_every_shard_once(tmp_path, parts):
    path = grid(tmp_path, SMALL.replace("n = 12", "n = [4, 40, 400]"))
    counts = [document("sweep", "run", path, "-o", tmp_path / "none", "--part", f"{i}/{parts}",
                       "--dry-run")["shards"]["part"] for i in range(1, parts + 1)]
    assert sum(counts) == 18 and (parts != 1 or counts == [18])


def test_a_directory_belongs_to_one_sweep(tmp_path):
    directory, _ = sweep(tmp_path, SMALL)
    same, other = grid(tmp_path, SMALL, "same.toml"), grid(tmp_path, SMALL + "seed = 2\n", "other.toml")
    before = shards(directory)
    assert "sweep resume" in refused(2, "sweep", "run", same, "-o", directory)
    assert "another sweep" in refused(2, "sweep", "run", other, "-o", directory)
    assert "another sweep" in refused(2, "sweep", "run", other, "-o", directory, "--part", "1/2")
    ok("sweep", "run", same, "-o", directory, "--part", "1/2", "-q")
    assert shards(directory) == before


def test_two_runs_at_once_are_one_run(tmp_path):
    path = grid(tmp_path, SMALL)
    running = [subprocess.Popen([PROGRAM, "sweep", "run", path, "-o", tmp_path / "d", "-q"], env=ENVIRONMENT,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(6)]
    codes = sorted(process.wait(timeout=60) for process in running)
    assert codes == [0] + [2] * 5
    assert document("sweep", "status", tmp_path / "d")["complete"]


def test_two_resumes_at_once_do_no_harm(tmp_path):
    directory, doc = sweep(tmp_path, SMALL)
    for path in list((directory / "shards").iterdir())[1:]:
        path.unlink()
    running = [subprocess.Popen([PROGRAM, "sweep", "resume", directory, "-q"], env=ENVIRONMENT,
                                stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(timeout=60) for process in running] == [0] * 4
    assert document("sweep", "status", directory)["result_hash"] == doc["result_hash"]
    assert len(shards(directory)) == 6


# --- misfortune ------------------------------------------------------------------------------


def damage(path, how, rng):
    """Returns the path under which the damaged shard lies."""
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    elif how == "truncated":
        path.write_bytes(content[:rng.randrange(len(content))])
    elif how == "longer":
        path.write_bytes(content + b"\0")
    elif how == "renamed":  # the bytes of another shard under this name
        other = next(p for p in path.parent.iterdir() if p != path)
        path.write_bytes(other.read_bytes())
    elif how == "borrowed":  # the whole shard of another cell, with its hash
        other = next(p for p in path.parent.iterdir() if p.name.split("-")[0] != path.name.split("-")[0])
        wrong = path.with_name("-".join(path.name.split("-")[:2] + other.name.split("-")[2:]))
        wrong.write_bytes(other.read_bytes())
        path.unlink()
        return wrong
    else:
        wrong = path.with_name(path.name[:-6] + ("00" if path.name[-6:-4] != "00" else "11") + ".npz")
        path.rename(wrong)
        return wrong
    return path


@pytest.mark.parametrize("how", ["flipped", "truncated", "longer", "renamed", "misnamed", "borrowed"])
def test_damaged_shards_are_found_and_made_anew(tmp_path, how):
    directory, doc = sweep(tmp_path, SMALL)
    sound, rng, found = shards(directory), random.Random(how), 0
    for _ in range(8 if how in ("flipped", "truncated") else 2):
        path = damage(rng.choice(sorted((directory / "shards").iterdir())), how, rng)
        said = run("sweep", "status", directory)
        assert said.returncode == 8 and path.name in said.stderr and "damaged" in said.stdout
        assert "sweep resume" in refused(8, "sweep", "export", directory, "--csv", tmp_path / "t.csv", "-q")
        assert not (tmp_path / "t.csv").exists()
        again = document("sweep", "resume", directory, "-q")
        assert again["shards"]["damaged"] == [path.name] and again["shards"]["made"] == 1
        assert again["result_hash"] == doc["result_hash"] and shards(directory) == sound
        found += 1
    print(f"[count] {how} shards found and made anew: {found}")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_in_the_place_of_a_shard_is_named(tmp_path, make):
    directory, _ = sweep(tmp_path, SMALL)
    path = next((directory / "shards").iterdir())
    path.unlink()
    make(path)
    assert path.name in run("sweep", "status", directory).stderr
    assert "what stands there is not a file" in refused(8, "sweep", "resume", directory, "-q")
    path.rename(tmp_path / "aside")
    assert document("sweep", "resume", directory, "-q")["shards"]["made"] == 1


def test_a_damaged_manifest_is_refused(tmp_path):
    directory, _ = sweep(tmp_path, SMALL)
    path, rng = directory / "manifest.json", random.Random(3)
    content, refusals = path.read_bytes(), 0
    for turn in range(60):
        worse = bytearray(content)
        if turn % 3 == 0:
            worse = worse[:rng.randrange(len(worse))]
        else:
            worse[rng.randrange(len(worse))] ^= 1 << rng.randrange(7)
        path.write_bytes(worse)
        done = run("sweep", "resume", directory, "-q")
        # White space and the case of an escape are not contents.
        same = turn % 3 != 0 and done.returncode == 0
        assert same or done.returncode in (2, 8) and done.stderr.count("error: ") == 1, (turn, done.stderr)
        refusals += not same
    path.write_bytes(content)
    ok("sweep", "status", directory)
    print(f"[count] damaged manifests refused: {refusals} of 60")


def test_a_full_disk(tmp_path):
    path = grid(tmp_path, SMALL.replace("count = 50", "count = 4000").replace("chunk = 20", "chunk = 1000"))
    directory = tmp_path / "d"
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))  # noqa: E731
    said = refused(8, "sweep", "run", path, "-o", directory, "-q", preexec_fn=limit)
    assert "File too large" in said and "sweep resume" in said
    assert not shards(directory) and not list((directory / "shards").iterdir())
    assert document("sweep", "resume", directory, "-q")["shards"]["made"] == 8


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", disk], capture_output=True).returncode != 0:
        pytest.skip("this container may not mount")
    try:
        path = grid(tmp_path, SMALL.replace("count = 50", "count = 8000").replace("chunk = 20", "chunk = 1000"))
        said = refused(8, "sweep", "run", path, "-o", disk / "d", "-q")
        assert "No space left on device" in said
        made = shards(disk / "d")
        assert 0 < len(made) < 16
        subprocess.run(["mount", "-o", "remount,ro,size=4m", disk], check=True)
        assert "Read-only file system" in refused(8, "sweep", "resume", disk / "d", "-q")
        assert "Read-only file system" in refused(8, "sweep", "run", path, "-o", disk / "e", "-q")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert document("sweep", "resume", disk / "d", "-q")["shards"]["made"] == 16 - len(made)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert document("sweep", "status", disk / "d")["complete"]
        document("sweep", "resume", disk / "d", "-q")  # nothing is left to write
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_directory_that_may_not_be_written(tmp_path):
    directory, _ = sweep(tmp_path, SMALL)
    next((directory / "shards").iterdir()).unlink()
    drop = (lambda: os.setuid(NOBODY)) if os.geteuid() == 0 else None
    for path in (tmp_path, *tmp_path.parents):
        if path.owner() == (tmp_path.owner()) and path != path.parent and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    for path in (directory, directory / "shards"):
        path.chmod(0o555)
    if run("sweep", "status", directory, preexec_fn=drop).returncode != 0:
        pytest.skip("another user may not read here")
    assert "Permission denied" in refused(8, "sweep", "resume", directory, "-q", preexec_fn=drop)
    assert "Permission denied" in refused(8, "sweep", "run", tmp_path / "sweep.toml", "-o", directory / "e", "-q",
                                          preexec_fn=drop)
    for path in (directory, directory / "shards"):
        path.chmod(0o755)
