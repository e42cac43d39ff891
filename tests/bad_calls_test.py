"""Wrong calls of the program: each ends with its exit code and one sentence, and writes nothing."""
import random

import numpy as np
import pytest

from program import instances, ok, refused

USAGE, INVALID, MEMORY, FILES = 2, 4, 6, 8

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
        "matrix": {"A1": a, "A2": a, "B": a}, "ragged matrix": {"A": a, "b": b, "offsets1": [0, 1]},
        "segments": {"A": a[0], "b": b[0], "segments": [0, 6], "instances": [0, 1]},
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


def test_wrong_places(folder, tmp_path):
    refused(FILES, "solve", folder / "p.npz", "-o", tmp_path / "no" / "such" / "r.npz")
    refused(FILES, "solve", folder / "p.npz", "-o", "/proc/r.npz")
    (tmp_path / "folder.npz").mkdir()
    refused(FILES, "solve", tmp_path / "folder.npz")
    refused(USAGE, "solve", folder / "p.npz", "-o", tmp_path / "folder.npz", "--force")
    refused(MEMORY, "solve", folder / "p.npz", "--memory-limit", 10, "--device", "cpu")
    ok("solve", folder / "p.npz", "-o", tmp_path / "r.npz")
    refused(USAGE, "solve", folder / "p.npz", "-o", tmp_path / "r.npz")
