"""Encodings of a column as entries of a row: categories one-hot, numbers by their quantiles or by a mixture of normals.

Quantiles (the randomised-CDF transform) preserve marginals exactly, with spikes, whole numbers and bounds. A value v has the
interval [P(X < v), P(X <= v)]. A cell is encoded as the standard normal quantile of a random point of its interval; decoding
finds the interval that contains a point. Of many distinct values only KNOTS quantiles and all heavier spikes are
kept; between two of them the CDF is a straight line and values are rounded to the column's grid.

Mixture: mode-specific normalisation (Xu et al. 2019, arXiv:1907.00503, section 4.2). A Bayesian mixture of at most MODES normals
is fitted; a cell is encoded as a mode drawn by the posterior and the offset (v - mean) / (4 deviation).

Legend: N cells, L levels, K knots, M modes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerosum.domains.tables.hashing import uniform
from zerosum.domains.tables.layout import Kind
from zerosum.domains.tables.rounding import Grid, Rounder
from zerosum.domains.tables.table import Floats, Mask
from zerosum.errors import UserError

Codes = NDArray[np.int64]
KNOTS = 1024
"""The greatest number of distinct values that are kept exactly; of more values, this many quantiles and all spikes are kept."""
NEAR = 0.02
"""The part of a column's range that counts as near."""
FAR = 10
"""A number is an outlier if its distance from all others is this many times their range."""
LEAST = 1e-9
"""The least distance of a point from the ends of the unit interval."""
MARGIN = 1e-7
"""Margin at both ends of an interval, as a part of the unit interval; it exceeds the rounding of float32, so that decoding is
exact."""
MODES, LEAST_WEIGHT, MOST_ROWS, SPREAD = 10, 0.005, 5_000, 4.0
"""The greatest number of normals, the least weight of one that is kept, the greatest number of rows for the fit, and the number
of deviations of an offset of 1."""


