"""The automobile markets as softmax regression, and what many fits of one market ended in.

Needs NumPy. A market of n products has A (n, 5), features standardised over all products of all
markets, and b (n), its shares; x (5) are the buyers' tastes; the loss is 1/2 |softmax(A x) - b|^2.
"""

import csv
from pathlib import Path

import numpy as np

AUTOMOBILES = Path(__file__).resolve().parent / "data" / "automobiles.csv"
FEATURES = ("price", "hpwt", "air", "mpd", "space")

# Two ends are one when their losses and their fitted shares agree: 0.1 % of the loss, and half a
# percent of the market bought elsewhere. Parameters cannot decide: a feature that is constant
# within a market leaves its coefficient free, and other coefficients run off to infinity.
SAME_LOSS = 1e-3
SAME_SHARES = 5e-3


def read_markets(path=AUTOMOBILES):
    """The markets' labels, A (N, 5), b (N) and offsets (markets + 1). Raises OSError."""
    with open(path, newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    features = np.array([[float(row[name]) for name in FEATURES] for row in rows])
    shares = np.array([float(row["share"]) for row in rows])
    names = np.array([row["market"] for row in rows])
    offsets = np.concatenate([[0], np.flatnonzero(names[1:] != names[:-1]) + 1, [len(rows)]])
    totals = np.add.reduceat(shares, offsets[:-1])
    a = (features - features.mean(axis=0)) / features.std(axis=0)
    b = shares / np.repeat(totals, np.diff(offsets))
    return names[offsets[:-1]].tolist(), a, b, offsets.astype(np.int64)


def repeat_markets(a, b, offsets, times, dtype):
    """Every market `times` times in a row, as the arrays of one ragged problem."""
    parts = np.repeat(np.arange(len(offsets) - 1), times)
    rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in parts])
    ends = np.concatenate([[0], np.cumsum(np.diff(offsets)[parts])]).astype(np.int64)
    return {"A": a[rows].astype(dtype), "b": b[rows].astype(dtype), "offsets": ends}


def fitted_shares(a, x):
    """softmax(A x) for x (k, 5): (k, n)."""
    z = x @ a.T
    u = np.exp(z - z.max(axis=1, keepdims=True))
    return u / u.sum(axis=1, keepdims=True)


def distinct_ends(loss, shares):
    """Groups fits, loss (k) and shares (k, n), by where they ended: lists of indices, best first.

    Within a group the first has the least loss and every other is compared with it.
    """
    groups = []
    for i in np.argsort(loss, kind="stable"):
        for group in groups:
            first = group[0]
            elsewhere = 0.5 * np.abs(shares[i] - shares[first]).sum()
            if loss[i] - loss[first] <= SAME_LOSS * loss[first] and elsewhere <= SAME_SHARES:
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def least_curvature(x, a, b):
    """Smallest eigenvalue of the loss's Hessian over the directions of x that change the shares."""
    f = fitted_shares(a, x[None])[0]
    c = f - b
    centred = a - f @ a
    jacobian = f[:, None] * centred
    hessian = jacobian.T @ jacobian + centred.T @ ((c * f)[:, None] * centred)
    hessian -= (c @ f) * centred.T @ jacobian
    _, lengths, directions = np.linalg.svd(a - a.mean(axis=0), full_matrices=False)
    seen = directions[lengths > 1e-9 * lengths[0]]
    return np.linalg.eigvalsh(seen @ hessian @ seen.T)[0]
