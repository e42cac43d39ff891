"""Runs the program under test (SOFTREG_PROGRAM) and reads what it wrote; problems in NumPy."""
import json
import os
import subprocess

import numpy as np

PROGRAM = os.environ["SOFTREG_PROGRAM"]

# A user's own settings must not reach the tests.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SOFTREG_")}


def run(*arguments, timeout=120, cwd=None, preexec_fn=None, program=PROGRAM, **environment):
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, cwd=cwd, preexec_fn=preexec_fn, env={**ENVIRONMENT, **environment})


def ok(*arguments, **keywords):
    """Runs a command that must succeed; returns its stdout."""
    done = run(*arguments, **keywords)
    assert done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout


def document(*arguments, **keywords):
    return json.loads(ok(*arguments, "--json", **keywords))


def refused(code, *arguments, **keywords):
    """Runs a command that must fail in one sentence; returns stderr."""
    done = run(*arguments, **keywords)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    others = [line for line in done.stderr.splitlines()
              if not line.startswith(("error: ", "hint: ", "warning: "))]
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    assert len(errors) == 1 and not others, done.stderr
    assert not done.stdout
    return done.stderr


def arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def softmax(z):
    u = np.exp(z - z.max())
    return u / u.sum()


def instances(count, n, d, seed=1, dtype=np.float64):
    """A (count, n, d), b (count, n): a softmax and some noise, so that no fit is perfect."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((count, n, d)) / np.sqrt(n)
    b = np.stack([softmax(z) for z in a @ rng.standard_normal(d)])
    b = 0.9 * b + 0.1 * rng.dirichlet(np.ones(n), size=count)
    return a.astype(dtype), b.astype(dtype)
