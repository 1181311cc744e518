"""Rules for the numbers or dates of a row: sums, functions, orders; how rows are encoded so that the rules always hold; and
constraints of the user: "total = net + tax + shipping", "ordered <= shipped", "unit_cents = 100 * unit_price".

Legend: N rows. `values` map the names of columns to (N,) float64 numbers, NaN where missing, see `numbers_in`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables import numbers
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.rounding import Grid
from zerosum.domains.tables.table import CATEGORICAL, NUMERIC, Column, Floats, Mask, Table, is_missing
from zerosum.errors import UserError, nearest

Numbers = Mapping[str, Floats]
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "D": 86400.0}
"""Units of moments that can be converted into each other; months cannot."""
NEAR = 0.25
"""A column is encoded as its distance from another if the spread of the distance is less than this part of the column's
spread."""
CLOSE = 1e-9
"""Relative tolerance, with respect to the largest term, for sums of numbers without a known number of decimals."""


@dataclass(frozen=True)
class LinearConstraint:
    """The sum of `coefficients` times columns plus `constant` is 0 (sign "="), at most 0 ("<=") or less than 0 ("<").

    words: as text. tolerance: absolute tolerance of an equality, where numbers are rounded.
    """

    coefficients: Mapping[str, float]
    constant: float
    sign: str
    words: str
    tolerance: float = 0.0

    def sums(self, values: Numbers) -> Floats:
        """(N,) the sum; NaN where a number is missing."""
        parts = [coefficient * values[name] for name, coefficient in self.coefficients.items()]
        return np.asarray(np.sum(parts, axis=0) + self.constant, dtype=np.float64)

    def broken(self, values: Numbers) -> Mask:
        """(N,) the rows in which it does not hold; it holds if a number is missing."""
        sums = self.sums(values)
        parts = [np.abs(coefficient * values[name]) for name, coefficient in self.coefficients.items()]
        slack = np.maximum(self.tolerance, CLOSE * np.max(parts, axis=0))
        with np.errstate(invalid="ignore"):
            return np.asarray({"=": np.abs(sums) > slack, "<=": sums > slack, "<": sums >= 0}[self.sign])

    def solved(self, target: str, values: Numbers) -> Floats:
        """(N,) the value of `target` at which the sum is 0; NaN where another number is missing."""
        parts = [coefficient * values[name] for name, coefficient in self.coefficients.items() if name != target]
        return np.asarray(-(np.sum(parts, axis=0) + self.constant) / self.coefficients[target], dtype=np.float64)

    def sources(self, target: str) -> tuple[str, ...]:
        """The other columns."""
        return tuple(name for name in self.coefficients if name != target)

    def with_tolerance(self, target: str, columns: Mapping[str, Column]) -> LinearConstraint:
        """The same with the tolerance of a target: half its last decimal, if the other terms are not multiples of that
        decimal."""
        scale, own = scale_of(columns[target]), abs(self.coefficients[target])
        if not scale:
            return replace(self, tolerance=0.0)
        scales = {name: scale_of(columns[name]) for name in self.sources(target)}
        steps = [abs(self.coefficients[name]) / own * scale / held if held else 0.5 for name, held in scales.items()]
        steps.append(abs(self.constant) / own * scale)
        whole = all(abs(step - round(step)) < 1e-6 for step in steps)
        return replace(self, tolerance=(0.01 if whole else 0.5 + 1e-6) * own / scale)


@dataclass(frozen=True, eq=False)
class ComputedColumn:
    """A column that is computed by an equality. scale: it is rounded to multiples of 1 / scale; 0: not at all. learnt: whether
    the column is encoded nevertheless, because it is missing in other rows than its sources; then only its known values are
    computed."""

    target: str
    statement: LinearConstraint
    scale: float
    learnt: bool

    @classmethod
    def fit(cls, statement: LinearConstraint, target: Column, values: Numbers) -> ComputedColumn:
        """The rule that computes a column by an equality."""
        sources = np.any([np.isnan(values[name]) for name in statement.sources(target.name)], axis=0)
        learnt = bool((sources != np.isnan(values[target.name])).any())
        return cls(target.name, statement, scale_of(target), learnt)

    @property
    def statements(self) -> tuple[LinearConstraint, ...]:
        """The equality alone."""
        return (self.statement,)

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns from which it is computed."""
        return self.statement.sources(self.target)

    def compute(self, values: Numbers, coded: Floats | None) -> Floats:
        """(N,) the column. coded: its decoded value, if it is encoded."""
        found = self.statement.solved(self.target, values)
        found = np.round(found * self.scale) / self.scale if self.scale else found
        if coded is None:
            return found
        return np.where(np.isnan(coded) | np.isnan(found), coded, found)


