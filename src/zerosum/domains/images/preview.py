"""Images to PNG: grids that are large enough to look at, and single files."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zerosum.domains.images.data import to_pixels
from zerosum.errors import UserError

TILE = 48
"""Images smaller than this are enlarged by a whole factor in grids, without smoothing."""


def grid(samples: Tensor, columns: int, path: Path) -> None:
    """Writes (N, C, H, W) in [-1, 1] as one PNG, row by row, with a 2-pixel gap."""
    array = tiled(to_pixels(samples), columns)
    picture(array, enlarge(samples.shape[2])).save(path, format="PNG")


def tiled(pixels: Tensor, columns: int, gap: int = 0) -> Tensor:
    """(N, C, H, W) uint8 -> (C, rows*H, columns*W); a last row that is not full is filled with white."""
    missing = -len(pixels) % columns
    if missing:
        pixels = torch.cat([pixels, torch.full((missing, *pixels.shape[1:]), 255, dtype=torch.uint8)])
    pixels = torch.nn.functional.pad(pixels, (gap, gap, gap, gap), value=255)
    rows = len(pixels) // columns
    _, channels, height, width = pixels.shape
    return (
        pixels.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4).reshape(channels, rows * height, -1)
    )


def enlarge(height: int) -> int:
    """The whole factor by which images of this height are enlarged in grids."""
    return max(1, -(-TILE // height))


def picture(pixels: Tensor, factor: int = 1) -> Image.Image:
    """(C, H, W) uint8, C 1 or 3, -> a Pillow image, enlarged without smoothing."""
    pixels = pixels.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    array = pixels.squeeze(0).numpy() if pixels.shape[0] == 1 else pixels.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array)


def write(samples: Tensor, path: Path) -> list[Path]:
    """Writes samples in [-1, 1]: one grid for a path that ends in .png/.jpg/.webp, else a folder of numbered PNG files."""
    suffix = path.suffix.lower()
    if suffix in (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"):
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = max(1, round(len(samples) ** 0.5))
        picture(tiled(to_pixels(samples), columns), enlarge(samples.shape[2]) if len(samples) > 1 else 1).save(path)
        return [path]
    if suffix == ".npy":
        import numpy as np

        np.save(path, to_pixels(samples).permute(0, 2, 3, 1).numpy())
        return [path]
    if suffix:
        raise UserError(
            f"--out {path}: cannot write {suffix}. Use .png, .jpg, .webp, .npy, or a folder for single files."
        )
    path.mkdir(parents=True, exist_ok=True)
    paths = [path / f"{index:05d}.png" for index in range(len(samples))]
    for target, pixels in zip(paths, to_pixels(samples), strict=True):
        picture(pixels).save(target)
    return paths
