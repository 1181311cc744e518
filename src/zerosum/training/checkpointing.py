"""Checkpoints of a run, rollbacks to them after a divergence, and the best generator so far in `best/` of the run folder."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zerosum.engine.loop import NonFinite, TrainingLoop
from zerosum.formatting import Progress, in_shell
from zerosum.generation.sampler import CARD, EXAMPLES, WEIGHTS
from zerosum.jsonfile import read_object
from zerosum.run_folder import RunFolder
from zerosum.store import checkpoints, latest_checkpoint, save_checkpoint, step_name, steps_in, write_durably
from zerosum.training.callbacks import RunLogger

EVERY_S = 60.0
"""A checkpoint is also written when this much time has passed, so that a killed process loses little. It changes no number."""


class CheckpointManager:
    """Writes and reads the checkpoints of a folder. step: of the newest one known, -1 for none. unsaved: a message when a full
    disk has prevented the newest save, else "".

    cadence: steps between the checkpoints that are written independently of the time. A rollback goes back only to these,
    so that its result depends neither on the time nor on a stop; the two newest of them are never removed.
    """

    def __init__(self, folder: RunFolder, progress: Progress, cadence: int) -> None:
        self.folder, self.progress, self.cadence = folder, progress, cadence
        self.step, self.unsaved = -1, ""
        self._saved_at = time.monotonic()

    @property
    def overdue(self) -> bool:
        """Whether the newest checkpoint is older than EVERY_S."""
        return time.monotonic() - self._saved_at > EVERY_S

    def start_clock(self) -> None:
        """Starts to measure the time since the newest checkpoint."""
        self._saved_at = time.monotonic()

    def save(self, step: int, state: Mapping[str, Any], publish: Callable[[], None], overwrite: bool = False) -> None:
        """Writes a checkpoint unless there is one of `step` (overwrite: even then), and the published generator.

        A full disk causes a warning; the older checkpoint stays and training continues.
        """
        try:
            if overwrite or self.step != step:
                save_checkpoint(self.folder.checkpoints, step, state, spare=self._protected_steps(step))
            self.step, self.unsaved = step, ""
            publish()
        except OSError as error:
            kept = f"the checkpoint of step {self.step:,} is whole" if self.step >= 0 else "nothing is saved"
            former, self.unsaved = self.unsaved, f"Step {step:,} is NOT saved ({error.strerror or error}); {kept}."
            if self.unsaved != former:
                self.progress.log(
                    f"Warning: {self.unsaved} Free some space; training goes on, and saving is tried again."
                )

    def _protected_steps(self, step: int) -> tuple[int, ...]:
        newest_state = step // self.cadence * self.cadence
        return newest_state, newest_state - self.cadence

    def rollback_state(self, tried: int | None) -> dict[str, Any] | None:
        """The state that a rollback loads: the newest checkpoint of the cadence, or the one before it when the newest is that of
        step `tried`, to which an earlier rollback went already."""
        state = self.newest_state(lambda step: step % self.cadence == 0)
        if state is None or state["match"]["step"] != tried:
            return state
        return self.newest_state(lambda step: step % self.cadence == 0 and step < state["match"]["step"]) or state

    def newest_state(self, accepts: Callable[[int], bool] = lambda step: True) -> dict[str, Any] | None:
        """The state of the newest complete checkpoint, None when there is none; damaged ones are skipped with a warning."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            state = latest_checkpoint(self.folder.checkpoints, accepts)
        for warning in caught:
            self.progress.log(f"Warning: {warning.message}")
        return state


# --- numbers that are not finite: rollbacks and skipped updates


MOST_ROLLBACKS = 4
"""Rollbacks of one run. Each halves the rates; a run that diverges at a sixteenth of them diverges for another reason."""
ROLLBACK_RATE = 0.5
RECENT_UPDATES, NEARLY_ALL_SKIPPED = 50, 0.9
"""A player no longer learns when this share of its newest RECENT_UPDATES updates was skipped."""


