# examples/attention_heads without its download: tokenizer, weights, encoder, coordinates, files,
# and the three experiments, by the program, on small heads made here. One test asks for the model.
import json
import math
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(os.environ["SOFTREG_SOURCE_DIR"]) / "examples" / "attention_heads"))

import contexts
import coordinates
import fetch
import fit
from model import Encoder, Layer, read_safetensors, softmax
from tokenizer import Tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "aff", "cafe", ",", "##s",
          "中"]


@pytest.mark.parametrize("text, pieces", [
    ("unaffable", ["un", "##aff", "##able"]),
    ("Unaffables,cafés", ["un", "##aff", "##able", "##s", ",", "cafe", "##s"]),
    ("un\tx\u200baff\u0000 中aff", ["un", "[UNK]", "中", "aff"]),
    ("unaffablex un" + "s" * 100, ["[UNK]", "[UNK]"]),
    ("", []),
])
def test_a_word_is_cut_into_the_longest_pieces_from_the_left(text, pieces):
    expected = [PIECES.index(piece) for piece in ["[CLS]", *pieces, "[SEP]"]]
    assert Tokenizer(PIECES).encode(text) == expected
    assert Tokenizer(PIECES).encode(text, 4) == expected[:-1][:3] + expected[-1:]


def safetensors(tensors):
    header, numbers = {"__metadata__": {"format": "pt"}}, b""
    for name, (kind, array) in tensors.items():
        data = array.tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape),
                        "data_offsets": [len(numbers), len(numbers) + len(data)]}
        numbers += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def test_tensors_come_back_and_a_damaged_file_is_an_error(tmp_path):
    path = tmp_path / "w.safetensors"
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    whole = safetensors({"a": ("F32", a), "b": ("I64", np.array([7, -8])),
                         "c": ("F32", np.float32(2.5).reshape(()))})
    path.write_bytes(whole)
    read = read_safetensors(path)
    assert sorted(read) == ["a", "b", "c"] and read["c"].shape == ()
    np.testing.assert_array_equal(read["a"], a)
    np.testing.assert_array_equal(read["b"], [7, -8])
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError):
            read_safetensors(path)
    path.write_bytes(safetensors({"a": ("BF16", a)}))
    with pytest.raises(ValueError, match="BF16"):
        read_safetensors(path)
    print(f"[count] {len(whole) + 1} damaged weight files refused")


WIDTH, HEADS, INNER, WORDS, PLACES, LAYERS, EPSILON = 8, 2, 12, 20, 10, 2, 1e-5


@pytest.fixture(scope="module")
def weights():
    random = np.random.default_rng(5)
    shapes = {f"embeddings.{name}_embeddings.weight": (rows, WIDTH) for name, rows in
              (("word", WORDS), ("position", PLACES), ("token_type", 2))}
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{i}" for i in range(LAYERS)):
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        for name, out, into in (
                ("attention.self.query", WIDTH, WIDTH), ("attention.self.key", WIDTH, WIDTH),
                ("attention.self.value", WIDTH, WIDTH), ("attention.output.dense", WIDTH, WIDTH),
                ("intermediate.dense", INNER, WIDTH), ("output.dense", WIDTH, INNER)):
            shapes[f"{layer}.{name}.weight"] = (out, into)
            shapes[f"{layer}.{name}.bias"] = (out,)
    for name in norms:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (WIDTH,)
    return {name: random.standard_normal(shape).astype(np.float32)
            for name, shape in shapes.items()}


def naive(weights, tokens):
    """The encoder restated for one context, one number at a time; its maps (layer, head, n, n)."""
    w = {name: array.astype(float).tolist() for name, array in weights.items()}

    def linear(name, x):
        return [b + sum(a * v for a, v in zip(row, x))
                for row, b in zip(w[f"{name}.weight"], w[f"{name}.bias"])]

    def normal(name, x):
        mean = sum(x) / WIDTH
        spread = math.sqrt(sum((v - mean)**2 for v in x) / WIDTH + EPSILON)
        return [g * (v - mean) / spread + b
                for v, g, b in zip(x, w[f"{name}.weight"], w[f"{name}.bias"])]

    def add(*vectors):
        return [sum(parts) for parts in zip(*vectors)]

    words, places, kinds = (w[f"embeddings.{name}_embeddings.weight"]
                            for name in ("word", "position", "token_type"))
    x = [normal("embeddings.LayerNorm", add(words[t], places[i], kinds[0]))
         for i, t in enumerate(tokens)]
    maps, size = [], WIDTH // HEADS
    for layer in (f"encoder.layer.{i}" for i in range(LAYERS)):
        q, k, v = ([linear(f"{layer}.attention.self.{part}", row) for row in x]
                   for part in ("query", "key", "value"))
        attended = [[] for _ in x]
        maps.append([])
        for h in range(HEADS):
            part = slice(h * size, (h + 1) * size)
            rows = []
            for query in q:
                u = [math.exp(sum(a * b for a, b in zip(query[part], key[part])) / math.sqrt(size))
                     for key in k]
                rows.append([value / sum(u) for value in u])
            maps[-1].append(rows)
            for out, row in zip(attended, rows):
                out += [sum(f * value[c] for f, value in zip(row, v))
                        for c in range(part.start, part.stop)]
        x = [normal(f"{layer}.attention.output.LayerNorm",
                    add(row, linear(f"{layer}.attention.output.dense", out)))
             for row, out in zip(x, attended)]
        inner = [[z * (1 + math.erf(z / math.sqrt(2))) / 2
                  for z in linear(f"{layer}.intermediate.dense", row)] for row in x]
        x = [normal(f"{layer}.output.LayerNorm", add(row, linear(f"{layer}.output.dense", z)))
             for row, z in zip(x, inner)]
    return x, maps


