"""The grid that the numbers of a column lie on: whole numbers, cents, multiples of 500, days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST, MOST_ROUNDER, LEAST_EXCESS = 100, 3, 0.05
"""The least number of numbers for finding rounder ones, the greatest number of lattices, and the least excess over chance on
each."""
ROUND = sorted(a * 10**b for a in (1, 2, 5) for b in range(16))
"""Common steps of rounded numbers."""
EXACT = 2.0**53
"""Whole numbers below this are exact in a double."""


@dataclass(frozen=True)
class Grid:
    """Numbers (first + k step) / scale with whole k; any number where step is 0."""

    first: int = 0
    step: int = 0
    scale: float = 0.0

    @classmethod
    def fit(cls, numbers: Floats, scale: float) -> Grid:
        """The coarsest grid that holds all numbers (not NaN), which are whole multiples of 1 / scale; scale 0: none is known."""
        if not scale or not np.abs(numbers * scale).max() < EXACT:
            return cls()
        whole = np.round(np.unique(numbers) * scale).astype(np.int64)
        return cls(int(whole[0]), int(np.gcd.reduce(np.diff(whole), initial=0)), scale)

    @property
    def cell(self) -> float:
        """The distance of neighbours, 0 where there is no grid."""
        return self.step / self.scale if self.step else 0.0

    def rounded(self, numbers: Floats, direction: int = 0) -> Floats:
        """The nearest numbers of the grid, or the next ones above (direction 1) or below (-1), as exactly as doubles can be."""
        if not self.step:
            return numbers
        steps = (numbers * self.scale - self.first) / self.step
        steps = direction * np.ceil(direction * steps - 1e-6) if direction else np.round(steps)
        return np.asarray((self.first + steps * self.step) / self.scale, dtype=np.float64)


@dataclass(frozen=True)
class Rounder:
    """The lattices of numbers most of which are rounder than their grid requires, such as hundreds among whole euros.

    steps: each in units of 1 / scale, a multiple of the one before; the first is the grid's own. shares: of the numbers that are
    drawn from each lattice, together 1.
    """

    steps: tuple[int, ...]
    shares: tuple[float, ...]

    @classmethod
    def fit(cls, numbers: Floats, before: Floats, after: Floats, grid: Grid) -> Rounder | None:
        """The lattices that numbers lie on far more often than by chance; None where there is none. before, after: (N,) bounds
        of each number; the shares are those of numbers with points of all lattices there."""
        if not grid.step or len(numbers) < FEWEST:
            return None
        units, steps = np.round(numbers * grid.scale), [grid.step]
        rounder_than = [step for step in ROUND if grid.step < step < np.ptp(units) / 4]
        while len(steps) <= MOST_ROUNDER:
            shares = _shares(units, steps)
            usable = [one for one in rounder_than if all(max(one, step) % min(one, step) == 0 for step in steps)]
            excess = {one: float((units % one == 0).mean()) - _expected(one, steps, shares) for one in usable}
            best = max(excess, key=lambda one: excess[one], default=0)
            if not best or best in steps or excess[best] < LEAST_EXCESS:
                break
            steps = sorted([*steps, best])
        if len(steps) == 1:
            return None
        first, last = (np.round(end * grid.scale) for end in (before, after))
        free = np.ceil(last / steps[-1]) - 1 > np.floor(first / steps[-1])
        return cls(tuple(steps), _shares(units[free] if free.sum() >= FEWEST else units, steps))

    def share_upto(self, units: Floats, first: Floats, last: Floats) -> Floats:
        """(N,) of the numbers between `first` and `last`, both left out, the share that is at most `units`, all in units of
        1 / scale."""
        total, weight = np.zeros_like(units), np.zeros_like(units)
        offset = first % self.steps[0]
        for step, share in zip(self.steps, self.shares):
            start = offset if step == self.steps[0] else 0.0
            begin = np.floor((first - start) / step)
            num = np.ceil((last - start) / step) - 1 - begin
            at = np.clip(np.floor((units - start) / step) - begin, 0, num)
            total += np.where(num > 0, share * at / np.maximum(num, 1), 0.0)
            weight += np.where(num > 0, share, 0.0)
        return np.asarray(total / np.where(weight > 0, weight, 1.0), dtype=np.float64)

    def number_at(self, shares: Floats, first: Floats, last: Floats) -> Floats:
        """(N,) the inverse: the least number, in units of 1 / scale, up to which more than a share lies."""
        step = self.steps[0]
        low, high = np.ones_like(shares), np.maximum(np.round((last - first) / step) - 1, 1)
        while (low < high).any():
            middle = np.floor((low + high) / 2)
            enough = self.share_upto(first + middle * step, first, last) > shares
            low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
            low = np.minimum(low, high)
        return np.asarray(first + low * step, dtype=np.float64)


def _expected(step: int, steps: Sequence[int], shares: Sequence[float]) -> float:
    """The share of numbers that lie on a lattice, if they are drawn evenly from others."""
    return sum(share * min(1.0, other / step) for other, share in zip(steps, shares))


def _shares(units: Floats, steps: Sequence[int]) -> tuple[float, ...]:
    """The shares drawn from each lattice with which each holds as many numbers as it does."""
    held = [1.0, *(float((units % step == 0).mean()) for step in steps[1:])]
    matrix = np.array([[min(1.0, other / step) for other in steps] for step in steps])
    found = np.clip(np.linalg.solve(matrix, held), 1e-4, None)
    return tuple(float(share) for share in found / found.sum())
