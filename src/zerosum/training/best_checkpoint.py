"""The best generator of a run so far, kept beside the last: `best/` of the run folder, ranked by a value of the looks.

A look with the lowest value so far publishes the average generator there. The log says what the values were, so after a
resume or a rollback only what the log still tells counts: the bests that were overtaken since the oldest checkpoint wait in
`best/earlier/`, and the newest of them comes back when the run returns to a step before its successor.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zerosum.generation.sampler import CARD, EXAMPLES, WEIGHTS
from zerosum.jsonfile import read_object
from zerosum.run_folder import RunFolder
from zerosum.store import checkpoints, step_name, steps_in, write_durably
from zerosum.training.run_logger import RunLogger

ABOUT = "best.json"


class BestCheckpoint:
    """The best generator of one run: that of the look with the lowest value of that name; none if it is empty.

    lowest: of the looks that the log tells; infinite before the first.
    """

    def __init__(self, folder: RunFolder, journal: RunLogger, name: str) -> None:
        self.name = name
        self.root, self.checkpoints, self.journal = folder.root / "best", folder.checkpoints, journal
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
        with self.journal.writing("the best generator"):
            self.root.mkdir(exist_ok=True)
            self._set_aside()
            publish(self.root)
            write_durably(self.root / ABOUT, (json.dumps(content) + "\n").encode())
        return True

    def tell(self) -> None:
        """Says at the end of a training where the best is; nothing when there is none."""
        found = self._read(self.root) if self.name else None
        if found is not None:
            best = f"Lowest {self.name} {found['value']:.4g} at step {found['step']:,}"
            self.journal.progress.say(f"{best}: zerosum sample {self.root}")

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
        for name in (ABOUT, CARD, WEIGHTS, EXAMPLES):  # what others have put here stays
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
            found = read_object(place / ABOUT)
            card = read_object(place / CARD)
            whole = found["step"] == card["step"] and found["name"] == self.name and math.isfinite(found["value"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if whole else None
