"""Matrix problems and several softmaxes per instance through the program: gen, solve, evaluate, check."""
import numpy as np
import scipy.optimize

from program import arrays, document, ok, refused, run, softmax


def rows_softmax(z):
    return np.stack([softmax(row) for row in z])


def contexts(count, n, m, d1, d2, seed=1):
    rng = np.random.default_rng(seed)
    a1 = rng.standard_normal((count, n, d1)) / np.sqrt(d1)
    a2 = rng.standard_normal((count, m, d2)) / np.sqrt(d2)
    x = rng.standard_normal((d1, d2))
    return a1, a2, np.stack([rows_softmax(p @ x @ q.T) for p, q in zip(a1, a2)]), x


def test_gen_solve_and_check(tmp_path):
    problem, result = tmp_path / "m.npz", tmp_path / "r.npz"
    ok("gen", problem, "--problem", "matrix", "--n", 12, "--m", 9, "--d", 4, "--d2", 3, "--count", 5, "--radius", 2,
       "--dtype", "f64", "--seed", 3)
    made = arrays(problem)
    for i in range(5):
        assert abs(np.linalg.norm(made["A1"][i], 2) - 2) < 1e-12 and abs(np.linalg.norm(made["A2"][i], 2) - 2) < 1e-12
        assert abs(np.linalg.norm(made["X_star"][i]) - 2) < 1e-12
        np.testing.assert_allclose(made["B"][i], rows_softmax(made["A1"][i] @ made["X_star"][i] @ made["A2"][i].T),
                                   rtol=1e-12)
    told = document("solve", problem, "-o", result, "--optimizer", "nesterov", "--max-steps", 3000, "--tol", 1e-9)
    assert (told["n"], told["m"], told["d1"], told["d2"], told["count"]) == (12, 9, 4, 3, 5)
    got = arrays(result)
    assert got["X"].shape == (5, 4, 3) and (got["loss"] < 1e-6).all()
    for device in ("reference", "cpu"):
        ok("solve", problem, "-o", result, "--max-steps", 50, "--device", device, "--force")
        x = arrays(result)["X"]
        steps = [1 / (0.625 * 16)] * 5
        for i in range(5):
            mine = np.zeros((4, 3))
            for _ in range(50):
                f = rows_softmax(made["A1"][i] @ mine @ made["A2"][i].T)
                c = f - made["B"][i]
                p = f * (c - (f * c).sum(axis=1, keepdims=True))
                mine -= steps[i] * made["A1"][i].T @ p @ made["A2"][i]
            np.testing.assert_allclose(x[i], mine, atol=1e-10)
    bounds = document("check", problem, "--max-steps", 40)["bounds"]
    assert [b["id"] for b in bounds] == ["D8", "P6", "P6@4", "D5", "D6", "D7", "D9", "D10", "D12z", "D8e", "D8l", "D12"]
    assert all(b["violations"] == 0 and b["updates"] == 200 and b["measured"] > 0 for b in bounds)


def test_ragged_generated_and_started_from_a_result(tmp_path):
    problem, first, second = (tmp_path / name for name in ("m.npz", "1.npz", "2.npz"))
    ok("gen", problem, "--problem", "matrix", "--n", "3:8", "--d", 3, "--count", 6)
    made = arrays(problem)
    assert made["offsets1"].tolist() == made["offsets2"].tolist() and len(made["B"]) == sum(
        n * n for n in np.diff(made["offsets1"]))
    ok("solve", problem, "-o", first, "--max-steps", 16, "--tol", 0)
    ok("solve", problem, "-o", second, "--max-steps", 0, "--x0-from", first)
    np.testing.assert_array_equal(arrays(first)["X"], arrays(second)["X"])


