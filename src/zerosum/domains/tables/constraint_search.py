"""Finds rules that hold in every row of a table: sums, functions, orders, and columns that are determined by a category.

Such values are computed or looked up instead of generated, so they are exact. A category determines a column if all rows of each
of its levels have the same value in that column: the code of a country determines its name, a degree its number of years.

Legend: N rows, C columns that hold numbers, L levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables import constraints
from zerosum.domains.tables.constraints import BoundedColumn, ComputedColumn, LinearConstraint, Numbers, Rule, scale_of
from zerosum.domains.tables.table import NUMERIC, Column, Floats

Codes = NDArray[np.int64]
NUM_FIRST, MOST_COLUMNS, FEWEST_ROWS = 2_000, 200, 50
"""Numbers of rows and columns that are searched, and the least number of rows without a missing number for sums."""
MOST_TERMS, ROWS_PER_TERM = 8, 20
"""The greatest number of columns of a sum, and the least number of rows for each of them."""
LEAST_EVIDENCE = 30.0
"""Rows expected to contradict an order or a dependency if the two columns were independent."""
MOST_BOUNDS = 4
"""The greatest number of columns that bound another one."""
MOST_PARTS, EXACT = 1_000, 1e-12
"""The largest denominator of a coefficient such as 2/7, and the relative error of arithmetic on doubles."""


def find_rules(
    columns: Sequence[Column], values: Numbers, given: Sequence[Rule], fixed: Sequence[str]
) -> tuple[Rule, ...]:
    """The rules `given` and further rules that are found. fixed: columns that are determined otherwise; they may be sources."""
    known = {column.name: column for column in columns if column.name in values}
    rules = [*given]
    for statement, target in _find_sums(known, values, [rule.target for rule in given], fixed):
        rules = _add_rule(rules, ComputedColumn.fit(statement, known[target], values))
    for target, statements in _find_orders(known, values, [*fixed, *(rule.target for rule in rules)]):
        rules = _add_rule(rules, BoundedColumn.fit(statements, known[target], values))
    return constraints.sort_rules(rules) or tuple(given)


def _add_rule(rules: list[Rule], rule: Rule) -> list[Rule]:
    """The rules with one more, unless the rules would be circular."""
    return rules if constraints.sort_rules([*rules, rule]) is None else [*rules, rule]


# --- sums


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows without a missing number. names: (C,). rows: (N, C) float64, standardised columns. cells: (C,) the last
    decimal of each column; if it is not known, a small part of its deviation."""

    names: tuple[str, ...]
    rows: Floats
    means: Floats
    deviations: Floats
    cells: Floats

    def places(self, names: Sequence[str]) -> list[int]:
        """The indices of columns."""
        return [self.names.index(name) for name in names]

    def fit(self, name: str, basis: Sequence[str]) -> Floats:
        """The coefficients of a standardised column as a linear combination of other standardised columns."""
        rows, target = self.rows[:, self.places(basis)], self.rows[:, self.names.index(name)]
        return np.asarray(np.linalg.lstsq(rows, target, rcond=1e-10)[0], dtype=np.float64)


def _draw_sample(values: Numbers, columns: Mapping[str, Column]) -> Sample:
    """Selects varying columns, as many as have FEWEST_ROWS rows in common without a missing number."""
    names = sorted(values, key=lambda name: float(np.isnan(values[name]).mean()))
    table = np.column_stack([values[name] for name in names]) if names else np.zeros((0, 0))
    kept = len(names)
    while kept and (~np.isnan(table[:, :kept]).any(1)).sum() < FEWEST_ROWS:
        kept -= 1
    rows = table[~np.isnan(table[:, :kept]).any(1), :kept] if kept else np.zeros((0, 0))
    rows = rows[np.linspace(0, len(rows) - 1, min(NUM_FIRST, len(rows))).astype(np.int64)] if len(rows) else rows
    order = list(values)
    varied = sorted((at for at in range(kept) if np.ptp(rows[:, at]) > 0), key=lambda at: order.index(names[at]))
    rows = rows[:, varied]
    means, deviations = rows.mean(0) if len(rows) else rows, rows.std(0) if len(rows) else rows
    scales = [scale_of(columns[names[at]]) for at in varied]
    cells = np.array([1 / scale if scale else 1e-7 * own for scale, own in zip(scales, deviations)])
    return Sample(tuple(names[at] for at in varied), (rows - means) / deviations, means, deviations, cells)


