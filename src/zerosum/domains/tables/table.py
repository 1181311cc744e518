"""A table whose columns have a meaning: what was read, and what is decoded from the generator's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables import identifiers, numbers
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.numbers import NumberFormat

NUMERIC, CATEGORICAL = ("continuous", "integer", "date"), ("categorical", "boolean")
"""The kinds of columns that are learnt."""
MISSING = {
    "", "?", "na", "n/a", "nan", "-nan", "nat", "null", "none", "nil", "#n/a", "#na", "#n/a n/a", "<na>", "-", "--", ".", "\\n",
    "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!", "1.#qnan", "1.#ind", "-1.#ind", "-1.#qnan",
}  # fmt: skip
"""Among numbers and dates these words, in small letters, stand for a missing one. In a column of words they are words."""
BOOLS = ("bool", "boolean", "bool[object]", "bool[pyarrow]")
"""Types of columns of truth values."""
Values = NDArray[Any]
"""(N,) of a learnt column: float64 numbers or moments with NaN where missing, or int64 indices of levels."""
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def is_missing(text: str, further: Sequence[str] = ()) -> bool:
    """Whether a cell among numbers or dates is a missing one. further: spellings that the user names."""
    return text.strip().lower() in MISSING or (bool(further) and text.strip() in further)


@dataclass(frozen=True)
class Column:
    """What a column means and how its cells are spelled.

    missing: how a missing number or date is spelled (None in a typed table). form: of numbers and dates. levels: of categories,
    commonest first. spelling: of the only value of a constant. rule: how new identifiers are made. left_out: why it is not used;
    "" where it is. dtype, categories: of a typed table. note: a remark on how it was read.
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

    def format(self, values: Values) -> list[str | None]:
        """The cells of (N,) values of a learnt column as text; None for a missing cell of a typed table."""
        if self.kind in CATEGORICAL:
            return [self.levels[code] for code in values.tolist()]
        assert self.form is not None
        unknown = np.isnan(values)
        words = self.form.format(np.where(unknown, 0.0, values))
        return [self.missing if gone else word for word, gone in zip(words, unknown.tolist())]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        plain = {
            **asdict(replace(self, form=None)),
            "form": self.form and self.form.to_json(),
            "levels": [*self.levels],
        }
        return {name: value for name, value in plain.items() if name != "note" and (value or name != "categories")}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Column:
        """The inverse of to_json; further names are ignored."""
        given = {name: plain[name] for name in cls.__dataclass_fields__ if name in plain}
        if form := plain["form"]:
            given["form"] = DateFormat(**form) if plain["kind"] == "date" else NumberFormat.from_json(form)
        return cls(**{**given, "levels": tuple(plain["levels"])})


@dataclass(frozen=True, eq=False)
class Table:
    """columns: all, in order. arrays: name -> Values of each learnt column.

    start: the number of the first row, from which identifiers count. seed: of identifiers that are drawn.
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

    def select(self, rows: NDArray[Any]) -> Table:
        """The rows of these numbers, or where the mask is true."""
        arrays = {name: array[rows] for name, array in self.arrays.items()}
        return replace(self, arrays=arrays, num_rows=int(rows.sum()) if rows.dtype == np.bool_ else len(rows))

    def format(self, column: Column) -> list[str | None]:
        """The cells of a column as text in its own spelling; None for a missing cell of a typed table."""
        if column.kind == "constant":
            return [column.spelling] * self.num_rows
        if column.kind == "identifier":
            return [*identifiers.fresh(column.rule or {}, self.start, self.num_rows, self.seed)]
        return column.format(self.arrays[column.name])


def concatenate(tables: Sequence[Table]) -> Table:
    """Tables of the same columns, one below the other."""
    first = tables[0]
    arrays = {name: np.concatenate([table.arrays[name] for table in tables]) for name in first.arrays}
    return replace(first, arrays=arrays, num_rows=sum(map(len, tables)))
