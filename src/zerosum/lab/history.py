"""The numbers of a game over its steps, kept within bounds."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from typing import Any

MOST = 3_000
"""Points kept; when there are more, every second of the older half is dropped."""


class History:
    """step -> numbers, by rising step. What is measured later of a step is joined to what was noted of it."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._values: dict[int, dict[str, float]] = {}

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """Adds numbers of a step."""
        if step not in self._values:
            bisect.insort(self._steps, step)
            self._values[step] = {}
        self._values[step].update(values)
        if len(self._steps) > MOST:
            for old in self._steps[1 : MOST // 2 : 2]:
                del self._values[old]
            self._steps = [kept for kept in self._steps if kept in self._values]

    def truncate(self, step: int) -> None:
        """Forgets what came after `step`."""
        while self._steps and self._steps[-1] > step:
            del self._values[self._steps.pop()]

    def point(self, step: int) -> dict[str, Any]:
        """{"step": ..., numbers ...} of one step."""
        return {"step": step, **self._values.get(step, {})}

    def points(self) -> list[dict[str, Any]]:
        """All points."""
        return [self.point(step) for step in self._steps]

    def back_from(self, step: int) -> Iterator[dict[str, Any]]:
        """The points up to a step, the newest first."""
        return (self.point(self._steps[at]) for at in range(bisect.bisect_right(self._steps, step) - 1, -1, -1))
