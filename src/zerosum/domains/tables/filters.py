"""Conditions in words: "sex=Female,age>40,hired>=2020-01-01"."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables import dates, numbers
from zerosum.domains.tables.columns import CATEGORICAL, Column, is_missing
from zerosum.domains.tables.numbers import NumberFormat
from zerosum.domains.tables.table import Table
from zerosum.errors import UserError, near, nearest

SIGN = re.compile(r"\s*(?P<sign><=|>=|!=|==|=|<|>)")
QUOTED = re.compile(r'"(?P<name>(?:[^"]|"")+)"' + SIGN.pattern)
PART = re.compile(r'(?P<name>(?:[^,"<>=!]|"[^"]*")+?)' + SIGN.pattern)
VALUE = re.compile(r'(?:[^,"]|"[^"]*"|"[^"]*$)*')
EXAMPLE = '--where "sex=Female,age>40"'
MOST_NAMED = 20
Where = str | Mapping[str, Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Filter:
    """What one column must be. sign: of = != < <= > >=. value: a number or moment, NaN for missing; for categories the place
    of the level, which is compared by `allowed`. allowed: (levels,) those of a category that satisfy it."""

    column: Column
    sign: str
    value: float
    allowed: tuple[bool, ...] = ()
    words: str = ""

    @property
    def exact(self) -> bool:
        """Whether it leaves one value, which a generator can be told."""
        return sum(self.allowed) == 1 if self.allowed else self.sign == "="

    def holds(self, values: NDArray[Any]) -> Mask:
        """(N,) which values of the column satisfy it; a missing one satisfies no comparison."""
        if self.allowed:
            held: Mask = np.asarray(self.allowed)[values]
            return held
        if np.isnan(self.value):
            missing: Mask = np.isnan(values)
            return missing if self.sign == "=" else ~missing
        return _compared(values, self.sign, self.value)


def _compared(values: NDArray[Any], sign: str, value: float) -> Mask:
    with np.errstate(invalid="ignore"):
        found = {
            "=": values == value,
            "!=": values != value,
            "<": values < value,
            "<=": values <= value,
            ">": values > value,
            ">=": values >= value,
        }[sign]
    return np.asarray(found & ~np.isnan(values))


def parsed(where: Where, columns: Sequence[Column]) -> tuple[Filter, ...]:
    """The conditions in words, or as a mapping of columns to values ({"sex": "Female", "age": ">40"}); UserError names the
    columns or values to choose from. A value with a comma in it is written in quotes: 'name="Smith, J."', and so is a name that
    could be taken for something else: '"a=b"=1'; a quote within quotes is written twice."""
    names = {column.name: column.name for column in columns}
    bare = [name.strip() for name in names]
    names |= {short: name for name, short in zip([*names], bare) if short not in names and bare.count(short) == 1}
    parts: Sequence[tuple[str, str, str | float]]
    if isinstance(where, str):
        parts = _parts(where, sorted(filter(None, names), key=len, reverse=True))
    else:
        parts = [(str(name), *_signed(value)) for name, value in where.items()]
    return tuple(_condition(names.get(name, name), sign, value, columns) for name, sign, value in parts)


def _parts(text: str, names: Sequence[str]) -> list[tuple[str, str, str]]:
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
            f"where: {text!r} holds no condition. Write one, as in {EXAMPLE}, or leave --where out for all rows."
        )
    return parts


def _column_at(text: str, at: int, names: Sequence[str]) -> tuple[str, str, int] | None:
    """The column and the sign that begin at a place, and where the value does: a name in quotes, the longest name of a column, or
    what stands before the first sign."""
    if quoted := QUOTED.match(text, at):
        return quoted["name"].replace('""', '"'), quoted["sign"].replace("==", "="), quoted.end()
    for name in names:
        if text.startswith(name, at) and (sign := SIGN.match(text, at + len(name))):
            return name, sign["sign"].replace("==", "="), sign.end()
    match = PART.match(text, at)
    return (match["name"].strip('"'), match["sign"].replace("==", "="), match.end()) if match else None


def _refuse(text: str, at: int, parts: Sequence[tuple[str, str, str]]) -> NoReturn:
    """UserError for what is no condition; it may belong to the value before it."""
    found = VALUE.match(text, at)
    rest = found.group() if found else text[at:]
    hint = ""
    if parts:
        name, sign, value = parts[-1]
        whole = f"""'{name}{sign}"{value},{rest.rstrip()}"'"""
        hint = f" If it belongs to the value before it, write that in quotes: --where {whole}."
    raise UserError(
        f"where: {rest.strip()!r} is no condition. Write column, sign (= != < <= > >=) and value: {EXAMPLE}.{hint}"
    )


def _signed(value: Any) -> tuple[str, str | float]:
    """Sign and value of what stands in a mapping; without a sign, equality."""
    if value is None or (not isinstance(value, str) and str(value) in ("nan", "NaT", "<NA>")):
        return "=", ""
    if isinstance(value, (float, np.floating)):  # no text: whose rule would its point follow?
        return "=", float(value)
    match = re.fullmatch(r"\s*(<=|>=|!=|==|<|>)(.*)", value, re.DOTALL) if isinstance(value, str) else None
    return (match[1].replace("==", "="), match[2].strip()) if match else ("=", str(value))


def _condition(name: str, sign: str, value: str | float, columns: Sequence[Column]) -> Filter:
    learnt = {column.name: column for column in columns if column.learnt}
    known = {column.name: column for column in columns}
    if name in known and known[name].kind == "constant":
        raise UserError(
            f"where: {name!r} is always {known[name].spelling!r} in the table, in made rows too. Leave this condition out."
        )
    if name in known and name not in learnt:
        raise UserError(
            f"where: {name!r} is a column of kind {known[name].kind}, which is not learnt; it cannot be asked for."
        )
    if name not in learnt:
        raise UserError(f"where: there is no column {name!r}. {nearest(name, learnt)}")
    column, words = learnt[name], f"{name}{sign}{value}"
    if column.kind in CATEGORICAL:
        return Filter(column, sign, 0.0, _levels(column, sign, value), words)
    unknown = isinstance(value, str) and (is_missing(value) or value == (column.missing or "").strip())
    if unknown and sign in ("=", "!="):
        return Filter(column, sign, float("nan"), words=words)
    return Filter(column, sign, _number(column, value), words=words)


def _number(column: Column, text: str | float) -> float:
    """A number or moment as the column's array holds it, spelled as in the table or plainly."""
    read: Any
    if isinstance(column.form, NumberFormat):
        read = column.form.read([text]) if isinstance(text, str) else [text - column.form.offset]
        wanted = "a number"
    else:
        assert column.form is not None
        read = column.form.moments([str(text)])
        if read is None and (found := dates.dated([str(text)])) is not None:
            read = found[1].times(found[0]).astype(f"datetime64[{column.form.unit}]").astype(np.int64) + 0.0
        wanted = f"a date or time such as {column.form.spelled(np.array([0.0]))[0].strip()}"
    if read is None:
        raise UserError(f"where: {column.name!r} is {column.kind}; {text!r} is not {wanted}.")
    return float(read[0])


