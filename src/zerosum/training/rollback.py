"""When a game leaves the finite numbers: what is told, going back to the last good checkpoint, and a sign that comes before."""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zerosum.engine.loop import NonFinite, TrainingLoop

MOST_ROLLBACKS = 4
"""In one run: half the rate each time leaves a sixteenth, and what still diverges then is not a matter of the rate."""
RATE = 0.5
RECENT, NEARLY_ALL = 50, 0.9
"""A player of whose newest so many updates this share was left out does not learn any more."""
WINDOW, PATIENCE, LEAST = 50, 5, 10
"""Log lines over which a gradient's median is taken, that must lie above it in a row, and that must be there to compare with."""


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


def advice(error: NonFinite, players: Iterable[str], went_back: bool) -> str:
    """What to change after a divergence."""
    rates = " ".join(f"--set learning.{name}.lr=..." for name in players)
    other = "" if went_back else " Or let a new run go back by itself: --on-nonfinite rollback."
    return (
        f"The rates are probably too high, of either player: train anew with lower ones ({rates}), or clip the gradient "
        f"(--set learning.{error.player}.clip_norm=1).{other} Resuming would come to the same step."
    )


def gradient_excess(norms: Sequence[float]) -> float | None:
    """The least of the newest PATIENCE gradient norms over the median of the WINDOW before; None while these are few."""
    usual, newest = norms[-WINDOW - PATIENCE : -PATIENCE], norms[-PATIENCE:]
    return min(newest) / max(statistics.median(usual), 1e-30) if len(usual) >= LEAST else None


class SkippedUpdates:
    """Updates that `on_nonfinite = skip` left out: which of each player's newest ones."""

    def __init__(self, match: TrainingLoop) -> None:
        self.match = match
        self._counted = dict(match.skips)
        self._recent: dict[str, deque[bool]] = {name: deque(maxlen=RECENT) for name in match.players}

    def see(self) -> None:
        """One more step was played."""
        for turn in self.match.game.turns(self.match.step - 1):
            for name in turn.players:
                left_out = self._counted[name] < self.match.skips[name]
                self._counted[name] += left_out
                self._recent[name].append(left_out)

    def stuck(self, at_the_end: bool = False) -> str:
        """Why a player no longer learns; "" while all do. at_the_end: fewer than RECENT updates count too."""
        for name, recent in self._recent.items():
            enough = len(recent) == RECENT or (at_the_end and recent)
            if enough and sum(recent) >= NEARLY_ALL * len(recent):
                return (
                    f"{sum(recent)} of the last {len(recent)} updates of the {name} were left out, so it no longer learns; "
                    f"the newest: {self.match.nonfinite}"
                )
        return ""

    def told(self) -> str:
        """The warning of a run that left updates out; "" when there were none."""
        each = ", ".join(f"{name} {count:,}" for name, count in self.match.skips.items() if count)
        if not each:
            return ""
        number = "1 update was" if self.match.skipped == 1 else f"{self.match.skipped:,} updates were"
        return (
            f"Warning: {number} left out in {self.match.step:,} steps, because a loss or gradient was not finite ({each}). "
            "Lower rates or clip_norm prevent that; --on-nonfinite rollback goes back instead."
        )


class GradientWatch:
    """How far each player's gradient norm has risen, over the log lines of a run."""

    def __init__(self) -> None:
        self._norms: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW + PATIENCE))
        self._first: dict[str, list[float]] = defaultdict(list)

    def see(self, values: Mapping[str, float | None]) -> None:
        """The values of one log line."""
        for name, norm in values.items():
            player, _, what = name.rpartition("/")
            if what == "gradient_norm" and norm is not None:
                self._norms[player].append(float(norm))
                if len(self._first[player]) < LEAST:
                    self._first[player].append(float(norm))

    def values(self) -> dict[str, float]:
        """gradient_excess/<player>: see `gradient_excess`, a sudden rise. gradient_growth/<player>: the median of the newest
        LEAST norms over that of the first LEAST of the run, a slow one."""
        found = {}
        for player, norms in self._norms.items():
            seen = list(norms)
            excess = gradient_excess(seen)
            if excess is not None:
                found[f"gradient_excess/{player}"] = excess
            if len(seen) >= 3 * LEAST:
                first, newest = (statistics.median(part) for part in (self._first[player], seen[-LEAST:]))
                found[f"gradient_growth/{player}"] = newest / max(first, 1e-30)
        return found
