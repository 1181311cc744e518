"""What the networks of a translation must know of it."""

from __future__ import annotations

from dataclasses import dataclass

from zerosum.domain import DatasetInfo
from zerosum.domains.translation.sides import Side, sides


@dataclass(frozen=True)
class Task:
    """Both sides, and whether rows are pairs."""

    input: Side
    target: Side
    paired: bool = True


def task_of(info: DatasetInfo) -> Task:
    """The Task of a data set."""
    return Task(*sides(info), bool(info.payload["paired"]))
