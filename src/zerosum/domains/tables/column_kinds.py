"""Finds the kinds of the columns of a table from their spellings, or takes them from the user."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from zerosum.domains.tables import dates, numbers
from zerosum.domains.tables.identifiers import exceeds_width, looks_counted, rule_of
from zerosum.domains.tables.numbers import NumberFormat
from zerosum.domains.tables.reading import RawColumn, RawTable
from zerosum.domains.tables.table import BOOLS, CATEGORICAL, Column, Table, Values, is_missing
from zerosum.errors import UserError, nearest

Kind = Literal["continuous", "integer", "categorical", "boolean", "date", "identifier", "constant", "text"]
KINDS: tuple[str, ...] = get_args(Kind)
Decimal = str | dict[str, str]
"""The decimal mark of all columns where it is ambiguous, or of single columns."""
BOOLEANS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"}, {"0", "1"}, {"on", "off"})
FEW_NUMBERS, ROWS_PER_LEVEL = 12, 5
"""Numbers with at most this many distinct values, each in at least so many rows on average, are categories."""
MOSTLY_ONCE, NEARLY_ALL = 0.5, 0.9
"""Shares of distinct values above which a column of words is not a category, and from which it is an identifier."""
MOST_STRAY, NUM_SHOWN = 0.5, 4
"""The greatest share of cells that are not numbers or dates in a column of such, up to which they are reported; number of
spellings that are shown."""
TEXTS = ("", "object", "str", "string")
"""Types of columns whose numbers are texts."""
FEWEST_ROWS = 10
OTHER_MARK = {",": ".", ".": ","}


@dataclass(frozen=True)
class Cells:
    """The distinct cells of a column that are not missing. places: among the spellings. words: the same as texts. decimal: the
    decimal mark that is assumed where a comma and a point are both possible."""

    places: Sequence[int]
    words: list[str]
    decimal: str


def present_cells(raw: RawColumn, missing: Sequence[str] = (), decimal: str = ".") -> Cells:
    """The cells of a column that are not missing."""
    places = [p for p, text in enumerate(raw.spellings) if text is not None and not is_missing(text, missing)]
    return Cells(places, [raw.spellings[place] or "" for place in places], decimal)


# --- one column


def find_kind(
    raw: RawColumn, where: str, requested: str | None = None, *, missing: Sequence[str] = (), decimal: str = "."
) -> tuple[Column, Values | None]:
    """The column and its values; None instead of values if it is not learnt.

    requested: the kind that the user gives it. missing: spellings of a missing number or date in addition to MISSING.
    decimal: see `Cells`.
    """
    cells = present_cells(raw, missing, decimal)
    words = cells.words
    if wrong := numbers.infinite(words):
        raise UserError(
            f"{where}: column {raw.name!r} holds {wrong.strip()!r} (row {raw.row_of(wrong)} below the names). Infinite values "
            "cannot be generated: delete those rows, or leave the cell empty if the value is unknown."
        )
    if requested is not None:
        return _requested_kind(raw, where, requested, cells)
    if len(raw.spellings) == 1:
        return Column(raw.name, "constant", raw.dtype, spelling=raw.spellings[0]), None
    if {word.strip().lower() for word in words} in BOOLEANS and len(words) == 2:
        return _levels(raw, "boolean")
    if raw.dtype in ("category", *BOOLS) or len(words) < 2:
        return _levels(raw, "categorical")
    if found := _numeric(raw, cells, "date") or _number(raw, cells):
        return found
    column, values = _words(raw, words)
    if column.kind in ("text", "categorical") and (stray := _stray(raw, cells)):
        left_out = f"{column.left_out}; {stray}" if column.left_out else ""
        column = replace(column, left_out=left_out, note="" if left_out else f"read as categories; {stray}")
    return column, values


def _stray(raw: RawColumn, cells: Cells) -> str:
    """A note on a column of words that are mostly numbers or dates: the other cells, and how to read them as missing; else ""."""
    counts = dict(zip(cells.words, raw.counts[cells.places].tolist()))
    total = sum(counts.values())
    for kind, odd in (("numbers", numbers.misfits(cells.words)), ("dates", dates.misfits(cells.words))):
        num = sum(counts[word] for word in odd)
        if num > MOST_STRAY * total or len(counts) - len(odd) <= FEW_NUMBERS:
            continue
        odd = sorted(odd, key=lambda word: -counts[word])
        more = f" and {len(odd) - NUM_SHOWN:,} more" if len(odd) > NUM_SHOWN else ""
        shown = ", ".join(f"{word!r} ({counts[word]:,})" for word in odd[:NUM_SHOWN]) + more
        how = "Correct those cells" if more else f"To read those as missing: {_missing_option(odd)}"
        return f"{1 - num / total:.0%} of its cells are {kind}, the others are not: {shown}. {how}"
    return ""


def _missing_option(words: Sequence[str]) -> str:
    return f"--set 'data.missing={json.dumps([word.strip() for word in words], ensure_ascii=False)}'"


def _numeric(raw: RawColumn, cells: Cells, kind: str) -> tuple[Column, Values] | None:
    """A column of numbers or dates; None if its words are not."""
    words = cells.words
    read: Any = dates.parse(words) if kind == "date" else numbers.parse(words, cells.decimal)
    if read is None:
        return None
    values, form = read
    if kind != "date":
        kind = "integer" if form.scale and (values == np.round(values)).all() else "continuous"
    table = np.full(len(raw.spellings), np.nan)
    table[cells.places] = values
    counts = np.where(np.isnan(table), raw.counts, 0)
    missing = raw.spellings[int(counts.argmax())] if counts.any() else ""
    return Column(raw.name, kind, raw.dtype, missing, form, note=_note(form, values, raw, cells)), table[raw.codes]


def _note(form: Any, values: Values, raw: RawColumn, cells: Cells) -> str:
    """A note on cells whose spelling is not kept, and on dates that may represent missing ones."""
    notes, words = [], cells.words
    is_number = isinstance(form, NumberFormat)
    if (form.offset or (form.free and raw.dtype.startswith("decimal"))) if is_number else form.inexact:
        pairs = zip(words, form.format(values))
        if odd := next(((word, again) for word, again in pairs if word.strip() != again.strip()), None):
            notes.append(f"{odd[0].strip()!r} is written as {odd[1].strip()!r}")
    if not is_number and (place := dates.sentinel(form, values)) is not None:
        counts = raw.counts[cells.places]
        share = counts[values == values[place]].sum() / counts.sum()
        notes.append(
            f"{words[place].strip()!r} ({share:.1%} of the dates) is far from the others; if it represents a missing date: "
            f"{_missing_option([words[place]])}"
        )
    return "; ".join(notes)


def _number(raw: RawColumn, cells: Cells) -> tuple[Column, Values | None] | None:
    read, words = _numeric(raw, cells, "number"), cells.words
    if read is None:
        return None
    column, values = read
    form: Any = column.form
    if column.kind == "integer" and not form.most and not np.isnan(values).any() and looks_counted(raw.name, values):
        return _identifier(raw, words), None
    if len(words) <= FEW_NUMBERS and len(raw.codes) >= ROWS_PER_LEVEL * len(words):
        levels, places = _levels(raw, "categorical")
        return replace(levels, form=form), places
    if form.offset and len(words) <= MOSTLY_ONCE * len(raw.codes):  # numbers of so many digits that repeat are keys
        return _levels(raw, "categorical")
    return column, values


def _words(raw: RawColumn, words: list[str]) -> tuple[Column, Values | None]:
    """A column of words: categories, unless most of them occur once."""
    share = len(words) / int(raw.counts.sum())
    if share <= MOSTLY_ONCE:
        return _levels(raw, "categorical")
    if share >= NEARLY_ALL and not any(re.search(r"\s", word.strip()) for word in words):
        return _identifier(raw, words), None
    reason = f"free text: {share:.0%} of its values are distinct"
    return Column(raw.name, "text", raw.dtype, left_out=reason), None


def _identifier(raw: RawColumn, words: Sequence[str]) -> Column:
    rule = rule_of(words)
    left_out = "" if rule else "an identifier in no format that can be continued"
    if rule and exceeds_width(rule, words):
        option = f"--set 'data.types={json.dumps({raw.name: 'categorical'})}'"
        left_out = (
            f"codes with leading zeros, of which nearly all differ: {rule['width']} digits leave too few new codes. To draw them "
            f"from those of the table: {option}"
        )
        rule = None
    return Column(raw.name, "identifier", raw.dtype, rule=rule, left_out=left_out)


def _levels(raw: RawColumn, kind: str) -> tuple[Column, Values]:
    """Categories, commonest first; equally common ones in the order of their spelling."""
    counts = raw.counts
    order = sorted(range(len(raw.spellings)), key=lambda place: (-int(counts[place]), raw.spellings[place] or ""))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return Column(raw.name, kind, raw.dtype, levels=tuple(raw.spellings[place] for place in order)), places[raw.codes]


def _requested_kind(raw: RawColumn, where: str, kind: str, cells: Cells) -> tuple[Column, Values | None]:
    words = cells.words
    if kind in CATEGORICAL:
        return _levels(raw, kind)
    if kind == "identifier":
        return _identifier(raw, words), None
    if kind == "text":
        return Column(raw.name, "text", raw.dtype, left_out="free text according to data.types"), None
    if kind == "constant":
        raise UserError(f"data.types: {raw.name!r} cannot be made constant; leave it out with data.drop.")
    read = _numeric(raw, cells, "date" if kind == "date" else "number")
    if read is None:
        what = "dates of one known format" if kind == "date" else "numbers"
        odd = (dates if kind == "date" else numbers).misfits(words)
        word = odd[0] if odd else ""
        how = f" To read it as missing: {_missing_option([word])}." if 2 * len(odd) < len(words) else ""
        raise UserError(
            f"{where}: data.types makes {raw.name!r} {kind}, but some cells are not {what}, such as {word!r}.{how}"
        )
    return read


# --- all columns


def to_table(
    raw: RawTable,
    types: Mapping[str, str] = {},
    drop: Sequence[str] = (),
    missing: Sequence[str] = (),
    decimal: Decimal = "",
) -> Table:
    """The table with a kind for each column. types: column -> kind. drop: columns to be left out. missing: spellings of
    a missing number or date. decimal: the decimal mark, a comma or a point, where both are possible.

    UserError if a name is unknown, a kind does not fit, or no column can be learnt.
    """
    _check_options(raw, types, drop, decimal)
    held = [column for column in raw.columns if column.name not in drop]

    def find(column: RawColumn, mark: str = ".") -> tuple[Column, Values | None]:
        found, values = find_kind(column, raw.where, types.get(column.name), missing=missing, decimal=mark)
        return replace(found, categories=column.categories), values

    doubts = {column.name: doubt for column in held if (doubt := _ambiguous_mark(column, missing))}
    found = {column.name: find(column) for column in held if column.name not in doubts}
    usual = _usual_mark([column for column, _ in found.values()])
    for column in held:
        if column.name in doubts:
            point, note = _decide_mark(column, doubts[column.name], usual, raw.style.delimiter, decimal)
            kind, values = find(column, point)
            found[column.name] = replace(kind, note="; ".join(filter(None, (note, kind.note)))), values
    for name, mark in decimal.items() if isinstance(decimal, dict) else ():
        form = found[name][0].form if name in found else None
        if isinstance(form, NumberFormat) and form.most and form.point != mark:
            raise UserError(f"data.decimal: in the numbers of {name!r} the decimal mark can only be {form.point!r}.")
    pairs = [found[column.name] for column in held]
    arrays = {column.name: values for column, values in pairs if values is not None}
    table = Table(tuple(column for column, _ in pairs), arrays, raw.num_rows)
    _check_usable(table, raw.where)
    return table


def _check_options(raw: RawTable, types: Mapping[str, str], drop: Sequence[str], decimal: Decimal) -> None:
    names = [column.name for column in raw.columns]
    marks = decimal if isinstance(decimal, dict) else {}
    for option, given in (("types", types), ("drop", drop), ("decimal", marks)):
        for name in given:
            if name not in names:
                raise UserError(f"data.{option}: there is no column {name!r}. {nearest(name, names)}")
    for name, kind in types.items():
        if kind not in KINDS:
            raise UserError(f"data.types.{name} = {kind!r} is not a type of column. {nearest(kind, KINDS)}")
    for mark in marks.values() if isinstance(decimal, dict) else [decimal] if decimal else []:
        if mark not in OTHER_MARK:
            raise UserError(f"data.decimal = {mark!r}: the decimal mark is ',' or '.'.")


def _ambiguous_mark(column: RawColumn, missing: Sequence[str]) -> str:
    """The mark that may be the decimal mark of a column or separate its thousands; "" if its cells are unambiguous."""
    return numbers.in_doubt(present_cells(column, missing).words) if column.dtype in TEXTS else ""


def _usual_mark(columns: Sequence[Column]) -> str:
    """The decimal mark of the unambiguous columns; "" if they have none, or differ."""
    forms = [one.form for one in columns if isinstance(one.form, NumberFormat) and one.dtype in TEXTS]
    marks = {form.point for form in forms if form.most or form.group in OTHER_MARK}
    return marks.pop() if len(marks) == 1 else ""


def _decide_mark(column: RawColumn, mark: str, usual: str, delimiter: str, decimal: Decimal) -> tuple[str, str]:
    """The decimal mark of an ambiguous column, and a note if it is a guess."""
    requested: str = decimal.get(column.name, "") if isinstance(decimal, dict) else decimal
    if requested:
        return requested, ""
    words = present_cells(column).words
    if numbers.groups(words, mark):
        return OTHER_MARK[mark], ""
    point = usual or ("," if delimiter == ";" else ".")
    if usual or point == mark == ".":  # as programs write numbers
        return point, ""
    word = next(word for word in words if mark in word)
    ways = {way: numbers.parse([word], way) for way in OTHER_MARK}
    meant, other = (f"{read[0][0]:g}" if (read := ways[way]) else word for way in (point, OTHER_MARK[point]))
    note = f"{word.strip()!r} is read as {meant}, because the file separates its cells by {delimiter!r}"
    option = json.dumps({column.name: OTHER_MARK[point]}, ensure_ascii=False)
    return point, f"{note}; if it is {other}: --set 'data.decimal={option}'"


def _check_usable(table: Table, where: str) -> None:
    if not table.arrays:
        excuses = {"identifier": "an identifier"}
        reasons = [
            f"{column.name!r} is {column.left_out or excuses.get(column.kind, 'the same in every row')}"
            for column in table.columns
        ]
        raise UserError(
            f"{where} has no column that can be learnt: {'; '.join(reasons) or 'all were dropped'}. If one is a category or "
            'a number, use --set \'data.types={"NAME": "categorical"}\'.'
        )
    if len(table) < FEWEST_ROWS:
        rows = f"{where} has {len(table)} rows"
        raise UserError(f"{rows}; a distribution needs at least {FEWEST_ROWS}, better some hundreds.")
