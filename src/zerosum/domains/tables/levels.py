"""The encoding of a categorical column: a place for each level; where there are very many, the rare ones share the last place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Levels:
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

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"counts": " ".join(map(str, self.counts.tolist())), "kept": self.kept}


def fitted(codes: Codes, num_levels: int, most: int) -> Levels:
    """The encoding of `num_levels` levels on at most `most` places; codes: of the training rows."""
    counts = np.bincount(codes, minlength=num_levels)
    return Levels(counts, num_levels if num_levels <= most else most - 1)


def of_json(plain: Mapping[str, Any]) -> Levels:
    """The inverse of Levels.to_json."""
    return Levels(np.array(plain["counts"].split(), dtype=np.int64), plain["kept"])
