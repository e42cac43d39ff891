"""Fits the query-key matrices of a real encoder's 72 attention heads to their attention maps.

Three experiments, each solved by the program that SOFTREG_PROGRAM names (default
build/release/softreg); tables on stdout, progress on stderr, a picture as PNG. Run fetch.py first.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
from contexts import centred, joined_contexts, read_passages, short_contexts, with_ones
from coordinates import affine_coordinates, key_coordinates, query_coordinates, step_size
from fetch import BUILD, MODEL, is_complete
from model import Encoder
from tokenizer import Tokenizer

sys.path.append(str(Path(__file__).resolve().parents[1]))
from run_softreg import Failure, program, softreg  # noqa: E402: it lies one folder up

LENGTH, LONG = 96, 128        # tokens of a context in (a) and (b), and in (c)
TRUTH = 4                     # contexts of (a)
TRAIN, HELD_OUT = 48, 16      # contexts of (b)
SAMPLE = 6                    # of those 48, every sixth tells the curvature
STEPS = {"a": 1000, "b": 100, "c": 200}
DAMPING = {"a": 0.0, "b": 1.0}


def solve(name, arrays, steps, log):
    """Runs `softreg solve` on one .npz: (the document it printed, X as float64)."""
    problem, result = (log["folder"] / f"{name}.{kind}.npz" for kind in ("problem", "result"))
    np.savez(problem, **arrays)
    progress(f"({name}) softreg: {len(arrays['step_size'])} instances, {steps} steps ...")
    command = ["solve", problem, "-o", result, "--loss", "cross_entropy", "--optimizer", "nesterov",
               "--max-steps", steps, "--tol", 0, "--fail-on", "bad-input", "--json"]
    if log["device"] == "cpu":  # having said once why there is no GPU, it need not say so again
        command += ["--device", "cpu"]
    _, printed = softreg(*command)
    with np.load(result) as fit:
        x = fit["X"].astype(np.float64)
    problem.unlink()
    result.unlink()
    doc = json.loads(printed)
    log["device"] = doc["device"]
    return doc, x


def blocks(a1, a2, maps, steps):
    """The arrays of instances that sum over contexts: lists of (contexts, tokens, width or tokens).

    The file has the contexts of all instances in a row; `instances` says whose they are.
    """
    a1, a2, maps = (np.stack(parts).astype(np.float32) for parts in (a1, a2, maps))
    count, contexts, n, m = maps.shape
    begin = np.arange(count * contexts + 1, dtype=np.int64)
    return {"A1": a1.reshape(-1, a1.shape[-1]), "offsets1": begin * n,
            "A2": a2.reshape(-1, a2.shape[-1]), "offsets2": begin * m,
            "B": maps.reshape(-1), "instances": begin[::contexts], "step_size": np.array(steps)}


def log_map(queries, x, keys):
    z = queries @ x @ keys.swapaxes(-1, -2)
    z -= z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def agreement(observed, logs):
    """Mean over rows of the KL divergence, and how often both have their maximum at one key."""
    observed = observed.astype(np.float64)
    distance = observed * (np.log(np.maximum(observed, np.finfo(np.float32).tiny)) - logs)
    same = observed.argmax(axis=-1) == logs.argmax(axis=-1)
    return distance.sum(axis=-1).mean(), same.mean()


def known_truth(layers, log):
    """(a): from queries and keys to maps; X = 1 / sqrt(head size) made them."""
    say("(a) Known truth: A1 = queries, A2 = keys, B = the head's attention maps")
    heads = [(i, h) for i in range(len(layers)) for h in range(layers[0].maps.shape[1])]
    size = layers[0].keys.shape[-1]
    explain(f"""All {len(heads)} heads; {TRUTH} contexts of {LENGTH} tokens share the X of a head.
        Attention is softmax(Q K^T / sqrt({size})), so X should be 1 / sqrt({size}), of norm 1.
        Softmax does not see a number that is added to a whole row of logits; keys are therefore
        centred in each context. X starts at 0.""")
    progress("(a) coordinates and steps ...")
    fits = []
    for i, h in heads:
        queries, keys, maps = (part[:TRUTH, h] for part in
                               (layers[i].queries, centred(layers[i].keys), layers[i].maps))
        w1 = query_coordinates(queries, DAMPING["a"])
        w2 = key_coordinates(keys, maps, DAMPING["a"])
        a1, a2 = (queries @ w1).astype(np.float32), (keys @ w2).astype(np.float32)
        fits.append((a1, a2, maps, step_size(a1, a2, maps), w1, w2, queries, keys))
    doc, y = solve("a", blocks(*list(zip(*fits))[:4]), STEPS["a"], log)
    error, distance, sizes = [], [], set()
    for (_, _, maps, _, w1, w2, queries, keys), found in zip(fits, y):
        x = w1 @ found @ w2
        error.append(np.linalg.norm(x - span(w1) @ span(w2) / np.sqrt(len(x))))
        distance.append(agreement(maps, log_map(queries, x, keys))[0])
        sizes.add((np.linalg.matrix_rank(w1), np.linalg.matrix_rank(w2)))
    error, distance = (np.reshape(v, (len(layers), -1)) for v in (error, distance))
    table(("layer", "|X - X*| median", "second largest", "largest", "its head", "KL median",
           "largest"),
          [(str(i), f"{np.median(e):.1e}", f"{np.sort(e)[-2]:.1e}", f"{e.max():.1e}",
            str(e.argmax()), small(np.median(k)), small(k.max()))
           for i, (e, k) in enumerate(zip(error, distance))])
    ranks = ", ".join(f"{r1} x {r2}" for r1, r2 in sorted(sizes))
    explain(f"""|X - X*| in the directions that the queries and the centred keys span, here
        {ranks}; KL: mean over rows of the divergence from the observed map. A head that puts all
        weight on one key leaves almost no gradient: it is far from its X long after its maps are
        fitted.""")
    rate_line(doc)


def small(value):
    return f"{value:.1e}" if value >= 1e-7 else "< 1e-7"  # less is rounding of float32 maps


def span(w):
    """Projection on the directions that a coordinate matrix keeps."""
    return w @ np.linalg.pinv(w)


def query_key_matrix(layers, per_layer, log):
    """(b): from hidden states to maps, judged on contexts that the fit has not seen."""
    width, pairs = layers[0].hidden.shape[-1], TRAIN * LENGTH * (LENGTH - 1)
    heads = [(i, h) for i in range(len(layers)) for h in range(per_layer)]
    say("(b) The query-key matrix: A1, A2 = hidden states, X = what a head makes of them")
    explain(f"""The first {per_layer} of the {layers[0].maps.shape[1]} heads of each layer
        (--heads-per-layer sets how many; all {len(layers) * layers[0].maps.shape[1]} would take too
        long on a small machine). A1 has a column of ones for the biases; on the keys'
        side it would add to a whole row. X has {width + 1} x {width} = {(width + 1) * width:,}
        numbers. {TRAIN} contexts of {LENGTH} tokens have {TRAIN * LENGTH:,} tokens and give
        {pairs:,} equations. With fewer tokens than dimensions any map whatever can be fitted, and
        with fewer equations than numbers nearly any, so a good fit proves nothing there; only maps
        of {HELD_OUT} further contexts count. Two controls: X = 0, and a fit in which every context
        has the map of the next one, which keeps what depends on position alone.""")
    progress(f"(b) coordinates and steps of {len(heads)} heads ...")
    fits = []
    for i, h in heads:
        hidden, keys = layers[i].hidden[:TRAIN], centred(layers[i].hidden[:TRAIN])
        own = layers[i].maps[:TRAIN, h]
        w1 = affine_coordinates(hidden, DAMPING["b"])
        a1 = (with_ones(hidden) @ w1).astype(np.float32)
        for maps in (own, np.roll(own, -1, axis=0)):
            w2 = key_coordinates(keys, maps, DAMPING["b"])
            a2 = (keys @ w2).astype(np.float32)
            some = (part[::SAMPLE] for part in (a1, a2, maps))
            fits.append((a1, a2, maps, step_size(*some) / SAMPLE, w1, w2))
    doc, y = solve("b", blocks(*list(zip(*fits))[:4]), STEPS["b"], log)
    fitted = [w1 @ found @ w2 for (*_, w1, w2), found in zip(fits, y)]
    rows, pictures = [], []
    for k, (i, h) in enumerate(heads):
        left, right = with_ones(layers[i].hidden), centred(layers[i].hidden)
        observed = layers[i].maps[:TRAIN + HELD_OUT, h]
        own, shuffled = (log_map(left, x, right) for x in fitted[2 * k:2 * k + 2])
        seen, held = slice(TRAIN), slice(TRAIN, TRAIN + HELD_OUT)
        uniform = agreement(observed[held], np.full_like(own[held], -np.log(LENGTH)))[0]
        cells = [uniform, agreement(observed[seen], own[seen])[0],
                 *agreement(observed[held], own[held]),
                 agreement(np.roll(observed[seen], -1, axis=0), shuffled[seen])[0],
                 *agreement(observed[held], shuffled[held])]
        rows.append((f"{i}.{h}", *(f"{c:.4f}" if j in (0, 1, 2, 4, 5) else f"{100 * c:.1f} %"
                                   for j, c in enumerate(cells))))
        pictures.append((f"layer {i}, head {h}", observed[0], np.exp(own[0]), observed[TRAIN],
                         np.exp(own[TRAIN]), np.exp(shuffled[TRAIN])))
    table(("head", "KL of X = 0", "KL seen", "KL held out", "top-1", "shuffled: seen", "held out",
           "top-1"), rows)
    explain("""KL: mean divergence per row from the observed maps, in nats; seen: on the contexts of
        the fit; top-1: rows whose largest weight is at the right key, held out.""")
    rate_line(doc)
    return pictures


def short_context(layers, log):
    """(c): one context per head, fewer tokens than dimensions: fits anything."""
    width = layers[0].hidden.shape[-1] + 1
    say(f"(c) One short context per head: n = {LONG} tokens < d = {width} dimensions")
    explain("""A1 = A2 = hidden states of one context, centred, with a column of ones (A2 is left
        out of the file). Every head is fitted to its own map and, since n < d, as well to its map
        of another passage, which has nothing to do with these hidden states.""")
    progress("(c) steps ...")
    a1, maps, steps, texts = [], [], [], []
    for layer in layers:
        hidden = with_ones(centred(layer.hidden))
        hidden /= np.sqrt((hidden**2).sum(axis=-1, keepdims=True).mean(axis=-2, keepdims=True))
        for h in range(layer.maps.shape[1]):
            for other in (0, 1):
                a1.append(hidden[h])
                maps.append(layer.maps[(h + other) % len(hidden), h])
                steps.append(step_size(a1[-1][None], a1[-1][None], maps[-1][None]))
                texts.append((hidden, layer.maps, h))
    arrays = {"A1": np.stack(a1), "B": np.stack(maps), "step_size": np.array(steps)}
    doc, x = solve("c", arrays, STEPS["c"], log)
    rows = []
    for k, found in enumerate(x):
        hidden, observed, h = texts[k]
        fit = agreement(maps[k], log_map(a1[k], found, a1[k]))[0]
        uniform = agreement(maps[k], np.full_like(maps[k], -np.log(LONG)))[0]
        new = (h + 1) % len(hidden)
        elsewhere = agreement(observed[new, h], log_map(hidden[new], found, hidden[new]))[0]
        rows.append((uniform, fit, elsewhere))
    rows = np.reshape(rows, (len(layers), -1, 2, 3))
    table(("layer", "KL of X = 0", "KL own map", "another passage's map", "own X on that passage"),
          [(str(i), f"{r[:, 0, 0].mean():.3f}", f"{r[:, 0, 1].mean():.5f}",
            f"{r[:, 1, 1].mean():.5f}", f"{r[:, 0, 2].mean():.3f}") for i, r in enumerate(rows)])
    explain("""Means over the heads of a layer. The last column asks the X that was fitted to the
        own map for the map of that other passage, from the hidden states there.""")
    rate_line(doc)


def draw(pictures, path):
    """Observed and fitted maps, seen and held out, of at most four of the fitted heads."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    heads = ("observed, seen", "fitted, seen", "observed, held out", "fitted, held out",
             "shuffled control, held out")
    chosen = pictures[1::max(1, len(pictures) // 4)][:4]
    figure, axes = pyplot.subplots(len(chosen), 5, figsize=(13, 2.7 * len(chosen)), squeeze=False)
    for axis, head in zip(axes[0], heads):
        axis.set_title(head, fontsize=10)
    for row, (name, *maps) in zip(axes, chosen):
        for axis, values in zip(row, maps):
            axis.imshow(np.sqrt(values), cmap="magma", vmin=0, vmax=0.7)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    figure.supxlabel("rows: queries, columns: keys; colour: square root of attention, 0 to 0.7",
                     fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def say(text=""):
    print(text, flush=True)


def progress(text):
    print(text, file=sys.stderr, flush=True)


def explain(text):
    words = " ".join(text.split())
    say(textwrap.fill(words, 96, initial_indent="  ", subsequent_indent="  "))


def table(heads, rows):
    widths = [max(len(head), *(len(row[i]) for row in rows)) for i, head in enumerate(heads)]
    say()
    for cells in (heads, ["-" * width for width in widths], *rows):
        say("  " + "  ".join(cell.rjust(width) for cell, width in zip(cells, widths)))


def rate_line(doc):
    ends = ", ".join(f"{count} {status}" for status, count in doc["status"].items())
    device = f"{doc['device']} ({doc['isa']})" if doc["isa"] else doc["device"]
    say(f"  {doc['steps_total']:,} instance-steps in {doc['solve_seconds']:.2f} s on {device}: "
        f"{doc['instance_steps_per_second']:,.0f} per second ({ends})")
    say()


def run(arguments):
    began = time.monotonic()
    program()
    if importlib.util.find_spec("matplotlib") is None:
        raise Failure("matplotlib is not installed; `python3 -m pip install matplotlib` does it", 2)
    if not is_complete():
        raise Failure("no model is here; `python3 examples/attention_heads/fetch.py` gets it", 8)
    if not arguments.picture.parent.is_dir():
        raise Failure(f"there is no folder {arguments.picture.parent} for the picture", 8)
    progress("the encoder reads the passages ...")
    encoder = Encoder.from_folder(MODEL)
    tokenizer = Tokenizer.from_file(MODEL / "vocab.txt")
    passages = read_passages()
    short = short_contexts(encoder, tokenizer, passages[:TRAIN + HELD_OUT], LENGTH)
    joined = joined_contexts(encoder, tokenizer, passages, encoder.heads, LONG)
    with tempfile.TemporaryDirectory(prefix="softreg-heads-") as name:
        log = {"folder": Path(name), "device": None}
        known_truth(short, log)
        pictures = query_key_matrix(short, arguments.heads_per_layer, log)
        short_context(joined, log)
    draw(pictures, arguments.picture)
    say(f"The picture is {os.path.relpath(arguments.picture)}. {time.monotonic() - began:.0f} s "
        f"with everything, {sum(os.times()[:4]):.0f} s of processor time.")
    return 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--heads-per-layer", type=int, default=1, choices=range(1, 13),
                        metavar="1..12", help="how many heads of each layer (b) fits; default 1")
    parser.add_argument("--picture", type=Path, default=BUILD / "heads.png", metavar="PNG")
    try:
        return run(parser.parse_args())
    except Failure as failure:
        print(f"fit: {failure}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        print("fit: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
