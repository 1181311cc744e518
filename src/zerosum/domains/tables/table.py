"""A table whose columns have a meaning: what was read, and what is decoded from the generator's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables import identifiers
from zerosum.domains.tables.columns import CATEGORICAL, Column


@dataclass(frozen=True, eq=False)
class Table:
    """columns: all, in order. arrays: name -> (N,) values of each learnt column: float64 with NaN where missing for continuous,
    integer and date (moments, see `dates`), int64 places in `Column.levels` for categorical and boolean.

    start: the number of the first row, which identifiers count from. seed: of identifiers that are drawn.
    """

    columns: tuple[Column, ...]
    arrays: Mapping[str, NDArray[Any]]
    num_rows: int
    start: int = 0
    seed: int = 0

    def __len__(self) -> int:
        return self.num_rows

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def written(self) -> tuple[Column, ...]:
        """The columns that a file of this table has."""
        return tuple(column for column in self.columns if not column.left_out)

    def picked(self, rows: NDArray[Any]) -> Table:
        """The rows of these numbers, or where the mask is true."""
        arrays = {name: array[rows] for name, array in self.arrays.items()}
        num = int(rows.sum()) if rows.dtype == np.bool_ else len(rows)
        return Table(self.columns, arrays, num, self.start, self.seed)

    def numbered(self, start: int) -> Table:
        """The same rows, the first of which is row `start` of a larger table."""
        return Table(self.columns, self.arrays, self.num_rows, start, self.seed)

    def spelled(self, column: Column) -> list[str | None]:
        """The cells of a column as text in its own spelling; None for a missing cell of a typed table."""
        if column.kind == "constant":
            return [column.spelling] * self.num_rows
        if column.kind == "identifier":
            return [*identifiers.fresh(column.rule or {}, self.start, self.num_rows, self.seed)]
        values = self.arrays[column.name]
        if column.kind in CATEGORICAL:
            return [column.levels[code] for code in values.tolist()]
        assert column.form is not None
        unknown = np.isnan(values)
        words: list[str | None] = [*column.form.spelled(np.where(unknown, 0.0, values))]
        for row in np.flatnonzero(unknown).tolist():
            words[row] = column.missing
        return words


def joined(tables: Sequence[Table]) -> Table:
    """Tables of the same columns, one below the other."""
    first = tables[0]
    arrays = {name: np.concatenate([table.arrays[name] for table in tables]) for name in first.arrays}
    return Table(first.columns, arrays, sum(map(len, tables)), first.start, first.seed)
