"""Applies a network to an image of any size in overlapping tiles, padded by reflection and blended without visible
seams.

Legend: C, D channels going in and coming out, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Apply = Callable[[Tensor, tuple[int, int]], Tensor]
"""(C, h, w) and its position (top, left) in the padded image -> (D, h, w)."""


@dataclass(frozen=True)
class Tiling:
    """How an image is cut into tiles, in pixels.

    side: of a tile. margin: width of the border of a tile that is discarded, because there the output depends on the
    padding. blend: width over which a tile fades into its neighbour, within the rest. grid: sides and positions of
    tiles are multiples of it, so that a network that halves its input has every position in the same phase.
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
        """The distance between consecutive tiles."""
        return self.side - 2 * self.margin - self.blend

    def starts(self, length: int) -> list[int]:
        """The first pixel of each tile on an axis of `length` pixels, in the padded image."""
        return list(range(0, max(1, length - self.blend), self.step))

    def padded_length(self, length: int) -> int:
        """The length of the padded axis: a whole number of tiles, or one smaller tile if that suffices."""
        starts = self.starts(length)
        if len(starts) == 1:
            return -(-length // self.grid) * self.grid + 2 * self.margin
        return starts[-1] + self.side


def apply_in_tiles(apply: Apply, picture: Tensor, tiling: Tiling = Tiling()) -> Tensor:
    """(C, H, W) -> (D, H, W).

    Pixels beyond the border are reflections of the image. The weights of the tiles at a pixel add up to 1 and are 0 in
    the margins. For a network whose receptive field fits into the margin and that treats all positions alike, the
    result equals that of the network on the whole padded image.
    """
    height, width = picture.shape[1:]
    rows = reflected_indices(height, tiling.margin, tiling.padded_length(height)).to(picture.device)
    columns = reflected_indices(width, tiling.margin, tiling.padded_length(width)).to(picture.device)
    out = torch.empty(0)
    for top, bottom, down in _tiles(tiling, height):
        band = picture[:, rows[top:bottom]]
        for left, right, across in _tiles(tiling, width):
            output = apply(band[:, :, columns[left:right]], (top, left)).float().cpu()
            out = out if len(out) else torch.zeros(len(output), height, width)
            _add(out, output, (top, left), (down, across), tiling.margin)
    return out


def reflected_indices(length: int, before: int, total: int) -> Tensor:
    """(total,) indices into an axis of `length` pixels, starting `before` pixels before its first: reflected at both
    ends, repeatedly if the axis is shorter than that. The pixel at the end is not repeated."""
    period = max(1, 2 * (length - 1))
    places = (torch.arange(total) - before) % period
    return torch.minimum(places, period - places) if length > 1 else torch.zeros(total, dtype=torch.long)


def _tiles(tiling: Tiling, length: int) -> Iterator[tuple[int, int, Tensor]]:
    """First and last pixel of each tile on the padded axis, and its weights: 0 in the margins, fading where two tiles
    overlap."""
    starts, total = tiling.starts(length), tiling.padded_length(length)
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


def _add(out: Tensor, output: Tensor, place: tuple[int, int], weights: tuple[Tensor, Tensor], margin: int) -> None:
    """Adds a tile at its position in the padded image; pixels outside the image are left out."""
    output = output * weights[0][:, None] * weights[1]
    spans = []
    for start, length, whole in zip(place, output.shape[1:], out.shape[1:], strict=True):
        first = start - margin
        spans.append((max(first, 0), min(first + length, whole), max(-first, 0)))
    (top, bottom, skip_rows), (left, right, skip_columns) = spans
    part = output[:, skip_rows : skip_rows + bottom - top, skip_columns : skip_columns + right - left]
    out[:, top:bottom, left:right] += part
