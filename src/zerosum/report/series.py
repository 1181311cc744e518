"""Series of a log, thinned without hiding anything: each drawn point keeps its mean, lowest and highest value."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from zerosum.report.read import Json, as_dict, number

LIMIT = 400


class Point(NamedTuple):
    """One drawn point: mean, lowest and highest of the logged values it stands for."""

    step: int
    mean: float
    low: float
    high: float


def thin(points: Sequence[tuple[int, float]], limit: int = LIMIT) -> list[Point]:
    """At most `limit` points (3 or more) that stand for all (step, value) pairs.

    The first and the last value stay as they are; those between are cut into runs of near-equal length, each kept as
    its mean, lowest and highest value at its middle step. Extremes and the overall mean are therefore never lost.
    """
    if limit < 3:
        raise ValueError(f"limit is {limit}; it must be 3 or more (first, last and what lies between)")
    if len(points) <= limit:
        return [Point(step, value, value, value) for step, value in points]
    inner, count = points[1:-1], limit - 2
    cuts = [len(inner) * index // count for index in range(count + 1)]
    runs = [points[:1], *(inner[a:b] for a, b in itertools.pairwise(cuts)), points[-1:]]
    return [_summary(run) for run in runs]


def _summary(run: Sequence[tuple[int, float]]) -> Point:
    values = [value for _, value in run]
    return Point(run[len(run) // 2][0], sum(values) / len(values), min(values), max(values))


class Series(NamedTuple):
    """One logged number over the run: finite (step, value) pairs, and how many values were not finite."""

    points: list[tuple[int, float]]
    num_lost: int


def collect(rows: Sequence[Json]) -> dict[str, Series]:
    """Every logged number of these log lines by name, in the order in which the log first names them."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for row in rows:
        for name, value in as_dict(row.get("values")).items():
            found.setdefault(name, []).append((int(row["step"]), value))
    series = {}
    for name, pairs in found.items():
        finite = [(step, kept) for step, value in pairs if (kept := number(value)) is not None]
        lost = sum(isinstance(value, float | None) and number(value) is None for _, value in pairs)
        if finite or lost:
            series[name] = Series(finite, lost)
    return series


def rounded(value: float) -> float:
    """Six significant digits: more than a chart shows, and a third of the bytes."""
    return float(f"{value:.6g}")
