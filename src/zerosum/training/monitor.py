"""The health of one run as it goes: every look remembered, its findings judged by the looks before, news told once."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from zerosum.engine.game import Game
from zerosum.planning import timing
from zerosum.recipe import Recipe
from zerosum.training.diagnostics import SWING, Finding, examine, examine_records
from zerosum.training.oscillation import swing_of
from zerosum.training.rollback import GradientWatch

TROUBLE = ("alarm", "warning")
WINDOW = 60
"""Log lines over which the discriminator's verdict on the fakes is looked at."""
QUIET = 4
"""In this part of a run at its beginning nothing is said: what is alarming later is normal then."""
EARLIEST = 200
"""Before this step no samples are judged, however short the run: noise is neither collapsed nor flat, it is not trained yet."""


def checkup_of(recipe: Recipe, game: Game) -> RunMonitor:
    """That of a run of a recipe."""
    augment = recipe.augment.kind if recipe.augment else None
    return RunMonitor(recipe.steps, augment, timing.phases(game, recipe.steps)[-1])


class RunMonitor:
    """What the health rules look back on. steps: of the whole run. augment: the kind of augmentation at work, if any. begins: the
    step of the last phase of a game in phases, before which its samples are nothing yet."""

    def __init__(self, steps: int, augment: str | None = None, begins: int = 0) -> None:
        self.steps, self.augment, self.begins = steps, augment, begins
        self._looks: list[Mapping[str, float]] = []
        self._watch()
        self._told: set[str] = set()

    def _watch(self) -> None:
        self._gradients = GradientWatch()
        self._verdicts: deque[float] = deque(maxlen=WINDOW)

    def recall(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Begins anew from the lines of a log."""
        found = [line["values"] for line in lines if line["kind"] == "health" and line["step"] >= self.begins]
        self._looks = [{name: x for name, x in values.items() if x is not None} for values in found]
        self._watch()
        for line in lines:
            if line["kind"] == "train":
                self.see(line["values"])

    def see(self, values: Mapping[str, float | None]) -> None:
        """The values of one log line of the training."""
        self._gradients.see(values)
        verdict = values.get("D(G(z))")
        if verdict is not None:
            self._verdicts.append(float(verdict))

    def look(self, step: int, values: dict[str, float]) -> list[Finding]:
        """Findings of this boundary; `values` gains what the log lines since told. None of samples in the first steps."""
        risen, swing = self._gradients.values(), swing_of(list(self._verdicts), SWING)
        values |= risen | ({} if swing is None else {"swing": swing})
        if step >= self.begins + EARLIEST:
            found = examine(values, self._looks, self.augment)
        else:  # gradients alone can be judged
            found = [one for one in examine(risen) if one.level in TROUBLE] or [self._too_early(step)]
        if step >= self.begins:
            self._looks.append(values)
        return found

    def measured(self, step: int, records: Sequence[Mapping[str, Any]]) -> list[Finding]:
        """What the records of an evaluation at this step add to the findings; nothing in the first steps."""
        return examine_records(records) if step >= self.begins + EARLIEST else []

    def _too_early(self, step: int) -> Finding:
        begins = self.begins + EARLIEST
        return Finding(
            "none",
            "Not judged",
            f"Samples are judged from step {begins:,} on: what is hardly trained is neither collapsed nor flat.",
            f"step {step:,} of {self.steps:,}",
            f"Train for longer: --steps {2 * begins} or more." if self.steps < begins else "",
        )

    def news(self, step: int, findings: Sequence[Finding]) -> list[str]:
        """What the person should hear of them: each kind of trouble once, and none early in the run."""
        if step < self.begins + (self.steps - self.begins) // QUIET:
            return []
        fresh = [one for one in findings if one.level in TROUBLE and one.title not in self._told]
        self._told |= {one.title for one in fresh}
        return [one.told() for one in fresh]
