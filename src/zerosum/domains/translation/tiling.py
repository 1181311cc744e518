"""A picture of any size through a network in overlapping tiles: padded by reflection, blended so that no seam shows.

Legend: C, D channels going in and coming out, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Apply = Callable[[Tensor, tuple[int, int]], Tensor]
"""(C, h, w) and its place (top, left) in the padded picture -> (D, h, w)."""


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut, in pixels.

    side: of a tile. margin: so much of a tile's border is thrown away, because a network sees the padding there. blend: over
    so much of what is left a tile fades into its neighbour. grid: sides and places of tiles are multiples of it, so that a
    network that halves its input meets every place in the same phase.
    """

    side: int = 512
    margin: int = 48
    blend: int = 64
    grid: int = 16

    def __post_init__(self) -> None:
        if self.step < self.grid or self.blend < 1:
            raise ValueError(f"tiles of {self.side} with margins of {self.margin} leave no room to blend {self.blend}")
        if any(length % self.grid for length in (self.side, self.margin, self.blend)):
            raise ValueError(f"side, margin and blend must be multiples of {self.grid}")

    @property
    def step(self) -> int:
        """From a tile to the next."""
        return self.side - 2 * self.margin - self.blend

    def starts(self, length: int) -> list[int]:
        """Where tiles begin on an axis of `length` pixels, in the padded picture."""
        return list(range(0, max(1, length - self.blend), self.step))

    def padded(self, length: int) -> int:
        """How long the padded axis is: a whole number of tiles, or one smaller tile where that is enough."""
        starts = self.starts(length)
        if len(starts) == 1:
            return -(-length // self.grid) * self.grid + 2 * self.margin
        return starts[-1] + self.side


def tiled(apply: Apply, picture: Tensor, tiling: Tiling = Tiling()) -> Tensor:
    """(C, H, W) -> (D, H, W).

    Pixels beyond the border are the picture's own, reflected. The weights of the tiles at a pixel add up to 1, and they are 0
    in the margins: where a network sees no farther than the margin and treats all places alike, this is the same as the
    network on the whole padded picture.
    """
    height, width = picture.shape[1:]
    rows = reflected(height, tiling.margin, tiling.padded(height)).to(picture.device)
    columns = reflected(width, tiling.margin, tiling.padded(width)).to(picture.device)
    out = torch.empty(0)
    for top, bottom, down in _pieces(tiling, height):
        band = picture[:, rows[top:bottom]]
        for left, right, across in _pieces(tiling, width):
            made = apply(band[:, :, columns[left:right]], (top, left)).float().cpu()
            out = out if len(out) else torch.zeros(len(made), height, width)
            _add(out, made, (top, left), (down, across), tiling.margin)
    return out


def reflected(length: int, before: int, total: int) -> Tensor:
    """(total,) indices into an axis of `length` pixels, of which `before` lie before its first: mirrored at both ends, and
    again where the axis is shorter than what is asked for. The pixel at the end is not repeated."""
    period = max(1, 2 * (length - 1))
    places = (torch.arange(total) - before) % period
    return torch.minimum(places, period - places) if length > 1 else torch.zeros(total, dtype=torch.long)


def _pieces(tiling: Tiling, length: int) -> Iterator[tuple[int, int, Tensor]]:
    """Begin and end of each tile on the padded axis, and its weights there: 0 in the margins, fading where two meet."""
    starts, total = tiling.starts(length), tiling.padded(length)
    ramp = (torch.arange(tiling.blend) + 0.5) / tiling.blend
    for index, start in enumerate(starts):
        end = min(start + tiling.side, total)
        weights = torch.zeros(end - start)
        weights[tiling.margin : end - start - tiling.margin] = 1
        if index:
            weights[tiling.margin : tiling.margin + tiling.blend] = ramp
        if index < len(starts) - 1:
            last = len(weights) - tiling.margin
            weights[last - tiling.blend : last] = 1 - ramp
        yield start, end, weights


def _add(out: Tensor, made: Tensor, place: tuple[int, int], weights: tuple[Tensor, Tensor], margin: int) -> None:
    """Adds a tile at its place, which is in the padded picture; what lies outside the picture is left out."""
    made = made * weights[0][:, None] * weights[1]
    spans = []
    for start, length, whole in zip(place, made.shape[1:], out.shape[1:], strict=True):
        first = start - margin
        spans.append((max(first, 0), min(first + length, whole), max(-first, 0)))
    (top, bottom, skip_rows), (left, right, skip_columns) = spans
    piece = made[:, skip_rows : skip_rows + bottom - top, skip_columns : skip_columns + right - left]
    out[:, top:bottom, left:right] += piece
