"""What the columns of a table mean, decided together where one column alone cannot tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from zerosum.domains.tables import columns, numbers
from zerosum.domains.tables.columns import MEANINGS, Column, Values
from zerosum.domains.tables.numbers import NumberFormat
from zerosum.domains.tables.reading import RawColumn, RawTable
from zerosum.domains.tables.table import Table
from zerosum.errors import UserError, nearest

Decimal = str | dict[str, str]
"""The decimal mark of all columns where it is in doubt, or that of each column named."""
TEXTS = ("", "object", "str", "string")
"""Types of columns whose numbers are spelled by people."""
FEWEST_ROWS = 10
OTHER = {",": ".", ".": ","}


def understood(
    raw: RawTable,
    types: Mapping[str, str] = {},
    drop: Sequence[str] = (),
    missing: Sequence[str] = (),
    decimal: Decimal = "",
) -> Table:
    """The table with a meaning for each column. types: column -> meaning. drop: columns to be left out. missing: spellings that
    stand for a missing number or date. decimal: the decimal mark, a comma or a point, where both can be meant.

    UserError when a name is unknown, a meaning does not fit, or no column is left to learn.
    """
    _must_be_known(raw, types, drop, decimal)
    held = [column for column in raw.columns if column.name not in drop]

    def find(column: RawColumn, mark: str = ".") -> tuple[Column, Values | None]:
        meant, values = columns.found(column, raw.where, types.get(column.name), missing=missing, decimal=mark)
        return replace(meant, categories=column.categories), values

    doubts = {column.name: doubt for column in held if (doubt := _doubt(column, missing))}
    found = {column.name: find(column) for column in held if column.name not in doubts}
    usual = _usual([column for column, _ in found.values()])
    for column in held:
        if column.name in doubts:
            point, note = _decided(column, doubts[column.name], usual, raw.style.delimiter, decimal)
            meant, values = find(column, point)
            found[column.name] = replace(meant, note="; ".join(filter(None, (note, meant.note)))), values
    _must_suit(found, decimal)
    arrays = {column.name: found[column.name][1] for column in held}
    table = Table(
        tuple(found[column.name][0] for column in held),
        {name: values for name, values in arrays.items() if values is not None},
        raw.num_rows,
    )
    _must_be_usable(table, raw.where)
    return table


def _must_be_known(raw: RawTable, types: Mapping[str, str], drop: Sequence[str], decimal: Decimal) -> None:
    names = [column.name for column in raw.columns]
    marks = decimal if isinstance(decimal, dict) else {}
    for option, given in (("types", types), ("drop", drop), ("decimal", marks)):
        for name in given:
            if name not in names:
                raise UserError(f"data.{option}: there is no column {name!r}. {nearest(name, names)}")
    for name, meaning in types.items():
        if meaning not in MEANINGS:
            raise UserError(f"data.types.{name} = {meaning!r} is no type of column. {nearest(meaning, MEANINGS)}")
    for mark in marks.values() if isinstance(decimal, dict) else [decimal] if decimal else []:
        if mark not in OTHER:
            raise UserError(f"data.decimal = {mark!r}: the decimal mark is ',' or '.'.")


def _doubt(column: RawColumn, missing: Sequence[str]) -> str:
    """The mark that may be the decimal mark of a column or group its thousands; "" where its cells leave no doubt."""
    if column.dtype not in TEXTS:
        return ""
    return numbers.in_doubt(columns.present_of(column, missing).words)


def _usual(found: Sequence[Column]) -> str:
    """The decimal mark of the columns that leave no doubt; "" where they have none, or differ."""
    forms = [one.form for one in found if isinstance(one.form, NumberFormat) and one.dtype in TEXTS]
    marks = {form.point for form in forms if form.most or form.group in OTHER}
    return marks.pop() if len(marks) == 1 else ""


def _decided(column: RawColumn, mark: str, usual: str, delimiter: str, decimal: Decimal) -> tuple[str, str]:
    """The decimal mark of a column in doubt, and a note where nothing but a guess decides."""
    asked: str = decimal.get(column.name, "") if isinstance(decimal, dict) else decimal
    if asked:
        return asked, ""
    words = columns.present_of(column).words
    if numbers.groups(words, mark):
        return OTHER[mark], ""
    if usual:
        return usual, ""
    point = "," if delimiter == ";" else "."
    if point == mark == ".":  # as programs write numbers
        return point, ""
    word = next(word for word in words if mark in word)
    ways = {way: numbers.parsed([word], way) for way in OTHER}
    meant, other = (f"{read[0][0]:g}" if (read := ways[way]) else word for way in (point, OTHER[point]))
    note = f"{word.strip()!r} is read as {meant}, for the file separates its cells by {delimiter!r}"
    option = json.dumps({column.name: OTHER[point]}, ensure_ascii=False)
    return point, f"{note}; if it is {other}: --set 'data.decimal={option}'"


def _must_suit(found: Mapping[str, tuple[Column, Values | None]], decimal: Decimal) -> None:
    """UserError where a column that the user names has another decimal mark."""
    for name, mark in decimal.items() if isinstance(decimal, dict) else ():
        form = found[name][0].form if name in found else None
        if isinstance(form, NumberFormat) and form.most and form.point != mark:
            raise UserError(f"data.decimal: in the numbers of {name!r} the decimal mark can only be {form.point!r}.")


def _must_be_usable(table: Table, where: str) -> None:
    if not table.arrays:
        reasons = "; ".join(f"{column.name!r} is {_excuse(column)}" for column in table.columns) or "all were dropped"
        raise UserError(
            f"{where} has no column to learn from: {reasons}. If one of them is a category or a number, say so: "
            '--set \'data.types={"NAME": "categorical"}\'.'
        )
    if len(table) < FEWEST_ROWS:
        raise UserError(
            f"{where} has {len(table)} rows; a distribution needs at least {FEWEST_ROWS}, better some hundreds."
        )


def _excuse(column: Column) -> str:
    return column.left_out or ("an identifier" if column.kind == "identifier" else "the same in every row")
