"""What the networks of a translation must know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zerosum.domains.translation.facts import Side, sides


@dataclass(frozen=True)
class Task:
    """Both sides, and whether rows are pairs."""

    input: Side
    target: Side
    paired: bool = True


def task_of(facts: Mapping[str, Any]) -> Task:
    """The Task in a source's facts."""
    return Task(*sides(facts), bool(facts["paired"]))
