"""What the columns of a table mean: found from their spellings, or as the user says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
MISSING = {
    "", "?", "na", "n/a", "nan", "-nan", "nat", "null", "none", "nil", "#n/a", "#na", "#n/a n/a", "<na>", "-", "--", ".", "\\n",
    "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!", "1.#qnan", "1.#ind", "-1.#ind", "-1.#qnan",
}  # fmt: skip
"""Among numbers and dates these words, in small letters, mean that there is none. In a column of words they are words."""
BOOLS = ("bool", "boolean", "bool[object]", "bool[pyarrow]")
"""Types of columns of truth values."""
BOOLEANS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"}, {"0", "1"}, {"on", "off"})
FEW_NUMBERS, ROWS_PER_LEVEL = 12, 5
"""Numbers with no more distinct values than this, each in so many rows on average, are codes of categories."""
MOSTLY_ONCE, NEARLY_ALL = 0.5, 0.9
"""Shares of distinct values from which a column of words is no category any more, and from which it names its rows."""
MOST_STRAY, NUM_SHOWN = 0.5, 4
"""The share of cells that may keep the others from being numbers or dates and be told for it; how many spellings are shown."""


@dataclass(frozen=True)
class Column:
    """What a column means and how its cells are spelled.

    missing: how a missing number or date is spelled (None in a typed table). form: of numbers and dates.
    levels: of categories, commonest first. spelling: of the only value of a constant. rule: how fresh identifiers are made.
    left_out: why it takes no part; "" where it does. dtype, categories: of a typed table. note: how it was read, where that
    should be known.
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
    note: str = ""
    categories: Mapping[str, Any] | None = None

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


@dataclass(frozen=True)
class PresentColumns:
    """The cells of a column that are not missing. places: among the spellings. words: the same as texts. decimal: the mark that
    is taken for the decimal mark where a comma and a point can both be meant."""

    places: Sequence[int]
    words: list[str]
    decimal: str


def found(
    raw: RawColumn, where: str, asked: str | None = None, *, missing: Sequence[str] = (), decimal: str = "."
) -> tuple[Column, Values | None]:
    """The column and its values, None where it is not learnt.

    asked: the meaning that the user gives it. missing: spellings that stand for a missing number or date beside MISSING.
    decimal: see `PresentColumns`.
    """
    present = present_of(raw, missing, decimal)
    words = present.words
    _must_be_finite(raw, where, words)
    counts = raw.counts
    if asked is not None:
        return _as_asked(raw, where, asked, present)
    if len(raw.spellings) == 1:
        return Column(raw.name, "constant", raw.dtype, spelling=raw.spellings[0]), None
    if {word.strip().lower() for word in words} in BOOLEANS and len(words) == 2:
        return _levels(raw, "boolean")
    if raw.dtype in ("category", *BOOLS) or len(words) < 2:
        return _levels(raw, "categorical")
    if plain := _numeric(raw, present, "date") or _number(raw, present):
        return plain
    column, values = _words(raw, words, int(counts.sum()))
    if column.kind in ("text", "categorical") and (stray := _stray(raw, present)):
        left_out = f"{column.left_out}; {stray}" if column.left_out else ""
        column = replace(column, left_out=left_out, note="" if left_out else f"read as categories; {stray}")
    return column, values


def present_of(raw: RawColumn, missing: Sequence[str] = (), decimal: str = ".") -> PresentColumns:
    """The cells of a column that say something."""
    places = [p for p, text in enumerate(raw.spellings) if text is not None and not is_missing(text, missing)]
    return PresentColumns(places, [raw.spellings[place] or "" for place in places], decimal)


def is_missing(text: str, further: Sequence[str] = ()) -> bool:
    """Whether a cell among numbers or dates says that there is none. further: spellings that the user names."""
    return text.strip().lower() in MISSING or (bool(further) and text.strip() in further)


def _must_be_finite(raw: RawColumn, where: str, words: Sequence[str]) -> None:
    if wrong := numbers.infinite(words):
        raise UserError(
            f"{where}: column {raw.name!r} holds {wrong.strip()!r} (row {raw.row_of(wrong)} below the names). Infinite values "
            "have no place in a distribution: delete those rows, or leave the cell empty if the value is unknown."
        )


