"""Tables as one matrix of numbers and codes, and how similar two of them are, column by column and pair by pair.

Legend: N rows, C columns. The scores are 1 for equal distributions and 0 for the most different ones. Definitions: those of
SDMetrics (Patki et al. 2016, the Synthetic Data Vault): KSComplement, TVComplement, CorrelationSimilarity and
ContingencySimilarity, the last over ten equal bins where a column is numeric.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables.table import NUMERIC, Floats, Table
from zerosum.errors import UserError

NUM_BINS = 10


@dataclass(frozen=True, eq=False)
class NumericMatrix:
    """A table as metrics need it. names: (C,). numeric: (C,) whether a column holds numbers (NaN where missing); else it holds
    codes 0, 1, 2 ... values: (N, C) float64."""

    names: tuple[str, ...]
    numeric: tuple[bool, ...]
    values: Floats

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not self.values.shape[1] == len(self.names) == len(self.numeric):
            raise UserError(f"table: {self.values.shape} values do not fit {len(self.names)} names")

    @classmethod
    def of(cls, table: Table) -> NumericMatrix:
        """The learnt columns: numbers and moments with NaN where missing, categories by their index among the levels."""
        names = tuple(table.arrays)
        columns = [table.arrays[name].astype(np.float64) for name in names]
        numeric = tuple(table.column(name).kind in NUMERIC for name in names)
        return cls(names, numeric, np.column_stack(columns) if columns else np.zeros((len(table), 0)))

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> Floats:
        """(N,) the values of a column."""
        return self.values[:, self.names.index(name)]

    def rows(self, index: slice | NDArray[Any]) -> NumericMatrix:
        """These rows."""
        return replace(self, values=self.values[index])

    def shuffled(self, seed: int) -> NumericMatrix:
        """Each column permuted by itself: the same columns, but independent."""
        random = np.random.default_rng(seed)
        return replace(self, values=random.permuted(self.values, axis=0))

    def resampled(self, num: int, seed: int) -> NumericMatrix:
        """`num` rows drawn with replacement."""
        return self.rows(np.random.default_rng(seed).integers(len(self), size=num))


def shapes(real: NumericMatrix, fake: NumericMatrix) -> Floats:
    """(C,): for each column, how similar its distributions are; NaN where one side has no value."""
    return np.array([shape(real.values[:, c], fake.values[:, c], real.numeric[c]) for c in range(len(real.names))])


def shape(real: Floats, fake: Floats, numeric: bool) -> float:
    """1 - Kolmogorov-Smirnov distance of the numbers that are not missing, or 1 - total variation of codes."""
    if not numeric:
        return 1 - total_variation(real.astype(np.int64), fake.astype(np.int64))
    a, b = (np.sort(side[~np.isnan(side)]) for side in (real, fake))
    if not len(a) or not len(b):
        return float("nan")
    every = np.concatenate([a, b])
    below = [np.searchsorted(side, every, side="right") / len(side) for side in (a, b)]
    return 1 - float(np.abs(below[0] - below[1]).max())


def total_variation(real: NDArray[np.int64], fake: NDArray[np.int64]) -> float:
    """Half the sum of the differences between the shares of each code (0, 1, 2 ...); 0 to 1."""
    num = 1 + max(int(real.max(initial=0)), int(fake.max(initial=0)))
    shares = [np.bincount(side, minlength=num) / len(side) for side in (real, fake)]
    return float(np.abs(shares[0] - shares[1]).sum()) / 2


def trends(real: NumericMatrix, fake: NumericMatrix) -> Floats:
    """(C, C), symmetric, NaN on the diagonal and where a correlation is undefined: for each pair of columns, how similar their
    association is. Two numeric columns: 1 - |difference of their correlations| / 2; else 1 - total variation of the pairs."""
    num = len(real.names)
    linear = 1 - np.abs(correlations(real) - correlations(fake)) / 2
    codes = [_codes(side, real) for side in (real, fake)]
    found = np.full((num, num), np.nan)
    for a in range(num):
        for b in range(a):
            if real.numeric[a] and real.numeric[b]:
                score = linear[a, b]
            else:
                score = 1 - total_variation(*_paired([side[:, a] for side in codes], [side[:, b] for side in codes]))
            found[a, b] = found[b, a] = score
    return found


def correlations(table: NumericMatrix) -> Floats:
    """(C, C) Pearson correlations over the rows where both are known; NaN for codes and for columns that do not vary."""
    values = np.where(table.numeric, table.values, np.nan)
    known = (~np.isnan(values)).astype(np.float64)
    middle = np.nan_to_num(np.divide(np.nansum(values, 0), known.sum(0), where=known.sum(0) > 0, out=known[0] * 0))
    filled = np.where(known > 0, values - middle, 0.0)
    both = known.T @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (filled.T @ known) / both  # of the column of the row, over rows where the other is known
        squares = (np.square(filled).T @ known) / both - np.square(means)
        joint = (filled.T @ filled) / both - means * means.T
        spread = np.sqrt(squares * squares.T)
        found: Floats = np.where(spread > 1e-12 * np.nanmax(squares, initial=0.0), joint / spread, np.nan)
    return np.clip(found, -1, 1)


def _codes(table: NumericMatrix, real: NumericMatrix) -> NDArray[np.int64]:
    """(N, C): codes as they are, numbers by the tenth of the real range that they lie in or are nearest to."""
    found = np.empty(table.values.shape, dtype=np.int64)
    for c, numeric in enumerate(real.numeric):
        column = table.values[:, c]
        if numeric:
            known = real.values[:, c][~np.isnan(real.values[:, c])]
            edges = np.histogram_bin_edges(known, bins=NUM_BINS) if len(known) else np.zeros(2)
            edges[0], edges[-1] = -np.inf, np.inf  # missing numbers come after the last
            found[:, c] = np.digitize(column, edges)
        else:
            found[:, c] = column
    return found


def _paired(a: Sequence[NDArray[np.int64]], b: Sequence[NDArray[np.int64]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """One code for each pair of codes that occurs, on either side."""
    width = 1 + max(int(side.max(initial=0)) for side in b)
    joint = [first * width + second for first, second in zip(a, b, strict=True)]
    _, codes = np.unique(np.concatenate(joint), return_inverse=True)
    return codes[: len(joint[0])], codes[len(joint[0]) :]


def mean(scores: Floats) -> float:
    """The mean of the scores that are defined; NaN where none is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an empty mean
        return float(np.nanmean(scores))


