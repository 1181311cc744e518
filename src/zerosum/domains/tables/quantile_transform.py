"""The randomised-CDF transform of a numeric column: exact marginals, spikes, whole numbers and bounds alike.

A value v owns the stretch [P(X < v), P(X <= v)] of the unit interval. A cell is encoded as the standard normal quantile of a
point of its stretch, drawn anew each time; decoding finds the stretch that a point lies in. Of many distinct values only KNOTS
quantiles and all heavier spikes are kept; between two of them the CDF is a straight line and values are rounded to the column's
own grid. Whether a number is missing is said apart, one-hot (known, missing); the number of a missing cell is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerosum.domains.tables import rounding as grids
from zerosum.domains.tables.rounding import Grid, Rounder
from zerosum.errors import UserError

Floats = NDArray[np.float64]
KNOTS = 1024
"""Distinct values that are kept exactly; of more, this many quantiles and the spikes among them."""
NEAR = 0.02
"""The part of a column's range that counts as near."""
FAR = 10
"""How many times their range a number must lie from all others to stand apart."""
LEAST = 1e-9
"""No point lies nearer to the ends of the unit interval."""
MARGIN = 1e-7
"""Of the unit interval, at either end of a stretch: more than float32 can blur, so that a cell is decoded as itself."""


@dataclass(frozen=True, eq=False)
class QuantileTransform:
    """values: (K,) rising. below, upto: (K,) int64, rows that have less, and these and equal ones. num: rows that have a number.

    missing: rows that have none. grid: that values between two knots are rounded to. rounder: which of these most of them are.
    """

    values: Floats
    below: NDArray[np.int64]
    upto: NDArray[np.int64]
    num: int
    missing: int
    grid: Grid
    rounder: Rounder | None = None

    @property
    def width(self) -> int:
        """Places of an encoded cell: the number, and known and missing where some are."""
        return 3 if self.missing else 1

    def stretches(self, numbers: Floats) -> tuple[Floats, Floats]:
        """(N,) numbers -> the ends of their stretches in [0, 1]; for NaN both are 0.5, which is encoded as 0."""
        unknown = np.isnan(numbers)
        low, high = (self._place(numbers, side) / self.num for side in (-0.5, 0.5))
        return np.where(unknown, 0.5, low), np.where(unknown, 0.5, high)

    def encoded(self, numbers: Floats, draw: Tensor) -> Tensor:
        """(N,) numbers, NaN where missing, and (N,) uniforms for the points of their stretches -> (N, width) float32."""
        low, high = (torch.from_numpy(end) for end in self.stretches(numbers))
        missing = torch.from_numpy(np.isnan(numbers)).float()
        return torch.stack([placed(low, high, draw), 1 - missing, missing], 1)[:, : self.width]

    def _place(self, numbers: Floats, side: float) -> Floats:
        """Rows up to the lower (-0.5) or upper (0.5) end of each number's cell."""
        at = np.clip(np.searchsorted(self.values, numbers, side="right") - 1, 0, len(self.values) - 1)
        after = np.minimum(at + 1, len(self.values) - 1)
        half = self.grid.cell * 0.5
        start, stop = self.values[at] + half, self.values[after] - half
        share = (numbers + side * self.grid.cell - start) / np.where(stop > start, stop - start, 1.0)
        if self.rounder is not None:
            scale, step = self.grid.scale, self.grid.step
            units, first, last = (np.round(part * scale) for part in (numbers, self.values[at], self.values[after]))
            share = self.rounder.upto(units - (step if side < 0 else 0), first, last)
        between = self.upto[at] + np.clip(share, 0, 1) * (self.below[after] - self.upto[at])
        exact = np.where(side < 0, self.below[at], self.upto[at])
        on_knot = np.abs(numbers - self.values[at]) <= half * 0.5 if half else numbers == self.values[at]
        return np.where(on_knot | (after == at) | (numbers < self.values[0]), exact, between)

    def decoded(self, block: Floats) -> Floats:
        """(N, width) -> numbers, NaN for missing; the inverse of the encoding."""
        numbers = self.numbers(block[:, 0])
        return np.where(block[:, 2] > block[:, 1], np.nan, numbers) if self.missing else numbers

    def numbers(self, normal: Floats) -> Floats:
        """(N,) standard normal values -> numbers."""
        place = np.clip(_normal_cdf(normal) * self.num, 0, np.nextafter(self.num, 0))
        at = np.minimum(np.searchsorted(self.upto, place, side="right"), len(self.values) - 1)
        before = np.maximum(at - 1, 0)
        gap = self.below[at] - self.upto[before]
        share = (place - self.upto[before]) / np.where(gap > 0, gap, 1)
        half = self.grid.cell * 0.5
        start, stop = self.values[before] + half, self.values[at] - half
        inside = self.grid.rounded(start + np.clip(share, 0, 1) * (stop - start))
        if self.rounder is not None:
            first, last = (np.round(part * self.grid.scale) for part in (self.values[before], self.values[at]))
            inside = self.rounder.at(np.clip(share, 0, 1 - 1e-12), first, last) / self.grid.scale
        inside = np.clip(inside, self.values[before], self.values[at])
        return np.where((place >= self.below[at]) | (gap <= 0), self.values[at], inside)

    def held(self, holds: Callable[[Floats], NDArray[np.bool_]]) -> int:
        """About how many rows have a number (NaN: none) of which something holds."""
        rows = np.diff(self.upto, prepend=0)
        return int(rows[holds(self.values)].sum()) + self.missing * bool(holds(np.array([np.nan]))[0])

    def around(self, number: float) -> int:
        """About how many rows lie within NEAR of the range of a number."""
        width = NEAR * (self.values[-1] - self.values[0])
        return self.held(lambda values: np.abs(values - number) <= width)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the long lists are joined to texts, which keeps the file readable."""
        return {
            "values": _joined(self.values),
            "below": _joined(self.below),
            "upto": _joined(self.upto),
            "num": self.num,
            "missing": self.missing,
            "grid": asdict(self.grid),
            "rounder": self.rounder and asdict(self.rounder),
        }


def fitted(column: Floats, grid: Grid, knots: int = KNOTS) -> QuantileTransform:
    """The transform of a column: (N,) numbers, NaN where missing, some of which are there."""
    numbers, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    upto = np.cumsum(counts)
    below = upto - counts
    num = int(upto[-1])
    if len(numbers) > knots:
        quantiles = np.searchsorted(upto, np.arange(1, knots) / knots * num)
        spikes = np.flatnonzero(counts * knots >= num)
        kept = np.unique(np.concatenate([quantiles, spikes, [0, len(numbers) - 1], _before_gaps(numbers)]))
    else:
        kept = np.arange(len(numbers))
    between = np.setdiff1d(np.arange(len(numbers)), kept, assume_unique=True)
    after = np.searchsorted(kept, between)
    held, low, high = (np.repeat(numbers[at], counts[between]) for at in (between, kept[after - 1], kept[after]))
    rounder = grids.rounder(held, low, high, grid) if len(between) else None
    return QuantileTransform(numbers[kept], below[kept], upto[kept], num, int(np.isnan(column).sum()), grid, rounder)


def _before_gaps(numbers: Floats) -> NDArray[np.int64]:
    """The place next to a first or last number that lies FAR times as far from all others as these lie apart: a 9999-12-31
    that stands for none. With both as knots nothing is made between them."""
    first, second, last_but_one, last = numbers[[0, 1, -2, -1]]
    ends = [
        (1, second - first > FAR * (last - second)),
        (len(numbers) - 2, last - last_but_one > FAR * (last_but_one - first)),
    ]
    return np.array([place for place, far in ends if far], dtype=np.int64)


def placed(low: Tensor, high: Tensor, draw: Tensor) -> Tensor:
    """float64 ends of stretches and uniforms -> float32 normal quantiles of points within, never at the very ends."""
    margin = ((high - low) / 4).clamp(max=MARGIN)
    point = low + margin + (high - low - 2 * margin) * draw
    normal: Tensor = torch.special.ndtri(point.clamp(LEAST, 1 - LEAST)).float()
    return normal


def of_json(plain: Mapping[str, Any]) -> QuantileTransform:
    """The inverse of Cdf.to_json; UserError where an earlier version coded missing cells as the least number."""
    below = np.array(plain["below"].split(), dtype=np.int64)
    if below[0]:
        raise UserError(
            "This generator was trained by an earlier version of zerosum, which coded missing numbers as the least number of "
            "their column. It cannot be read by this version: train the table again."
        )
    return QuantileTransform(
        np.array(plain["values"].split(), dtype=np.float64),
        below,
        np.array(plain["upto"].split(), dtype=np.int64),
        plain["num"],
        plain["missing"],
        Grid(**plain["grid"]),
        Rounder(*map(tuple, plain["rounder"].values())) if plain.get("rounder") else None,
    )


def _normal_cdf(values: Floats) -> Floats:
    return np.asarray(torch.special.ndtr(torch.from_numpy(np.asarray(values, dtype=np.float64))).numpy())


def _joined(numbers: NDArray[Any]) -> str:
    return " ".join(repr(number).removesuffix(".0") for number in numbers.tolist())
