"""Sums, functions and orders that hold in every row of a table, found from its rows.

Legend: N rows, C columns that hold numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from zerosum.domains.tables import linear
from zerosum.domains.tables.columns import NUMERIC, Column
from zerosum.domains.tables.linear import SECONDS, ComputedColumn, Floats, Linear, Rule, Values, scale_of, unit_of
from zerosum.domains.tables.stating import tolerance

NUM_FIRST, MOST_COLUMNS, FEWEST_ROWS = 2_000, 200, 50
"""Rows that are looked at first, columns that are looked at, and rows without a missing number that sums are sought in."""
MOST_TERMS, ROWS_PER_TERM = 8, 20
"""Columns of a sum at most, and rows for each of them."""
LEAST_EVIDENCE = 30.0
"""Rows that would be expected to contradict an order if the two columns had nothing to do with each other."""
MOST_BOUNDS = 4
"""Columns that bound another at most."""
MOST_PARTS, EXACT = 1_000, 1e-12
"""The largest denominator of a coefficient such as 2/7, and the part of a number that arithmetic on doubles may miss."""


def found(columns: Sequence[Column], values: Values, taken: Sequence[Rule], fixed: Sequence[str]) -> tuple[Rule, ...]:
    """The rules `taken` and those that are found beside them. fixed: columns that something else gives, which may be sources."""
    known = {column.name: column for column in columns if column.name in values}
    rules = [*taken]
    for statement, target in _sums(known, values, [rule.target for rule in taken], fixed):
        rules = _joined(rules, linear.computed(statement, known[target], values))
    for target, statements in _orders(known, values, [*fixed, *(rule.target for rule in rules)]):
        rules = _joined(rules, linear.beyond(statements, known[target], values))
    return linear.ordered(rules) or tuple(taken)


def _joined(rules: list[Rule], rule: Rule) -> list[Rule]:
    """With one more, unless they would go in a circle."""
    return rules if linear.ordered([*rules, rule]) is None else [*rules, rule]


# --- sums


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows without a missing number. names: (C,). rows: (N, C) float64, each column less its mean, by its deviation."""

    names: tuple[str, ...]
    rows: Floats
    means: Floats
    deviations: Floats

    def deviation(self, name: str) -> float:
        """Of one column."""
        return float(self.deviations[self.names.index(name)])


def _sums(
    columns: Mapping[str, Column], values: Values, given: Sequence[str], fixed: Sequence[str]
) -> list[tuple[Linear, str]]:
    """Equalities that hold in every row, each with the column it is solved for. given: columns that are neither sources nor
    targets any more."""
    sample = _sample({name: values[name] for name in list(columns)[:MOST_COLUMNS] if name not in given})
    basis: list[str] = []
    span = np.zeros((len(sample.rows), 0))
    found = []
    for name in sample.names:
        left = _left(sample.rows[:, sample.names.index(name)], span)
        close = np.abs(left).max() * sample.deviation(name) <= 1.5 * _cell(name, sample, columns)
        relation = _relation(name, basis, sample, columns) if close else None
        best = _best(relation, columns, values, fixed) if relation else None
        rounded = best is not None and _is_rounded(best[0], columns[best[1]])
        if best is not None:
            found.append(best)
            basis = [
                *(one for one in basis if one != best[1] or rounded),
                *([name] if rounded or best[1] != name else []),
            ]
        if (best is None or rounded) and np.abs(left).max() > 1e-9:  # what rounding does to a sum is new
            basis, span = _with(basis, name), np.column_stack([span, left / np.linalg.norm(left)])
    return found


def _with(names: Sequence[str], name: str) -> list[str]:
    return [*names, *([] if name in names else [name])]


def _left(column: Floats, span: Floats) -> Floats:
    """(N,) what orthonormal columns leave of a column; twice, because once is not exact."""
    for _ in range(2):
        column = column - span @ (span.T @ column)
    return column


def _cell(name: str, sample: Sample, columns: Mapping[str, Column]) -> float:
    """The last decimal of a column; where it is not known, a small part of its deviation."""
    scale = scale_of(columns[name])
    return 1 / scale if scale else 1e-7 * sample.deviation(name)


