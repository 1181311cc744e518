"""Whether a series of numbers comes back to where it was at a steady beat."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def beat_of(values: Sequence[float]) -> tuple[int, float, float] | None:
    """(lag, autocorrelation, amplitude) of the strongest beat above 0.5 in an evenly looked at series; None without one.

    The linear trend is taken out; a beat counts from its first return, after the autocorrelation has been below 0.
    """
    num = len(values)
    if num < 24:
        return None
    middle, centre = (num - 1) / 2, statistics.fmean(values)
    slope = sum((i - middle) * (v - centre) for i, v in enumerate(values)) / sum((i - middle) ** 2 for i in range(num))
    rest = [v - centre - slope * (i - middle) for i, v in enumerate(values)]
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