def _stray(raw: RawColumn, present: PresentColumns) -> str:
    """Of a column of words that are mostly numbers or dates: the cells at fault, and how to read them as missing; else ""."""
    counts = dict(zip(present.words, raw.counts[present.places].tolist()))
    total = sum(counts.values())
    for kind, odd in (("numbers", numbers.misfits(present.words)), ("dates", dates.misfits(present.words))):
        num = sum(counts[word] for word in odd)
        if num > MOST_STRAY * total or len(counts) - len(odd) <= FEW_NUMBERS:
            continue
        odd = sorted(odd, key=lambda word: -counts[word])
        more = f" and {len(odd) - NUM_SHOWN:,} more" if len(odd) > NUM_SHOWN else ""
        cells = ", ".join(f"{word!r} ({counts[word]:,})" for word in odd[:NUM_SHOWN]) + more
        listed = json.dumps([word.strip() for word in odd], ensure_ascii=False)
        how = "Mend those cells" if more else f"To read those as missing: --set 'data.missing={listed}'"
        return f"{1 - num / total:.0%} of its cells are {kind}, the others are not: {cells}. {how}"
    return ""


def _numeric(raw: RawColumn, present: PresentColumns, kind: str) -> tuple[Column, Values] | None:
    """A column of numbers or dates; None when its words are none."""
    read: tuple[Values, NumberFormat | DateFormat] | None
    words = present.words
    read = dates.dated(words) if kind == "date" else numbers.parsed(words, present.decimal)
    if read is None:
        return None
    values, form = read
    if kind != "date":
        kind = "integer" if not form.scale or (values == np.round(values)).all() else "continuous"
        kind = "continuous" if not form.scale else kind
    table = np.full(len(raw.spellings), np.nan)
    table[present.places] = values
    counts = np.where(np.isnan(table), raw.counts, 0)
    missing = raw.spellings[int(counts.argmax())] if counts.any() else ""
    note = _note(form, values, words, raw.counts[present.places], raw.dtype)
    return Column(raw.name, kind, raw.dtype, missing, form, note=note), table[raw.codes]


def _note(
    form: NumberFormat | DateFormat, values: Values, words: Sequence[str], counts: NDArray[np.int64], dtype: str
) -> str:
    """What does not come back as it was, and dates that may stand for none."""
    notes = []
    if (form.offset or (form.free and dtype.startswith("decimal"))) if isinstance(form, NumberFormat) else form.inexact:
        pairs = zip(words, form.spelled(values))
        if odd := next(((word, again) for word, again in pairs if word.strip() != again.strip()), None):
            notes.append(f"{odd[0].strip()!r} is kept as {odd[1].strip()!r}")
    if isinstance(form, DateFormat) and (place := dates.sentinel(form, values)) is not None:
        word, share = words[place].strip(), counts[values == values[place]].sum() / counts.sum()
        notes.append(
            f"{word!r} ({share:.1%} of the dates) lies far from the others; if it means that there is none: "
            f"--set 'data.missing={json.dumps([word])}'"
        )
    return "; ".join(notes)


def _number(raw: RawColumn, present: PresentColumns) -> tuple[Column, Values | None] | None:
    read, words = _numeric(raw, present, "number"), present.words
    if read is None:
        return None
    column, values = read
    bare = isinstance(column.form, NumberFormat) and column.form.most == 0
    whole = column.kind == "integer" and bare and not np.isnan(values).any()
    if whole and looks_counted(raw.name, values):
        return _identifier(raw, words), None
    if len(words) <= FEW_NUMBERS and len(raw.codes) >= ROWS_PER_LEVEL * len(words):
        levels, places = _levels(raw, "categorical")
        return replace(levels, form=column.form), places
    long = isinstance(column.form, NumberFormat) and column.form.offset
    if long and len(words) <= MOSTLY_ONCE * len(raw.codes):  # numbers of so many digits that repeat are keys
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


def _as_asked(raw: RawColumn, where: str, asked: str, present: PresentColumns) -> tuple[Column, Values | None]:
    words = present.words
    if asked in CATEGORICAL:
        return _levels(raw, asked)
    if asked == "identifier":
        return _identifier(raw, words), None
    if asked == "text":
        return Column(raw.name, "text", raw.dtype, left_out="free text, as data.types says"), None
    if asked == "constant":
        raise UserError(f"data.types: {raw.name!r} cannot be made constant; leave it out by data.drop.")
    read = _numeric(raw, present, "date" if asked == "date" else "number")
    if read is None:
        what = "dates of one known format" if asked == "date" else "numbers"
        odd = (dates if asked == "date" else numbers).misfits(words)
        word = odd[0] if odd else ""
        how = ""
        if 2 * len(odd) < len(words):
            how = f" To read it as missing: --set 'data.missing={json.dumps([word.strip()], ensure_ascii=False)}'."
        raise UserError(
            f"{where}: data.types makes {raw.name!r} {asked}, but its cells are no {what}: {word!r}, say.{how}"
        )
    return read
