"""A table as it was read, before the kinds of its columns are found: distinct spellings, and their index in each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.errors import UserError

NUM_NAMED = 12
"""The greatest number of columns that an error message names."""


@dataclass(frozen=True, eq=False)
class RawColumn:
    """One column. codes: (N,) int32, the index of each row's cell in `spellings`.

    spellings: the distinct cells in order of first appearance, exactly as written; None for a missing cell of a typed table
    (Parquet, DataFrame). dtype: the type of a typed table's column, as text; "" in a text file. categories: of a typed column of
    categories: {"ordered": whether they have an order, "values": all, in order, "of": their type}.
    """

    name: str
    codes: NDArray[np.int32]
    spellings: tuple[str | None, ...]
    dtype: str = ""
    categories: Mapping[str, Any] | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """(spellings,) the number of rows with each spelling."""
        return np.bincount(self.codes, minlength=len(self.spellings)).astype(np.int64)

    def row_of(self, spelling: str | None) -> int:
        """The first row with this spelling, counted from 1."""
        return int(np.argmax(self.codes == self.spellings.index(spelling))) + 1


@dataclass(frozen=True)
class TextStyle:
    """The format of a text file. delimiter: between the cells. byte_order_mark: whether the file begins with one. encoding: of
    the text. header: whether the first line names the columns. labels: "int" where whole numbers name a typed table's columns."""

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
    """The columns of a table of `num_rows` rows. style: of the text file. notes: on what was left out."""

    where: str
    columns: tuple[RawColumn, ...]
    num_rows: int
    style: TextStyle = TextStyle()
    notes: tuple[str, ...] = ()

    def checked(self, least: int = 2) -> RawTable:
        """The table itself; UserError where it has fewer rows than `least`, or columns without names or with equal names."""
        names = [column.name for column in self.columns]
        shown = ", ".join([*names[:NUM_NAMED], *(["..."] if len(names) > NUM_NAMED else [])])
        nameless = [str(place) for place, name in enumerate(names, 1) if not name.strip()]
        if len(nameless) > 1:
            listed = ", ".join(nameless[:NUM_NAMED])
            raise UserError(
                f"{self.where}: columns {listed} have contents and no name. Give each column a name in the first line."
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            count = f"{self.where}: the column name {twice[0]!r} occurs {names.count(twice[0])} times"
            raise UserError(f"{count} ({shown}). Give each column a different name.")
        if self.num_rows == 0:
            raise UserError(f"{self.where} has column names but no rows.")
        if self.num_rows < least:
            raise UserError(f"{self.where} has one row; a distribution needs many, at least some hundred.")
        return self
