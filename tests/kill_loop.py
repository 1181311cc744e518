"""A training that is killed again and again at random moments, and must end as if nobody had: the same bits.

Usage: python kill_loop.py FOLDER [--kills 3] [--seed 0] [--steps 12]. Exit status 0: the same bits as
of a training that was never killed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from small_run import begun, equal, main, resumed, weights
from zerosum.store import checkpoints

PACE_S = 0.02
"""A step takes at least this long in a training that is killed, so that kills meet steps too."""


def child(folder: Path, steps: int) -> int:
    """A process that goes on with the training."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        with open(os.devnull, "w", encoding="utf-8") as silent:
            os.dup2(silent.fileno(), 2)
        main(folder, steps, PACE_S)
        code = 0
    finally:
        os._exit(code)


def killed(folder: Path, steps: int, after_s: float) -> bool:
    """Whether the process was still at work when it was killed; RuntimeError when it failed by itself."""
    pid, end = child(folder, steps), time.monotonic() + after_s
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if os.waitstatus_to_exitcode(status):
                raise RuntimeError(f"the process ended with {os.waitstatus_to_exitcode(status)}")
            return False
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


def loop(folder: Path, kills: int, seed: int, steps: int) -> bool:
    """Kills a training so often, lets it come to `steps`, and compares."""
    rng, straight, run = random.Random(seed), folder / "straight", folder / "killed"
    begun(straight, steps)
    since = time.monotonic()
    killed(folder / "timed", steps, after_s=600)
    whole_s = time.monotonic() - since  # at the speed of this machine
    for number in range(kills):
        hit = killed(run, steps, rng.uniform(0.1, 0.9) * whole_s)
        print(
            f"{number + 1}: {'killed' if hit else 'done'}, saved {list(checkpoints(run / 'checkpoints'))}", flush=True
        )
        if not hit:
            break
    if (run / "run.json").exists():
        if max(checkpoints(run / "checkpoints"), default=0) < steps:
            resumed(run, steps)
    else:
        begun(run, steps)
    return equal(weights(run), weights(straight))


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for name, default in (("--kills", 3), ("--seed", 0), ("--steps", 12)):
        parser.add_argument(name, type=int, default=default)
    asked = parser.parse_args()
    sys.exit(0 if loop(asked.folder, asked.kills, asked.seed, asked.steps) else 1)