def plain_values(part: Any) -> dict[str, Any]:
    """The fields of a dataclass as plain values for the payload; arrays are joined to texts, which keeps the file readable."""
    return {name: _plain(value) for name, value in vars(part).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return " ".join(repr(number).removesuffix(".0") for number in value.tolist())
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def array_of(plain: Any, dtype: type) -> NDArray[Any]:
    """The array that `plain_values` joined to a text; a list in older files."""
    return np.array(plain.split() if isinstance(plain, str) else plain, dtype=dtype)


def draw_indices(weights: NDArray[Any], draw: Floats) -> Codes:
    """(N,) uniforms -> indices of `weights` (L,), drawn with these weights; uniformly if all are 0."""
    edges = np.cumsum(weights if weights.any() else np.ones(len(weights)))
    found: Codes = np.searchsorted(edges, draw * edges[-1], side="right").clip(max=len(weights) - 1)
    return found


@dataclass(frozen=True, eq=False)
class Categories:
    """One entry for each level. counts: (L,) training rows of each level, commonest first. kept: number of levels with their own
    entry; the last entry represents all others, if there are any, and is decoded as one of them, drawn by frequency."""

    counts: Codes
    kept: int
    kind: ClassVar[Kind] = "category"
    missing: ClassVar[int] = 0

    @classmethod
    def fit(cls, codes: Codes, num_levels: int, most: int) -> Categories:
        """The encoding of `num_levels` levels on at most `most` places; codes: of the training rows."""
        return cls(np.bincount(codes, minlength=num_levels), num_levels if num_levels <= most else most - 1)

    @property
    def rare(self) -> int:
        """Number of levels without their own entry."""
        return len(self.counts) - self.kept

    @property
    def width(self) -> int:
        """Places of an encoded cell."""
        return self.kept + (self.rare > 0)

    def places(self, codes: Codes) -> Codes:
        """(N,) levels -> the entries that represent them."""
        return np.minimum(codes, self.width - 1)

    def decode(
        self,
        places: Codes,
        draw: Floats,
        allowed: Mask | None = None,
        like: Sequence[tuple[Codes, Codes]] = (),
    ) -> Codes:
        """(N,) places and (N,) uniforms -> levels. allowed: (L,) of the rare levels only these, where any of them occurs.

        like: for each column that the levels determine, its (L,) values by level and the (N,) values of the rows, with which
        the must agree; if that is impossible, the last columns are ignored first. A rare level is drawn among the levels that
        agree; a level with its own entry that does not agree is replaced by one drawn by frequency among those that do.
        """
        if not self.rare:
            found = places.copy() if like else places
        else:
            weights = self.counts[self.kept :].astype(np.float64)
            if allowed is not None and (weights * allowed[self.kept :]).any():
                weights = weights * allowed[self.kept :]
            found = np.where(places < self.kept, places, self.kept + draw_indices(weights, draw))
        if not like:
            return found
        free = self.counts > 0 if allowed is None else (self.counts > 0) & allowed
        wrong = np.any([values[found] != made for values, made in like], axis=0)
        self._agree(found, np.flatnonzero((places < self.kept) & wrong), draw, free, like)
        waiting, free = np.flatnonzero(places >= self.kept), free & (np.arange(len(free)) >= self.kept)
        for num in range(len(like), 0, -1):
            waiting = self._agree(found, waiting, draw, free, like[:num])
        return found

    def _agree(self, found: Codes, at: Codes, draw: Floats, free: Mask, like: Sequence[tuple[Codes, Codes]]) -> Codes:
        """Draws the levels of the rows `at` among the free ones that agree with them; returns the rows that none agrees with."""
        if not len(at):
            return at
        table = np.column_stack([values for values, _ in like])
        rows = np.column_stack([made[at] for _, made in like])
        _, both = np.unique(np.concatenate([table, rows]), axis=0, return_inverse=True)
        of_level, of_row = both.reshape(-1)[: len(table)], both.reshape(-1)[len(table) :]
        known = np.isin(of_row, of_level[free])
        for group in np.unique(of_row[known]):
            some = at[of_row == group]
            found[some] = draw_indices(self.counts * (free & (of_level == group)), draw[some])
        return at[~known]

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Categories:
        """The inverse of plain_values."""
        return cls(array_of(plain["counts"], np.int64), plain["kept"])


@dataclass(frozen=True, eq=False)
class QuantileTransform:
    """values: (K,) ascending. below, upto: (K,) int64, number of rows with a smaller value, and with an at most equal one. num:
    rows with a number.

    missing: rows without a number; whether a number is missing is encoded separately, one-hot (known, missing), and the number of
    a missing cell is 0. grid: to which values between two knots are rounded. rounder: the rounder numbers among them.
    """

    values: Floats
    below: Codes
    upto: Codes
    num: int
    missing: int
    grid: Grid
    rounder: Rounder | None = None
    kind: ClassVar[Kind] = "numeric"

    @classmethod
    def fit(cls, column: Floats, grid: Grid, knots: int = KNOTS) -> QuantileTransform:
        """The transform of a column: (N,) numbers, NaN where missing, at least one of which is known."""
        numbers, counts = np.unique(column[~np.isnan(column)], return_counts=True)
        upto = np.cumsum(counts)
        below, num = upto - counts, int(upto[-1])
        kept = np.arange(len(numbers))
        if len(numbers) > knots:
            quantiles = np.searchsorted(upto, np.arange(1, knots) / knots * num)
            spikes = np.flatnonzero(counts * knots >= num)
            kept = np.unique(np.concatenate([quantiles, spikes, kept[[0, -1]], _before_gaps(numbers)]))
        between = np.setdiff1d(np.arange(len(numbers)), kept, assume_unique=True)
        after = np.searchsorted(kept, between)
        held, low, high = (np.repeat(numbers[at], counts[between]) for at in (between, kept[after - 1], kept[after]))
        rounder = Rounder.fit(held, low, high, grid) if len(between) else None
        return cls(numbers[kept], below[kept], upto[kept], num, int(np.isnan(column).sum()), grid, rounder)

    @property
    def width(self) -> int:
        """Entries of an encoded cell: the number, and known and missing if some are missing."""
        return 3 if self.missing else 1

    @property
    def low(self) -> float:
        """The least value."""
        return float(self.values[0])

    @property
    def high(self) -> float:
        """The greatest value."""
        return float(self.values[-1])

    def intervals(self, numbers: Floats) -> tuple[Floats, Floats]:
        """(N,) numbers -> the ends of their intervals in [0, 1]; for NaN both are 0.5, which is encoded as 0."""
        unknown = np.isnan(numbers)
        low, high = (self._place(numbers, side) / self.num for side in (-0.5, 0.5))
        return np.where(unknown, 0.5, low), np.where(unknown, 0.5, high)

    def encode(self, numbers: Floats, draw: Tensor) -> Tensor:
        """(N,) numbers, NaN where missing, and (N,) uniforms for the points of their intervals -> (N, width) float32."""
        low, high = (torch.from_numpy(end) for end in self.intervals(numbers))
        missing = torch.from_numpy(np.isnan(numbers)).float()
        return torch.stack([normal_points(low, high, draw), 1 - missing, missing], 1)[:, : self.width]

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
            share = self.rounder.share_upto(units - (step if side < 0 else 0), first, last)
        between = self.upto[at] + np.clip(share, 0, 1) * (self.below[after] - self.upto[at])
        exact = np.where(side < 0, self.below[at], self.upto[at])
        on_knot = np.abs(numbers - self.values[at]) <= half * 0.5 if half else numbers == self.values[at]
        return np.where(on_knot | (after == at) | (numbers < self.values[0]), exact, between)

    def decode(self, block: Floats) -> Floats:
        """(N, width) -> numbers, NaN for missing; the inverse of the encoding."""
        numbers = self.numbers(block[:, 0])
        return np.where(block[:, 2] > block[:, 1], np.nan, numbers) if self.missing else numbers

    def numbers(self, normal: Floats) -> Floats:
        """(N,) standard normal values -> numbers."""
        share = torch.special.ndtr(torch.from_numpy(np.asarray(normal, dtype=np.float64))).numpy()
        place = np.clip(share * self.num, 0, np.nextafter(self.num, 0))
        at = np.minimum(np.searchsorted(self.upto, place, side="right"), len(self.values) - 1)
        before = np.maximum(at - 1, 0)
        gap = self.below[at] - self.upto[before]
        share = (place - self.upto[before]) / np.where(gap > 0, gap, 1)
        half = self.grid.cell * 0.5
        start, stop = self.values[before] + half, self.values[at] - half
        inside = self.grid.rounded(start + np.clip(share, 0, 1) * (stop - start))
        if self.rounder is not None:
            first, last = (np.round(part * self.grid.scale) for part in (self.values[before], self.values[at]))
            inside = self.rounder.number_at(np.clip(share, 0, 1 - 1e-12), first, last) / self.grid.scale
        inside = np.clip(inside, self.values[before], self.values[at])
        return np.where((place >= self.below[at]) | (gap <= 0), self.values[at], inside)

    def count(self, holds: Callable[[Floats], Mask]) -> int:
        """Approximate number of rows whose number (NaN if missing) satisfies a condition."""
        rows = np.diff(self.upto, prepend=0)
        return int(rows[holds(self.values)].sum()) + self.missing * bool(holds(np.array([np.nan]))[0])

    def count_near(self, number: float) -> int:
        """Approximate number of rows whose number is within NEAR of the range of the given one."""
        width = NEAR * (self.high - self.low)
        return self.count(lambda values: np.abs(values - number) <= width)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> QuantileTransform:
        """The inverse of plain_values; UserError where an earlier version coded missing cells as the least number."""
        values, below, upto = (
            array_of(plain[name], dtype)
            for name, dtype in (("values", np.float64), ("below", np.int64), ("upto", np.int64))
        )
        if below[0]:
            raise UserError(
                "This generator was trained by an earlier version of zerosum, which coded missing numbers as the least number "
                "of their column. It cannot be read by this version: train the table again."
            )
        rounder = Rounder(*map(tuple, plain["rounder"].values())) if plain.get("rounder") else None
        return cls(values, below, upto, plain["num"], plain["missing"], Grid(**plain["grid"]), rounder)


def _before_gaps(numbers: Floats) -> Codes:
    """The index next to a first or last number that is an outlier (see FAR), such as a 9999-12-31 that represents a missing date.
    With both as knots no value is decoded between them."""
    first, second, last_but_one, last = numbers[[0, 1, -2, -1]]
    ends = [
        (1, second - first > FAR * (last - second)),
        (len(numbers) - 2, last - last_but_one > FAR * (last_but_one - first)),
    ]
    return np.array([place for place, far in ends if far], dtype=np.int64)


def normal_points(low: Tensor, high: Tensor, draw: Tensor) -> Tensor:
    """float64 ends of intervals and uniforms -> float32 normal quantiles of points within, never at the very ends."""
    margin = ((high - low) / 4).clamp(max=MARGIN)
    point = low + margin + (high - low - 2 * margin) * draw
    normal: Tensor = torch.special.ndtri(point.clamp(LEAST, 1 - LEAST)).float()
    return normal


@dataclass(frozen=True, eq=False)
class Mixture:
    """weights, means, deviations: (M,). missing: share of missing cells, which are a separate mode. low, high: range of the
    values. grid: to which they are rounded."""

    weights: Floats
    means: Floats
    deviations: Floats
    missing: float
    low: float
    high: float
    grid: Grid
    kind: ClassVar[Kind] = "mixture"

    @classmethod
    def fit(cls, numbers: Floats, grid: Grid, seed: int) -> Mixture:
        """The transform of a column; numbers: of the training rows, NaN where missing."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import BayesianGaussianMixture

        known = numbers[~np.isnan(numbers)]
        middle, deviation = float(known.mean()), float(known.std()) or 1.0
        picked = np.random.default_rng(seed).permutation(len(known))[:MOST_ROWS]
        rows = (known[picked, None] - middle) / deviation
        model = BayesianGaussianMixture(
            n_components=min(MODES, len(np.unique(rows))),
            weight_concentration_prior_type="dirichlet_process",
            weight_concentration_prior=1e-3,
            random_state=seed,
        )
        with warnings.catch_warnings():  # a mixture that still moves a little is good enough for an encoding
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows)
        kept = model.weights_ >= LEAST_WEIGHT
        weights, spread = model.weights_[kept], np.sqrt(model.covariances_[kept, 0, 0])
        means, missing = model.means_[kept, 0] * deviation + middle, float(np.isnan(numbers).mean())
        ends = float(known.min()), float(known.max())
        return cls(weights / weights.sum(), means, spread * deviation, missing, *ends, grid)

    @property
    def width(self) -> int:
        """Entries of the encoded cell: offset, modes, and one for missing if that occurs."""
        return 1 + len(self.weights) + (self.missing > 0)

    def encode(self, numbers: Tensor | Floats, draw: Tensor) -> Tensor:
        """(N,) float64 numbers, NaN where missing, and (N,) uniforms that choose the modes -> (N, width) float32."""
        numbers = torch.as_tensor(numbers)
        weights, means, deviations = (
            torch.as_tensor(part, device=numbers.device) for part in (self.weights, self.means, self.deviations)
        )
        known = ~numbers.isnan()
        values = torch.where(known, numbers, means[0])
        far = (values[:, None] - means) / deviations
        posterior = (weights.log() - deviations.log() - far.square() / 2).softmax(1)
        mode = (posterior.cumsum(1) < draw[:, None]).sum(1).clamp(max=len(weights) - 1)
        offset = far.gather(1, mode[:, None])[:, 0] / SPREAD
        out = torch.zeros(len(numbers), self.width, device=numbers.device)
        out[:, 0] = torch.where(known, offset, 0.0).float()
        place = torch.where(known, mode, len(weights)).clamp(max=self.width - 2)
        return out.scatter_(1, 1 + place[:, None], 1.0)

    def decode(self, block: Floats) -> Floats:
        """(N, width) -> numbers, NaN for missing; the mode is the largest place."""
        mode = block[:, 1:].argmax(1)
        missing = mode >= len(self.means)
        mode = np.where(missing, 0, mode)
        numbers = np.clip(self.means[mode] + SPREAD * self.deviations[mode] * block[:, 0], self.low, self.high)
        return np.where(missing, np.nan, self.grid.rounded(numbers))

    def numbers(self, normal: Floats) -> Floats:
        """(N,) standard normal values, each in a mode drawn by its weight -> numbers."""
        modes = np.searchsorted(np.cumsum(self.weights), uniform(torch.arange(len(normal)), 3).numpy())
        block = np.zeros((len(normal), self.width))
        block[:, 0] = normal / SPREAD
        block[np.arange(len(normal)), 1 + modes.clip(max=len(self.weights) - 1)] = 1
        return self.decode(block)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Mixture:
        """The inverse of plain_values."""
        given = {name: array_of(plain[name], np.float64) for name in ("weights", "means", "deviations")}
        return cls(**{**plain, **given, "grid": Grid(**plain["grid"])})


Encoding = QuantileTransform | Mixture | Categories
