"""Label maps and mosaics of the three textures that they name: brick, grass and gravel, photographs from scikit-image.

Every row is its own: a random map of two to four Voronoi cells, and in each cell a random piece of its texture. The left
three quarters of the photographs make the training rows, the right quarter the held-out ones.

Legend: N rows, S the side of a mosaic.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zerosum.domains.translation.image_collection import ImageCollection, album_of
from zerosum.domains.translation.sides import Side
from zerosum.engine.seeds import generator
from zerosum.errors import UserError

NAMES = ("brick", "grass", "gravel")
PHOTO, SPLIT = 256, 192
"""Side of the photographs, and the column where the held-out part begins."""
MAPS, GREY = Side(3, "labels", ((0,), (1,), (2,))), Side(1)


def photographs() -> Tensor:
    """(3, 256, 256) float32 in 0..255. UserError where scikit-image, which brings them, is not installed."""
    try:
        from skimage import data
    except ImportError:
        raise UserError(
            "The source `textures` takes its photographs from scikit-image, which is not installed. "
            "pip install 'zerosum[textures]', or take another source: digit-outlines."
        ) from None
    photos = torch.stack([torch.from_numpy(getattr(data, name)()) for name in NAMES])[None].float()
    return interpolate(photos, (PHOTO, PHOTO), mode="bicubic", antialias=True, align_corners=False)[0].clamp(0, 255)


def mosaics(
    num: int = 2048, heldout: int = 256, size: int = 64, seed: int = 0
) -> tuple[tuple[ImageCollection, ImageCollection], ...]:
    """Training and held-out (maps, mosaics). size: S, at most 64, so that a piece fits into the held-out quarter."""
    if not 16 <= size <= PHOTO - SPLIT:
        raise ValueError(f"size must be from 16 to {PHOTO - SPLIT}, got {size}")
    if num < 2 or heldout < 2:
        raise ValueError(f"num and heldout must be at least 2, got {num} and {heldout}")
    photos = photographs()
    parts = ((photos[..., :SPLIT], num, "train"), (photos[..., SPLIT:], heldout, "held out"))
    return tuple(_made(photo, count, size, generator(seed, "textures", part)) for photo, count, part in parts)


def cells(num: int, size: int, draw: torch.Generator) -> Tensor:
    """(N, S, S) int64 in 0..2: Voronoi cells of two to four random points, each of a random texture; never all the same."""
    points = torch.rand(num, 4, 2, generator=draw) * size
    count = torch.randint(2, 5, (num, 1), generator=draw)
    labels = torch.randint(3, (num, 4), generator=draw)
    labels[:, 1] = (labels[:, 0] + 1 + labels[:, 1] % 2) % 3  # the first two cells differ
    axis = torch.arange(size) + 0.5
    across = (axis[None, :, None, None] - points[:, None, None, :, 0]).square()
    along = (axis[None, None, :, None] - points[:, None, None, :, 1]).square()
    far = across + along + torch.where(torch.arange(4) < count, 0.0, torch.inf)[:, None, None, :]
    return labels.gather(1, far.argmin(3).flatten(1)).view(num, size, size)


def _made(photos: Tensor, num: int, size: int, draw: torch.Generator) -> tuple[ImageCollection, ImageCollection]:
    maps = cells(num, size, draw)
    room = torch.tensor([photos.shape[1] - size + 1, photos.shape[2] - size + 1])
    places = (torch.rand(num, 3, 2, generator=draw) * room).long()
    pieces = photos.unfold(1, size, 1).unfold(2, size, 1)  # (3, places, places, S, S), a view
    kinds = torch.arange(3).expand(num, 3)
    cut = pieces[kinds, places[..., 0], places[..., 1]]
    mosaic = cut.gather(1, maps[:, None])
    return album_of(maps[:, None].to(torch.uint8), MAPS), album_of(mosaic.round().to(torch.uint8), GREY)
