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
from zerosum.formatting import Progress
from zerosum.generation.sampler import CARD, EXAMPLES, WEIGHTS
from zerosum.jsonfile import read_object
from zerosum.run_folder import RunFolder
from zerosum.store import checkpoints, latest_checkpoint, save_checkpoint, step_name, steps_in, write_durably
from zerosum.training.callbacks import RunLogger

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
                self.progress.log(
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
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            state = latest_checkpoint(self.folder.checkpoints, suits)
        for warning in caught:
            self.progress.log(f"Warning: {warning.message}")
        return state


# --- numbers that are not finite: rollbacks and skipped updates


MOST_ROLLBACKS = 4
"""In one run: half the rate each time leaves a sixteenth, and what still diverges then is not a matter of the rate."""
ROLLBACK_RATE = 0.5
RECENT_UPDATES, NEARLY_ALL_SKIPPED = 50, 0.9
"""A player of whose newest so many updates this share was left out does not learn any more."""


class RollbackPolicy:
    """The times that a run went back. `events` is part of the checkpoint, so that the limit holds over resumes.
    wanted: whether the recipe asks for it."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.events: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.events)

    @property
    def allowed(self) -> bool:
        """Whether the run may go back once more."""
        return self.wanted and len(self.events) < MOST_ROLLBACKS

    def add(self, error: NonFinite, to_step: int, rate: float) -> str:
        """Notes one more; returns what is told."""
        event = {"failed_step": error.step + 1, "to_step": to_step, "rate": rate, "reason": str(error)}
        self.events = [*self.events, event]
        return (
            f"Rollback {len(self)} of at most {MOST_ROLLBACKS}: {error}. Going on from step {to_step:,} with all learning "
            f"rates times {rate:g}."
        )

    def history(self) -> str:
        """What was tried, for the message of a run that diverged all the same; "" when nothing was."""
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
    """Updates that `on_nonfinite = skip` left out: which of each player's newest ones."""

    def __init__(self, loop: TrainingLoop) -> None:
        self.loop = loop
        self._counted = dict(loop.skips)
        self._recent: dict[str, deque[bool]] = {name: deque(maxlen=RECENT_UPDATES) for name in loop.players}

    def see(self) -> None:
        """One more step was played."""
        for turn in self.loop.game.turns(self.loop.step - 1):
            for name in turn.players:
                left_out = self._counted[name] < self.loop.skips[name]
                self._counted[name] += left_out
                self._recent[name].append(left_out)

    def stuck(self, at_the_end: bool = False) -> str:
        """Why a player no longer learns; "" while all do. at_the_end: fewer than RECENT updates count too."""
        for name, recent in self._recent.items():
            enough = len(recent) == RECENT_UPDATES or (at_the_end and recent)
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

    def recall(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Goes back to what the lines of a log know; drops and brings back generators accordingly."""
        if not self.name:
            return
        looks = {line["step"]: line["values"].get(self.name) for line in lines if line["kind"] == "health"}
        found = self._read(self.root)
        if found is None or looks.get(found["step"]) != found["value"]:
            found = self._bring_back(looks)
        self.lowest = found["value"] if found is not None else math.inf

    def see(self, step: int, values: Mapping[str, float], publish: Callable[[Path], None]) -> bool:
        """Publishes the generator of this look if it is the best; whether it was. An untrained one never is."""
        value = values.get(self.name) if self.name else None
        if not step or value is None or not math.isfinite(value) or value >= self.lowest:
            return False
        self.lowest = float(value)
        content = {"step": step, "value": self.lowest, "name": self.name}
        with self.logger.writing("the best generator"):
            self.root.mkdir(exist_ok=True)
            self._set_aside()
            publish(self.root)
            write_durably(self.root / BEST_FILE, (json.dumps(content) + "\n").encode())
        return True

    def tell(self) -> None:
        """Says at the end of a training where the best is; nothing when there is none."""
        found = self._read(self.root) if self.name else None
        if found is not None:
            best = f"Lowest {self.name} {found['value']:.4g} at step {found['step']:,}"
            self.logger.progress.log(f"{best}: zerosum sample {self.root}")

    # --- the bests that may come back

    def _set_aside(self) -> None:
        """Keeps a copy of the best that is about to be replaced, as long as the run may return."""
        found = self._read(self.root)
        oldest = min(checkpoints(self.checkpoints), default=0)
        kept = sorted(self._kept())
        # Of those that were overtaken before the oldest checkpoint, the run can never need one again.
        successors = [*kept[1:], *([found["step"]] if found else [])]
        for at, successor in zip(kept, successors, strict=False):
            if successor < oldest:
                shutil.rmtree(self._place(at))
        if found is None:
            return
        aside = self.earlier / f".{found['step']}.part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for path in [path for path in self.root.iterdir() if path.is_file()]:
            shutil.copy2(path, aside / path.name)
        shutil.rmtree(self._place(found["step"]), ignore_errors=True)
        os.replace(aside, self._place(found["step"]))

    def _bring_back(self, looks: Mapping[int, float | None]) -> dict[str, Any] | None:
        """The newest of the earlier bests that the log still knows takes the place again; the others are gone."""
        for at in sorted(self._kept(), reverse=True):
            place = self._place(at)
            found = self._read(place)
            if found is not None and looks.get(found["step"]) == found["value"]:
                for path in [path for path in place.iterdir() if path.is_file()]:
                    os.replace(path, self.root / path.name)
                shutil.rmtree(place)
                return found
            shutil.rmtree(place)
        for name in (BEST_FILE, CARD, WEIGHTS, EXAMPLES):  # what others have put here stays
            (self.root / name).unlink(missing_ok=True)
        for folder in (self.earlier, self.root):
            with contextlib.suppress(OSError):
                folder.rmdir()
        return None

    def _kept(self) -> list[int]:
        return list(steps_in(self.earlier))

    def _place(self, step: int) -> Path:
        return self.earlier / step_name(step)

    def _read(self, place: Path) -> dict[str, Any] | None:
        """What lies at a place: step, value and name; None when it is not whole or ranks by another name."""
        try:
            found = read_object(place / BEST_FILE)
            card = read_object(place / CARD)
            whole = found["step"] == card["step"] and found["name"] == self.name and math.isfinite(found["value"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if whole else None
