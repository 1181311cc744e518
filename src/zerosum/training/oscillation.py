"""Whether a series of numbers swings: back and forth, at a steady beat or at none."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

LEAST = 24
"""Numbers of a series from which on it is judged."""
TURNS = 4
"""Reversals from which on a series goes back and forth rather than somewhere."""


def swing_of(values: Sequence[float], least: float) -> float | None:
    """The amplitude of a series that goes back and forth: half the median height between its reversals. None where means of
    three neighbours turn fewer than four times by twice `least`: a drift, a jump, or noise from one number to the next."""
    if len(values) < LEAST:
        return None
    calm = [statistics.fmean(values[i - 1 : i + 2]) for i in range(1, len(values) - 1)]
    ends, low, high = [], calm[0], calm[0]
    rising: bool | None = None
    for value in calm:
        low, high = min(low, value), max(high, value)
        if rising is not False and high - value >= 2 * least:
            ends.append(high)
            rising, low = False, value
        elif rising is not True and value - low >= 2 * least:
            ends.append(low)
            rising, high = True, value
    if len(ends) < TURNS:
        return None
    return statistics.median(abs(a - b) for a, b in itertools.pairwise(ends)) / 2


def _detrended(values: Sequence[float]) -> list[float]:
    num = len(values)
    middle, centre = (num - 1) / 2, statistics.fmean(values)
    slope = sum((i - middle) * (v - centre) for i, v in enumerate(values)) / sum((i - middle) ** 2 for i in range(num))
    return [v - centre - slope * (i - middle) for i, v in enumerate(values)]


def beat_of(values: Sequence[float]) -> tuple[int, float, float] | None:
    """(lag, autocorrelation, amplitude) of the strongest beat above 0.5 in an evenly looked at series; None without one.

    The linear trend is taken out; a beat counts from its first return, after the autocorrelation has been below 0.
    """
    num = len(values)
    if num < LEAST:
        return None
    rest = _detrended(values)
    power = sum(v * v for v in rest) / num
    if power < 1e-12:
        return None
    # Each lag is averaged over its own pairs, so that a long period is not taken for a fading one.
    scores = [
        sum(a * b for a, b in zip(rest, rest[lag:], strict=False)) / (num - lag) / power for lag in range(num // 2)
    ]
    below = next((lag for lag, score in enumerate(scores) if score < 0), None)
    if below is None:
        return None
    top = max(scores[below:])
    if top <= 0.5:
        return None
    # The first of nearly equal peaks: the others are its multiples.
    peaks = (
        lag
        for lag in range(below, len(scores))
        if scores[lag] >= 0.9 * top and scores[lag] >= max(scores[lag : lag + 2])
    )
    lag = next(peaks)
    return lag, scores[lag], math.sqrt(2 * power)
