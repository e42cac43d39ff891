"""Wrong calls of the program: each ends with its exit code and one sentence, and writes nothing."""
import os
import pathlib
import random
import re
import resource

import numpy as np
import pytest

from program import document, instances, ok, refused, run

INTERNAL, USAGE, INVALID, MEMORY, FILES = 1, 2, 4, 6, 8

NOT_NUMBERS = ["", "x", "1e", "0x10", "1,5", "nan", "inf", "-inf", "1e999", "--", " 1", "1 ", "١"]
NUMBERS = {"--tol": ["-1", "-1e-9"], "--ridge": ["-0.5"], "--logit-weight": [], "--ball": ["0", "-2"],
           "--time-limit": ["0", "-1"], "--step-size": ["0", "-0.1", "Auto"]}
NOT_WHOLE = ["", "x", "1.5", "1e3", "-1", "99999999999", "9" * 30, "0x8", "1_000"]
WHOLE = {"--max-steps": [], "--check-every": ["0"], "--threads": ["0"]}
CHOICES = {"--loss": "softmax", "--optimizer": "adam", "--device": "gpu", "--dtype": "f16", "--trace": "all",
           "--fail-on": "never", "--batch-invariant": "maybe", "--arithmetic": "exact"}
BYTES = ["", "0", "-1", "1T", "K", "1.5G", "1 G", "9999999999G"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("calls")
    a, b = instances(4, 6, 3)
    np.savez(path / "p.npz", A=a, b=b)
    return path


def wrong_values():
    for flag, texts in NUMBERS.items():
        yield from ((flag, text) for text in NOT_NUMBERS + texts)
    for flag, texts in WHOLE.items():
        yield from ((flag, text) for text in NOT_WHOLE + texts)
    for flag, text in CHOICES.items():
        yield from ((flag, wrong) for wrong in (text, text.upper(), text + " ", "-"))
    yield from (("--memory-limit", text) for text in BYTES)
    yield from (("--seed", text) for text in ("", "-1", "x", "1.5", "9" * 21))


def test_wrong_values_by_flag_environment_and_config(folder):
    calls = 0
    for flag, text in wrong_values():
        result = folder / "r.npz"
        # An empty value in the command line is a missing one; in the environment it means nothing.
        sentence = refused(USAGE, "solve", folder / "p.npz", "-o", result, f"{flag}={text}")
        assert flag in sentence
        calls += 1
        if not text:
            continue
        name = "SOFTREG_" + flag[2:].replace("-", "_").upper()
        assert name in refused(USAGE, "solve", folder / "p.npz", "-o", result, **{name: text})
        calls += 1
    assert list(folder.iterdir()) == [folder / "p.npz"]
    print(f"[count] bad values refused by the program: {calls}")


@pytest.mark.parametrize("words", [
    [], ["solve"], ["evaluate"], ["check"], ["gen"], ["completion"], ["completion", "fish"], ["-v"], ["--json"],
    ["solve", "p.npz", "q.npz"], ["solve", "p.npz", "--nonsense"], ["solve", "p.npz", "-z"], ["doctor", "now"],
    ["solve", "p.npz", "--tol"], ["solve", "p.npz", "-o"], ["solve", "p.npz", "--tol", "1", "--tol", "1"],
    ["solve", "p.npz", "--trace-full"], ["solve", "p.npz", "--trace", "loss", "--trace-full"],
    ["check", "p.npz", "--trace", "loss"], ["evaluate", "p.npz", "-o", "e.npz", "--max-steps", "3"],
    ["solve", "p.npz", "--group", "g"], ["solve", "p.npz", "--features", "a,,b"], ["solve", ""],
    ["gen", "g.npz", "--n", "3", "--d", "2"], ["gen", "g.npz", "--n", "3", "--count", "2"],
    ["gen", "g.npz", "--n", "5:3", "--d", "2", "--count", "1"], ["gen", "g.npz", "--n", "3:", "--d", "2", "--count", "1"],
    ["gen", "g.npz", "--n", "0", "--d", "2", "--count", "1"], ["gen", "g.npz", "--n", "3", "--d", "0", "--count", "1"],
    ["gen", "g.npz", "--n", "3", "--d", "2", "--count", "0"],
    ["gen", "g.npz", "--n", "3", "--d", "2", "--count", "9000000000000000000"],
    ["gen", "g.npz", "--n", "3", "--d", "2", "--count", "1", "--radius", "-1"],
    ["gen", "g.npz", "--n", "3", "--d", "2", "--count", "1", "--radius", "1e300"],
    ["gen", "g.npz", "--n", "3", "--d", "2", "--count", "1", "--family", "odd"],
    ["gen", "g.npz", "--n", "3", "--d", "2", "--count", "1", "--dtype", "keep"],
], ids=" ".join)
def test_wrong_words(folder, words):
    refused(USAGE, *words, cwd=folder)
    assert list(folder.iterdir()) == [folder / "p.npz"]


@pytest.mark.parametrize("words", [
    ["-o", ""], ["--x0-from", ""], ["--config", ""], ["--group", ""], ["--features="], ["--fail-on", ""],
    ["-o", "--force"], ["--tol", "--json"], ["--config", "--quiet"]], ids=" ".join)
def test_forgotten_values(folder, words):
    sentence = refused(USAGE, "solve", folder / "p.npz", *words)
    assert "is empty" in sentence or "needs a value" in sentence
    refused(USAGE, "evaluate", folder / "p.npz", "-o", folder / "e.npz", "--gradients", "")
    assert list(folder.iterdir()) == [folder / "p.npz"]


@pytest.mark.parametrize("text", ["output = ''", "features = []", "max_steps = 3\nmax-steps = 4"])
def test_forgotten_and_repeated_values_in_a_config(tmp_path, text):
    (tmp_path / "c.toml").write_text(text + "\n", encoding="utf-8")
    sentence = refused(USAGE, "solve", tmp_path / "p.npz", "--config", tmp_path / "c.toml")
    assert "c.toml', line " in sentence


@pytest.mark.parametrize("option, value", [
    ("--ball", "1e-46"), ("--ball", "1e39"), ("--ridge", "1e39"), ("--logit-weight", "-1e39")])
def test_numbers_that_float32_cannot_hold(tmp_path, option, value):
    a, b = instances(2, 5, 3)
    np.savez(tmp_path / "f32.npz", A=a.astype(np.float32), b=b.astype(np.float32))
    np.savez(tmp_path / "f64.npz", A=a, b=b)
    for verb in ("solve", "check"):
        sentence = refused(USAGE, verb, tmp_path / "f32.npz", option, value)
        assert value.replace("e39", "e+39") in sentence and "float32" in sentence
    ok("solve", tmp_path / "f64.npz", option, value, "--step-size", 1)


def test_an_output_that_is_an_input(folder, tmp_path):
    problem, result = tmp_path / "p.npz", tmp_path / "r.npz"
    problem.write_bytes((folder / "p.npz").read_bytes())
    ok("solve", problem, "-o", result)
    before = result.read_bytes()
    (tmp_path / "link.npz").symlink_to("p.npz")
    for output, words in [(problem, []), (tmp_path / "link.npz", []), (result, ["--x0-from", result])]:
        for verb in ("solve", "check", "evaluate"):
            assert "is '" in refused(USAGE, verb, problem, *words, "-o", output, "--force")
    assert result.read_bytes() == before and problem.read_bytes() == (folder / "p.npz").read_bytes()


def test_hints_are_right_and_names_printable(folder, tmp_path):
    assert "--force" not in refused(USAGE, "solve", folder / "p.npz", "-o", "/dev/null")
    for name in ("a\nb", "a\033[31mb", "x" * 5000):
        for words in (["solve", tmp_path / f"{name}.npz"], ["solve", tmp_path / f"{name}.txt"],
                      ["solve", folder / "p.npz", "-o", tmp_path / name / "r.npz"],
                      ["solve", folder / "p.npz", "--config", tmp_path / name]):
            done = run(*words)
            assert done.returncode in (USAGE, FILES) and "\033" not in done.stderr
            assert len(done.stderr.splitlines()) <= 2 and len(done.stderr) < 600


# The sanitizers reserve terabytes of addresses and open descriptors of their own.
needs_plain_program = pytest.mark.skipif(
    re.search(r"^SOFTREG_SANITIZE:STRING=.", (pathlib.Path(os.environ["SOFTREG_BUILD_DIR"]) / "CMakeCache.txt").read_text(),
              re.M) is not None, reason="a build with sanitizers cannot run under this limit")


def limited(which, value, *words):
    """Runs with a limit of setrlimit; returns (exit code, stderr)."""
    done = run(*words, preexec_fn=lambda: resource.setrlimit(which, (value, value)))
    assert [line.split(":")[0] for line in done.stderr.splitlines()] in (["error"], ["error", "hint"]), done.stderr
    return done.returncode, done.stderr


@needs_plain_program
def test_without_descriptors(folder):
    assert limited(resource.RLIMIT_NOFILE, 4, "solve", folder / "p.npz")[0] == INTERNAL


def test_a_file_that_may_not_grow(tmp_path):
    words = ["--n", 60, "--d", 10, "--count", 100]
    code, sentence = limited(resource.RLIMIT_FSIZE, 20_000, "gen", tmp_path / "g.npz", *words)
    assert code == FILES and "File too large" in sentence
    assert not list(tmp_path.iterdir())


def test_more_than_the_memory_of_the_machine(folder, tmp_path):
    machine = document("doctor")["machine"]["memory_bytes"]
    words = ["--trace", "shifts", "--trace-full", "--max-steps", 2 ** 31 - 2]
    plan = document("solve", folder / "p.npz", *words, "--dry-run")
    traces = 4 * 2 * (2 ** 31 - 2) * 8
    assert traces < plan["result_bytes"] < traces + 4 * 1000
    if machine < traces:
        sentence = refused(MEMORY, "solve", folder / "p.npz", *words)
        assert str(2 * plan["result_bytes"]) in sentence
    for rows in (10 ** 6, f"{10 ** 6}:{2 * 10 ** 6}"):
        sentence = refused(MEMORY, "gen", tmp_path / "g.npz", "--n", rows, "--d", 1000, "--count", 10 ** 6)
        assert str(4 * 10 ** 6 * (10 ** 6 * 1001 + 1000)) in sentence
    assert not list(tmp_path.iterdir())


@needs_plain_program
def test_memory_that_this_process_cannot_get(tmp_path):
    code, sentence = limited(resource.RLIMIT_AS, 2 ** 30, "gen", tmp_path / "g.npz", "--n", 10 ** 5, "--d", 100,
                             "--count", 40)
    assert code == MEMORY and str(4 * 40 * (10 ** 5 * 101 + 100)) in sentence
    assert not list(tmp_path.iterdir())


def test_wrong_shapes_name_both_numbers(tmp_path):
    rng = random.Random(7)
    a, b = instances(4, 6, 3)
    right = {"A": a, "b": b, "x0": np.zeros((4, 3)), "step_size": np.ones(4), "w": np.ones((4, 6))}
    for turn in range(60):
        arrays = dict(right)
        name = rng.choice(list(arrays))
        shape = list(arrays[name].shape)
        axis = rng.randrange(len(shape) - (name == "A"))  # another d alone is another problem
        shape[axis] += rng.randint(1, 9)
        arrays[name] = np.zeros(shape)
        path = tmp_path / f"{turn}.npz"
        np.savez(path, **arrays)
        sentence = refused(INVALID, rng.choice(["solve", "check"]), path)
        assert "has shape" in sentence and "expected" in sentence
        assert str(tuple(shape)) in sentence


def test_wrong_contents(tmp_path):
    a, b = instances(4, 6, 3)
    wrong = {
        "dtypes": {"A": a, "b": b.astype(np.float32)}, "integers": {"A": a.astype(int), "b": b.astype(int)},
        "strings": {"A": a, "b": b.astype(str)}, "complex": {"A": a.astype(complex), "b": b},
        "half": {"A": a.astype(np.float16), "b": b.astype(np.float16)}, "no b": {"A": a}, "no A": {"b": b},
        "matrix": {"A1": a, "A2": a, "B": a}, "two kinds": {"A": a, "b": b, "offsets1": [0, 1]},
        "no B": {"A1": a, "A2": a}, "half ragged": {"A1": a[0], "A2": a[0], "B": b[0], "offsets1": [0, 6]},
        "segments": {"A": a[0], "b": b[0], "segments": [0, 6]},
        "softmaxes": {"A": a[0], "b": b[0], "segments": [0, 6], "instances": [0, 2]},
        "both": {"A": a[0], "b": b[0], "offsets": [0, 6], "segments": [0, 6]},
        "offsets": {"A": a[0], "b": b[0], "offsets": [0, 7]}, "backwards": {"A": a[0], "b": b[0], "offsets": [0, 4, 2, 6]},
        "empty": {"A": a[:0], "b": b[:0]}, "no rows": {"A": a[:, :0], "b": b[:, :0]},
        "no parameters": {"A": a[:, :, :0], "b": b},
    }
    for name, named in wrong.items():
        path = tmp_path / "wrong.npz"
        np.savez(path, **named)
        for verb in (["solve", path], ["check", path], ["evaluate", path, "-o", tmp_path / "o.npz"]):
            refused(INVALID, *verb)
    np.savez(tmp_path / "pickle.npz", A=np.array([{}], dtype=object), b=b)
    refused(INVALID, "solve", tmp_path / "pickle.npz")
    assert not (tmp_path / "o.npz").exists()


def test_truncated_files(tmp_path):
    a, b = instances(4, 6, 3)
    np.savez(tmp_path / "p.npz", A=a, b=b)
    whole = (tmp_path / "p.npz").read_bytes()
    rng = random.Random(1)
    for size in [0, 1, 4, *(rng.randrange(len(whole)) for _ in range(40)), len(whole) - 1]:
        (tmp_path / "cut.npz").write_bytes(whole[:size])
        refused(FILES, "solve", tmp_path / "cut.npz")


def test_wrong_tables(tmp_path):
    columns = ["--group", "g", "--target", "b", "--features", "x,y"]
    for text in ["", "g,b,x\n", "g,b,x,y\n", "g,b,x,y\nA,1,2\n", "g,b,x,y\nA,1,2,three\n", "g,b,x,y\nA,1,,3\n",
                 "g,b,x,y\nA,1,2,3,4\n", "g,g,b,x,y\n1,1,1,1,1\n", 'g,b,x,y\n"A,1,2,3\n']:
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        refused(INVALID, "solve", tmp_path / "t.csv", *columns)
    refused(FILES, "solve", tmp_path / "absent.csv", *columns)


def test_starts_of_other_groups(tmp_path):
    columns = ["--group", "g", "--target", "b", "--features", "x"]

    def table(name, *labels):
        rows = "".join(f"{label},0.5,{i}\n" for i, label in enumerate(labels))
        (tmp_path / name).write_text("g,b,x\n" + rows, encoding="utf-8")
        return tmp_path / name
    ok("solve", table("t.csv", "Bonn", "Aachen"), *columns, "-o", tmp_path / "r.npz")
    ok("solve", tmp_path / "t.csv", *columns, "--x0-from", tmp_path / "r.npz")
    sentence = refused(INVALID, "solve", table("o.csv", "Bonn", "Berlin"), *columns, "--x0-from", tmp_path / "r.npz")
    assert "instance 1 is 'Berlin' but 'Aachen' in " in sentence


def test_wrong_places(folder, tmp_path):
    refused(FILES, "solve", folder / "p.npz", "-o", tmp_path / "no" / "such" / "r.npz")
    refused(FILES, "solve", folder / "p.npz", "-o", "/proc/r.npz")
    (tmp_path / "folder.npz").mkdir()
    refused(FILES, "solve", tmp_path / "folder.npz")
    refused(FILES, "solve", folder / "p.npz", "--config", tmp_path)
    refused(USAGE, "solve", folder / "p.npz", "-o", tmp_path / "folder.npz", "--force")
    refused(MEMORY, "solve", folder / "p.npz", "--memory-limit", 10, "--device", "cpu")
    ok("solve", folder / "p.npz", "-o", tmp_path / "r.npz")
    refused(USAGE, "solve", folder / "p.npz", "-o", tmp_path / "r.npz")