def _sample(values: Values) -> Sample:
    """Of the columns that vary, as many as have FEWEST_ROWS rows in common without a missing number."""
    names = sorted((name for name in values), key=lambda name: float(np.isnan(values[name]).mean()))
    table = np.column_stack([values[name] for name in names]) if names else np.zeros((0, 0))
    kept = len(names)
    while kept and (~np.isnan(table[:, :kept]).any(1)).sum() < FEWEST_ROWS:
        kept -= 1
    rows = table[~np.isnan(table[:, :kept]).any(1), :kept] if kept else np.zeros((0, 0))
    rows = rows[np.linspace(0, len(rows) - 1, min(NUM_FIRST, len(rows))).astype(np.int64)] if len(rows) else rows
    varied = [at for at in range(kept) if np.ptp(rows[:, at]) > 0]
    place = {name: at for at, name in enumerate(values)}
    varied.sort(key=lambda at: place[names[at]])
    rows = rows[:, varied]
    means, deviations = rows.mean(0) if len(rows) else rows, rows.std(0) if len(rows) else rows
    return Sample(tuple(names[at] for at in varied), (rows - means) / deviations, means, deviations)


def _fit(name: str, basis: Sequence[str], sample: Sample) -> Floats:
    """The coefficients of a column, by its deviation, of others by theirs."""
    at = [sample.names.index(one) for one in basis]
    rows, target = sample.rows[:, at], sample.rows[:, sample.names.index(name)]
    return np.asarray(np.linalg.lstsq(rows, target, rcond=1e-10)[0], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Relation:
    """An equality as it was fitted: the sum of `coefficients` times the columns less their `means` is 0. ranges: of the columns'
    values; cells: their last decimals."""

    coefficients: Mapping[str, float]
    means: Mapping[str, float]
    ranges: Mapping[str, float]
    cells: Mapping[str, float]

    def solved(self, target: str, order: Sequence[str]) -> tuple[dict[str, float], float]:
        """Coefficients and constant that give `target`, as round as it takes to miss it by less than its last decimal."""
        own, cell = -self.coefficients[target], self.cells[target]
        names = sorted((name for name in self.coefficients if name != target), key=order.index)
        terms = {name: _round(self.coefficients[name] / own, 0.25 * cell / self.ranges[name]) for name in names}
        mean = self.means[target] - sum(c * self.means[name] for name, c in terms.items())
        return terms, _round(mean, 0.5 * cell)


def _relation(name: str, basis: Sequence[str], sample: Sample, columns: Mapping[str, Column]) -> Relation | None:
    """The equality by which `name` is a sum of columns of the basis; None where it is none."""
    if not basis or len(sample.rows) < max(FEWEST_ROWS, len(basis) + FEWEST_ROWS // 2):
        return None
    own, cell = sample.deviation(name), _cell(name, sample, columns)
    coefficients = _fit(name, basis, sample)
    spans = {one: float(np.ptp(sample.rows[:, sample.names.index(one)])) for one in basis}
    chosen = [one for one, c in zip(basis, coefficients) if abs(c) * spans[one] * own > max(0.5 * cell, 1e-7 * own)]
    if not chosen or len(chosen) > MOST_TERMS or len(sample.rows) < ROWS_PER_TERM * len(chosen):
        return None
    coefficients = _fit(name, chosen, sample)
    at = {one: sample.names.index(one) for one in (*chosen, name)}
    deviations = {one: float(sample.deviations[place]) for one, place in at.items()}
    return Relation(
        {name: -1.0, **{one: float(c) * own / deviations[one] for one, c in zip(chosen, coefficients)}},
        {one: float(sample.means[place]) for one, place in at.items()},
        {one: float(np.ptp(sample.rows[:, place])) * deviations[one] for one, place in at.items()},
        {one: _cell(one, sample, columns) for one in at},
    )


def _round(number: float, error: float) -> float:
    """The plainest number within an error: with few decimals, or a fraction such as 2/7 where that has fewer digits."""
    places = next((d for d in range(10) if abs(round(number, d) - number) <= error), None)
    if places is not None and places <= 2:
        return float(round(number, places))
    for most in (10, 100, MOST_PARTS):
        part = Fraction(number).limit_denominator(most)
        digits = len(str(abs(part.numerator))) + len(str(part.denominator))
        if abs(float(part) - number) <= error and (places is None or digits < places):
            return float(part)
    return float(number if places is None else round(number, places))


def _best(
    relation: Relation, columns: Mapping[str, Column], values: Values, fixed: Sequence[str]
) -> tuple[Linear, str] | None:
    """The relation solved for the column that makes the plainest rule; None where it does not hold in every row."""
    order = list(columns)
    options = []
    for target in relation.coefficients:
        if columns[target].kind not in NUMERIC or target in fixed:
            continue
        terms, constant = relation.solved(target, order)
        solved = Linear({target: -1.0, **terms}, constant, "=", _words(target, terms, constant))
        solved = replace(solved, tolerance=tolerance(solved, target, columns))
        made = ComputedColumn(target, solved, scale_of(columns[target]), False).made(values, None)
        if not solved.broken(values).any() and not solved.broken({**values, target: made}).any():
            negative = sum(c < 0 for c in terms.values())
            broken = sum(c != round(c) for c in terms.values())
            digits = sum(len(_times(abs(c), "")) for c in terms.values())
            rank = (_is_rounded(solved, columns[target]), broken, negative, digits, -order.index(target))
            options.append((rank, solved, target))
    return min(options, key=lambda option: option[0])[1:] if options else None


def _is_rounded(statement: Linear, target: Column) -> bool:
    """Whether the sum has more decimals than the column that it gives."""
    return bool(scale_of(target)) and statement.tolerance * scale_of(target) > 0.4


def _words(target: str, terms: Mapping[str, float], constant: float) -> str:
    words = ""
    for name, coefficient in terms.items():
        words += f"{' - ' if coefficient < 0 else ' + ' if words else ''}{_times(abs(coefficient), name)}"
    if constant:
        words += f" {'-' if constant < 0 else '+'} {abs(constant):.10g}"
    return f"{target} = {words.strip()}"


def _times(coefficient: float, name: str) -> str:
    part = Fraction(coefficient).limit_denominator(MOST_PARTS)
    if abs(float(part) - coefficient) > EXACT * coefficient or coefficient == round(coefficient, 6):
        return name if coefficient == 1 else f"{coefficient:.10g} * {name}"
    return f"{name if part.numerator == 1 else f'{part.numerator} * {name}'} / {part.denominator}"


# --- orders


def _orders(columns: Mapping[str, Column], values: Values, fixed: Sequence[str]) -> list[tuple[str, list[Linear]]]:
    """For each column that is never less than others, in a table where chance would have it so seldom: these orders."""
    names = [name for name, column in columns.items() if column.kind in NUMERIC][:MOST_COLUMNS]
    lower: dict[str, list[str]] = {name: [] for name in names}
    for high in names:
        if high not in fixed:
            lower[high] = [low for low in names if low != high and _never_less(low, high, columns, values)]
    found = []
    for high in names:
        # What lies below one that is a bound itself is no bound of its own.
        bounds = [low for low in lower[high] if not any(low in lower[one] for one in lower[high])]
        if bounds and high not in fixed:
            found.append((high, [_order(low, high, columns) for low in bounds[:MOST_BOUNDS]]))
    return found


def _factors(low: str, high: str, columns: Mapping[str, Column]) -> tuple[float, float] | None:
    """What each is multiplied with to be counted in the same unit; None where they have none."""
    units = unit_of(columns[low]), unit_of(columns[high])
    if units[0] == units[1]:
        return 1.0, 1.0
    if not set(units) <= set(SECONDS):
        return None
    least = min(SECONDS[unit] for unit in units)
    return SECONDS[units[0]] / least, SECONDS[units[1]] / least


def _order(low: str, high: str, columns: Mapping[str, Column]) -> Linear:
    one, two = _factors(low, high, columns) or (1.0, 1.0)
    return Linear({low: one, high: -two}, 0.0, "<=", f"{low} <= {high}")


def _never_less(low: str, high: str, columns: Mapping[str, Column], values: Values) -> bool:
    """Whether `low` <= `high` in every row in which both are known, overlapping so much that this is no chance."""
    factors = _factors(low, high, columns)
    if factors is None:
        return False
    a, b = values[low] * factors[0], values[high] * factors[1]
    for rows in (slice(0, NUM_FIRST), slice(None)):
        if (a[rows] > b[rows]).any():
            return False
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = np.sort(a[both]), b[both]
    if not len(a) or a[-1] <= b.min():
        return False
    by_chance = 1 - np.searchsorted(a, b, side="right").mean() / len(a)
    return bool(by_chance * len(a) >= LEAST_EVIDENCE)
