"""Sweeps that are killed or interrupted at random moments: nothing is lost, nothing is there twice.

8 kills over 60 shards and 6 signals; SOFTREG_SLOW=1 kills 100 times over 1,000 shards, and as often with
three parts at once, and sends 40 signals.
"""
import os
import random
import shutil
import signal
import subprocess
import time

from program import ENVIRONMENT, PROGRAM, document
from sweeps import grid, shards

SLOW = os.environ.get("SOFTREG_SLOW") == "1"
KILLS, SHARDS = (100, 1000) if SLOW else (8, 60)
IN_TIME = 2.0  # seconds from a signal to the end: the promise


def start(*words):
    # SIGINT is ignored by what a shell starts in the background, and stays so in the programs that it starts.
    return subprocess.Popen([PROGRAM, *map(str, words), "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            text=True, env=ENVIRONMENT,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def long_grid(folder, shard_count):
    # Some 20 ms of work in each shard.
    return grid(folder, f"n = 24\nd = 6\ncount = {shard_count * 10}\nseed = [1, 2]\nchunk = 20\n"
                        "max_steps = 4000\ntol = 0\n", "long.toml")


def test_kill_9(tmp_path):
    path, rng = long_grid(tmp_path, SHARDS), random.Random(26)
    began = time.monotonic()
    expected = document("sweep", "run", path, "-o", tmp_path / "whole", "-q")
    pace = (time.monotonic() - began) / SHARDS
    directory, before, kills, starts = tmp_path / "d", {}, 0, 0
    while True:
        words = ["resume", directory] if (directory / "manifest.json").exists() else ["run", path, "-o", directory]
        process, starts = start("sweep", *words), starts + 1
        if kills < KILLS:
            # So that work is left for all kills that are still to come.
            time.sleep(rng.uniform(0, 1.2 * pace * (SHARDS - len(before)) / (KILLS - kills)))
            process.kill()
        code = process.wait(timeout=300)
        assert code in (0, -9), process.stderr.read()
        kills += code == -9
        now = shards(directory) if directory.exists() else {}
        assert before.items() <= now.items(), "a shard was lost"
        before = now
        if code == 0:
            break
    status = document("sweep", "status", directory)
    assert status["complete"] and status["result_hash"] == expected["result_hash"]
    assert shards(directory) == shards(tmp_path / "whole") and len(now) == SHARDS
    assert kills == KILLS
    print(f"[count] kills: {kills} over {SHARDS} shards in {starts} starts: 0 lost, 0 twice, 0 damaged, "
          "the result's hash equal to an uninterrupted run's")


def test_kill_9_of_parts_at_once(tmp_path):
    path, rng = long_grid(tmp_path, SHARDS), random.Random(9)
    expected = document("sweep", "run", path, "-o", tmp_path / "whole", "-q")
    directory, kills = tmp_path / "d", 0
    running = {part: None for part in (1, 2, 3)}
    while running:
        for part, process in list(running.items()):
            if process is not None and process.poll() == 0:
                del running[part]
            elif process is None or process.poll() is not None:
                running[part] = start("sweep", "run", path, "-o", directory, "--part", f"{part}/3", "--threads", 1)
        time.sleep(rng.uniform(0, 0.3))
        if kills < KILLS and running:
            victim = running[rng.choice(list(running))]
            if victim is not None:
                victim.kill()
                kills += victim.wait(timeout=60) == -9
    assert shards(directory) == shards(tmp_path / "whole") and len(shards(directory)) == SHARDS
    assert document("sweep", "status", directory)["result_hash"] == expected["result_hash"]
    print(f"[count] kills of three parts at once: {kills} over {SHARDS} shards")


def test_signals(tmp_path):
    path, rng = long_grid(tmp_path, 400), random.Random(75)
    endless = grid(tmp_path, "n = 3000\nd = 64\ncount = 1\nmax_steps = 2147483646\ntol = 0\n"
                             "check_every = 2147483646\n", "endless.toml")
    slowest, sent = 0.0, 0
    for turn in range(40 if SLOW else 6):
        directory = tmp_path / f"d{turn}"
        process = start("sweep", "run", endless if turn % 3 == 2 else path, "-o", directory)
        while not (directory / "shards").exists():
            time.sleep(0.002)
        time.sleep(rng.uniform(0.05, 0.6))
        number, at = rng.choice([signal.SIGINT, signal.SIGTERM]), time.monotonic()
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        took, sent = time.monotonic() - at, sent + 1
        assert process.returncode == 75 and took < IN_TIME, (turn, process.returncode, took)
        assert said.startswith("interrupted: ") and "sweep resume" in said
        assert not list(directory.rglob(".softreg*"))
        slowest = max(slowest, took)
        status = document("sweep", "status", directory)
        assert not status["complete"] and not status["shards"]["damaged"]
        shutil.rmtree(directory)
    print(f"[count] signals to sweeps: {sent} sent, slowest end {slowest:.2f} s")


def test_an_interrupted_sweep_goes_on(tmp_path):
    path = long_grid(tmp_path, 60)
    expected = document("sweep", "run", path, "-o", tmp_path / "whole", "-q")
    process = start("sweep", "run", path, "-o", tmp_path / "d")
    while not (tmp_path / "d" / "shards").exists() or not shards(tmp_path / "d"):
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    made = len(shards(tmp_path / "d"))
    doc = document("sweep", "resume", tmp_path / "d", "-q")
    assert 0 < made < 60 and doc["shards"]["found"] == made and doc["shards"]["made"] == 60 - made
    assert doc["result_hash"] == expected["result_hash"]