class RollbackPolicy:
    """The rollbacks of a run. `events` is part of the checkpoint, so that the limit also holds after a resume.
    enabled: whether the recipe requests rollbacks."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.events: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.events)

    @property
    def allowed(self) -> bool:
        """Whether one more rollback is allowed."""
        return self.enabled and len(self.events) < MOST_ROLLBACKS

    def record(self, error: NonFinite, to_step: int, rate: float) -> str:
        """Records a rollback and returns the message about it."""
        event = {"failed_step": error.step + 1, "to_step": to_step, "rate": rate, "reason": str(error)}
        self.events = [*self.events, event]
        return (
            f"Rollback {len(self)} of at most {MOST_ROLLBACKS}: {error}. Going on from step {to_step:,} with all learning "
            f"rates times {rate:g}."
        )

    def summary(self) -> str:
        """The rollbacks so far, for the message of a run that diverged in spite of them; "" without any."""
        if not self.events:
            return ""
        lines = [
            f"  step {event['failed_step']:,}: back to step {event['to_step']:,} with rates times {event['rate']:g}"
            for event in self.events
        ]
        return f"It went back {len(self)} times before:\n" + "\n".join(lines) + "\n"


def divergence_advice(error: NonFinite, players: Iterable[str], went_back: bool) -> str:
    """What to change after a divergence."""
    rates = " ".join(f"--set learning.{name}.lr=..." for name in players)
    other = "" if went_back else " Or let a new run go back by itself: --on-nonfinite rollback."
    return (
        f"The rates are probably too high, of either player: train anew with lower ones ({rates}), or clip the gradient "
        f"(--set learning.{error.player}.clip_norm=1).{other} Resuming would come to the same step."
    )


class SkippedUpdates:
    """Counts the updates that `on_nonfinite = skip` skipped, among the newest ones of each player."""

    def __init__(self, loop: TrainingLoop) -> None:
        self.loop = loop
        self._counted = dict(loop.skips)
        self._recent: dict[str, deque[bool]] = {name: deque(maxlen=RECENT_UPDATES) for name in loop.players}

    def update(self) -> None:
        """Counts the updates of the step that was just made."""
        for turn in self.loop.game.turns(self.loop.step - 1):
            for name in turn.players:
                left_out = self._counted[name] < self.loop.skips[name]
                self._counted[name] += left_out
                self._recent[name].append(left_out)

    def stuck_reason(self, at_end: bool = False) -> str:
        """Why a player no longer learns; "" while all do. at_end: also judge fewer than RECENT_UPDATES updates."""
        for name, recent in self._recent.items():
            enough = len(recent) == RECENT_UPDATES or (at_end and recent)
            if enough and sum(recent) >= NEARLY_ALL_SKIPPED * len(recent):
                return (
                    f"{sum(recent)} of the last {len(recent)} updates of the {name} were left out, so it no longer learns; "
                    f"the newest: {self.loop.nonfinite}"
                )
        return ""

    def message(self) -> str:
        """The warning of a run that left updates out; "" when there were none."""
        each = ", ".join(f"{name} {count:,}" for name, count in self.loop.skips.items() if count)
        if not each:
            return ""
        number = "1 update was" if self.loop.skipped == 1 else f"{self.loop.skipped:,} updates were"
        return (
            f"Warning: {number} left out in {self.loop.step:,} steps, because a loss or gradient was not finite ({each}). "
            "Lower rates or clip_norm prevent that; --on-nonfinite rollback goes back instead."
        )


# --- the best generator so far


BEST_FILE = "best.json"


class BestCheckpoint:
    """The best generator of one run, in `best/` of its folder: that of the health check with the lowest value of `name`.

    A health check with the lowest value so far publishes the averaged generator there. After a resume or a rollback only the
    values that the log still has count: the generators that were replaced since the oldest checkpoint are kept in
    `best/earlier/`, and the newest of them is moved back when the run returns to a step before its successor.

    name: of the value; with "" no best generator is kept. lowest: of the values in the log; infinite before the first.
    """

    def __init__(self, folder: RunFolder, logger: RunLogger, name: str) -> None:
        self.name = name
        self.root, self.checkpoints, self.logger = folder.root / "best", folder.checkpoints, logger
        self.earlier = self.root / "earlier"
        self.lowest = math.inf

    def restore(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Restores the state that belongs to the lines of a log: removes later generators and moves earlier ones back."""
        if not self.name:
            return
        values_by_step = {line["step"]: line["values"].get(self.name) for line in lines if line["kind"] == "health"}
        found = self._read(self.root)
        if found is None or values_by_step.get(found["step"]) != found["value"]:
            found = self._restore_earlier(values_by_step)
        self.lowest = found["value"] if found is not None else math.inf

    def update(self, step: int, values: Mapping[str, float], publish: Callable[[Path], None]) -> bool:
        """Publishes the generator of this health check if it is the best so far; returns whether it is. Step 0 never is."""
        value = values.get(self.name) if self.name else None
        if not step or value is None or not math.isfinite(value) or value >= self.lowest:
            return False
        self.lowest = float(value)
        content = {"step": step, "value": self.lowest, "name": self.name}
        with self.logger.writing("the best generator"):
            self.root.mkdir(exist_ok=True)
            self._keep_earlier()
            publish(self.root)
            write_durably(self.root / BEST_FILE, (json.dumps(content) + "\n").encode())
        return True

    def log_best(self) -> None:
        """Logs at the end of a training where the best generator is; nothing when there is none."""
        found = self._read(self.root) if self.name else None
        if found is not None:
            best = f"Lowest {self.name} {found['value']:.4g} at step {found['step']:,}"
            self.logger.progress.log(f"{best}: zerosum sample {in_shell(self.root)}")

    # --- earlier best generators

    def _keep_earlier(self) -> None:
        """Copies the best generator that is about to be replaced, and removes copies that no checkpoint can return to."""
        found = self._read(self.root)
        oldest = min(checkpoints(self.checkpoints), default=0)
        kept = sorted(self._earlier_steps())
        # A generator that was replaced before the oldest checkpoint is never needed again.
        successors = [*kept[1:], *([found["step"]] if found else [])]
        for at, successor in zip(kept, successors, strict=False):
            if successor < oldest:
                shutil.rmtree(self._earlier_folder(at))
        if found is None:
            return
        temporary = self.earlier / f".{found['step']}.part"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for path in [path for path in self.root.iterdir() if path.is_file()]:
            shutil.copy2(path, temporary / path.name)
        shutil.rmtree(self._earlier_folder(found["step"]), ignore_errors=True)
        os.replace(temporary, self._earlier_folder(found["step"]))

    def _restore_earlier(self, values_by_step: Mapping[int, float | None]) -> dict[str, Any] | None:
        """Moves the newest earlier best generator whose health check is in the log back into place; removes the others."""
        for at in sorted(self._earlier_steps(), reverse=True):
            place = self._earlier_folder(at)
            found = self._read(place)
            if found is not None and values_by_step.get(found["step"]) == found["value"]:
                for path in [path for path in place.iterdir() if path.is_file()]:
                    os.replace(path, self.root / path.name)
                shutil.rmtree(place)
                return found
            shutil.rmtree(place)
        for name in (BEST_FILE, CARD, WEIGHTS, EXAMPLES):  # files of other programs stay
            (self.root / name).unlink(missing_ok=True)
        for folder in (self.earlier, self.root):
            with contextlib.suppress(OSError):
                folder.rmdir()
        return None

    def _earlier_steps(self) -> list[int]:
        return list(steps_in(self.earlier))

    def _earlier_folder(self, step: int) -> Path:
        return self.earlier / step_name(step)

    def _read(self, place: Path) -> dict[str, Any] | None:
        """The best.json of a folder: step, value and name; None when the folder is incomplete or its value has another name."""
        try:
            found = read_object(place / BEST_FILE)
            card = read_object(place / CARD)
            whole = found["step"] == card["step"] and found["name"] == self.name and math.isfinite(found["value"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if whole else None
