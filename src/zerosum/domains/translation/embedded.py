"""Sources that need no files: scikit-learn's handwritten digits in two looks, and its two photographs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from zerosum.domains.translation.image_collection import ImageCollection, album_of, resized
from zerosum.domains.translation.sides import Side
from zerosum.engine.seeds import generator

SIDE = 32
HELDOUT = 0.15
GREY, COLOUR = Side(1), Side(3)
PAPER, INK = (1.0, 0.96, 0.86), (0.1, 0.2, 0.55)
"""Of the outlines, in [0, 1]."""


def strokes(num: int | None = None) -> Tensor:
    """(1,797, 1, 32, 32) float32 in [0, 1]: the digits of scikit-learn, made smooth at 32 pixels, in a fixed random order."""
    from sklearn.datasets import load_digits

    small = torch.from_numpy(np.asarray(load_digits().images, dtype=np.float32) / 16)[:, None]
    order = torch.randperm(len(small), generator=generator(0, "digits of translation"))
    large = interpolate(small[order][:num], (SIDE - 4, SIDE - 4), mode="bicubic", align_corners=False)
    return torch.nn.functional.pad((large * 1.6 - 0.35).clamp(0, 1), (2, 2, 2, 2))


def outline(ink: Tensor) -> Tensor:
    """(N, 1, H, W) in [0, 1] -> the border of the strokes: what widening by a pixel adds and narrowing takes away."""
    wide, narrow = max_pool2d(ink, 3, 1, 1), -max_pool2d(-ink, 3, 1, 1)
    return wide - narrow


def digit_outlines() -> tuple[ImageCollection, ImageCollection]:
    """Pairs: the outline of a digit, and the digit itself."""
    ink = strokes()
    return _bytes(outline(ink), GREY), _bytes(ink, GREY)


def digit_styles() -> tuple[ImageCollection, ImageCollection]:
    """No pairs: white digits on black, and other digits as outlines in blue ink, each on a sheet a little lighter or darker."""
    ink = strokes()
    half = len(ink) // 2
    light = torch.rand(len(ink) - half, 1, 1, 1, generator=generator(0, "light on paper"))
    lines = outline(ink[half:])
    sheet = (0.9 + 0.1 * light) * torch.tensor(PAPER)[:, None, None]
    white = ink[:half].expand(-1, 3, -1, -1)
    return _bytes(white, COLOUR), _bytes(sheet * (1 - lines) + torch.tensor(INK)[:, None, None] * lines, COLOUR)


def two_photos(size: int = 0) -> tuple[ImageCollection, ImageCollection]:
    """One photograph of a palace roof and one of a flower, 427 x 640 pixels, or with a shorter side of `size`."""
    from sklearn.datasets import load_sample_image

    photos = [
        torch.from_numpy(load_sample_image(f"{name}.jpg").copy()).permute(2, 0, 1) for name in ("china", "flower")
    ]
    fitted = [resized(photo.contiguous(), COLOUR, (size,) if size else ()) for photo in photos]
    return ImageCollection((fitted[0],), COLOUR), ImageCollection((fitted[1],), COLOUR)


def _bytes(unit: Tensor, side: Side) -> ImageCollection:
    return album_of((unit * 255).round().to(torch.uint8), side)
