"""The grid that the numbers of a column lie on: whole numbers, cents, multiples of 500, days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EXACT = 2.0**53
"""Whole numbers below this are exact in a double."""


@dataclass(frozen=True)
class Grid:
    """Numbers (first + k step) / scale with whole k; any number where step is 0."""

    first: int = 0
    step: int = 0
    scale: float = 0.0

    @property
    def cell(self) -> float:
        """The distance of neighbours, 0 where there is no grid."""
        return self.step / self.scale if self.step else 0.0

    def rounded(self, numbers: Floats) -> Floats:
        """The nearest numbers of the grid, as exactly as doubles can be."""
        if not self.step:
            return numbers
        steps = np.round((numbers * self.scale - self.first) / self.step)
        return np.asarray((self.first + steps * self.step) / self.scale, dtype=np.float64)


def of(numbers: Floats, scale: float) -> Grid:
    """The coarsest grid that holds all numbers (not NaN), which are whole multiples of 1 / scale; scale 0: none is known."""
    if not scale or not np.abs(numbers * scale).max() < EXACT:
        return Grid()
    whole = np.round(np.unique(numbers) * scale).astype(np.int64)
    return Grid(int(whole[0]), int(np.gcd.reduce(np.diff(whole), initial=0)), scale)