@dataclass(frozen=True, eq=False)
class BoundedColumn:
    """A column that lies on one side of others.

    statements: inequalities, each of which bounds `target` by other columns. above: whether it is above them (all of its
    statements bound it on the same side). low, high: range of its values. grid: grid of its values. near: whether it is so close
    to the others that its distance from them is encoded instead of the column; if the column is encoded, decoded values on the
    wrong side are moved to the bound.
    """

    target: str
    statements: tuple[LinearConstraint, ...]
    above: bool
    low: float
    high: float
    grid: Grid
    near: bool

    @classmethod
    def fit(cls, statements: Sequence[LinearConstraint], target: Column, values: Numbers) -> BoundedColumn:
        """The rule of inequalities that bound a column on the same side."""
        column = values[target.name]
        known = column[~np.isnan(column)]
        above = statements[0].coefficients[target.name] < 0
        grid = Grid.fit(known, scale_of(target))
        rule = cls(target.name, tuple(statements), above, float(known.min()), float(known.max()), grid, True)
        return replace(rule, near=_spread(rule.gaps(values)) < NEAR * _spread(column))

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that bound it."""
        return tuple(dict.fromkeys(name for one in self.statements for name in one.sources(self.target)))

    def gaps(self, values: Numbers) -> Floats:
        """(N,) the distance of the column from its bound; from the end of its own range if all sources are missing."""
        found = values[self.target] - self._bound(values)
        return found if self.above else -found

    def compute(self, values: Numbers, coded: Floats | None) -> Floats:
        """(N,) the column from its decoded values; on its grid, and within its range if the bound allows it."""
        assert coded is not None
        bound, side = self._bound(values), 1 if self.above else -1
        least = self.grid.rounded(bound, side)
        if any(one.sign == "<" for one in self.statements):
            step = self.grid.cell or np.spacing(np.abs(bound))
            least = np.where((least - bound) * side <= 0, least + side * step, least)
        found = np.clip(self.grid.rounded(bound + side * coded, side), self.low, self.high) if self.near else coded
        return np.maximum(found, least) if self.above else np.minimum(found, least)

    def _bound(self, values: Numbers) -> Floats:
        bounds = np.array([one.solved(self.target, values) for one in self.statements])
        outer = -np.inf if self.above else np.inf
        bounds = np.where(np.isnan(bounds), outer, bounds)
        found = bounds.max(0) if self.above else bounds.min(0)
        return np.where(np.isinf(found), self.low if self.above else self.high, found)


Rule = ComputedColumn | BoundedColumn


def _spread(values: Floats) -> float:
    """The mean distance from the median, of the numbers that are not missing."""
    known = values[~np.isnan(values)]
    return float(np.abs(known - np.median(known)).mean())


def sort_rules(rules: Sequence[Rule]) -> tuple[Rule, ...] | None:
    """The rules in an order in which the sources of each are computed before it; None if they are circular."""
    waiting, done = list(rules), []
    while waiting:
        targets = {rule.target for rule in waiting}
        ready = [rule for rule in waiting if not targets & set(rule.sources)]
        if not ready:
            return None
        done += ready
        waiting = [rule for rule in waiting if rule not in ready]
    return tuple(done)


def to_json(rule: Rule) -> dict[str, Any]:
    """Plain values."""
    return {"kind": "computed" if isinstance(rule, ComputedColumn) else "beyond", **asdict(rule)}


def from_json(plain: Mapping[str, Any]) -> Rule:
    """The inverse of `to_json`."""
    given = {name: value for name, value in plain.items() if name != "kind"}
    if plain["kind"] == "computed":
        return ComputedColumn(**{**given, "statement": LinearConstraint(**given["statement"])})
    statements = tuple(LinearConstraint(**one) for one in given["statements"])
    return BoundedColumn(**{**given, "statements": statements, "grid": Grid(**given["grid"])})


# --- columns as numbers


def scale_of(column: Column) -> float:
    """The scale of a column, whose numbers are whole multiples of 1 / scale; 0 if unknown."""
    if column.kind in CATEGORICAL:
        held = _level_numbers(column.levels)
        return 0.0 if held is None else held[1]
    return column.form.scale if column.form else 0.0


def unit_of(column: Column) -> str:
    """The unit of a column's moments; "" for numbers."""
    return column.form.unit if isinstance(column.form, DateFormat) else ""


def unit_factors(units: Sequence[str]) -> list[float] | None:
    """The factors that convert moments of these units, or numbers (""), to one unit; None if they have no common unit."""
    if len(set(units)) < 2:
        return [1.0 for _ in units]
    if not set(units) <= set(SECONDS):
        return None
    least = min(SECONDS[unit] for unit in units)
    return [SECONDS[unit] / least for unit in units]


