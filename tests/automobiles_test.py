# The 20 automobile markets fitted by the program against SciPy's BFGS on the same loss, in float64.
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

sys.path.insert(0, str(Path(os.environ["SOFTREG_SOURCE_DIR"]) / "examples"))
import demo
from markets import distinct_ends, least_curvature, read_markets

PROGRAM = os.environ["SOFTREG_PROGRAM"]


def loss_and_gradient(x, a, b):
    """1/2 |softmax(A x) - b|^2 and its gradient A^T (diag(f) - f f^T)(f - b)."""
    u = np.exp(a @ x - (a @ x).max())
    f = u / u.sum()
    c = f - b
    return 0.5 * c @ c, a.T @ (f * (c - f @ c))


@pytest.fixture(scope="module")
def markets():
    return read_markets()


@pytest.fixture(scope="module")
def fit(markets, tmp_path_factory):
    _, a, b, offsets = markets
    folder = tmp_path_factory.mktemp("automobiles")
    np.savez(folder / "markets.npz", A=a, b=b, offsets=offsets)
    done = subprocess.run(
        [PROGRAM, "solve", folder / "markets.npz", "-o", folder / "fit.npz",
         "--optimizer", "nesterov", "--max-steps", str(demo.MARKET_STEPS), "--tol", "0", "--json"],
        stdout=subprocess.PIPE, check=True, timeout=300)
    document = json.loads(done.stdout)
    assert document["count"] == 20
    with np.load(folder / "fit.npz") as result:
        assert result["x"].dtype == np.float64
        return {name: result[name] for name in ("x", "loss", "grad_norm", "status", "steps")}


def test_the_data_are_those_of_the_paper(markets):
    labels, a, b, offsets = markets
    assert labels == [str(year) for year in range(1971, 1991)]
    sizes = np.diff(offsets)
    assert a.shape == (2217, 5) and offsets[-1] == 2217
    assert sizes.min() == 72 and sizes.max() == 150
    # Means and sums of 2,217 numbers of size 1: a few units of rounding each.
    assert np.abs(a.mean(axis=0)).max() < 1e-12
    assert np.abs(a.std(axis=0) - 1).max() < 1e-12
    assert np.abs(np.add.reduceat(b, offsets[:-1]) - 1).max() < 1e-14
    assert b.min() > 0


def test_minima_equal_those_of_bfgs(markets, fit):
    labels, a, b, offsets = markets
    differences = []
    for i, label in enumerate(labels):
        rows = slice(offsets[i], offsets[i + 1])
        found = minimize(loss_and_gradient, np.zeros(5), args=(a[rows], b[rows]), jac=True,
                         method="BFGS", options={"gtol": 1e-10, "maxiter": 10_000})
        # BFGS may end with "precision lost", but only where every digit asked for is there.
        assert np.abs(found.jac).max() < 1e-8, f"{label}: BFGS did not finish"
        assert 0.0026 < found.fun < 0.0080, label
        difference = abs(fit["loss"][i] - found.fun)
        assert difference <= 1e-6, f"{label}: {fit['loss'][i]} against {found.fun}"
        assert difference <= 1e-4 * found.fun, f"{label}: {fit['loss'][i]} against {found.fun}"
        differences.append(difference / found.fun)
    print(f"[count] markets against BFGS: {len(differences)}, largest relative difference "
          f"{max(differences):.1e}")


def test_every_market_ran_all_steps_and_reports_its_own_loss(markets, fit):
    _, a, b, offsets = markets
    assert (fit["status"] == 10).all()
    assert (fit["steps"] == demo.MARKET_STEPS).all()
    for i, x in enumerate(fit["x"]):
        rows = slice(offsets[i], offsets[i + 1])
        loss, gradient = loss_and_gradient(x, a[rows], b[rows])
        # Sums of at most 150 terms, and differences f - b of numbers below 1, in float64.
        assert fit["loss"][i] == pytest.approx(loss, rel=1e-11)
        assert fit["grad_norm"][i] == pytest.approx(np.linalg.norm(gradient), rel=1e-6, abs=1e-13)


def test_ends_are_told_apart_by_loss_and_by_shares():
    shares = np.array([[0.5, 0.5, 0.0], [0.501, 0.499, 0.0], [0.6, 0.4, 0.0], [0.5, 0.5, 0.0]])
    loss = np.array([0.01, 0.010001, 0.010002, 0.02])
    groups = distinct_ends(loss, shares)
    assert [sorted(group) for group in groups] == [[0, 1], [2], [3]]


def test_curvature_equals_differences_of_the_gradient(markets):
    _, a, b, offsets = markets
    rows = slice(offsets[5], offsets[6])
    step = 1e-5
    for x in np.random.default_rng(5).standard_normal((20, 5)):
        hessian = np.array([
            loss_and_gradient(x + step * e, a[rows], b[rows])[1]
            - loss_and_gradient(x - step * e, a[rows], b[rows])[1] for e in np.eye(5)]) / (2 * step)
        # Central differences: step^2 of a third derivative of size 1, and rounding / step.
        assert least_curvature(x, a[rows], b[rows]) == pytest.approx(
            np.linalg.eigvalsh(hessian)[0], abs=1e-9)


def test_a_direction_that_changes_no_share_does_not_count_as_flat(markets):
    _, a, b, offsets = markets
    rows = slice(offsets[0], offsets[1])
    assert np.ptp(a[rows, 2]) == 0, "no car of 1971 has air conditioning"
    found = minimize(loss_and_gradient, np.zeros(5), args=(a[rows], b[rows]), jac=True,
                     method="BFGS")
    assert least_curvature(found.x, a[rows], b[rows]) >= demo.CURVED
