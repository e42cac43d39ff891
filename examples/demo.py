"""softreg's main jobs: the theorem measured on synthetic instances, real markets fitted, and a
small atlas of how loose every bound is.

Drives the command line alone: `sh cmake/bootstrap.sh demo`, or python3 examples/demo.py with NumPy
and Matplotlib. SOFTREG_PROGRAM names the program (default build/release/softreg), --quick shrinks
the work, --folder says where the atlas stays. Exits 0, or with the exit code of the command
that failed (7: a bound was violated).
"""

import argparse
import csv
import json
import math
import os
import shutil
import sys
import tempfile
import textwrap
import time
import tomllib
from pathlib import Path

import numpy as np
from markets import FEATURES, distinct_ends, fitted_shares, least_curvature, read_markets
from markets import repeat_markets
from run_softreg import ROOT, Failure, program, softreg

SEED = 20230426
RADII = (1, 2, 4)
MARKET_STEPS = 30_000
START_SCALE = 3.0  # standard deviation of every coordinate of a random start
ROUGH, FINE = 1e-5, 1e-6  # |gradient| where the f32 run and its continuation in f64 stop
# Least curvature of a minimum. On a shelf, where the loss nears a constant exponentially, curvature
# and gradient are of one size, here FINE; the minima of these markets have 8e-5 and more.
CURVED = 10 * FINE

# Instances and steps of part (a); starts per market, steps in f32, rounds and steps in f64 of (b);
# instances of every cell of (c).
FULL = {"count": 10_000, "steps": 1_000, "starts": 100, "f32": 10_000, "rounds": 6, "f64": 5_000,
        "atlas": 25}
QUICK = {"count": 200, "steps": 100, "starts": 4, "f32": 4_000, "rounds": 2, "f64": 4_000,
         "atlas": 2}
BAD_INPUT = ("--fail-on", "bad-input")


def document(log, *arguments, may_end_with=()):
    """Runs a command that solves with --json: what it printed."""
    # Once the program has chosen the CPU, and said why, it need not say so again.
    device = ("--device", "cpu") if log["device"] == "cpu" else ()
    code, text = softreg(*arguments, *device, "--json", may_end_with=may_end_with)
    try:
        doc = json.loads(text)
    except json.JSONDecodeError as error:
        sentence = f"`softreg {arguments[0]} --json` printed no JSON ({error})"
        raise Failure(sentence, code or 1) from None
    log["device"] = doc["device"]
    log["seconds"] += doc.get("solve_seconds", doc.get("seconds", 0.0))
    log["code"] = max(log["code"], code)
    return doc


def paint(text, style):
    codes = {"bold": "1", "dim": "2", "good": "32", "bad": "31;1"}
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return f"\033[{codes[style]}m{text}\033[0m"


def say(text="", style=None):
    print(paint(text, style) if style else text, flush=True)


def explain(text):
    """A paragraph, indented and broken at 96 columns."""
    words = " ".join(text.split())
    say(textwrap.fill(words, 96, initial_indent="  ", subsequent_indent="  "))


def table(heads, rows, styles=None):
    """Right-aligned columns; `styles` maps a column to a function from cell text to a style."""
    widths = [max(len(h), *(len(r[i]) for r in rows)) for i, h in enumerate(heads)]
    say()
    say("  " + "  ".join(h.rjust(w) for h, w in zip(heads, widths)), "dim")
    say("  " + "  ".join("-" * w for w in widths), "dim")
    for row in rows:
        cells = [c.rjust(w) for c, w in zip(row, widths)]
        for i, style in (styles or {}).items():
            cells[i] = paint(cells[i], style(row[i]))
        say("  " + "  ".join(cells))


def amount(value):
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g}"


def rate_line(docs):
    steps, seconds = (sum(doc[key] for doc in docs) for key in ("steps_total", "solve_seconds"))
    machine = f"{docs[0]['device']} ({docs[0]['isa']})" if docs[0]["isa"] else docs[0]["device"]
    rate = f"{amount(steps / seconds)} instance-steps/s" if seconds > 0 else "too fast to measure"
    say(f"  {amount(steps)} instance-steps in {seconds:.2f} s on {machine}: {rate}")
    say()


def room(bound):
    """log10 of bound / measured; where M overflowed to null, the program's own, less its slack."""
    if bound["bound"] is None:
        return bound["log10_ratio"]
    return math.log10(bound["bound"] / bound["measured"])


def theorem_row(radius, doc):
    bounds = {bound["id"]: bound for bound in doc["bounds"]}
    sharp = bounds["D8"]
    violations = sum(bound["violations"] for bound in doc["bounds"])
    return (str(radius), amount(doc["steps_total"]), f"{sharp['measured']:.2e}",
            f"{sharp['bound']:.2e}", f"{100 * 10.0 ** -room(sharp):.1f} %",
            f"10^{room(bounds['P6']):.1f}", f"10^{room(bounds['P6@4']):.1f}",
            str(violations) if violations else "none",
            f"{100 * doc['status'].get('converged', 0) / doc['count']:.0f} %",
            amount(doc["instance_steps_per_second"]))


