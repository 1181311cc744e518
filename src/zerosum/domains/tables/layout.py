"""The layout of an encoded row and its condition: the entries of each column.

Legend: N rows, D places of an encoded row, C learnt columns, K = C + D places of a condition. A condition (N, K) float32 is a
mask over the columns (1: given), then the encoded row with zeros where nothing is given. A condition of zeros gives nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Kind = Literal["numeric", "category", "mixture"]


@dataclass(frozen=True)
class TransformedBlock:
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


def layout_of(payload: Mapping[str, Any]) -> tuple[TransformedBlock, ...]:
    """The blocks of an encoded row, one for each learnt column, in their order."""
    return tuple(TransformedBlock(**block) for block in payload["layout"])


def make_layout(columns: Sequence[tuple[str, Kind, int, bool]]) -> list[dict[str, Any]]:
    """The layout of consecutive (column, kind, width, missing), as plain values for the payload."""
    blocks, start = [], 0
    for column, kind, width, missing in columns:
        blocks.append(asdict(TransformedBlock(column, kind, start, width, missing)))
        start += width
    return blocks


def row_width(payload: Mapping[str, Any]) -> int:
    """D: the number of entries of an encoded row."""
    return max((block.stop for block in layout_of(payload)), default=0)


def condition_width(payload: Mapping[str, Any]) -> int:
    """K = C + D: a mask over the columns, then the encoded row with zeros where nothing is given."""
    return len(payload["layout"]) + row_width(payload)


# --- conditions


def condition_on(data: Tensor, mask: Tensor, blocks: Sequence[TransformedBlock]) -> Tensor:
    """(N, D) encoded rows and (N, C) mask -> (N, K) conditions that give the columns whose mask is 1."""
    return torch.cat([mask, data * expand_mask(mask, blocks)], dim=1)


def expand_mask(mask: Tensor, blocks: Sequence[TransformedBlock]) -> Tensor:
    """(N, C) -> (N, D): each column's mask at all of its places."""
    # An index rather than repeat_interleave, which ONNX does not support.
    owner = [number for number, block in enumerate(blocks) for _ in range(block.width)]
    return mask[:, torch.tensor(owner, device=mask.device)]


def split(condition: Tensor, blocks: Sequence[TransformedBlock]) -> tuple[Tensor, Tensor]:
    """(N, K) -> the mask at each place (N, D), and the values given (N, D) with zeros elsewhere."""
    mask, values = condition[:, : len(blocks)], condition[:, len(blocks) :]
    return expand_mask(mask, blocks), values


def no_conditions(payload: Mapping[str, Any], num: int) -> Tensor:
    """(num, K) empty conditions, for unconditional rows."""
    return torch.zeros(num, condition_width(payload))