def test_the_encoder_agrees_with_one_that_is_restated_number_by_number(weights):
    tokens = np.random.default_rng(6).integers(0, WORDS, (3, 7))
    last, layers = Encoder(weights, HEADS, EPSILON).run(tokens)
    assert len(layers) == LAYERS and last.dtype == layers[0].maps.dtype == np.float32
    for context, row in enumerate(tokens):
        expected, maps = naive(weights, row)
        np.testing.assert_allclose(last[context], expected, rtol=1e-4, atol=1e-5)
        for layer, expected_maps in zip(layers, maps):
            np.testing.assert_allclose(layer.maps[context], expected_maps, rtol=1e-4, atol=1e-6)


def test_a_heads_map_is_the_softmax_of_its_queries_and_keys(weights):
    _, layers = Encoder(weights, HEADS, EPSILON).run(np.arange(10).reshape(2, 5))
    for layer in layers:
        x = np.eye(WIDTH // HEADS) / np.sqrt(WIDTH // HEADS)
        logs = fit.log_map(layer.queries, x, contexts.centred(layer.keys))
        np.testing.assert_allclose(np.exp(logs), layer.maps, rtol=1e-4, atol=1e-7)
        distance, same = fit.agreement(layer.maps, logs)
        assert abs(distance) < 1e-6 and same == 1


@pytest.fixture
def head():
    random = np.random.default_rng(7)
    hidden = random.standard_normal((4, 30, 6)) @ random.standard_normal((6, 6)) + 3
    z = hidden @ random.standard_normal((6, 6)) @ hidden.swapaxes(1, 2) / 50
    maps = np.exp(z - z.max(axis=-1, keepdims=True))
    return hidden, maps / maps.sum(axis=-1, keepdims=True)


def test_coordinates_lose_nothing(head):
    hidden, maps = head
    keys, left = contexts.centred(hidden), contexts.with_ones(hidden)
    w1 = coordinates.affine_coordinates(hidden, 0)
    w2 = coordinates.key_coordinates(keys, maps, 0)
    a1, a2 = left @ w1, keys @ w2
    np.testing.assert_allclose(coordinates.second_moments(a1), np.eye(7), atol=1e-8)
    y = np.random.default_rng(8).standard_normal((7, 6))
    np.testing.assert_allclose(a1 @ y @ a2.swapaxes(1, 2),
                               left @ (w1 @ y @ w2) @ keys.swapaxes(1, 2), atol=1e-8)


def test_keys_are_white_under_the_mean_of_uniform_and_observed_attention(head):
    hidden, maps = head
    keys = contexts.centred(hidden)
    a2 = (keys @ coordinates.key_coordinates(keys, maps, 0)).reshape(4, 30, 6)
    total = np.zeros((6, 6))
    for context in range(4):
        for weights in (*maps[context], *np.full((30, 30), 1 / 30)):
            centre = weights @ a2[context]
            total += (weights[:, None] * a2[context]).T @ a2[context] - np.outer(centre, centre)
    np.testing.assert_allclose(total / (2 * 4 * 30), np.eye(6), atol=1e-8)


def test_curvature_is_the_largest_eigenvalue_of_the_hessian(head):
    a1, maps = head
    a2 = contexts.centred(a1)
    hessian = np.zeros((36, 36))
    for rows, keys, weights in zip(a1, a2, maps):
        for row, f in zip(rows, weights):
            jacobian = np.kron(row, keys)
            hessian += jacobian.T @ (np.diag(f) - np.outer(f, f)) @ jacobian
    largest = np.linalg.eigvalsh(hessian)[-1]
    assert 0.9 * largest < coordinates.curvature(a1, a2, maps) < 1.000001 * largest


def test_the_file_of_a_problem_has_its_contexts_in_a_row():
    random = np.random.default_rng(9)
    a1, a2, maps = (random.random((2, 3, *shape)) for shape in ((5, 4), (6, 2), (5, 6)))
    file = fit.blocks(a1, a2, maps, [0.1, 0.2])
    assert file["instances"].tolist() == [0, 3, 6]
    starts = np.cumsum([0, *np.diff(file["offsets1"]) * np.diff(file["offsets2"])])
    for k in range(6):
        rows, columns = (slice(*file[f"offsets{i}"][k:k + 2]) for i in (1, 2))
        np.testing.assert_allclose(file["A1"][rows], a1[k // 3, k % 3], rtol=1e-6)
        np.testing.assert_allclose(file["A2"][columns], a2[k // 3, k % 3], rtol=1e-6)
        np.testing.assert_allclose(file["B"][starts[k]:starts[k + 1]].reshape(5, 6),
                                   maps[k // 3, k % 3], rtol=1e-6)


def test_there_are_enough_passages():
    passages = contexts.read_passages()
    assert len(passages) == len(set(passages)) == fit.TRAIN + fit.HELD_OUT
    assert all(75 <= len(passage.split()) <= 110 for passage in passages)
    assert "#" not in "".join(passages)


def layers(count, tokens):
    """Two layers of two small heads that attend by their queries and keys."""
    random = np.random.default_rng(10)
    seen = []
    for _ in range(2):
        hidden = random.standard_normal((count, tokens, WIDTH)) + 1
        queries, keys = ((hidden @ random.standard_normal((WIDTH, WIDTH)) / 2 + bias)
                         .reshape(count, tokens, HEADS, -1).swapaxes(1, 2) for bias in (1, 0))
        maps = softmax(queries @ keys.swapaxes(2, 3) / np.sqrt(WIDTH // HEADS))
        seen.append(Layer(*(part.astype(np.float32) for part in (hidden, queries, keys, maps))))
    return seen


@pytest.fixture
def numbers(monkeypatch, tmp_path):
    """Runs an experiment with these sizes: its table, the first column left out, as numbers."""
    def run(experiment, *arguments, **sizes):
        tables = []
        for name, size in sizes.items():
            monkeypatch.setattr(fit, name, size)
        monkeypatch.setattr(fit, "table", lambda heads, rows: tables.append(rows))
        experiment(*arguments, {"folder": tmp_path, "device": "cpu"})
        assert not list(tmp_path.iterdir())
        return np.array([[float(cell.strip("<% ")) for cell in row[1:]] for row in tables[0]])
    return run


def test_known_truth_is_found(numbers):
    rows = numbers(fit.known_truth, layers(3, 12), TRUTH=3, LENGTH=12)
    median, second, largest, _, kl_median, kl_largest = rows.T
    assert len(rows) == 2
    assert (median <= largest).all() and (second <= largest).all() and (largest < 1e-4).all()
    assert (kl_median <= 1e-7).all() and (kl_largest <= 1e-7).all()


def test_the_query_key_matrix_holds_where_it_was_not_fitted_and_the_controls_do_not(numbers):
    rows = numbers(fit.query_key_matrix, layers(32, 12), 2, TRAIN=24, HELD_OUT=8, LENGTH=12)
    uniform, seen, held, top, shuffled_seen, shuffled, shuffled_top = rows.T
    assert len(rows) == 4
    assert (seen < uniform / 50).all() and (held < uniform / 50).all() and (top > 90).all()
    assert (shuffled_seen > 10 * seen).all() and (shuffled > uniform).all()
    assert (shuffled_top < 50).all()


def test_a_short_context_fits_a_map_that_has_nothing_to_do_with_it(numbers):
    # Few steps, so that a fit to the own map twice would show as two equal numbers.
    rows = numbers(fit.short_context, layers(4, 6), LONG=6, STEPS={"c": 50})
    uniform, own, other, elsewhere = rows.T
    assert len(rows) == 2
    assert (own < uniform / 20).all() and (other < uniform / 10).all() and (own != other).all()
    assert (elsewhere > uniform / 2).all()


def test_a_program_that_is_missing_or_fails_is_one_sentence(numbers, tmp_path, monkeypatch, capfd):
    program = tmp_path.parent / "softreg"
    monkeypatch.setenv("SOFTREG_PROGRAM", str(program))
    with pytest.raises(fit.Failure, match="there is no program at .*softreg") as missing:
        numbers(fit.short_context, layers(4, 6), LONG=6)
    program.write_text("#!/bin/sh\necho 'error: the words of the program' >&2\nexit 6\n")
    program.chmod(0o755)
    with pytest.raises(fit.Failure, match="ended with exit code 6") as failed:
        numbers(fit.short_context, layers(4, 6), LONG=6)
    assert (missing.value.code, failed.value.code) == (2, 6)
    assert "the words of the program" in capfd.readouterr().err


@pytest.mark.skipif(not fetch.is_complete(), reason="examples/attention_heads/fetch.py has not run")
def test_the_model_finds_the_sentence_that_means_the_same():
    tokenizer = Tokenizer.from_file(fetch.MODEL / "vocab.txt")
    assert tokenizer.encode("Hello, world!") == [101, 7592, 1010, 2088, 999, 102]
    encoder = Encoder.from_folder(fetch.MODEL)
    texts = ("A man is eating food.", "Someone has his dinner.", "The stock market fell again.")
    vectors = []
    for text in texts:
        mean = encoder.run(np.array([tokenizer.encode(text)]))[0][0].mean(axis=0)
        vectors.append(mean / np.linalg.norm(mean))
    same, other = vectors[1:] @ vectors[0]
    assert same > other + 0.3
