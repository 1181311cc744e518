"""Columns that another column determines: values that always follow in the table are looked up, not learnt, and so never wrong.

A category determines a column if every row of each of its levels holds the same value there: the code of a country its name,
the name of a degree its number of years.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
LEAST_EVIDENCE = 30.0
"""Rows expected to contradict if the columns were independent, of which none does, so that this is no chance."""
NUM_FIRST = 2_000
"""Rows that are checked first: most pairs of columns contradict there already."""


@dataclass(frozen=True, eq=False)
class FunctionalDependency:
    """by: a categorical column. values: (L,) of this column, for each of its levels: float64, or int64 levels."""

    by: str
    values: NDArray[Any]

    def of(self, codes: Codes) -> NDArray[Any]:
        """(N,) levels of `by` -> (N,) values."""
        found: NDArray[Any] = self.values[codes]
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN spelled as such."""
        whole = self.values.dtype.kind == "i"
        return {"by": self.by, "whole": whole, "values": " ".join(map(repr, self.values.tolist()))}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> FunctionalDependency:
        """The inverse of to_json."""
        return cls(plain["by"], np.array(plain["values"].split(), dtype=np.int64 if plain["whole"] else np.float64))


def find_dependencies(
    columns: Mapping[str, NDArray[Any]], categories: Mapping[str, int]
) -> dict[str, FunctionalDependency]:
    """Of learnt columns (name -> (N,) values) those that one of `categories` (name -> its number of levels) determines.

    Of two categories that determine each other the first is learnt. A column that determines others is never determined itself.
    """
    codes = {name: np.unique(values, return_inverse=True)[1].reshape(-1) for name, values in columns.items()}
    order = {name: place for place, name in enumerate(columns)}

    def follows(name: str, by: str) -> bool:
        if name == by or not _constant_within(codes[name], columns[by], categories[by]):
            return False
        mutual = name in categories and _constant_within(columns[by], columns[name], categories[name])
        return order[by] < order[name] if mutual else _evidence(codes[name], columns[by]) >= LEAST_EVIDENCE

    names = [name for name in columns if any(follows(name, by) for by in categories)]
    roots = [by for by in categories if by not in names]
    found = {}
    for name in names:
        by = next((by for by in roots if _constant_within(codes[name], columns[by], categories[by])), None)
        if by is not None:
            kinds, of_rows = np.unique(columns[name], return_inverse=True)
            table = np.full(categories[by], np.bincount(of_rows.reshape(-1)).argmax())  # of levels without rows
            table[columns[by]] = of_rows.reshape(-1)
            found[name] = FunctionalDependency(by, kinds[table])
    return found


def _constant_within(codes: Codes, levels: Codes, num: int) -> bool:
    """Whether all rows of each level have the same code."""
    for rows in (slice(0, NUM_FIRST), slice(None)):
        first = np.zeros(num, dtype=np.int64)
        first[levels[rows]] = codes[rows]
        if (first[levels[rows]] != codes[rows]).any():
            return False
    return True


def _evidence(codes: Codes, levels: Codes) -> float:
    """Rows expected to differ from the first of their level, if the values were shuffled."""
    shares = np.bincount(codes) / len(codes)
    return float((len(levels) - len(np.unique(levels))) * (1 - (shares**2).sum()))
