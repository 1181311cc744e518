"""The encoding of a categorical column: a place for each level; where there are very many, the rare ones share the last place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Categories:
    """counts: (L,) training rows of each level, commonest first. kept: levels with a place of their own; a last place stands for
    the others, if there are any, and is decoded as one of them drawn by its true frequency."""

    counts: Codes
    kept: int

    @property
    def rare(self) -> int:
        """Levels without a place of their own."""
        return len(self.counts) - self.kept

    @property
    def width(self) -> int:
        """Places of an encoded cell."""
        return self.kept + (self.rare > 0)

    def places(self, codes: Codes) -> Codes:
        """(N,) levels -> the places that stand for them."""
        return np.minimum(codes, self.width - 1)

    def decoded(self, places: Codes, draw: NDArray[np.float64], allowed: NDArray[np.bool_] | None = None) -> Codes:
        """(N,) places and (N,) uniforms -> levels. allowed: (L,) of the rare levels only these, where any of them occurs."""
        if not self.rare:
            return places
        weights = self.counts[self.kept :].astype(np.float64)
        if allowed is not None and (weights * allowed[self.kept :]).any():
            weights = weights * allowed[self.kept :]
        edges = np.cumsum(weights if weights.any() else np.ones_like(weights))
        rare = self.kept + np.searchsorted(edges, draw * edges[-1], side="right")
        return np.where(places < self.kept, places, np.minimum(rare, len(self.counts) - 1))

    def matched(
        self,
        places: Codes,
        draw: NDArray[np.float64],
        like: Sequence[tuple[Codes, Codes]],
        allowed: NDArray[np.bool_] | None = None,
    ) -> Codes:
        """As `decoded`, but so that levels agree with the columns that they determine: a rare level is drawn among those that do,
        as far as any does; one with a place of its own that does not gives way to one drawn by its frequency among all that do.

        like: for each column that the levels determine, its (L,) values by level and the (N,) values of the rows; the first
        columns are given up last.
        """
        found = self.decoded(places, draw, allowed)
        free = self.counts > 0 if allowed is None else (self.counts > 0) & allowed
        wrong = np.zeros(len(places), dtype=bool)
        for values, made in like:
            wrong |= values[found] != made
        self._agree(found, np.flatnonzero((places < self.kept) & wrong), draw, free, like)
        waiting, free = np.flatnonzero(places >= self.kept), free & (np.arange(len(free)) >= self.kept)
        for num in range(len(like), 0, -1):
            waiting = self._agree(found, waiting, draw, free, like[:num])
        return found

    def _agree(
        self,
        found: Codes,
        at: Codes,
        draw: NDArray[np.float64],
        free: NDArray[np.bool_],
        like: Sequence[tuple[Codes, Codes]],
    ) -> Codes:
        """Draws the levels of the rows `at` among the free ones that agree with them; returns the rows that none agrees with."""
        if not len(at):
            return at
        table = np.column_stack([values for values, _ in like])
        rows = np.column_stack([made[at] for _, made in like])
        _, both = np.unique(np.concatenate([table, rows]), axis=0, return_inverse=True)
        of_level, of_row = both.reshape(-1)[: len(table)], both.reshape(-1)[len(table) :]
        known = np.isin(of_row, of_level[free])
        for group in np.unique(of_row[known]):
            edges = np.cumsum(self.counts * (free & (of_level == group)))
            some = at[of_row == group]
            found[some] = np.searchsorted(edges, draw[some] * edges[-1], side="right")
        return at[~known]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"counts": " ".join(map(str, self.counts.tolist())), "kept": self.kept}


def fitted(codes: Codes, num_levels: int, most: int) -> Categories:
    """The encoding of `num_levels` levels on at most `most` places; codes: of the training rows."""
    counts = np.bincount(codes, minlength=num_levels)
    return Categories(counts, num_levels if num_levels <= most else most - 1)


def of_json(plain: Mapping[str, Any]) -> Categories:
    """The inverse of Levels.to_json."""
    return Categories(np.array(plain["counts"].split(), dtype=np.int64), plain["kept"])
