"""Parses conditions on columns such as "sex=Female,age>40,hired>=2020-01-01"."""

from __future__ import annotations

import csv
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from zerosum.domains.tables import dates, numbers
from zerosum.domains.tables.numbers import NumberFormat
from zerosum.domains.tables.table import CATEGORICAL, Column, Mask, Table, Values, is_missing
from zerosum.errors import UserError, near, nearest

SIGN = re.compile(r"\s*(?P<sign><=|>=|!=|==|=|<|>)")
QUOTED = re.compile(r'"(?P<name>(?:[^"]|"")+)"' + SIGN.pattern)
PART = re.compile(r'(?P<name>(?:[^,"<>=!]|"[^"]*")+?)' + SIGN.pattern)
VALUE = re.compile(r'(?:[^,"]|"[^"]*"|"[^"]*$)*')
EXAMPLE = '--where "sex=Female,age>40"'
MOST_NAMED = 20
Where = str | Mapping[str, Any]
COMPARISONS: Mapping[str, Callable[[Any, float], Any]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """A condition on one column. sign: of = != < <= > >=. value: a number or moment, NaN for missing; for categories it is not
    used. allowed: (levels,) those of a category that satisfy it. words: as the user wrote it."""

    column: Column
    sign: str
    value: float
    allowed: tuple[bool, ...] = ()
    words: str = ""

    @property
    def exact(self) -> bool:
        """Whether a single value satisfies it, on which the generator can be conditioned."""
        return sum(self.allowed) == 1 if self.allowed else self.sign == "="

    @property
    def is_number(self) -> bool:
        """Whether it requests a single number or date that is not missing."""
        return self.exact and not self.allowed and not np.isnan(self.value)

    def holds(self, values: Values) -> Mask:
        """(N,) which values of the column satisfy it; a missing one satisfies no comparison."""
        if self.allowed:
            held: Mask = np.asarray(self.allowed)[values]
            return held
        if np.isnan(self.value):
            missing: Mask = np.isnan(values)
            return missing if self.sign == "=" else ~missing
        return _compare(values, self.sign, self.value)


def _compare(values: Values, sign: str, value: float) -> Mask:
    with np.errstate(invalid="ignore"):
        return np.asarray(COMPARISONS[sign](values, value) & ~np.isnan(values))


def rows_satisfying(table: Table, filters: Sequence[Filter]) -> Mask:
    """(N,) which rows satisfy all conditions."""
    held = np.ones(len(table), dtype=bool)
    for one in filters:
        held &= one.holds(table.arrays[one.column.name])
    return held


def parse_filters(where: Where, columns: Sequence[Column]) -> tuple[Filter, ...]:
    """Parses conditions as text, or as a mapping of columns to values ({"sex": "Female", "age": ">40"}); UserError names the
    columns or values to choose from. A value with a comma is written in quotes: 'name="Smith, J."', and so is a name that
    contains a sign: '"a=b"=1'; a quote within quotes is written twice."""
    names = {column.name: column.name for column in columns}
    bare = [name.strip() for name in names]
    names |= {short: name for name, short in zip([*names], bare) if short not in names and bare.count(short) == 1}
    parts: Sequence[tuple[str, str, str | float]]
    if isinstance(where, str):
        parts = _split_conditions(where, sorted(filter(None, names), key=len, reverse=True))
    else:
        parts = [(str(name), *_split_sign(value)) for name, value in where.items()]
    return tuple(_filter(names.get(name, name), sign.replace("==", "="), value, columns) for name, sign, value in parts)


def _split_conditions(text: str, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Column, sign and value of each condition. names: of the columns, the longest first."""
    parts: list[tuple[str, str, str]] = []
    at = 0
    while at < len(text):
        if text[at] in ", \t\n":
            at += 1
            continue
        name, sign, start = _column_at(text, at, names) or _refuse(text, at, parts)
        end = VALUE.match(text, start)
        assert end is not None
        value = end.group().strip()
        parts.append((name, sign, next(csv.reader([value]), [""])[0] if value.startswith('"') else value))
        at = end.end()
    if text and not parts:
        raise UserError(
            f"where: {text!r} contains no condition. Write one, as in {EXAMPLE}, or leave --where out for all rows."
        )
    return parts


def _column_at(text: str, at: int, names: Sequence[str]) -> tuple[str, str, int] | None:
    """The column and the sign at a position, and the position of the value. The column is a name in quotes, the longest matching
    name of a column, or the text before the first sign."""
    if quoted := QUOTED.match(text, at):
        return quoted["name"].replace('""', '"'), quoted["sign"], quoted.end()
    for name in names:
        if text.startswith(name, at) and (sign := SIGN.match(text, at + len(name))):
            return name, sign["sign"], sign.end()
    match = PART.match(text, at)
    return (match["name"].strip('"'), match["sign"], match.end()) if match else None


def _refuse(text: str, at: int, parts: Sequence[tuple[str, str, str]]) -> NoReturn:
    """UserError for text that is not a condition; it may belong to the previous value."""
    found = VALUE.match(text, at)
    rest = found.group() if found else text[at:]
    hint = ""
    if parts:
        name, sign, value = parts[-1]
        whole = f"""'{name}{sign.replace("==", "=")}"{value},{rest.rstrip()}"'"""
        hint = f" If it belongs to the previous value, write that value in quotes: --where {whole}."
    how = f"Write column, sign (= != < <= > >=) and value: {EXAMPLE}.{hint}"
    raise UserError(f"where: {rest.strip()!r} is not a condition. {how}")


def _split_sign(value: Any) -> tuple[str, str | float]:
    """Sign and value of an entry of a mapping; without a sign, equality."""
    if value is None or (not isinstance(value, str) and str(value) in ("nan", "NaT", "<NA>")):
        return "=", ""
    if isinstance(value, (float, np.floating)):  # a text could be read with another decimal mark
        return "=", float(value)
    match = re.fullmatch(r"\s*(<=|>=|!=|==|<|>)(.*)", value, re.DOTALL) if isinstance(value, str) else None
    return (match[1], match[2].strip()) if match else ("=", str(value))


def _filter(name: str, sign: str, value: str | float, columns: Sequence[Column]) -> Filter:
    known = {column.name: column for column in columns}
    learnt = {column.name: column for column in columns if column.learnt}
    if name not in learnt:
        if name not in known:
            raise UserError(f"where: there is no column {name!r}. {nearest(name, learnt)}")
        if known[name].kind == "constant":
            always = f"{name!r} is always {known[name].spelling!r} in the table and in generated rows"
            raise UserError(f"where: {always}. Leave this condition out.")
        kind = f"{name!r} is a column of kind {known[name].kind}"
        raise UserError(f"where: {kind}, which is not generated; it cannot be requested.")
    column, words = learnt[name], f"{name}{sign}{value}"
    if column.kind in CATEGORICAL:
        return Filter(column, sign, 0.0, _levels(column, sign, value), words)
    unknown = isinstance(value, str) and (is_missing(value) or value == (column.missing or "").strip())
    unknown = unknown and sign in ("=", "!=")
    return Filter(column, sign, float("nan") if unknown else _number(column, value), words=words)


def _number(column: Column, text: str | float) -> float:
    """Parses a number or moment, in the format of the column or a standard one, to the value in the column's array."""
    form = column.form
    assert form is not None
    if isinstance(form, NumberFormat):
        read: Any = form.parse([text]) if isinstance(text, str) else [text - form.offset]
        wanted = "a number"
    else:
        read = form.parse([str(text)])
        if read is None and (found := dates.parse([str(text)])) is not None:
            read = found[1].times(found[0]).astype(f"datetime64[{form.unit}]").astype(np.int64) + 0.0
        wanted = f"a date or time such as {form.format(np.array([0.0]))[0].strip()}"
    if read is None:
        raise UserError(f"where: {column.name!r} is {column.kind}; {text!r} is not {wanted}.")
    return float(read[0])


def _levels(column: Column, sign: str, wanted: str | float) -> tuple[bool, ...]:
    """Which levels satisfy the condition. Blanks around a level are ignored; numbers are compared as numbers."""
    levels = [level or "" for level in column.levels]
    form = column.form if isinstance(column.form, NumberFormat) else NumberFormat(most=12)
    value = wanted if isinstance(wanted, str) else form.format(np.array([wanted]))[0]
    bare = [level.strip() for level in levels]
    choices = "Choose from: " + ", ".join(repr(level) for level in bare) + "."
    if len(bare) > MOST_NAMED:
        choices = near(value, bare) or f"It has {len(bare):,} values."
    if sign not in ("=", "!="):
        allowed = _compare_levels(column, sign, value, levels)
        if not any(allowed):
            raise UserError(f"where: no value of {column.name!r} is {sign} {value}. {choices}")
        return allowed
    same = [level == value for level in levels]
    same = same if any(same) else [level == value.strip() for level in bare]
    if not any(same):
        raise UserError(f"where: {column.name!r} has no value {value!r}. {choices}")
    return tuple(same if sign == "=" else [not one for one in same])


def _compare_levels(column: Column, sign: str, value: str, levels: Sequence[str]) -> tuple[bool, ...]:
    """Which levels, read as numbers in the format of the column, satisfy a comparison."""
    known = [level for level in levels if not is_missing(level)]
    found = None if column.form else numbers.parse(known)
    form = column.form or (found and found[1])
    wanted = form.parse([value]) if isinstance(form, NumberFormat) else None
    if form is None or wanted is None:
        one = f"{column.name!r} is {column.kind}; it can be = or != one of its values"
        raise UserError(f"where: {one}, not {sign} {value!r}.")
    read = {level: form.parse([level]) for level in known}
    held = {level: bool(_compare(at, sign, float(wanted[0]))[0]) for level, at in read.items() if at is not None}
    return tuple(held.get(level, False) for level in levels)
