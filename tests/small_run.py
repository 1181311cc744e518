"""A small training that a test can stop, go on with, and kill; run as a program it trains in a folder until it is done.

Usage: python small_run.py FOLDER [STEPS [SECONDS]]
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from zerosum import api
from zerosum.api import Run
from zerosum.formatting import NoProgress
from zerosum.store import latest_checkpoint, split

SETTINGS: dict[str, Any] = {
    **{"generator.width": 8, "discriminator.width": 8, "data.num": 120, "batch": 16, "threads": 1, "steps": 40},
    **{"cadence.log": 1, "cadence.preview": 20, "cadence.checkpoint": 2},
}


class Told(NoProgress):
    """Keeps what is said, and asks the training to stop after a step. seconds: how long each step takes at least."""

    def __init__(self, stop_after: int = 10**9, seconds: float = 0.0) -> None:
        self.stop_after, self.seconds = stop_after, seconds
        self.said: list[str] = []

    def log(self, text: str) -> None:
        self.said.append(text)

    def tick(self, step: int, steps: int, values: Any) -> None:
        time.sleep(self.seconds)
        if step == self.stop_after:
            signal.raise_signal(signal.SIGINT)


def begun(folder: Path, stop_after: int = 4, where: str = "ring", **settings: Any) -> Run:
    """A run that was stopped after so many steps. settings: None leaves one out."""
    chosen = {name: value for name, value in {**SETTINGS, **settings}.items() if value is not None}
    return api.train(where, "toy", overrides=chosen, out=folder, progress=Told(stop_after))


def resumed(folder: Path, stop_after: int = 8, **options: Any) -> list[str]:
    """Goes on until it is stopped again; what was said."""
    progress = Told(stop_after)
    api.resume(folder, progress=progress, **options)
    return progress.said


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the newest checkpoint."""
    state = latest_checkpoint(folder / "checkpoints")
    assert state is not None
    return split(state["match"])[0]


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Whether two checkpoints are the same to the last bit."""
    return left.keys() == right.keys() and all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def main(folder: Path, stop_after: int, seconds: float) -> None:
    """Begins the run, or goes on with it."""
    torch.set_num_threads(1)
    progress = Told(stop_after, seconds)
    if (folder / "run.json").exists():
        api.resume(folder, progress=progress)
    else:
        api.train("ring", "toy", overrides=SETTINGS, out=folder, progress=progress)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