def _find_sums(
    columns: Mapping[str, Column], values: Numbers, given: Sequence[str], fixed: Sequence[str]
) -> list[tuple[LinearConstraint, str]]:
    """Equalities that hold in every row, each with the column it is solved for. given: columns that can be neither sources
    nor targets."""
    sample = _draw_sample({name: values[name] for name in list(columns)[:MOST_COLUMNS] if name not in given}, columns)
    basis: list[str] = []
    span = np.zeros((len(sample.rows), 0))
    found = []
    for at, name in enumerate(sample.names):
        left = _residual(sample.rows[:, at], span)
        close = np.abs(left).max() * sample.deviations[at] <= 1.5 * sample.cells[at]
        relation = _find_relation(name, basis, sample) if close else None
        best = _solve_simplest(relation, columns, values, fixed) if relation else None
        rounded = best is not None and _is_rounded(best[0], columns[best[1]])
        if best is not None:
            found.append(best)
            if not rounded:
                basis = [one for one in basis if one != best[1]]
            if rounded or best[1] != name:
                basis.append(name)
        if (best is None or rounded) and np.abs(left).max() > 1e-9:  # the rounding error of a sum is independent
            basis = [*basis, *([] if name in basis else [name])]
            span = np.column_stack([span, left / np.linalg.norm(left)])
    return found


def _residual(column: Floats, span: Floats) -> Floats:
    """(N,) the residual of a column after projection on orthonormal ones; computed twice, because once is not exact."""
    for _ in range(2):
        column = column - span @ (span.T @ column)
    return column


@dataclass(frozen=True, eq=False)
class Relation:
    """A fitted equality: the sum of `coefficients` times (column - mean) is 0. ranges: of the columns'
    values; cells: their last decimals."""

    coefficients: Mapping[str, float]
    means: Mapping[str, float]
    ranges: Mapping[str, float]
    cells: Mapping[str, float]

    def solved(self, target: str, order: Sequence[str]) -> tuple[dict[str, float], float]:
        """Coefficients and constant that give `target`, rounded as far as the error is less than its last decimal."""
        own, cell = -self.coefficients[target], self.cells[target]
        names = sorted((name for name in self.coefficients if name != target), key=order.index)
        terms = {name: _round(self.coefficients[name] / own, 0.25 * cell / self.ranges[name]) for name in names}
        mean = self.means[target] - sum(c * self.means[name] for name, c in terms.items())
        return terms, _round(mean, 0.5 * cell)


