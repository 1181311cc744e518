"""What must hold between numbers or dates of a row: sums, functions, orders; and how rows are coded so that it always does.

Legend: N rows. `values` map the names of columns to (N,) float64 numbers, NaN where missing, see `numbers_in`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables import numbers, rounding
from zerosum.domains.tables.columns import CATEGORICAL, NUMERIC, Column, is_missing
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.rounding import Grid

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Values = Mapping[str, Floats]
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "D": 86400.0}
"""Units of moments that can be turned into each other; months cannot."""
NEAR = 0.25
"""A column is coded by its distance from another where that spreads less than this part of what the column does."""
CLOSE = 1e-9
"""Sums of numbers without a known number of decimals agree to this part of their largest term."""


@dataclass(frozen=True)
class Linear:
    """The sum of `coefficients` times columns plus `constant` is 0 (sign "="), at most 0 ("<=") or less than 0 ("<").

    words: as a person writes it. tolerance: by how much an equality may be missed, where numbers are rounded.
    """

    coefficients: Mapping[str, float]
    constant: float
    sign: str
    words: str
    tolerance: float = 0.0

    def sums(self, values: Values) -> Floats:
        """(N,) the sum; NaN where a number is missing."""
        parts = [coefficient * values[name] for name, coefficient in self.coefficients.items()]
        return np.asarray(np.sum(parts, axis=0) + self.constant, dtype=np.float64)

    def broken(self, values: Values) -> Mask:
        """(N,) the rows in which it does not hold; it holds where a number is missing."""
        sums = self.sums(values)
        parts = [np.abs(coefficient * values[name]) for name, coefficient in self.coefficients.items()]
        slack = np.maximum(self.tolerance, CLOSE * np.max(parts, axis=0))
        with np.errstate(invalid="ignore"):
            found = {"=": np.abs(sums) > slack, "<=": sums > slack, "<": sums >= 0}[self.sign]
        return np.asarray(found)

    def solved(self, target: str, values: Values) -> Floats:
        """(N,) the value of `target` at which the sum is 0; of the others NaN makes NaN."""
        parts = [coefficient * values[name] for name, coefficient in self.coefficients.items() if name != target]
        return np.asarray(-(np.sum(parts, axis=0) + self.constant) / self.coefficients[target], dtype=np.float64)

    def sources(self, target: str) -> tuple[str, ...]:
        """The other columns."""
        return tuple(name for name in self.coefficients if name != target)


@dataclass(frozen=True, eq=False)
class ComputedColumn:
    """A column that an equality gives. scale: it is rounded to multiples of 1 / scale; 0: not at all. learnt: whether the
    networks see it all the same, because it is missing where the others are not; then only its known values are computed."""

    target: str
    statement: Linear
    scale: float
    learnt: bool

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that it follows from."""
        return self.statement.sources(self.target)

    def made(self, values: Values, coded: Floats | None) -> Floats:
        """(N,) the column. coded: what the networks made of it, where they see it."""
        found = self.statement.solved(self.target, values)
        found = np.round(found * self.scale) / self.scale if self.scale else found
        if coded is None:
            return found
        return np.where(np.isnan(coded) | np.isnan(found), coded, found)


@dataclass(frozen=True, eq=False)
class OutOfRange:
    """A column that lies on one side of others.

    statements: inequalities, each of which bounds `target` by other columns. above: whether it lies above them (all of its
    statements bound it on the same side). low, high: of its values. grid: that they lie on. near: whether it follows the others
    so closely that the networks see how far beyond them it is, in place of the column itself; where they see the column, made
    values on the wrong side are moved to the bound.
    """

    target: str
    statements: tuple[Linear, ...]
    above: bool
    low: float
    high: float
    grid: Grid
    near: bool

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that bound it."""
        return tuple(dict.fromkeys(name for one in self.statements for name in one.sources(self.target)))

    def gaps(self, values: Values) -> Floats:
        """(N,) how far the column lies beyond the others; beyond its own bound where all of them are missing."""
        found = values[self.target] - self._base(values)
        return found if self.above else -found

    def made(self, values: Values, coded: Floats | None) -> Floats:
        """(N,) the column, from what the networks made of it; on its grid, within its range where the others allow it."""
        assert coded is not None
        base, side = self._base(values), 1.0 if self.above else -1.0
        least = self._on_grid(base)
        if any(one.sign == "<" for one in self.statements):
            step = self.grid.cell or np.spacing(np.abs(base))
            least = np.where((least - base) * side <= 0, least + side * step, least)
        found = np.clip(self._on_grid(base + side * coded), self.low, self.high) if self.near else coded
        return np.maximum(found, least) if self.above else np.minimum(found, least)

    def _base(self, values: Values) -> Floats:
        bounds = np.array([one.solved(self.target, values) for one in self.statements])
        outer = -np.inf if self.above else np.inf
        bounds = np.where(np.isnan(bounds), outer, bounds)
        found = bounds.max(0) if self.above else bounds.min(0)
        return np.where(np.isinf(found), self.low if self.above else self.high, found)

    def _on_grid(self, values: Floats) -> Floats:
        """The next numbers of the grid, away from the bound."""
        if not self.grid.step:
            return values
        steps = (values * self.grid.scale - self.grid.first) / self.grid.step
        steps = np.ceil(steps - 1e-6) if self.above else np.floor(steps + 1e-6)
        return np.asarray((self.grid.first + steps * self.grid.step) / self.grid.scale, dtype=np.float64)


Rule = ComputedColumn | OutOfRange


# --- columns as numbers


def scale_of(column: Column) -> float:
    """The numbers of a column are whole multiples of 1 / this; 0: unknown."""
    if column.kind in CATEGORICAL:
        held = _level_numbers(column.levels)
        return 0.0 if held is None else held[1]
    return column.form.scale if column.form else 0.0


def unit_of(column: Column) -> str:
    """The unit of a column's moments; "" for numbers."""
    return column.form.unit if isinstance(column.form, DateFormat) else ""


