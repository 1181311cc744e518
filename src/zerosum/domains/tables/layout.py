"""How a row is encoded: which entries of its vector belong to which column.

Legend: N rows, D entries of an encoded row, C learnt columns, K = C + D entries of a condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["numeric", "category", "mixture"]


@dataclass(frozen=True)
class Block:
    """The entries start .. start + width - 1 of an encoded row, which hold one column.

    numeric: one entry, a standard normal value; where numbers are missing two more, one-hot: known, missing. category: one-hot,
    one entry for each level (the last may stand for all rare ones). mixture: the first entry is the offset within a mode, about
    in [-1, 1]; the others are one-hot over the modes, and missing. missing: whether the last entry marks a missing number;
    the first is 0 then.
    """

    column: str
    kind: Kind
    start: int
    width: int
    missing: bool = False

    @property
    def stop(self) -> int:
        """The index after the last entry."""
        return self.start + self.width

    @property
    def choice(self) -> tuple[int, int] | None:
        """(start, stop) of the entries of which exactly one is 1; None where there is only a number."""
        first = self.start + (self.kind != "category")
        return (first, self.stop) if first < self.stop else None


def layout_of(payload: Mapping[str, Any]) -> tuple[Block, ...]:
    """The blocks of an encoded row, one for each learnt column, in their order."""
    return tuple(Block(**block) for block in payload["layout"])


def laid_out(columns: Sequence[tuple[str, Kind, int, bool]]) -> list[dict[str, Any]]:
    """The layout of (column, kind, width, missing) side by side, as plain values for the payload."""
    blocks, start = [], 0
    for column, kind, width, missing in columns:
        blocks.append(asdict(Block(column, kind, start, width, missing)))
        start += width
    return blocks


def row_width(payload: Mapping[str, Any]) -> int:
    """D: the number of entries of an encoded row."""
    return max((block.stop for block in layout_of(payload)), default=0)


def condition_width(payload: Mapping[str, Any]) -> int:
    """K = C + D: a mask over the columns, then the encoded row with zeros where nothing is told."""
    return len(payload["layout"]) + row_width(payload)