def _find_relation(name: str, basis: Sequence[str], sample: Sample) -> Relation | None:
    """The equality by which `name` is a sum of columns of the basis; None if there is none."""
    num = len(sample.rows)
    if not basis or num < max(FEWEST_ROWS, len(basis) + FEWEST_ROWS // 2):
        return None
    place = sample.names.index(name)
    own, cell = float(sample.deviations[place]), float(sample.cells[place])
    spans = np.ptp(sample.rows, 0)
    effects = np.abs(sample.fit(name, basis)) * spans[sample.places(basis)] * own
    chosen = [one for one, effect in zip(basis, effects) if effect > max(0.5 * cell, 1e-7 * own)]
    if not chosen or len(chosen) > MOST_TERMS or num < ROWS_PER_TERM * len(chosen):
        return None
    at = dict(zip([*chosen, name], sample.places([*chosen, name])))
    terms = zip(chosen, sample.fit(name, chosen))
    return Relation(
        {name: -1.0, **{one: float(c) * own / float(sample.deviations[at[one]]) for one, c in terms}},
        {one: float(sample.means[place]) for one, place in at.items()},
        {one: float(spans[place]) * float(sample.deviations[place]) for one, place in at.items()},
        {one: float(sample.cells[place]) for one, place in at.items()},
    )


def _round(number: float, error: float) -> float:
    """The simplest number within an error: with few decimals, or a fraction such as 2/7 where that has fewer digits."""
    places = next((d for d in range(10) if abs(round(number, d) - number) <= error), None)
    if places is not None and places <= 2:
        return float(round(number, places))
    for most in (10, 100, MOST_PARTS):
        part = Fraction(number).limit_denominator(most)
        digits = len(str(abs(part.numerator))) + len(str(part.denominator))
        if abs(float(part) - number) <= error and (places is None or digits < places):
            return float(part)
    return float(number if places is None else round(number, places))


def _solve_simplest(
    relation: Relation, columns: Mapping[str, Column], values: Numbers, fixed: Sequence[str]
) -> tuple[LinearConstraint, str] | None:
    """The relation solved for the column that gives the simplest rule; None if it does not hold in every row."""
    order = list(columns)
    options = []
    for target in relation.coefficients:
        if columns[target].kind not in NUMERIC or target in fixed:
            continue
        terms, constant = relation.solved(target, order)
        solved = LinearConstraint({target: -1.0, **terms}, constant, "=", _format_equality(target, terms, constant))
        solved = solved.with_tolerance(target, columns)
        made = ComputedColumn(target, solved, scale_of(columns[target]), False).compute(values, None)
        if not solved.broken(values).any() and not solved.broken({**values, target: made}).any():
            negative = sum(c < 0 for c in terms.values())
            broken = sum(c != round(c) for c in terms.values())
            digits = sum(len(_format_term(abs(c), "")) for c in terms.values())
            rank = (_is_rounded(solved, columns[target]), broken, negative, digits, -order.index(target))
            options.append((rank, solved, target))
    return min(options, key=lambda option: option[0])[1:] if options else None


def _is_rounded(statement: LinearConstraint, target: Column) -> bool:
    """Whether the sum has more decimals than the target column."""
    return bool(scale_of(target)) and statement.tolerance * scale_of(target) > 0.4


def _format_equality(target: str, terms: Mapping[str, float], constant: float) -> str:
    words = ""
    for name, coefficient in terms.items():
        words += f"{' - ' if coefficient < 0 else ' + ' if words else ''}{_format_term(abs(coefficient), name)}"
    if constant:
        words += f" {'-' if constant < 0 else '+'} {abs(constant):.10g}"
    return f"{target} = {words.strip()}"


def _format_term(coefficient: float, name: str) -> str:
    part = Fraction(coefficient).limit_denominator(MOST_PARTS)
    if abs(float(part) - coefficient) > EXACT * coefficient or coefficient == round(coefficient, 6):
        return name if coefficient == 1 else f"{coefficient:.10g} * {name}"
    return f"{name if part.numerator == 1 else f'{part.numerator} * {name}'} / {part.denominator}"


# --- orders


def _find_orders(
    columns: Mapping[str, Column], values: Numbers, fixed: Sequence[str]
) -> list[tuple[str, list[LinearConstraint]]]:
    """The orders of each column that is never less than others, if this is not a coincidence."""
    names = [name for name, column in columns.items() if column.kind in NUMERIC][:MOST_COLUMNS]
    lower: dict[str, dict[str, LinearConstraint]] = {name: {} for name in names}
    for high in [name for name in names if name not in fixed]:
        for low in [name for name in names if name != high]:
            if factors := constraints.unit_factors([constraints.unit_of(columns[name]) for name in (low, high)]):
                order = LinearConstraint({low: factors[0], high: -factors[1]}, 0.0, "<=", f"{low} <= {high}")
                if _never_less(values[low] * factors[0], values[high] * factors[1]):
                    lower[high][low] = order
    found = []
    for high, bounds in lower.items():
        # A bound below another bound is implied by it.
        outer = [order for low, order in bounds.items() if not any(low in lower[one] for one in bounds)]
        if outer:
            found.append((high, outer[:MOST_BOUNDS]))
    return found


def _never_less(low: Floats, high: Floats) -> bool:
    """Whether `low` <= `high` in every row in which both are known, with ranges that overlap so much that this is not a
    coincidence."""
    for rows in (slice(0, NUM_FIRST), slice(None)):
        if (low[rows] > high[rows]).any():
            return False
    both = ~(np.isnan(low) | np.isnan(high))
    low, high = np.sort(low[both]), high[both]
    if not len(low) or low[-1] <= high.min():
        return False
    by_chance = 1 - np.searchsorted(low, high, side="right").mean() / len(low)
    return bool(by_chance * len(low) >= LEAST_EVIDENCE)


# --- columns that a category determines


@dataclass(frozen=True, eq=False)
class FunctionalDependency:
    """A column that a category determines. by: the category. values: (L,) the value for each of its levels: float64, or int64
    levels."""

    by: str
    values: NDArray[Any]

    def of(self, codes: Codes) -> NDArray[Any]:
        """(N,) levels of `by` -> (N,) values."""
        found: NDArray[Any] = self.values[codes]
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN spelled as such."""
        whole = self.values.dtype.kind == "i"
        return {"by": self.by, "whole": whole, "values": " ".join(map(repr, self.values.tolist()))}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> FunctionalDependency:
        """The inverse of to_json."""
        return cls(plain["by"], np.array(plain["values"].split(), dtype=np.int64 if plain["whole"] else np.float64))


def find_dependencies(
    columns: Mapping[str, NDArray[Any]], categories: Mapping[str, int]
) -> dict[str, FunctionalDependency]:
    """The columns (name -> (N,) values) that are determined by one of `categories` (name -> number of levels).

    Of two categories that determine each other the second is looked up. A column that determines others is never looked up.
    """
    codes = {name: np.unique(values, return_inverse=True)[1].reshape(-1) for name, values in columns.items()}
    order = {name: place for place, name in enumerate(columns)}

    def follows(name: str, by: str) -> bool:
        if name == by or not _constant_within(codes[name], columns[by], categories[by]):
            return False
        mutual = name in categories and _constant_within(columns[by], columns[name], categories[name])
        return order[by] < order[name] if mutual else _evidence(codes[name], columns[by]) >= LEAST_EVIDENCE

    names = [name for name in columns if any(follows(name, by) for by in categories)]
    roots = [by for by in categories if by not in names]
    found = {}
    for name in names:
        by = next((by for by in roots if _constant_within(codes[name], columns[by], categories[by])), None)
        if by is not None:
            kinds, of_rows = np.unique(columns[name], return_inverse=True)
            table = np.full(categories[by], np.bincount(of_rows.reshape(-1)).argmax())  # of levels without rows
            table[columns[by]] = of_rows.reshape(-1)
            found[name] = FunctionalDependency(by, kinds[table])
    return found


def _constant_within(codes: Codes, levels: Codes, num: int) -> bool:
    """Whether all rows of each level have the same code."""
    for rows in (slice(0, NUM_FIRST), slice(None)):
        first = np.zeros(num, dtype=np.int64)
        first[levels[rows]] = codes[rows]
        if (first[levels[rows]] != codes[rows]).any():
            return False
    return True


def _evidence(codes: Codes, levels: Codes) -> float:
    """The expected number of rows that differ from the first row of their level if the values were shuffled."""
    shares = np.bincount(codes) / len(codes)
    return float((len(levels) - len(np.unique(levels))) * (1 - (shares**2).sum()))
