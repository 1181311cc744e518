"""Moves of pixels in augmentations: each pixel of the result is one of the input or 0, and derivatives of any order exist.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

MOVED = 0.125
"""Largest shift, as a share of the image's sides."""


def farthest(sides: Iterable[int]) -> list[int]:
    """The largest shift along each of these sides, in whole pixels, at least 1."""
    return [max(1, round(side * MOVED)) for side in sides]


def gather_pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(N, C, H, W): pixel (h, w) of image n is the one at rows[n, h, w], columns[n, h, w] of (N, C, H, W).

    rows, columns: int64 in range, broadcastable to (N, H, W). Pixels are copied, so their values stay exact.
    """
    n, channels, height, width = images.shape
    position = (rows * width + columns).expand(n, height, width).reshape(n, 1, height * width)
    return images.flatten(2).gather(2, position.expand(n, channels, height * width)).view(images.shape)


def axis(size: int, like: Tensor, dim: int) -> Tensor:
    """0..size-1 along `dim` of a tensor of three dimensions, int64."""
    shape = [1, 1, 1]
    shape[dim] = size
    return torch.arange(size, device=like.device).view(shape)


def translate_pixels(images: Tensor, shifts: Tensor) -> Tensor:
    """(N, C, H, W): the content moved down and right by shifts (N, 2), whole pixels; 0 where nothing came from."""
    height, width = images.shape[2:]
    rows = axis(height, images, 1) - shifts[:, 0, None, None]
    columns = axis(width, images, 2) - shifts[:, 1, None, None]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    moved = gather_pixels(images, rows.clamp(0, height - 1), columns.clamp(0, width - 1))
    return moved * inside[:, None].to(images.dtype)