def measure_theorem(size, folder, log):
    say("(a) The theorem, measured", "bold")
    explain(f"""A step moves x by Δx, and with it the softmax f = exp(Ax)/<exp(Ax), 1> by Δf. How
        far? Sharp bound: |Δf| <= ½|AΔx|. The paper's: |Δf| <= M|Δx| with M = n^1.5 exp(10 R²), R
        the largest of |A| and |x|: as measured, and at least 4 as the paper asks. Each row:
        {size['count']:,} instances in f32, A of shape (64,16), gradient descent,
        {size['steps']:,} steps at most.""")
    rows, docs = [], []
    for radius in RADII:
        say(f"  R = {radius} ...", "dim")
        problem = folder / f"radius{radius}.npz"
        softreg("gen", problem, "--problem", "vector", "--n", 64, "--d", 16,
                "--count", size["count"], "--family", "plain", "--radius", radius,
                "--dtype", "f32", "--seed", SEED + radius)
        docs.append(document(log, "check", problem, "--optimizer", "gradient_descent",
                             "--max-steps", size["steps"], *BAD_INPUT, may_end_with=(7,)))
        problem.unlink()
        rows.append(theorem_row(radius, docs[-1]))
    table(("R", "updates", "|Δf|", "½|AΔx|", "of sharp", "paper/|Δf|", "R ≥ 4", "violations",
           "converged", "steps/s"), rows, {7: lambda cell: "good" if cell == "none" else "bad"})
    explain("""|Δf|, ½|AΔx|: at the update that comes closest to the sharp bound. paper/|Δf|: the
        paper's bound over the shift, at the update where that is smallest. converged: |grad| <=
        1e-6, which takes descent some 40,000 steps at R = 1 and more above.""")
    rate_line(docs)


def fit_markets(markets, folder, log):
    labels, a, b, offsets = markets
    say(f"(b) Real data: {len(labels)} automobile markets (Berry, Levinsohn, Pakes 1995)", "bold")
    explain(f"""Aggregate logit demand is softmax regression: b = shares of the products in a
        market, A = their features, standardised over all {len(b):,} products, x = the buyers'
        tastes.""")
    say(f"  Nesterov, f64, {MARKET_STEPS:,} steps from x = 0 ...", "dim")
    problem, result = folder / "markets.npz", folder / "fit.npz"
    np.savez(problem, A=a, b=b, offsets=offsets)
    doc = document(log, "solve", problem, "-o", result, "--optimizer", "nesterov",
                   "--max-steps", MARKET_STEPS, "--tol", 0, *BAD_INPUT)
    with np.load(result) as fit:
        numbers = zip(labels, np.diff(offsets), fit["loss"], fit["grad_norm"], fit["x"])
        rows = [(label, str(n), f"{loss:.7f}", f"{norm:.0e}", *(f"{value:+.3f}" for value in x))
                for label, n, loss, norm, x in numbers]
    table(("market", "products", "loss", "|grad|", *FEATURES), rows)
    rate_line([doc])


def ends_row(label, a, b, x, loss, finished):
    starts = len(loss)
    x, loss = x[finished], loss[finished]
    groups = distinct_ends(loss, fitted_shares(a, x))
    minima = sum(least_curvature(x[group[0]], a, b) >= CURVED for group in groups)

    def share(number):
        return f"{100 * number / starts:.0f} %"

    def end(k):
        return (f"{loss[groups[k][0]]:.6f}", share(len(groups[k])))

    best = end(0) if groups else ("-", "-")
    second = end(1) if len(groups) > 1 else ("-", "-")
    air = f"{np.median(x[groups[1], FEATURES.index('air')]):+.1f}" if len(groups) > 1 else "-"
    return (label, str(len(groups)), str(minima), *best, *second, air,
            share(sum(map(len, groups[2:]))), share(starts - len(loss)))


def many_starts(markets, size, folder, log):
    labels, a, b, offsets = markets
    starts = size["starts"]
    say(f"    The loss is not convex: {starts} starts per market", "bold")
    explain(f"""x0 normal with standard deviation {START_SCALE:g}. Nesterov, {size['f32']:,} steps
        in f32 or until |grad| <= {ROUGH:g}; then on in f64, so that rounding decides nothing,
        until |grad| <= {FINE:g}: at most {size['rounds']} times {size['f64']:,} steps, each time
        with fresh momentum.""")
    count = starts * len(labels)
    say(f"  {count:,} instances in f32 ...", "dim")
    x0 = START_SCALE * np.random.default_rng(SEED).standard_normal((count, len(FEATURES)))
    names = ("starts32", "starts64", "ends", "polished")
    single, double, ends, polished = (folder / f"{name}.npz" for name in names)
    np.savez(single, **repeat_markets(a, b, offsets, starts, np.float32), x0=x0)
    np.savez(double, **repeat_markets(a, b, offsets, starts, np.float64))
    docs = [document(log, "solve", single, "-o", ends, "--optimizer", "nesterov", "--tol", ROUGH,
                     "--max-steps", size["f32"], *BAD_INPUT)]
    say("  ... and in f64 ...", "dim")
    for _ in range(size["rounds"]):
        docs.append(document(log, "solve", double, "-o", polished, "--optimizer", "nesterov",
                             "--tol", FINE, "--max-steps", size["f64"], "--x0-from", ends,
                             *BAD_INPUT))
        polished.replace(ends)
    with np.load(ends) as fit:
        x, loss, finished = fit["x"], fit["loss"], fit["status"] == 0
    rows = []
    for i, label in enumerate(labels):
        products, mine = slice(offsets[i], offsets[i + 1]), slice(i * starts, (i + 1) * starts)
        rows.append(ends_row(label, a[products], b[products], x[mine], loss[mine], finished[mine]))
    table(("market", "ends", "minima", "best loss", "starts", "next loss", "starts", "its air",
           "others", "unfinished"), rows)
    explain(f"""ends: distinct fitted shares among the starts that reach |grad| <= {FINE:g}; starts:
        how many end there. minima: ends where the loss curves upwards in every direction that
        changes the shares. Other ends are shelves: a coefficient (its air: that of air
        conditioning, median) runs off and the gradient fades exponentially. unfinished: the
        gradient is larger after the last step.""")
    rate_line(docs)


