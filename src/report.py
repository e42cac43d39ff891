"""Figures, tables and one page of a sweep. `softreg report` becomes: report.py PROGRAM DIR OUT WORDS DOCUMENT

WORDS: some of "force json quiet"; DOCUMENT: what --json prints, without the list of files.
"""
import csv
import html
import json
import logging
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ENDING = {signal.SIGINT, signal.SIGTERM}
holder = None  # the folder of a report that is not yet one


def stop(number, _):
    """At once: an exception could end up in a callback that swallows it."""
    print("interrupted: no report was made", file=sys.stderr, flush=True)
    if holder:
        shutil.rmtree(holder, ignore_errors=True)
    os._exit(128 + number)


for ending in ENDING:
    if signal.getsignal(ending) != signal.SIG_IGN:
        signal.signal(ending, stop)
signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

try:
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import to_rgb
    from matplotlib.ticker import NullLocator
except ImportError as missing:
    print(f"error: a report needs matplotlib, which {sys.executable} does not have ({missing})\n"
          f"hint: {sys.executable} -m pip install matplotlib", file=sys.stderr)
    sys.exit(5)

STYLE = {"svg.hashsalt": "softreg", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.25,
         "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9, "legend.frameon": False,
         "figure.constrained_layout.use": True}
STATUSES = {"converged": "#009e73", "stalled": "#56b4e9", "max_steps": "#c8c8c8", "diverged": "#d55e00", "overflow": "#cc79a7"}
OTHER = "#444444"
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
ABOUT = {"d5": "u", "d6": "a = ⟨u, 1⟩", "d7": "1/a", "d8": "f", "d9": "h", "d10": "q", "d12z": "dL/dz", "d8e": "|f − b|",
         "d8l": "loss", "d12": "gradient", "d18": "e", "d18l": "loss", "d19": "gradient", "p1": "u", "p2": "a",
         "p3": "1/a", "p4": "f", "p6": "f", "p6_at_4": "f"}
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #222 }}
svg {{ max-width: 100%; height: auto }} table {{ border-collapse: collapse; font-size: 13px }}
th, td {{ padding: 2px 10px; text-align: right; border-bottom: 1px solid #ddd }}
</style></head><body><h1>{title}</h1>
{body}</body></html>
"""


def value_of(text):
    try:
        return float(text) if text else None
    except ValueError:
        return text


def plain(value):
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
    return "" if value is None else str(value)


def median(values):
    values = [value for value in values if isinstance(value, float)]
    return statistics.median(values) if values else None


def groups(rows, keys):
    found = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def least_of(rows, bound):
    return min((row[f"{bound}_log10_ratio_min"] for row in rows if row[f"{bound}_log10_ratio_min"] is not None), default=None)


class Table:
    """The rows of `softreg sweep export`, and what varies among them."""

    def __init__(self, path):
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            self.rows = [{name: value_of(text) for name, text in row.items()} for row in reader]
            self.names = reader.fieldnames
        keys = self.names[:self.names.index("id")]
        self.varying = [key for key in keys if len({row[key] for row in self.rows}) > 1]
        self.statuses = [name[7:] for name in self.names if name.startswith("status_") and any(row[name] for row in self.rows)]
        end = "_log10_ratio_median"
        self.bounds = [name[:-len(end)] for name in self.names if name.endswith(end) and any(row[name] is not None for row in self.rows)]

    def has_axis(self, key):
        return key in self.varying and all(isinstance(row[key], float) for row in self.rows)

    def series(self, x, most=6):
        """The keys that tell lines apart, few enough to be read; the others are summed up."""
        chosen = []
        for key in ["loss", "problem", "optimizer", "step_multiple", "step_size", "radius", "n", "d"]:
            if key in self.varying and key != x and len(groups(self.rows, [*chosen, key])) <= most:
                chosen.append(key)
        return chosen

    def along(self, x, keys):
        """x, the name of a line, and their rows; by x."""
        for (at, *values), rows in sorted(groups(self.rows, [x, *keys]).items(), key=lambda item: item[0][0]):
            yield at, label(keys, values), rows

    def others(self, *used):
        return [key for key in self.varying if key not in (*used, "m", "d2")]

    def rest(self, *used):
        rest = self.others(*used)
        return f" Over {', '.join(rest)}: the median." if rest else ""


def name_of(bound):
    return bound.capitalize().replace("_at_", "@")


def label(keys, values):
    return ", ".join(value if isinstance(value, str) and key != "n" else f"{key} = {plain(value)}" for key, value in zip(keys, values))


def scale(axis, values, ticks=False):
    """Logarithmic where the values ask for it; ticks: at the values themselves."""
    values = sorted({value for value in values if value is not None})
    if values and values[0] > 0 and values[-1] >= 4 * values[0]:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    if ticks and len(values) <= 8:
        axis.set_ticks(values, [plain(value) for value in values])
        axis.set_minor_locator(NullLocator())


def colours_of(points):
    return dict(zip(dict.fromkeys(point["series"] for point in points), COLOURS * 9))


def draw_lines(ax, points, x, y, colour_of=None):
    """points: dictionaries with x, y and `series`."""
    colour_of = colour_of or colours_of(points)
    for (series,), group in groups([point for point in points if point[y] is not None], ["series"]).items():
        ax.plot([point[x] for point in group], [point[y] for point in group], ".-", color=colour_of[series])
        if "median" in group[0]:
            ax.fill_between([point[x] for point in group], [point[y] for point in group], [point["median"] for point in group],
                            color=colour_of[series], alpha=0.12, lw=0)
    ax.set(xlabel=x)
    scale(ax.xaxis, [point[x] for point in points], ticks=True)
    if "median" not in points[0]:
        scale(ax.yaxis, [point[y] for point in points])


def looseness(table, out):
    """Of every bound: how far the updates that came closest to it were from it, against R."""
    keys = [key for key in ("loss", "problem") if key in table.varying]
    points = [{"bound": name_of(bound), "series": series, "radius": radius, "least": least_of(rows, bound),
               "median": median(row[f"{bound}_log10_ratio_median"] for row in rows),
               "violations": sum(row[f"{bound}_violations"] or 0 for row in rows)}
              for radius, series, rows in table.along("radius", keys) for bound in table.bounds
              if least_of(rows, bound) is not None]
    colour_of = colours_of(points)
    columns = min(5, len(table.bounds))
    lines = -(-len(table.bounds) // columns)
    figure, axes = plt.subplots(lines, columns, squeeze=False, figsize=(max(4, 2.2 * columns), 0.6 + 1.9 * lines))
    for ax, bound in zip(axes.flat, table.bounds):
        of_bound = [point for point in points if point["bound"] == name_of(bound)]
        draw_lines(ax, of_bound, "radius", "least", colour_of)
        ax.axhline(0, color="#b00", lw=0.8)
        ax.set(title=f"{name_of(bound)}: {ABOUT.get(bound, '')}", xlabel="")
    for ax in axes.flat[len(table.bounds):]:
        ax.remove()
    figure.supxlabel("R", fontsize=9)
    figure.supylabel("log10(bound / measured)", fontsize=9)
    save(figure, points, out, "looseness")
    return ("How loose the bounds are", "looseness", "Lines: the instance that came closest to the bound; shade: up to the median "
            "instance. Below the red line a bound would be violated." + table.rest("radius", *keys))


def against(table, key, other, out):
    """The loss in the end against a key of the cells, and another panel."""
    keys, points = table.series(key), []
    for x, series, rows in table.along(key, keys):
        done = [row["steps_median"] for row in rows if row["status_converged"] >= (row["instances"] or 1) / 2]
        points.append({"series": series, key: x, "steps": median(done), "loss": median(row["loss_median"] for row in rows)})
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    draw_lines(left, points, key, "loss")
    left.set(title="median loss in the end")
    other(right, table, points, key)
    save(figure, points, out, f"by_{key}")
    return f"Against {key}", f"by_{key}", f"Medians over the instances of a cell.{table.rest(key, *keys)}"


def draw_steps(ax, table, points, key):
    if not any(point["steps"] for point in points):
        return draw_statuses(ax, table, points, key)
    draw_lines(ax, points, key, "steps")
    return ax.set(xlim=ax.figure.axes[0].get_xlim(), title="median steps, where half of the instances converged")


def draw_statuses(ax, table, _, key):
    bars = sorted(groups(table.rows, [key]).items())
    bottom = [0.0] * len(bars)
    for status in table.statuses:
        shares = [sum(row[f"status_{status}"] for row in rows) / max(1, sum(row["instances"] for row in rows)) for _, rows in bars]
        ax.bar([plain(x) for (x,), _ in bars], shares, 0.7, bottom, color=STATUSES.get(status, OTHER), label=status, zorder=2)
        bottom = [low + share for low, share in zip(bottom, shares)]
    ax.set(title="share of the instances", xlabel=key, ylim=(0, 1))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))


def phases(table, key, out):
    """How the instances end, over R and the step: a panel for each loss, problem and optimizer."""
    keys = [name for name in ("loss", "problem", "optimizer") if name in table.varying]
    steps, radii = (sorted({row[name] for row in table.rows}) for name in (key, "radius"))
    panels = groups(table.rows, keys)
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, squeeze=False, sharex=True, sharey=True, figsize=(max(4, 2.6 * columns), 1 + 2.2 * lines))
    points = []
    for ax, (values, rows) in zip(axes.flat, panels.items()):
        for (radius, step), of in sorted(groups(rows, ["radius", key]).items()):
            count = max(1, sum(row["instances"] for row in of))
            shares = {status: sum(row[f"status_{status}"] for row in of) / count for status in table.statuses}
            points.append({"series": label(keys, values), "radius": radius, key: step, **shares})
            x, y = steps.index(step), radii.index(radius)
            ax.add_patch(plt.Rectangle((x - 0.5, y - 0.5), 1, 1, color=mixed(shares), lw=0))
            ax.text(x, y, f"{100 * shares.get('converged', 0):.0f} %", ha="center", va="center", fontsize=7)
        ax.grid(False)
        ax.set(title=label(keys, values), xlim=(-0.5, len(steps) - 0.5), ylim=(-0.5, len(radii) - 0.5))
        ax.set(xticks=range(len(steps)), xticklabels=[plain(step) for step in steps],
               yticks=range(len(radii)), yticklabels=[plain(radius) for radius in radii])
    for ax in axes.flat[len(panels):]:
        ax.remove()
    figure.supxlabel(key, fontsize=9)
    figure.supylabel("R", fontsize=9)
    save(figure, points, out, f"phase_{key}", {status: STATUSES.get(status, OTHER) for status in table.statuses})
    return (f"Convergence over {key} and R", f"phase_{key}", "Each field: how its instances ended, the colours mixed; the number: "
            "which part converged." + (f" Over {', '.join(rest)}: all." if (rest := table.others(key, "radius", *keys)) else ""))


def mixed(shares):
    """The colours of the statuses, each as much as its share; the rest is white."""
    parts = [(share, to_rgb(STATUSES.get(status, OTHER))) for status, share in shares.items()]
    white = 1 - sum(share for share, _ in parts)
    return tuple(min(1.0, max(0.0, white) + sum(share * colour[k] for share, colour in parts)) for k in range(3))


def save(figure, points, out, name, colour_of=None):
    colour_of = colour_of or colours_of(points)
    if len(colour_of) > 1:
        handles = [plt.Line2D([], [], color=colour, marker=".", label=series) for series, colour in colour_of.items()]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles) if len(handles) <= 4 else 3)
    figure.savefig(out / f"{name}.svg", metadata={"Date": None})
    figure.set_layout_engine("none")  # it stays as it is
    figure.savefig(out / f"{name}.png", dpi=150)
    plt.close(figure)
    with open(out / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, points[0])
        writer.writeheader()
        writer.writerows(points)


def html_table(head, lines):
    cells = lambda tag, line: "".join(f"<{tag}>{html.escape(plain(value))}</{tag}>" for value in line)  # noqa: E731
    return (f"<table><tr>{cells('th', head)}</tr>" + "".join(f"<tr>{cells('td', line)}</tr>" for line in lines) + "</table>\n")


def page(table, figures, out, directory):
    total = lambda name: int(sum(row[name] or 0 for row in table.rows))  # noqa: E731
    body = f"<p>{len(table.rows):,} cells, {total('instances'):,} instances, {total('steps_total'):,} steps.</p>\n"
    if total("instances") < total("count"):
        body += f"<p>The sweep is not complete: it has {total('count'):,} instances.</p>\n"
    body += html_table(["status", "instances"], [[status, f"{total('status_' + status):,}"] for status in table.statuses])
    if not figures:
        body += "<p>No figure: no bound was traced (trace = \"shifts\"), and neither n, d nor the step size varies.</p>\n"
    for title, name, caption in figures:
        svg = (out / f"{name}.svg").read_text(encoding="utf-8")
        body += (f"<h2>{html.escape(title)}</h2>\n{svg[svg.index('<svg'):]}<p>{html.escape(caption)} "
                 f'<a href="{name}.png">PNG</a>, <a href="{name}.csv">numbers</a></p>\n')
    if table.bounds:
        lines = [[name_of(bound), ABOUT.get(bound, ""), least_of(table.rows, bound), median(row[f"{bound}_log10_ratio_median"] for row in table.rows),
                  f"{total(bound + '_violations'):,}"] for bound in table.bounds]
        body += "<h2>Bounds</h2>\n" + html_table(["bound", "of", "least log10 ratio", "median", "updates beyond it"], lines)
    head, most = [*table.varying, "instances", "status_converged", "steps_median", "loss_median", "grad_norm_median"], 500
    body += "<h2>Cells</h2>\n" + html_table(head, [[row[name] for name in head] for row in table.rows[:most]])
    body += f'<p>{"The first " + str(most) + " of them; all" if len(table.rows) > most else "All columns"}: <a href="sweep.csv">sweep.csv</a></p>\n'
    (out / "index.html").write_text(PAGE.format(title=html.escape(f"Sweep {Path(directory).resolve().name}"), body=body), encoding="utf-8")


def write(program, directory, out, words):
    quiet = ["-q"] if "quiet" in words else []
    done = subprocess.run([program, "sweep", "export", directory, "--csv", out / "sweep.csv", *quiet], stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    table = Table(out / "sweep.csv")
    figures = [looseness(table, out)] if table.bounds else []
    other = {"n": draw_steps, "d": draw_steps, "step_multiple": draw_statuses, "step_size": draw_statuses}
    figures += [against(table, key, other[key], out) for key in other if table.has_axis(key)]
    if table.has_axis("radius"):
        figures += [phases(table, key, out) for key in ("step_multiple", "step_size") if table.has_axis(key)]
    page(table, figures, out, directory)
    return sorted(path.name for path in out.iterdir())


def put(made, output, force):
    """The report gets its name. From here on it is made, whatever signal comes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    if output.exists():
        if not force:
            print(f"error: {output} already exists\nhint: --force replaces it, -o names another directory", file=sys.stderr)
            sys.exit(2)
        output.rename(made.parent / "replaced")
    made.rename(output)


def main(program, directory, output, words, document):
    global holder
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    plt.rcParams.update(STYLE)
    output = Path(output)
    output.absolute().parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=".softreg-report-", dir=output.absolute().parent))
    try:
        made = holder / "report"
        made.mkdir()
        files = write(program, directory, made, words)
        put(made, output, "force" in words)
    finally:
        shutil.rmtree(holder, ignore_errors=True)
    document = {**json.loads(document), "files": files}
    print(json.dumps(document, indent=2) if "json" in words else f"{len(files)} files written to {output}; see index.html there")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        print(f"error: cannot write {sys.argv[3]}: {os.strerror(error.errno) if error.errno else error}", file=sys.stderr)
        sys.exit(8)