def test_evaluate_and_gradients(tmp_path):
    a1, a2, b, x = contexts(3, 6, 5, 3, 4)
    problem, out = tmp_path / "m.npz", tmp_path / "e.npz"
    np.savez(problem, A1=a1, A2=a2, B=b[:, ::-1], X0=x)
    ok("evaluate", problem, "-o", out, "--gradients", "x,A")
    got = arrays(out)
    for i in range(3):
        f = rows_softmax(a1[i] @ x @ a2[i].T)
        c = f - b[i, ::-1]
        p = f * (c - (f * c).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(got["f"][i], f, rtol=1e-12)
        np.testing.assert_allclose(got["attended"][i], f @ a2[i], atol=1e-13)
        np.testing.assert_allclose(got["log_mass"][i], np.log(np.exp(a1[i] @ x @ a2[i].T).sum(axis=1)), rtol=1e-12)
        np.testing.assert_allclose(got["grad"][i], a1[i].T @ p @ a2[i], atol=1e-13)
        np.testing.assert_allclose(got["grad_A1"][i], p @ a2[i] @ x.T, atol=1e-13)
        np.testing.assert_allclose(got["grad_A2"][i], p.T @ a1[i] @ x, atol=1e-13)
    np.savez(problem, A1=a1, B=rows_softmax(np.ones((6, 6)))[None].repeat(3, 0), X0=np.eye(3))
    ok("evaluate", problem, "-o", out, "--gradients", "x,A", "--force")
    assert arrays(out)["grad_A1"].shape == a1.shape and "grad_A2" not in arrays(out)


def test_blocks_that_share_x_recover_it(tmp_path):
    a1, a2, b, x = contexts(4, 8, 7, 2, 3, seed=5)
    problem, result = tmp_path / "m.npz", tmp_path / "r.npz"
    np.savez(problem, A1=a1.reshape(-1, 2), A2=a2.reshape(-1, 3), B=b.ravel(), offsets1=np.arange(5) * 8,
             offsets2=np.arange(5) * 7, instances=[0, 4])
    told = document("solve", problem, "-o", result, "--loss", "cross_entropy", "--optimizer", "nesterov", "--max-steps",
                    20000, "--tol", 1e-10)
    assert told["blocks"] == 4 and told["status"] == {"converged": 1}
    np.testing.assert_allclose(arrays(result)["X"][0], x, atol=1e-6)


def test_conditional_logit_agrees_with_scipy(tmp_path):
    """Households with several choice sets each; cross_entropy is their conditional logit likelihood."""
    rng = np.random.default_rng(8)
    a, b, segments, households = [], [], [0], [0]
    for _ in range(5):
        taste = 0.7 * rng.standard_normal(3)
        for _ in range(rng.integers(40, 60)):
            goods = rng.standard_normal((rng.integers(2, 6), 3))
            chosen = rng.choice(len(goods), p=softmax(goods @ taste))
            a.append(goods)
            b.append(np.eye(len(goods))[chosen])
            segments.append(segments[-1] + len(goods))
        households.append(len(segments) - 1)
    problem, result = tmp_path / "c.npz", tmp_path / "r.npz"
    np.savez(problem, A=np.concatenate(a), b=np.concatenate(b), segments=segments, instances=households)
    for device in ("reference", "cpu"):
        told = document("solve", problem, "-o", result, "--loss", "cross_entropy", "--optimizer", "nesterov", "--device",
                        device, "--max-steps", 20000, "--tol", 1e-8, "--force")
        assert told["softmaxes"] == len(a) and told["status"] == {"converged": 5}
        for i in range(5):
            sets = range(households[i], households[i + 1])

            def likelihood(taste):
                return -sum(np.log(softmax(a[s] @ taste)) @ b[s] for s in sets)

            best = scipy.optimize.minimize(likelihood, np.zeros(3), method="BFGS", options={"gtol": 1e-7})
            np.testing.assert_allclose(arrays(result)["x"][i], best.x, atol=1e-4)
            np.testing.assert_allclose(arrays(result)["loss"][i], best.fun, rtol=1e-8)


def test_bad_shapes_name_both_arrays(tmp_path):
    a1, a2, b, _ = contexts(3, 6, 5, 3, 4)
    problem = tmp_path / "m.npz"
    np.savez(problem, A1=a1, A2=a2, B=b[:, :, :4])
    sentence = refused(4, "solve", problem)
    assert "(3, 6, 4)" in sentence and "(3, 6, 3)" in sentence and "(3, 5, 4)" in sentence
    b[1, 2] = 0.9
    np.savez(problem, A1=a1, A2=a2, B=b)
    messages = document("solve", problem)["messages"]
    assert messages[0]["instance"] == 1 and messages[0]["row"] == 2 and "row 2 of B sums to 4.5" in messages[0]["text"]
    done = run("solve", problem, "--memory-limit", "1K")
    assert done.returncode == 6 and "1024" in done.stderr
