"""How networks fit images of any size: a small grid, doubled or halved so often, then cut or padded."""

from __future__ import annotations

import math

from torch import Tensor, nn

from zerosum.domains.images.data import Shape


def num_halvings(shape: Shape) -> int:
    """How often the shorter side can be halved and stay at 4 or more."""
    return max(0, int(math.log2(max(min(shape.height, shape.width) / 4, 1))))


def grid_of(shape: Shape) -> tuple[int, int]:
    """The small grid (h, w) that covers the image after that many doublings."""
    scale = 2 ** num_halvings(shape)
    return -(-shape.height // scale), -(-shape.width // scale)


def widths_of(shape: Shape, width: int) -> list[int]:
    """Channels from the small grid up to half the full size."""
    return [min(width * 2**level, width * 8) for level in range(max(1, num_halvings(shape)))][::-1]


def padded(images: Tensor, shape: Shape) -> Tensor:
    """Zero-padded at the far edges to the grid times a power of 2."""
    scale, (h, w) = 2 ** num_halvings(shape), grid_of(shape)
    missing = (w * scale - shape.width, h * scale - shape.height)
    return nn.functional.pad(images, (0, missing[0], 0, missing[1])) if any(missing) else images