def numbers_in(columns: Iterable[Column], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    """The columns that hold numbers: numbers and dates as they are, categories whose levels are numbers by their numbers."""
    found = {}
    for column in columns:
        if column.name in arrays and column.kind in NUMERIC:
            found[column.name] = arrays[column.name]
        elif column.name in arrays and (held := _level_numbers(column.levels)) is not None:
            found[column.name] = held[0][arrays[column.name].astype(np.int64)]
    return found


def holds_numbers(column: Column) -> bool:
    """Whether `numbers_in` contains the column."""
    return column.kind in NUMERIC or (column.kind in CATEGORICAL and _level_numbers(column.levels) is not None)


@functools.lru_cache(maxsize=512)
def _level_numbers(levels: tuple[str | None, ...]) -> tuple[Floats, float] | None:
    """(L,) the numbers of levels, NaN for missing ones, and their scale; None for words."""
    known = [place for place, level in enumerate(levels) if level is not None and not is_missing(level)]
    read = numbers.parse([levels[place] or "" for place in known])
    if read is None:
        return None
    table = np.full(len(levels), np.nan)
    table[known] = read[0]
    return table, read[1].scale


# --- constraints that a user states

SIGN = re.compile(r"<=|>=|==|=|<|>")
NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
Statement = tuple[LinearConstraint, tuple[str, ...]]
"""A constraint, and the columns for which it can be solved, best first."""
EXAMPLE = """--set 'data.constraints=["total = net + tax", "ordered <= shipped"]'"""


@dataclass
class ConstraintSide:
    """A sum: coefficients of columns, and a constant."""

    coefficients: dict[str, float]
    constant: float = 0.0

    @property
    def single(self) -> str | None:
        """The column, if the sum is a single column with coefficient 1."""
        (name, *others) = self.coefficients or [None]
        return name if not others and not self.constant and name and self.coefficients[name] == 1 else None


def parse_constraints(texts: Sequence[str], table: Table) -> list[Statement]:
    """Each constraint with the columns that it can be solved for, best first. UserError when one cannot be read, names an
    unknown column, or does not hold in every row of the table."""
    values = numbers_in(table.columns, table.arrays)
    found = []
    for text in texts:
        statement, targets = _parse(str(text), table.columns)
        _check_holds(statement, table, values)
        found.append((statement, targets))
    return found


def _parse(text: str, columns: Sequence[Column]) -> Statement:
    unquoted = re.sub(r'"[^"]*"', lambda match: "_" * len(match.group()), text)
    signs = SIGN.findall(unquoted)
    if len(signs) != 1:
        count = f"{text!r} has {len(signs) or 'no'} of the signs = < <= > >=; it needs one"
        raise UserError(f"data.constraints: {count}: {EXAMPLE}.")
    at = unquoted.index(signs[0])
    left, right = (_side(part, text, columns) for part in (text[:at], text[at + len(signs[0]) :]))
    sign = signs[0].replace("==", "=")
    if sign[0] == ">":
        left, right, sign = right, left, sign.replace(">", "<")
    names = dict.fromkeys([*left.coefficients, *right.coefficients])
    both = {name: left.coefficients.get(name, 0.0) - right.coefficients.get(name, 0.0) for name in names}
    both = {name: coefficient for name, coefficient in both.items() if coefficient}
    if not both:
        raise UserError(f"data.constraints: {text!r} constrains no column.")
    single = [left.single, right.single] if sign == "=" else [right.single, left.single]
    known = {column.name: column for column in columns}
    targets = [name for name in dict.fromkeys([*filter(None, single), *both]) if known[name].kind in NUMERIC]
    if not targets:
        raise UserError(f"data.constraints: {text!r}: none of {', '.join(both)} is a number or date.")
    units = {name: unit for name in both if (unit := unit_of(known[name]))}
    factors = unit_factors([*units.values()])
    if factors is None:
        raise UserError(f"data.constraints: {text!r} compares months with days or times, which have no common unit.")
    both |= {name: both[name] * factor for name, factor in zip(units, factors)}
    found = LinearConstraint(both, left.constant - right.constant, sign, " ".join(text.split()))
    return found.with_tolerance(targets[0], known), tuple(targets)


def _side(text: str, whole: str, columns: Sequence[Column]) -> ConstraintSide:
    side, rest, sign = ConstraintSide({}), text.strip(), 1.0
    while True:
        if rest[:1] in ("+", "-"):
            sign, rest = (-1.0 if rest[0] == "-" else 1.0), rest[1:].strip()
        factor, name, rest = _term(rest, whole, columns)
        if name is None:
            side.constant += sign * factor
        else:
            side.coefficients[name] = side.coefficients.get(name, 0.0) + sign * factor
        if not rest:
            return side
        if rest[0] not in "+-":
            usable = ", ".join([column.name for column in columns if holds_numbers(column)][:20])
            raise UserError(
                f"data.constraints: {whole!r}: + or - is missing before {rest!r}. Write names with blanks or signs in quotes. "
                f"Columns: {usable}."
            )


def _term(text: str, whole: str, columns: Sequence[Column]) -> tuple[float, str | None, str]:
    """Factor and column (None: a number alone) at the beginning of a text, and what follows."""
    factor, name, operator = 1.0, None, "*"
    while True:
        number, found, text = _factor(text, whole, columns)
        if found is not None and (name is not None or operator == "/"):
            linear = "columns are multiplied with or divided by numbers only"
            raise UserError(f"data.constraints: {whole!r} is not linear: {linear}.")
        if operator == "/" and not number:
            raise UserError(f"data.constraints: {whole!r} divides by zero.")
        factor, name, text = factor / number if operator == "/" else factor * number, found or name, text.strip()
        if text[:1] not in ("*", "/"):
            return factor, name, text
        operator, text = text[0], text[1:].strip()


def _factor(text: str, whole: str, columns: Sequence[Column]) -> tuple[float, str | None, str]:
    number, quoted = NUMBER.match(text), re.match(r'"([^"]*)"', text)
    known = {column.name: column for column in columns}
    name = max((name for name in known if text.startswith(name) and _ends(text, name)), key=len, default=None)
    length = len(name or "")
    if quoted:
        name, length = quoted[1], quoted.end()
    if number and number.end() >= length:
        if DATE.match(text):
            raise UserError(
                f"data.constraints: {whole!r} compares with a fixed date; the range of a column is kept anyway."
            )
        return float(number.group()), None, text[number.end() :]
    if name is None or name not in known:
        word = quoted[1] if quoted else re.split(r"[\s*/+]", text)[0] or whole
        raise UserError(f"data.constraints: {whole!r}: there is no column {word!r}. {nearest(word, list(known))}")
    if not holds_numbers(known[name]):
        kind = f"{name!r} is a column of kind {known[name].kind}"
        raise UserError(f"data.constraints: {whole!r}: {kind}, which contains no numbers or dates that are generated.")
    return 1.0, name, text[length:]


def _ends(text: str, name: str) -> bool:
    """Whether a text starts with a name as a whole word."""
    after = text[len(name) : len(name) + 1]
    return not (after and name[-1:].isalnum() and (after.isalnum() or after == "_"))


def _check_holds(statement: LinearConstraint, table: Table, values: Numbers) -> None:
    broken = statement.broken(values)
    if not broken.any():
        return
    row = int(np.flatnonzero(broken)[0])
    one = table.select(np.array([row]))
    cells = ", ".join(f"{name} {(one.format(one.column(name))[0] or '').strip()!r}" for name in statement.coefficients)
    raise UserError(
        f"data.constraints: {statement.words!r} does not hold in {int(broken.sum()):,} of {len(table):,} rows, first in row "
        f"{row + 1} below the names ({cells}). Correct those rows, or leave the constraint out."
    )


def rules_of(statements: Sequence[Statement], columns: Mapping[str, Column], values: Numbers) -> tuple[Rule, ...]:
    """The rules that enforce the user's constraints. UserError if there is no column for which a constraint can be solved."""
    rules: dict[str, Rule] = {}
    for statement, targets in statements:
        if len(statement.coefficients) == 1:  # the range of a column is kept anyway
            continue
        for target in targets:
            rule = _extend_rule(rules.get(target), statement, columns[target], values)
            changed = {**rules, target: rule} if rule else None
            if changed and sort_rules(list(changed.values())) is not None:
                rules = changed
                break
        else:
            raise UserError(
                f"data.constraints: {statement.words!r} cannot be combined with the others: each of {', '.join(targets)} already "
                "follows from other columns. Leave one of the constraints out."
            )
    return sort_rules(list(rules.values())) or ()


def _extend_rule(rule: Rule | None, statement: LinearConstraint, target: Column, values: Numbers) -> Rule | None:
    """The rule of a column with one more statement; None if both cannot be enforced."""
    if statement.sign == "=":
        made = ComputedColumn.fit(statement, target, values)
        kept = not statement.broken({**values, target.name: made.compute(values, None)}).any()
        return made if kept and rule is None else None
    if rule is None:
        return BoundedColumn.fit([statement], target, values)
    if isinstance(rule, BoundedColumn) and rule.above == (statement.coefficients[target.name] < 0):
        return BoundedColumn.fit([*rule.statements, statement], target, values)
    return None
