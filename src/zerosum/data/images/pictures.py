"""Images as numbers and as files: bytes and floats, grids that are large enough to look at, single images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from zerosum.errors import UserError

TILE, SMOOTH_BELOW = 56, 24
"""Grids enlarge images to about TILE pixels by a whole factor; those of fewer than SMOOTH_BELOW rows by Lanczos, because
an eye reads a blurred 8x8 digit and not its 64 squares; all others without smoothing. Single files are never enlarged."""
GAP, GREY = 3, 128
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
ENDINGS = (*PICTURES, ".npy", "")
"""Of files that samples are written to; "" is a folder."""


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 0..255 to float32 in [-1, 1]: x / 127.5 - 1."""
    return pixels.to(torch.float32).div_(127.5).sub_(1.0)


def to_pixels(unit: Tensor) -> Tensor:
    """Finite floats to uint8: clamped to [-1, 1], then (x + 1) * 127.5, rounded. Exact inverse of `to_unit`."""
    return unit.detach().to(torch.float32).clamp(-1.0, 1.0).add(1.0).mul_(127.5).round_().to(torch.uint8)


def grid(samples: Tensor, columns: int, path: Path) -> None:
    """Writes (N, C, H, W) in [-1, 1] as one picture, row by row, with a grey gap between the images. PNG unless the path's
    ending is that of a JPEG or WebP."""
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"pnginfo": marked(columns, -(-len(samples) // columns))} if kind == "PNG" else {}
    tiled(to_pixels(samples), columns).save(path, format=kind, **about)


def marked(columns: int, rows: int) -> PngInfo:
    """What a PNG file of a grid says of itself under "grid": columns x rows."""
    told = PngInfo()
    told.add_text("grid", f"{columns}x{rows}")
    return told


def tiled(pixels: Tensor, columns: int) -> Image.Image:
    """(N, C, H, W) uint8 as one picture; a last row that is not full is left grey."""
    tiles = torch.stack([torch.from_numpy(np.array(enlarged(row, TILE))) for row in pixels])  # (N, H, W[, 3])
    height, width, rest = tiles.shape[1], tiles.shape[2], tiles.shape[3:]
    rows = -(-len(tiles) // columns)
    sheet = torch.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, *rest), GREY, dtype=torch.uint8)
    for index, tile in enumerate(tiles):
        top, left = GAP + index // columns * (height + GAP), GAP + index % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    return Image.fromarray(sheet.numpy())


def enlarged(pixels: Tensor, rows: int) -> Image.Image:
    """(C, H, W) uint8 as a Pillow image of about `rows` rows, by a whole factor; larger images stay as they are."""
    image = picture(pixels)
    factor = max(1, round(rows / image.height))
    how = Image.Resampling.LANCZOS if image.height < SMOOTH_BELOW else Image.Resampling.NEAREST
    return image.resize((image.width * factor, image.height * factor), how) if factor > 1 else image


def picture(pixels: Tensor) -> Image.Image:
    """(C, H, W) uint8, C 1 or 3, as a Pillow image."""
    array = pixels.squeeze(0) if pixels.shape[0] == 1 else pixels.permute(1, 2, 0).contiguous()
    return Image.fromarray(array.numpy())


def write(samples: Tensor, path: Path) -> list[Path]:
    """Writes samples in [-1, 1]: one grid for a path that ends in .png/.jpg/.webp, all pixels as uint8 (N, H, W, C) for
    .npy, else a folder of numbered PNG files at their own size. Returns the paths written."""
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = to_pixels(samples)
        if len(pixels) == 1:
            picture(pixels[0]).save(path)
        else:
            grid(samples, max(1, round(len(pixels) ** 0.5)), path)
        return [path]
    if suffix == ".npy":
        path.parent.mkdir(parents=True, exist_ok=True)
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