def associations(table: NumericMatrix) -> Floats:
    """(C, C) strength of the association of two columns, with a sign where both are numeric, 1 on the diagonal.

    Numbers: Spearman's correlation. Codes: Cramer's V. One of each: the correlation ratio of the ranks. NaN where a column
    does not vary.
    """
    ranked = replace(table, values=np.column_stack([_ranks(table, c) for c in range(len(table.names))]))
    found = correlations(ranked)
    for a in range(len(table.names)):
        for b in range(a):
            if not (table.numeric[a] and table.numeric[b]):
                found[a, b] = found[b, a] = _between(ranked, a, b)
    np.fill_diagonal(found, 1.0)
    return found


def _ranks(table: NumericMatrix, c: int) -> Floats:
    from scipy.stats import rankdata

    column = table.values[:, c]
    return np.asarray(rankdata(column, nan_policy="omit"), dtype=np.float64) if table.numeric[c] else column


def _between(ranked: NumericMatrix, a: int, b: int) -> float:
    """Cramer's V of two columns of codes, or the root of the share of a number's variance that a code explains."""
    from scipy.stats.contingency import association

    if ranked.numeric[a] or ranked.numeric[b]:
        number, code = (a, b) if ranked.numeric[a] else (b, a)
        known = ~np.isnan(ranked.values[:, number])
        y, groups = ranked.values[known, number], ranked.values[known, code].astype(np.int64)
        if not len(y) or not y.var() or not len(np.unique(groups)) > 1:
            return float("nan")
        sizes, sums = np.bincount(groups), np.bincount(groups, y - y.mean())
        return float(np.sqrt((sums**2 / np.maximum(sizes, 1)).sum() / (len(y) * y.var())))
    x, y = (np.unique(ranked.values[:, c], return_inverse=True)[1] for c in (a, b))
    counts = np.zeros((x.max() + 1, y.max() + 1), dtype=np.int64)
    np.add.at(counts, (x, y), 1)
    return float(association(counts, method="cramer")) if min(counts.shape) > 1 else float("nan")
