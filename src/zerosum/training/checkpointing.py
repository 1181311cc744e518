"""Checkpoints of one run as it goes: when one was written, what could not be, and which one is gone back to."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from zerosum.progress import Progress
from zerosum.run_folder import RunFolder
from zerosum.store import latest_checkpoint, save_checkpoint

EVERY_S = 60.0
"""A checkpoint is also written when this much time has passed: it changes no number, and little is lost by a kill."""


class CheckpointManager:
    """Writes and reads the checkpoints of a folder. step: of the newest one known, -1 for none. unsaved: what a full disk
    has kept from being written, "" when all is well.

    cadence: steps between the checkpoints that are written whatever the clock says. A rollback goes back only to these, so
    that neither the clock nor a stop can change where it leads; the two newest of them are never removed.
    """

    def __init__(self, folder: RunFolder, progress: Progress, cadence: int) -> None:
        self.folder, self.progress, self.cadence = folder, progress, cadence
        self.step, self.unsaved = -1, ""
        self._at = time.monotonic()

    @property
    def overdue(self) -> bool:
        """Whether the newest checkpoint is older than EVERY_S."""
        return time.monotonic() - self._at > EVERY_S

    def begin(self) -> None:
        """The clock starts."""
        self._at = time.monotonic()

    def save(self, step: int, state: Mapping[str, Any], publish: Callable[[], None], anew: bool = False) -> None:
        """Writes a checkpoint unless that of `step` is there (anew: even so), and the published generator.

        A full disk is told, and training goes on with the older one.
        """
        try:
            if anew or self.step != step:
                save_checkpoint(self.folder.checkpoints, step, state, spare=self._spared(step))
            self.step, self.unsaved = step, ""
            publish()
        except OSError as error:
            kept = f"the checkpoint of step {self.step:,} is whole" if self.step >= 0 else "nothing is saved"
            former, self.unsaved = self.unsaved, f"Step {step:,} is NOT saved ({error.strerror or error}); {kept}."
            if self.unsaved != former:
                self.progress.say(
                    f"Warning: {self.unsaved} Free some space; training goes on, and saving is tried again."
                )

    def _spared(self, step: int) -> tuple[int, ...]:
        newest = step // self.cadence * self.cadence
        return newest, newest - self.cadence

    def good(self, tried: int | None) -> dict[str, Any] | None:
        """What a rollback goes back to: the newest checkpoint of the cadence, or the one before when the newest is that of
        step `tried`, which led to the same end already."""
        state = self.newest(lambda step: step % self.cadence == 0)
        if state is None or state["match"]["step"] != tried:
            return state
        return self.newest(lambda step: step % self.cadence == 0 and step < state["match"]["step"]) or state

    def newest(self, suits: Callable[[int], bool] = lambda step: True) -> dict[str, Any] | None:
        """The state of the newest whole checkpoint, None when there is none; damaged ones are told and passed over."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            state = latest_checkpoint(self.folder.checkpoints, suits)
        for warning in told:
            self.progress.say(f"Warning: {warning.message}")
        return state
