"""What tests of sweeps share: a small grid, running it, and reading a directory."""
import numpy as np

from program import arrays, document

SMALL = """
n = 12
d = 3
count = 50
chunk = 20
radius = [1, 2]
max_steps = 40
"""


def grid(folder, text, name="sweep.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def sweep(folder, text, *words, name="sweep", **keywords):
    """Runs a grid; returns (the directory, the document)."""
    path = grid(folder, text, f"{name}.toml")
    return folder / name, document("sweep", "run", path, "-o", folder / name, "-q", *words, **keywords)


def shards(directory):
    return {path.name: path.read_bytes() for path in (directory / "shards").glob("[!.]*")}


def columns(directory):
    """The arrays of a sweep with one cell, chunk after chunk."""
    parts = [arrays(path) for path in sorted((directory / "shards").iterdir())]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "meta"}
