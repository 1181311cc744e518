"""What the columns of a table mean: found from their spellings, or as the user says."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables import dates, numbers
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.identifiers import looks_counted, outgrown, rule_of
from zerosum.domains.tables.numbers import NumberFormat
from zerosum.domains.tables.reading.cells import RawColumn
from zerosum.errors import UserError

Meaning = Literal["continuous", "integer", "categorical", "boolean", "date", "identifier", "constant", "text"]
MEANINGS: tuple[str, ...] = get_args(Meaning)
NUMERIC, CATEGORICAL = ("continuous", "integer", "date"), ("categorical", "boolean")
MISSING = {"", "?", "na", "n/a", "nan", "nat", "null", "none", "nil", "#n/a", "<na>", "-", "--", "."}
"""Among numbers and dates these words, in small letters, mean that there is none. In a column of words they are words."""
BOOLEANS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"}, {"0", "1"}, {"on", "off"})
FEW_NUMBERS, ROWS_PER_LEVEL = 12, 5
"""Numbers with no more distinct values than this, each in so many rows on average, are codes of categories."""
MOSTLY_ONCE, NEARLY_ALL = 0.5, 0.9
"""Shares of distinct values from which a column of words is no category any more, and from which it names its rows."""


@dataclass(frozen=True)
class Column:
    """What a column means and how its cells are spelled.

    missing: how a missing number or date is spelled (None in a typed table). form: of numbers and dates.
    levels: of categories, commonest first. spelling: of the only value of a constant. rule: how fresh identifiers are made.
    left_out: why it takes no part; "" where it does. dtype: of a typed table.
    """

    name: str
    kind: str
    dtype: str = ""
    missing: str | None = None
    form: NumberFormat | DateFormat | None = None
    levels: tuple[str | None, ...] = ()
    spelling: str | None = None
    rule: dict[str, Any] | None = None
    left_out: str = ""

    @property
    def learnt(self) -> bool:
        """Whether the networks see it."""
        return self.kind in NUMERIC or self.kind in CATEGORICAL

    @property
    def padded(self) -> bool:
        """Whether cells begin with a zero that a number would lose."""
        cells = (*self.levels, self.spelling)
        return bool(self.rule and self.rule.get("width")) or any(numbers.padded(cell or "") for cell in cells)


Values = NDArray[Any]
"""(N,) of a learnt column: float64 numbers or moments with NaN where missing, or int64 numbers of levels."""


def found(raw: RawColumn, where: str, asked: str | None = None) -> tuple[Column, Values | None]:
    """The column and its values, None where it is not learnt. asked: the meaning that the user gives it."""
    _must_be_finite(raw, where)
    counts = raw.counts
    present = [place for place, text in enumerate(raw.spellings) if text is not None and not is_missing(text)]
    words = [raw.spellings[place] or "" for place in present]
    if asked is not None:
        return _as_asked(raw, where, asked, words, present)
    if len(raw.spellings) == 1:
        return Column(raw.name, "constant", raw.dtype, spelling=raw.spellings[0]), None
    if {word.strip().lower() for word in words} in BOOLEANS and len(words) == 2:
        return _levels(raw, "boolean")
    if raw.dtype in ("category", "bool", "boolean") or len(words) < 2:
        return _levels(raw, "categorical")
    return (
        _numeric(raw, words, present, "date") or _number(raw, words, present) or _words(raw, words, int(counts.sum()))
    )


def is_missing(text: str) -> bool:
    """Whether a cell among numbers or dates says that there is none."""
    return text.strip().lower() in MISSING


def _must_be_finite(raw: RawColumn, where: str) -> None:
    words = [text for text in raw.spellings if text is not None and not is_missing(text)]
    if wrong := numbers.infinite(words):
        raise UserError(
            f"{where}: column {raw.name!r} holds {wrong.strip()!r} (row {raw.row_of(wrong)} below the names). Infinite values "
            "have no place in a distribution: delete those rows, or leave the cell empty if the value is unknown."
        )


def _numeric(raw: RawColumn, words: list[str], present: list[int], kind: str) -> tuple[Column, Values] | None:
    """A column of numbers or dates; None when its words are none."""
    read: tuple[Values, NumberFormat | DateFormat] | None
    read = dates.dated(words) if kind == "date" else numbers.parsed(words)
    if read is None:
        return None
    values, form = read
    if kind != "date":
        kind = "integer" if not form.scale or (values == np.round(values)).all() else "continuous"
        kind = "continuous" if not form.scale else kind
    table = np.full(len(raw.spellings), np.nan)
    table[present] = values
    counts = np.where(np.isnan(table), raw.counts, 0)
    missing = raw.spellings[int(counts.argmax())] if counts.any() else ""
    return Column(raw.name, kind, raw.dtype, missing, form), table[raw.codes]


def _number(raw: RawColumn, words: list[str], present: list[int]) -> tuple[Column, Values | None] | None:
    read = _numeric(raw, words, present, "number")
    if read is None:
        return None
    column, values = read
    bare = isinstance(column.form, NumberFormat) and column.form.most == 0
    whole = column.kind == "integer" and bare and not np.isnan(values).any()
    if whole and looks_counted(raw.name, values):
        return _identifier(raw, words), None
    if len(words) <= FEW_NUMBERS and len(raw.codes) >= ROWS_PER_LEVEL * len(words):
        return _levels(raw, "categorical")
    return column, values


def _words(raw: RawColumn, words: list[str], num: int) -> tuple[Column, Values | None]:
    """A column of words: categories, unless most of them occur once."""
    share = len(words) / num
    if share <= MOSTLY_ONCE:
        return _levels(raw, "categorical")
    if share >= NEARLY_ALL and not any(re.search(r"\s", word.strip()) for word in words):
        return _identifier(raw, words), None
    reason = f"free text: {share:.0%} of its values are distinct, so there is nothing to learn from them"
    return Column(raw.name, "text", raw.dtype, left_out=reason), None


def _identifier(raw: RawColumn, words: Sequence[str]) -> Column:
    rule = rule_of(words)
    left_out = "" if rule else "an identifier of no form that could be continued"
    if rule and outgrown(rule, words):
        width, name = rule["width"], json.dumps({raw.name: "categorical"})
        rule, left_out = (
            None,
            (
                f"codes with leading zeros, of which nearly all differ: in {width} digits there is no room to count on. To draw "
                f"them from those of the table: --set 'data.types={name}'"
            ),
        )
    return Column(raw.name, "identifier", raw.dtype, rule=rule, left_out=left_out)


def _levels(raw: RawColumn, kind: str) -> tuple[Column, Values]:
    """Categories, commonest first; those that are as common in the order of their spelling."""
    counts = raw.counts
    order = sorted(range(len(raw.spellings)), key=lambda place: (-int(counts[place]), raw.spellings[place] or ""))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return Column(raw.name, kind, raw.dtype, levels=tuple(raw.spellings[place] for place in order)), places[raw.codes]


def _as_asked(
    raw: RawColumn, where: str, asked: str, words: list[str], present: list[int]
) -> tuple[Column, Values | None]:
    if asked in CATEGORICAL:
        return _levels(raw, asked)
    if asked == "identifier":
        return _identifier(raw, words), None
    if asked == "text":
        return Column(raw.name, "text", raw.dtype, left_out="free text, as data.types says"), None
    if asked == "constant":
        raise UserError(f"data.types: {raw.name!r} cannot be made constant; leave it out by data.drop.")
    read = _numeric(raw, words, present, "date" if asked == "date" else "number")
    if read is None:
        what = "dates of one known format" if asked == "date" else "numbers"
        odd = next((word for word in words if numbers.parsed([word]) is None), words[0] if words else "")
        raise UserError(f"{where}: data.types makes {raw.name!r} {asked}, but its cells are no {what}: {odd!r}, say.")
    return read
