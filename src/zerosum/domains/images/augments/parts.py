"""Functions shared by augmentations of images: choosing images, mirrored places, erasing rectangles.

Legend: N images, C channels, H height, W width. Every function works on the whole batch at once, is linear in the images
(so that it has derivatives of any order), and takes its random numbers from `rng` alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zerosum.data.images.loaded import RGBA
from zerosum.engine.duel import Augment
from zerosum.engine.seeds import SeededNoise
from zerosum.nn.pixel_moves import axis

ERASED = 0.5
"""Side of an erased square, as a share of the image's sides."""


def in_float32(augment: Augment) -> Augment:
    """The augmentation computed in float32 or float64, whatever autocast would choose; strength 0 is the identity."""

    @functools.wraps(augment)
    def wrapped(images: Tensor, rng: SeededNoise, purpose: str, strength: float) -> Tensor:
        if not strength:
            return images
        images = images if images.dtype in (torch.float32, torch.float64) else images.float()
        with torch.autocast(images.device.type, enabled=False):
            return augment(images, rng, purpose, strength)

    return wrapped


def colours_only(transform: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A transformation of colours that leaves the alpha of RGBA images as it is."""

    @functools.wraps(transform)
    def wrapped(images: Tensor, *rest: Any) -> Tensor:
        if images.shape[1] != RGBA:
            return transform(images, *rest)
        return torch.cat([transform(images[:, :3], *rest), images[:, 3:]], 1)

    return wrapped


def apply_gate(gates: Tensor, chance: float, values: Tensor, neutral: float = 0.0) -> Tensor:
    """`values` where the gate, uniform on [0, 1), is below the chance, else the neutral value. All (N,)."""
    return torch.where(gates < chance, values, neutral)


def reflect_index(index: Tensor, size: int) -> Tensor:
    """Any integers as indices in 0..size-1, mirrored at the borders as often as needed: 0 1 2 | 2 1 0 | 0 1 2 ..."""
    position = index.remainder(2 * size)
    return torch.minimum(position, 2 * size - 1 - position)


def erase_rectangle(images: Tensor, centres: Tensor, which: Tensor) -> Tensor:
    """Grey (0) in a rectangle of half the height and half the width around `centres` (N, 2), as shares of height and width,
    cut at the borders; in the images where `which` (N,) is true."""
    far = []
    for dim, size in ((0, images.shape[2]), (1, images.shape[3])):
        position = (axis(size, images, dim + 1) + 0.5) / size
        far.append((position - centres[:, dim, None, None]).abs() >= ERASED / 2)
    kept = far[0] | far[1] | ~which[:, None, None]
    return images * kept[:, None].to(images.dtype)
