"""The parts of a lesson: quantities predicted by theory and measured with the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zerosum.store import writing


@dataclass(frozen=True)
class Check:
    """One quantity, as predicted by theory and as measured with the engine's own code.

    tolerance: largest absolute difference. measured_by: how the engine's number was computed, in a few words.
    """

    quantity: str
    theory: float
    engine: float
    tolerance: float
    measured_by: str

    @property
    def holds(self) -> bool:
        """Whether the two agree within the tolerance."""
        return abs(self.theory - self.engine) <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"holds": self.holds}


@dataclass(frozen=True)
class Findings:
    """The result of a lesson. data: further values that its picture needs."""

    lines: Sequence[Check]
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """One statement of GAN theory. text: the statement and its reason, in a few sentences with the formula.

    run: takes a seed and returns Findings, in seconds on one core. picture: writes findings to a file of one of `formats`.
    """

    name: str
    summary: str
    text: str
    source: str
    run: Callable[[int], Findings]
    picture: Callable[[Findings, Path], None]
    formats: tuple[str, ...]

    def draw(self, findings: Findings, path: Path) -> None:
        """Writes the picture atomically. Raises UserError if it cannot be written."""
        with writing(path) as part:
            self.picture(findings, part)
