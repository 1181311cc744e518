"""A table as it was read, before anybody asks what its columns mean: spellings, and for each row which of them it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.errors import UserError

NUM_NAMED = 12
"""Columns that an error message names."""


@dataclass(frozen=True, eq=False)
class RawColumn:
    """One column. codes: (N,) int32, the place of each row's cell in `spellings`.

    spellings: the distinct cells in order of first appearance, exactly as written; None for a cell that a typed table (Parquet,
    DataFrame) marks as missing. dtype: the type of a typed table's column, as text; "" in a text file. categories: of a typed
    column of categories: {"ordered": whether they rise, "values": all, in order, "of": their type}.
    """

    name: str
    codes: NDArray[np.int32]
    spellings: tuple[str | None, ...]
    dtype: str = ""
    categories: Mapping[str, Any] | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """(spellings,) how many rows hold each."""
        return np.bincount(self.codes, minlength=len(self.spellings)).astype(np.int64)

    def row_of(self, spelling: str | None) -> int:
        """The first row that holds it, counted from 1."""
        return int(np.argmax(self.codes == self.spellings.index(spelling))) + 1


@dataclass(frozen=True)
class TextStyle:
    """How a file is laid out. delimiter: between the cells. byte_order_mark: whether it begins with one. encoding: of the
    text. header: whether the first line names the columns. labels: "int" where whole numbers name those of a typed table."""

    delimiter: str = ","
    byte_order_mark: bool = False
    line_end: str = "\n"
    encoding: str = "utf-8"
    header: bool = True
    labels: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `style_of`."""
        return asdict(self)


def style_of(payload: Mapping[str, Any]) -> TextStyle:
    """The inverse of TextStyle.to_json, among the other values of a payload; a missing value has its default."""
    return TextStyle(**{name: payload[name] for name in TextStyle.__dataclass_fields__ if name in payload})


@dataclass(frozen=True, eq=False)
class RawTable:
    """The columns of a table of `num_rows` rows. style: of the text file that it was read from. notes: what was left out."""

    where: str
    columns: tuple[RawColumn, ...]
    num_rows: int
    style: TextStyle = TextStyle()
    notes: tuple[str, ...] = ()


def without_blank(columns: Sequence[RawColumn]) -> tuple[tuple[RawColumn, ...], tuple[str, ...]]:
    """The columns that have a name or contents, and a note on the others: separating marks at the ends of lines make such."""
    kept = tuple(
        column for column in columns if column.name.strip() or any((s or "").strip() for s in column.spellings)
    )
    num = len(columns) - len(kept)
    what = "1 column that has" if num == 1 else f"{num} columns that have"
    return kept, (f"Left out: {what} neither a name nor contents.",) if num else ()


def checked(table: RawTable, least: int = 2) -> RawTable:
    """The table itself; UserError where it has fewer rows than `least`, or columns that cannot be told apart."""
    names = [column.name for column in table.columns]
    nameless = [str(place) for place, name in enumerate(names, 1) if not name.strip()]
    if len(nameless) > 1:
        raise UserError(
            f"{table.where}: columns {_listed(nameless)} have contents and no name. Give each column a name in the first line."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"{table.where}: the column name {twice[0]!r} occurs {names.count(twice[0])} times "
            f"({_listed(names)}). Give each column a name of its own."
        )
    if table.num_rows == 0:
        raise UserError(f"{table.where} has column names and no rows; there is nothing to learn from it.")
    if table.num_rows < least:
        raise UserError(f"{table.where} has one row; a distribution needs many. Some hundred rows are the least.")
    return table


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:NUM_NAMED], *(["..."] if len(names) > NUM_NAMED else [])])
