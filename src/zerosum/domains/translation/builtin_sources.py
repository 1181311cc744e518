"""The built-in sources: textures and digits as pairs, digits in two styles and two photographs without pairs.

Legend: N rows, S the side of a mosaic.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from zerosum.domains.translation.image_collection import ImageCollection, collection_of, resize
from zerosum.domains.translation.sides import Side
from zerosum.engine.seeds import generator
from zerosum.errors import UserError

GREY, COLOUR = Side(1), Side(3)

# --- textures and their label maps

TEXTURES = ("brick", "grass", "gravel")
TEXTURE_CLASSES = Side(3, "labels", ((0,), (1,), (2,)))
PHOTO, SPLIT = 256, 192
"""Side of the photographs, and the column where the held-out part begins."""


def photographs() -> Tensor:
    """(3, 256, 256) float32 in 0..255. UserError where scikit-image, which contains them, is not installed."""
    try:
        from skimage import data
    except ImportError:
        raise UserError(
            "The source `textures` takes its photographs from scikit-image, which is not installed. "
            "pip install 'zerosum[textures]', or use another source: digit-outlines."
        ) from None
    photos = torch.stack([torch.from_numpy(getattr(data, name)()) for name in TEXTURES])[None].float()
    return interpolate(photos, (PHOTO, PHOTO), mode="bicubic", antialias=True, align_corners=False)[0].clamp(0, 255)


PHOTOGRAPHS = ("astronaut", "coffee", "retina", "ihc", "hubble_deep_field", "motorcycle_left", "rocket", "chelsea")
"""Colour photographs that come with scikit-image; those that a build lacks are left out."""


def photographs_in_colour(num: int = 0) -> ImageCollection:
    """The first `num` photographs of scikit-learn (two) and of scikit-image, where it is installed; 0 for all. Nothing is
    downloaded."""
    from sklearn.datasets import load_sample_images

    found = [np.asarray(image) for image in load_sample_images().images]
    with contextlib.suppress(ImportError):
        import skimage

        folder = Path(skimage.__file__).parent / "data"
        paths = [path for name in PHOTOGRAPHS for path in sorted(folder.glob(f"{name}.*"))]
        found += [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    chosen = found[:num] if num else found
    return ImageCollection(tuple(torch.from_numpy(image.transpose(2, 0, 1).copy()) for image in chosen), COLOUR)


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
    return tuple(_mosaics(photo, count, size, generator(seed, "textures", part)) for photo, count, part in parts)


def voronoi_labels(num: int, size: int, draw: torch.Generator) -> Tensor:
    """(N, S, S) int64 in 0..2: Voronoi cells of two to four random points, each with a random class; every map has at
    least two classes."""
    points = torch.rand(num, 4, 2, generator=draw) * size
    count = torch.randint(2, 5, (num, 1), generator=draw)
    labels = torch.randint(3, (num, 4), generator=draw)
    labels[:, 1] = (labels[:, 0] + 1 + labels[:, 1] % 2) % 3  # the first two cells differ
    axis = torch.arange(size) + 0.5
    horizontal = (axis[None, :, None, None] - points[:, None, None, :, 0]).square()
    vertical = (axis[None, None, :, None] - points[:, None, None, :, 1]).square()
    distances = horizontal + vertical + torch.where(torch.arange(4) < count, 0.0, torch.inf)[:, None, None, :]
    return labels.gather(1, distances.argmin(3).flatten(1)).view(num, size, size)


def _mosaics(photos: Tensor, num: int, size: int, draw: torch.Generator) -> tuple[ImageCollection, ImageCollection]:
    maps = voronoi_labels(num, size, draw)
    room = torch.tensor([photos.shape[1] - size + 1, photos.shape[2] - size + 1])
    places = (torch.rand(num, 3, 2, generator=draw) * room).long()
    pieces = photos.unfold(1, size, 1).unfold(2, size, 1)  # (3, places, places, S, S), a view
    kinds = torch.arange(3).expand(num, 3)
    cut = pieces[kinds, places[..., 0], places[..., 1]]
    mosaic = cut.gather(1, maps[:, None])
    return collection_of(maps[:, None].to(torch.uint8), TEXTURE_CLASSES), collection_of(
        mosaic.round().to(torch.uint8), GREY
    )


# --- handwritten digits, and two photographs

DIGIT_SIDE = 32
HELDOUT = 0.15
"""Default share of the digits that is held out."""
PAPER, INK = (1.0, 0.96, 0.86), (0.1, 0.2, 0.55)
"""Colours of digit-styles, (red, green, blue) in [0, 1]."""


def digits(num: int | None = None) -> Tensor:
    """(1,797, 1, 32, 32) float32 in [0, 1]: the digits of scikit-learn, enlarged to 32 pixels, in a fixed random
    order."""
    from sklearn.datasets import load_digits

    small = torch.from_numpy(np.asarray(load_digits().images, dtype=np.float32) / 16)[:, None]
    order = torch.randperm(len(small), generator=generator(0, "digits of translation"))
    large = interpolate(small[order][:num], (DIGIT_SIDE - 4, DIGIT_SIDE - 4), mode="bicubic", align_corners=False)
    return torch.nn.functional.pad((large * 1.6 - 0.35).clamp(0, 1), (2, 2, 2, 2))


def outline(ink: Tensor) -> Tensor:
    """(N, 1, H, W) in [0, 1] -> the border of the strokes: their dilation by one pixel minus their erosion."""
    dilated, eroded = max_pool2d(ink, 3, 1, 1), -max_pool2d(-ink, 3, 1, 1)
    return dilated - eroded


def digit_outlines() -> tuple[ImageCollection, ImageCollection]:
    """Pairs: the outline of a digit, and the digit itself."""
    ink = digits()
    return _to_collection(outline(ink), GREY), _to_collection(ink, GREY)


def digit_styles() -> tuple[ImageCollection, ImageCollection]:
    """Two sides without pairs: white digits on black, and outlines of other digits in blue on paper of varying
    brightness."""
    ink = digits()
    half = len(ink) // 2
    brightness = torch.rand(len(ink) - half, 1, 1, 1, generator=generator(0, "light on paper"))
    lines = outline(ink[half:])
    paper = (0.9 + 0.1 * brightness) * torch.tensor(PAPER)[:, None, None]
    white = ink[:half].expand(-1, 3, -1, -1)
    return _to_collection(white, COLOUR), _to_collection(
        paper * (1 - lines) + torch.tensor(INK)[:, None, None] * lines, COLOUR
    )


def two_photos(size: int = 0) -> tuple[ImageCollection, ImageCollection]:
    """One photograph of a palace roof and one of a flower, 427 x 640 pixels, or with a shorter side of `size`."""
    from sklearn.datasets import load_sample_image

    photos = [
        torch.from_numpy(load_sample_image(f"{name}.jpg").copy()).permute(2, 0, 1) for name in ("china", "flower")
    ]
    fitted = [resize(photo.contiguous(), COLOUR, (size,) if size else ()) for photo in photos]
    return ImageCollection((fitted[0],), COLOUR), ImageCollection((fitted[1],), COLOUR)


def _to_collection(unit: Tensor, side: Side) -> ImageCollection:
    """(N, C, H, W) in [0, 1] as 8-bit images."""
    return collection_of((unit * 255).round().to(torch.uint8), side)