def numbers_in(columns: Iterable[Column], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    """The columns that hold numbers: numbers and dates as they are, categories whose levels are numbers by their numbers."""
    found = {}
    for column in columns:
        if column.name not in arrays:
            continue
        if column.kind in NUMERIC:
            found[column.name] = arrays[column.name]
        elif (held := _level_numbers(column.levels)) is not None:
            found[column.name] = held[0][arrays[column.name].astype(np.int64)]
    return found


def can_be_counted(column: Column) -> bool:
    """Whether `numbers_in` has it."""
    return column.kind in NUMERIC or (column.kind in CATEGORICAL and _level_numbers(column.levels) is not None)


@functools.lru_cache(maxsize=512)
def _level_numbers(levels: tuple[str | None, ...]) -> tuple[Floats, float] | None:
    """(L,) the numbers that levels spell, NaN for those that say that there is none, and their scale; None for words."""
    known = [place for place, level in enumerate(levels) if level is not None and not is_missing(level)]
    read = numbers.parsed([levels[place] or "" for place in known])
    if read is None:
        return None
    table = np.full(len(levels), np.nan)
    table[known] = read[0]
    return table, read[1].scale


# --- rules


def ordered(rules: Sequence[Rule]) -> tuple[Rule, ...] | None:
    """The rules in an order in which each finds its sources made; None where they go in a circle."""
    waiting, done = list(rules), []
    while waiting:
        targets = {rule.target for rule in waiting}
        ready = [rule for rule in waiting if not targets & set(rule.sources)]
        if not ready:
            return None
        done += ready
        waiting = [rule for rule in waiting if rule not in ready]
    return tuple(done)


def computed(statement: Linear, target: Column, values: Values) -> ComputedColumn:
    """The rule by which an equality gives a column."""
    sources = np.any([np.isnan(values[name]) for name in statement.sources(target.name)], axis=0)
    learnt = bool((sources != np.isnan(values[target.name])).any())
    return ComputedColumn(target.name, statement, scale_of(target), learnt)


def beyond(statements: Sequence[Linear], target: Column, values: Values) -> OutOfRange:
    """The rule by which inequalities that bound a column on the same side keep it there."""
    known = values[target.name][~np.isnan(values[target.name])]
    above = statements[0].coefficients[target.name] < 0
    lattice = rounding.of(known, scale_of(target))
    rule = OutOfRange(target.name, tuple(statements), above, float(known.min()), float(known.max()), lattice, True)
    near = _spread(rule.gaps(values)) < NEAR * _spread(values[target.name])
    return replace(rule, near=near)


def _spread(numbers_: Floats) -> float:
    """The mean distance from the median, of the numbers that are not missing."""
    known = numbers_[~np.isnan(numbers_)]
    return float(np.abs(known - np.median(known)).mean())


def to_json(rule: Rule) -> dict[str, Any]:
    """Plain values."""
    if isinstance(rule, ComputedColumn):
        return {"kind": "computed", **asdict(rule)}
    return {"kind": "beyond", **asdict(rule)}


def of_json(plain: Mapping[str, Any]) -> Rule:
    """The inverse of `to_json`."""
    given = {name: value for name, value in plain.items() if name != "kind"}
    if plain["kind"] == "computed":
        return ComputedColumn(**{**given, "statement": Linear(**given["statement"])})
    statements = tuple(Linear(**one) for one in given["statements"])
    return OutOfRange(**{**given, "statements": statements, "grid": Grid(**given["grid"])})