def _levels(column: Column, sign: str, wanted: str | float) -> tuple[bool, ...]:
    """Which levels satisfy the condition. Blanks around a level need not be written; numbers compare as numbers."""
    levels = [level or "" for level in column.levels]
    if isinstance(wanted, str):
        value = wanted
    else:
        form = column.form if isinstance(column.form, NumberFormat) else NumberFormat(most=12)
        value = form.spelled(np.array([wanted]))[0]
    if sign in ("=", "!="):
        same = [level == value for level in levels]
        same = same if any(same) else [level.strip() == value.strip() for level in levels]
        if not any(same):
            raise UserError(f"where: {column.name!r} has no value {value!r}. {_choices(value, levels)}")
        return tuple(same if sign == "=" else [not one for one in same])
    allowed = _comparing(column, sign, value, levels)
    if not any(allowed):
        raise UserError(f"where: no value of {column.name!r} is {sign} {value}. {_choices(value, levels)}")
    return allowed


def _comparing(column: Column, sign: str, value: str, levels: Sequence[str]) -> tuple[bool, ...]:
    """Which levels, read as numbers by the rule of the column, satisfy a comparison."""
    known = [level for level in levels if not is_missing(level)]
    found = None if column.form else numbers.parsed(known)
    form = column.form or (found and found[1])
    read = {level: form.read([level]) for level in known} if isinstance(form, NumberFormat) else {}
    wanted = form.read([value]) if isinstance(form, NumberFormat) else None
    if wanted is None:
        raise UserError(
            f"where: {column.name!r} is {column.kind}; it can be = or != one of its values, not {sign} {value!r}."
        )
    held = {level: bool(_compared(at, sign, float(wanted[0]))[0]) for level, at in read.items() if at is not None}
    return tuple(held.get(level, False) for level in levels)


def _choices(value: str, levels: Sequence[str]) -> str:
    """All levels where they are few; else the nearest, or how many there are."""
    bare = [level.strip() for level in levels]
    if len(bare) <= MOST_NAMED:
        return "Choose from: " + ", ".join(repr(level) for level in bare) + "."
    return near(value, bare) or f"It has {len(bare):,} values."


def satisfied(table: Table, conditions: Sequence[Filter]) -> Mask:
    """(N,) which rows satisfy all conditions."""
    held = np.ones(len(table), dtype=bool)
    for condition in conditions:
        held &= condition.holds(table.arrays[condition.column.name])
    return held
