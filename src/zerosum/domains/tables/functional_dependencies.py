"""Columns that another column determines: what is always so in the table is looked up, not learnt, and so never wrong.

A category determines a column if every row of each of its levels holds the same value there: the code of a country its name,
the name of a degree its number of years.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
LEAST_EVIDENCE = 30.0
"""Rows that would be expected to contradict if the columns had nothing to do with each other, of which none does."""
NUM_FIRST = 2_000
"""Rows that are looked at first: most pairs of columns contradict there already."""


@dataclass(frozen=True, eq=False)
class FunctionalDependencies:
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
        return {"by": self.by, "whole": whole, "values": " ".join(repr(value) for value in self.values.tolist())}


def of_json(plain: Mapping[str, Any]) -> FunctionalDependencies:
    """The inverse of Determined.to_json."""
    dtype = np.int64 if plain["whole"] else np.float64
    return FunctionalDependencies(plain["by"], np.array(plain["values"].split(), dtype=dtype))


def found(columns: Mapping[str, NDArray[Any]], categories: Mapping[str, int]) -> dict[str, FunctionalDependencies]:
    """Of learnt columns (name -> (N,) values) those that one of `categories` (name -> its number of levels) determines.

    Of two categories that determine each other the first is learnt. What determines is itself never determined.
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
    determined = {}
    for name in names:
        by = next((by for by in roots if _constant_within(codes[name], columns[by], categories[by])), None)
        if by is not None:
            determined[name] = FunctionalDependencies(by, _looked_up(columns[name], columns[by], categories[by]))
    return determined


def _constant_within(codes: Codes, levels: Codes, num: int) -> bool:
    """Whether all rows of each level have the same code."""
    for rows in (slice(0, NUM_FIRST), slice(None)):
        first = np.zeros(num, dtype=np.int64)
        first[levels[rows]] = codes[rows]
        if (first[levels[rows]] != codes[rows]).any():
            return False
    return True


def _evidence(codes: Codes, levels: Codes) -> float:
    """Rows expected to differ from the first of their level, if the values were dealt out anew."""
    shares = np.bincount(codes) / len(codes)
    return float((len(levels) - len(np.unique(levels))) * (1 - (shares**2).sum()))


def _looked_up(values: NDArray[Any], levels: Codes, num: int) -> NDArray[Any]:
    """(num,): the value of each level; of one that no row has, the commonest."""
    kinds, codes = np.unique(values, return_inverse=True)
    table = np.full(num, np.bincount(codes.reshape(-1)).argmax())
    table[levels] = codes.reshape(-1)
    found: NDArray[Any] = kinds[table]
    return found


def told(determined: Mapping[str, FunctionalDependencies]) -> Sequence[str]:
    """For a person: "education-num from education"."""
    return [f"{name} from {part.by}" for name, part in determined.items()]
