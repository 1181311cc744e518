"""Conditions in words: "sex=Female,age>40,hired>=2020-01-01"."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables import dates, numbers
from zerosum.domains.tables.columns import CATEGORICAL, Column
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.table import Table
from zerosum.errors import UserError, near, nearest

PART = re.compile(r"\s*(?P<name>.+?)\s*(?P<sign><=|>=|!=|==|=|<|>)(?P<value>.*)", re.DOTALL)
EXAMPLE = '--where "sex=Female,age>40"'
MOST_NAMED = 20
Where = str | Mapping[str, Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
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


def parsed(where: Where, columns: Sequence[Column]) -> tuple[Condition, ...]:
    """The conditions in words, or as a mapping of columns to values ({"sex": "Female", "age": ">40"}); UserError names the
    columns or values to choose from. A value with a comma in it is written in quotes: 'name="Smith, J."'."""
    if isinstance(where, str):
        cut = _cut(where)
        parts = [_split(text, before) for before, text in zip(["", *cut], cut)]
    else:
        parts = [(str(name), *_signed(value)) for name, value in where.items()]
    return tuple(_condition(name, sign, value, columns) for name, sign, value in parts)


def _cut(text: str) -> list[str]:
    """At the commas that stand in no quotes."""
    parts = re.findall(r'(?:[^,"]|"[^"]*")+', text)
    return [part for part in parts if part.strip()]


def _split(text: str, before: str) -> tuple[str, str, str]:
    """Column, sign and value of a part. before: the part before it, which it may belong to."""
    match = PART.fullmatch(text)
    if match is None:
        held = PART.fullmatch(before)
        quoted = held and f'{held["name"]}{held["sign"]}"{held["value"].strip()},{text.rstrip()}"'
        hint = f" If it belongs to the value before it, write that in quotes: --where '{quoted}'." if quoted else ""
        raise UserError(
            f"where: {text.strip()!r} is no condition. Write column, sign (= != < <= > >=) and value: {EXAMPLE}.{hint}"
        )
    value = match["value"].strip()
    if value.startswith('"'):
        value = next(csv.reader([value]), [""])[0]
    return match["name"].strip('"'), match["sign"].replace("==", "="), value


def _signed(value: Any) -> tuple[str, str]:
    """Sign and value of what stands in a mapping; without a sign, equality."""
    if value is None or value != value:
        return "=", ""
    match = re.fullmatch(r"\s*(<=|>=|!=|==|<|>)(.*)", value, re.DOTALL) if isinstance(value, str) else None
    return (match[1].replace("==", "="), match[2].strip()) if match else ("=", str(value))


def _condition(name: str, sign: str, value: str, columns: Sequence[Column]) -> Condition:
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
        return Condition(column, sign, 0.0, _levels(column, sign, value), words)
    if value == "" and sign in ("=", "!="):
        return Condition(column, sign, float("nan"), words=words)
    return Condition(column, sign, _number(column, value), words=words)


def _number(column: Column, text: str) -> float:
    """A number or moment, spelled as in the table or plainly."""
    read: Any
    if isinstance(column.form, DateFormat):
        read = column.form.moments([text])
        if read is None and (found := dates.dated([text])) is not None:
            read = found[1].times(found[0]).astype(f"datetime64[{column.form.unit}]").astype(np.int64) + 0.0
        wanted = f"a date or time such as {column.form.spelled(np.array([0.0]))[0].strip()}"
    else:
        found_numbers = numbers.parsed([text])
        read = None if found_numbers is None else found_numbers[0]
        wanted = "a number"
    if read is None:
        raise UserError(f"where: {column.name!r} is {column.kind}; {text!r} is not {wanted}.")
    return float(read[0])


def _levels(column: Column, sign: str, value: str) -> tuple[bool, ...]:
    """Which levels satisfy the condition. Blanks around a level need not be written; numbers compare as numbers."""
    levels = [level or "" for level in column.levels]
    if sign in ("=", "!="):
        same = [level == value for level in levels]
        same = same if any(same) else [level.strip() == value.strip() for level in levels]
        if not any(same):
            raise UserError(f"where: {column.name!r} has no value {value!r}. {_choices(value, levels)}")
        return tuple(same if sign == "=" else [not one for one in same])
    known = [level for level in levels if level.strip() not in ("", "?")]
    read, wanted = numbers.parsed(known), numbers.parsed([value])
    if read is None or wanted is None:
        raise UserError(
            f"where: {column.name!r} is {column.kind}; it can be = or != one of its values, not {sign} {value!r}."
        )
    held = dict(zip(known, _compared(read[0], sign, float(wanted[0][0])).tolist()))
    allowed = tuple(held.get(level, False) for level in levels)
    if not any(allowed):
        raise UserError(f"where: no value of {column.name!r} is {sign} {value}. {_choices(value, levels)}")
    return allowed


def _choices(value: str, levels: Sequence[str]) -> str:
    """All levels where they are few; else the nearest, or how many there are."""
    bare = [level.strip() for level in levels]
    if len(bare) <= MOST_NAMED:
        return "Choose from: " + ", ".join(repr(level) for level in bare) + "."
    return near(value, bare) or f"It has {len(bare):,} values."


def satisfied(table: Table, conditions: Sequence[Condition]) -> Mask:
    """(N,) which rows satisfy all conditions."""
    held = np.ones(len(table), dtype=bool)
    for condition in conditions:
        held &= condition.holds(table.arrays[condition.column.name])
    return held