def atlas_rows(cells):
    """Of every bound, its least log10(bound / measured) at each R, and its violations."""
    radii = sorted({float(cell["radius"]) for cell in cells})
    end = "_log10_ratio_min"
    rows = []
    for name in (key.removesuffix(end) for key in cells[0] if key.endswith(end)):
        least = []
        for radius in radii:
            of = [float(cell[name + end] or "nan") for cell in cells
                  if float(cell["radius"]) == radius]
            least.append(min((v for v in of if not math.isnan(v)), default=math.nan))
        violations = sum(int(cell[f"{name}_violations"] or 0) for cell in cells)
        rows.append((name.capitalize().replace("_at_", "@"), *(f"{v:.2f}" for v in least),
                     str(violations) if violations else "none"))
    return radii, rows


def make_folder(folder):
    """Empty, and marked, so that a folder is emptied only if a demo made it."""
    mark = folder / "made-by-the-demo"
    try:
        if folder.exists() and any(folder.iterdir()) and not mark.exists():
            raise Failure(f"{folder} is not empty, and no demo made it; --folder names another", 2)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        mark.touch()
    except OSError as error:
        raise Failure(f"the folder of the atlas cannot be made: {error}", 8) from None


def draw_atlas(size, folder, log):
    say("(c) The shift atlas, small", "bold")
    grid = tomllib.loads((ROOT / "examples" / "sweeps" / "atlas.toml").read_text())
    explain(f"""Every bound of `softreg check` on both losses of both problems, by
        examples/sweeps/atlas.toml with {size['atlas']} instances in a cell instead of
        {grid['count']}: log10(bound / measured) of the update that came closest, at each R. 0 is
        the bound itself.""")
    grid["count"] = size["atlas"]
    sweep, directory, table_file = (folder / name for name in ("atlas.toml", "atlas", "atlas.csv"))
    sweep.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in grid.items()))
    document(log, "sweep", "run", sweep, "-o", directory)
    softreg("sweep", "export", directory, "--csv", table_file, "-q")
    with open(table_file, newline="", encoding="utf-8") as lines:
        radii, rows = atlas_rows(list(csv.DictReader(lines)))
    last = len(radii) + 1
    # What is counted of the papers' bounds is there whether their hypotheses hold or not.
    if any(row[last] != "none" and row[0].startswith("D") for row in rows):
        log["code"] = max(log["code"], 7)
    table(("bound", *(f"R = {radius:g}" for radius in radii), "violations"), rows,
          {last: lambda cell: "good" if cell == "none" else "bad"})
    explain("""D: derived here; P: the papers', recalled or found. `softreg check` states each.""")
    softreg("report", directory, "--python", sys.executable, "-q")
    say(f"  The same in pictures: {directory / 'report' / 'index.html'}")
    say()


def run(size, atlas_folder):
    """Everything; returns the exit code."""
    began = time.monotonic()
    log = {"seconds": 0.0, "code": 0, "device": None}
    program()
    make_folder(atlas_folder)
    try:
        markets = read_markets()
    except OSError as error:
        raise Failure(f"the automobile data cannot be read: {error}", 8) from None
    with tempfile.TemporaryDirectory(prefix="softreg-demo-") as name:
        folder = Path(name)
        measure_theorem(size, folder, log)
        fit_markets(markets, folder, log)
        many_starts(markets, size, folder, log)
    draw_atlas(size, atlas_folder, log)
    seconds = time.monotonic() - began
    say(f"Solved in {log['seconds']:.1f} s, {seconds:.1f} s with everything.", "bold")
    return log["code"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything, for tests")
    parser.add_argument("--folder", metavar="DIR", type=Path, default=ROOT / "build" / "demo",
                        help="where part (c) leaves its sweep and report; build/demo")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    sys.stdout.reconfigure(errors="replace")
    try:
        return run(size, arguments.folder)
    except Failure as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
