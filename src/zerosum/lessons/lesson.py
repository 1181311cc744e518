"""What a lesson is: quantities that the theory gives and the engine measures, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zerosum.store import writing


@dataclass(frozen=True)
class Check:
    """One quantity as the theory gives it and as the engine's own code gave it.

    tolerance: how far apart they may be, absolute. measured_by: how the engine's number was made, in a few words.
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
    """The result of a lesson. data: what its picture needs in addition to the lines."""

    lines: Sequence[Check]
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """One thing the theory says. text: the statement and why it holds, a few plain sentences with the formula.

    run: seed -> Findings, in seconds on one core. picture: (findings, path) -> writes a file of one of `formats`.
    """

    name: str
    summary: str
    text: str
    source: str
    run: Callable[[int], Findings]
    picture: Callable[[Findings, Path], None]
    formats: tuple[str, ...]

    def draw(self, findings: Findings, path: Path) -> None:
        """Writes the picture; the file is there whole or not at all. UserError where it cannot be written."""
        with writing(path) as part:
            self.picture(findings, part)
