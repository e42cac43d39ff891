"""Coordinates in which a fit is fast, and the step that suits them.

If A1 = Q W1 and A2 = K W2, then A1 Y A2^T = Q X K^T with X = W1 Y W2^T: the same problem, the same
maps, and gradient descent on Y is gradient descent on X with a preconditioner.
"""

import numpy as np

SILENT = 1e-6    # variance, of the largest, below which a direction is rounding: left out
ITERATIONS = 10  # of the power method
CAUTION = 1.5    # the step is this much below the one that the two curvatures suggest


def inverse_root(moments, damping):
    """W with W^T M W = 1, M the moments over their mean eigenvalue plus `damping`."""
    values, vectors = np.linalg.eigh(moments)
    heard = values > SILENT * values[-1]
    values, vectors = values[heard], vectors[:, heard]
    scale = values.sum() / len(moments)
    return vectors / np.sqrt(values + damping * scale) @ vectors.T


def second_moments(rows):
    flat = rows.reshape(-1, rows.shape[-1]).astype(np.float64)
    return flat.T @ flat / len(flat)


def attended_moments(keys, maps):
    """Mean, over all queries, of the keys' covariance under that query's attention."""
    attended = maps.sum(axis=-2)[..., None] * keys
    total = keys.reshape(-1, keys.shape[-1]).T @ attended.reshape(-1, keys.shape[-1])
    return total / maps[..., 0].size - second_moments(maps @ keys)


def query_coordinates(queries, damping):
    return inverse_root(second_moments(queries), damping)


def key_coordinates(keys, maps, damping):
    """Curvature weighs keys by attention: uniform where the fit begins, as observed at its end."""
    moments = (second_moments(keys) + attended_moments(keys.astype(np.float64), maps)) / 2
    return inverse_root(moments, damping)


def affine_coordinates(hidden, damping):
    """W for hidden states with a column of ones: that column stays, the others lose their mean."""
    rows = hidden.reshape(-1, hidden.shape[-1]).astype(np.float64)
    mean, width = rows.mean(axis=0), rows.shape[1]
    root = inverse_root(second_moments(rows - mean), damping)
    w = np.eye(width + 1)
    w[:width, :width], w[width, :width] = root, -mean @ root
    return w


def step_size(a1, a2, maps):
    """1 / curvature of the cross-entropy, the larger of its values at X = 0 and at a perfect fit.

    Not proven: between the two it may be larger. The proven bound, |A1|^2 |A2|^2 / 2 summed over
    the contexts, leads to a step that is 51 to 150 times smaller in the six fits to a head's own
    maps of (b).
    """
    uniform = np.full_like(maps, 1 / maps.shape[-1])
    return 1 / (CAUTION * max(curvature(a1, a2, uniform), curvature(a1, a2, maps)))


def curvature(a1, a2, maps):
    """Largest eigenvalue of the cross-entropy's Hessian where softmax gives `maps`.

    a1, a2 and maps: (contexts, tokens, width or tokens).
    """
    flat = a1.reshape(-1, a1.shape[-1])
    y = np.random.default_rng(1).standard_normal((a1.shape[-1], a2.shape[-1]), np.float32)
    for _ in range(ITERATIONS):
        y /= np.linalg.norm(y)
        z = (flat @ y).reshape(*a1.shape[:-1], -1) @ a2.swapaxes(-1, -2)
        dz = maps * (z - (maps * z).sum(axis=-1, keepdims=True))
        y = flat.T @ (dz @ a2).reshape(len(flat), -1)
    return float(np.linalg.norm(y))
