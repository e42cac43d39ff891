"""Runs the program that SOFTREG_PROGRAM names (default build/release/softreg)."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failure(Exception):
    """One sentence for the user, and the exit code."""

    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


def program():
    path = Path(os.environ.get("SOFTREG_PROGRAM") or ROOT / "build" / "release" / "softreg")
    if not os.access(path, os.X_OK) or path.is_dir():
        raise Failure(f"there is no program at {path}; `sh cmake/bootstrap.sh demo` builds it", 2)
    return str(path.resolve())


def softreg(*arguments, may_end_with=()):
    """Runs one command, its stderr (progress, errors) going straight to ours: (code, stdout)."""
    words = [str(argument) for argument in arguments]
    try:
        done = subprocess.run([program(), *words], stdout=subprocess.PIPE, text=True)
    except OSError as error:
        raise Failure(f"softreg does not start: {error}", 2) from None
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    if code != 0 and code not in may_end_with:
        command = " ".join(["softreg", *words])
        raise Failure(f"`{command}` ended with exit code {code}; its own words are above", code)
    return code, done.stdout
