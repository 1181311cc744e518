"""Images in memory: 8-bit pixels and floats, resizing, transparency; grids of samples and single image files.

Files and `uint8` rows hold straight colours: (N, 4, H, W), red, green, blue, alpha, where the colour of a transparent pixel has
no meaning. Networks see premultiplied colours: each colour in [0, 1] times alpha, then all four channels mapped to [-1, 1]; a
colour without meaning is then 0. Source: Porter and Duff 1984, doi:10.1145/800031.808606.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from zerosum.data.images.loaded import RGBA, Crop, Pixels
from zerosum.errors import UserError
from zerosum.store import numbered_names

LIGHT, DARK, SQUARE = 224, 160, 8
"""Grey levels of the checkerboard, and the side of its squares in pixels."""
ROWS = 1000


def premultiply(pixels: Tensor) -> Tensor:
    """(N, 4, H, W) uint8, straight, to float32 in [-1, 1], premultiplied."""
    unit = pixels.to(torch.float32).div_(255)
    unit[:, :3] *= unit[:, 3:]
    return unit.mul_(2).sub_(1)


def unpremultiply(unit: Tensor) -> Tensor:
    """The inverse of `premultiply` for any finite floats: clamped, alpha rounded to 8 bits, colours divided by it. The colour
    of a pixel whose alpha is 0 is black."""
    share = (unit.detach().to(torch.float32).clamp(-1.0, 1.0) + 1) / 2
    alpha = (share[:, 3:] * 255).round()
    colours = (share[:, :3] * (255 * 255 / alpha.clamp_min(1))).clamp(0, 255) * (alpha > 0)
    return torch.cat([colours.round(), alpha], 1).to(torch.uint8)


def limit_to_alpha(unit: Tensor) -> Tensor:
    """Premultiplied samples in [-1, 1] with no colour above its alpha, as every image has it."""
    return torch.cat([torch.minimum(unit[:, :3], unit[:, 3:]), unit[:, 3:]], 1)


def composite_on(unit: Tensor, colour: str) -> Tensor:
    """(N, 4, H, W) in [-1, 1], premultiplied, on a background of that colour: (N, 3, H, W) in [-1, 1]."""
    return composite(unit, torch.tensor(ImageColor.getrgb(colour), device=unit.device).div(255)[None])


def composite(unit: Tensor, colours: Tensor) -> Tensor:
    """(N, 4, H, W) in [-1, 1], premultiplied, on backgrounds of colours (N or 1, 3) in [0, 1]: (N, 3, H, W)."""
    return unit[:, :3] + (1 - unit[:, 3:]) * colours.to(unit.dtype)[:, :, None, None]


def pixels_on_background(pixels: Tensor, colour: str) -> Tensor:
    """(N, 4, H, W) uint8, straight, on a background of that colour: (N, 3, H, W) uint8."""
    parts = [composite_on(premultiply(part), colour) for part in torch.split(pixels, ROWS)]
    return torch.cat([part.add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8) for part in parts])


def composite_on_checkerboard(image: Image.Image) -> Image.Image:
    """An RGBA picture on light and dark squares, as RGB; pictures of other modes as they are."""
    if image.mode != "RGBA":
        return image
    rows, columns = np.indices((image.height, image.width)) // SQUARE
    board = np.where((rows + columns) % 2, DARK, LIGHT).astype(np.uint8)
    return Image.alpha_composite(Image.fromarray(board).convert("RGBA"), image).convert("RGB")


TILE, SMOOTH_BELOW = 56, 24
"""Grids enlarge images to about TILE pixels by a whole factor; those of fewer than SMOOTH_BELOW rows by Lanczos, because
an eye reads a blurred 8x8 digit and not its 64 squares; all others without smoothing. Single files keep their size unless
another is asked for."""
SHARP_TO = 128
"""A whole factor that is asked for enlarges images of at most so many rows as grids do; all else is resized by Lanczos."""
MOST_PIXELS = 100_000_000
"""Of one picture that is written."""
GAP, GREY = 3, 128
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
ENDINGS = (*PICTURES, ".npy", "")
"""Of files that samples are written to; "" is a folder."""


@dataclass(frozen=True)
class Size:
    """The size at which pictures are written, in pixels. width None: `height` is that of the longer side, and the other side is
    in proportion."""

    height: int
    width: int | None = None

    @classmethod
    def parsed(cls, text: str) -> Size:
        """Of "256" or "HEIGHTxWIDTH"."""
        found = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text.strip().lower(), re.ASCII)
        sides = [int(side) for side in found.groups() if side] if found else [0]
        if min(sides) < 1:
            raise UserError(
                f"--size {text}: give the pixels of the longer side, as in --size 256, or HEIGHTxWIDTH, as in --size 256x384."
            )
        return cls(*sides)

    def of(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture that was made with these. UserError for more than MOST_PIXELS."""
        if self.width is not None:
            target = self.height, self.width
        else:
            factor = self.height / max(height, width)
            target = max(1, round(height * factor)), max(1, round(width * factor))
        if target[0] * target[1] > MOST_PIXELS:
            raise UserError(
                f"--size: pictures of {target[1]:,} x {target[0]:,} pixels are too large; at most {MOST_PIXELS:,} pixels are "
                "written."
            )
        return target


MODES = {1: "L", 3: "RGB", RGBA: "RGBA"}
"""Pillow's mode by the number of channels."""


def fit(image: Image.Image, size: tuple[int, int], crop: Crop = "centre") -> Image.Image:
    """The image at (height, width), resized with Pillow's Lanczos (antialiased); itself if it fits.

    Of another aspect, the largest centred piece ("centre"), or the whole image with black bars on two sides ("pad"), transparent
    ones for RGBA. Colours of RGBA images are weighted by alpha.
    """
    target = (size[1], size[0])
    if image.size == target:
        return image
    return (ImageOps.fit if crop == "centre" else ImageOps.pad)(image, target, Image.Resampling.LANCZOS)


def to_array(image: Image.Image) -> Pixels:
    """(C, H, W) uint8 of an L, RGB or RGBA image; where alpha is 0, the colour is."""
    pixels: Pixels = np.asarray(image, dtype=np.uint8)
    if image.mode == "RGBA":
        pixels = pixels * (pixels[..., 3:] > 0)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def refit(pixels: Pixels, size: tuple[int, int], channels: int, crop: Crop = "centre") -> Pixels:
    """(N, C, H, W) uint8 rows brought to `size` = (height, width) and `channels`; the same array when nothing changes."""
    if pixels.shape[1:] == (channels, *size):
        return pixels
    mode = MODES[channels]
    out = np.empty((len(pixels), channels, *size), np.uint8)
    for row, target in zip(pixels, out, strict=True):
        image = Image.fromarray(row[0] if len(row) == 1 else np.ascontiguousarray(row.transpose(1, 2, 0)))
        target[...] = to_array(fit(image.convert(mode), size, crop))
    return out


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 0..255 to float32 in [-1, 1]: x / 127.5 - 1."""
    return pixels.to(torch.float32).div_(127.5).sub_(1.0)


def to_pixels(unit: Tensor) -> Tensor:
    """Finite floats to uint8: clamped to [-1, 1], then (x + 1) * 127.5, rounded. Exact inverse of `to_unit`."""
    return unit.detach().to(torch.float32).clamp(-1.0, 1.0).add(1.0).mul_(127.5).round_().to(torch.uint8)


def to_network_input(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 as networks see it: `to_unit`, of RGBA images `premultiply`."""
    return premultiply(pixels) if pixels.shape[1] == RGBA else to_unit(pixels)


def to_premultiplied_bytes(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 as networks see it, rounded to uint8: itself, of RGBA images with colours times alpha."""
    return to_pixels(premultiply(pixels)) if pixels.shape[1] == RGBA else pixels


def to_saved_pixels(unit: Tensor) -> Tensor:
    """(N, C, H, W) samples in [-1, 1] as they are saved, uint8: `to_pixels`, of RGBA images `unpremultiply`."""
    return unpremultiply(unit) if unit.shape[1] == RGBA else to_pixels(unit)


def save_grid(samples: Tensor, columns: int, path: Path, size: Size | None = None) -> None:
    """Writes (N, C, H, W) in [-1, 1] as one picture, row by row, with a grey gap between the images; RGBA ones on a
    checkerboard. PNG unless the path's ending is that of a JPEG or WebP. size: of each image; None: enlarged to about TILE
    rows."""
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"pnginfo": grid_metadata(columns, -(-len(samples) // columns))} if kind == "PNG" else {}
    pixels = to_saved_pixels(samples)
    tiles = [enlarge(row, TILE) if size is None else to_pillow(resize_pixels(row, size)) for row in pixels]
    tile_images(tiles, columns).save(path, format=kind, **about)


def grid_metadata(columns: int, rows: int) -> PngInfo:
    """The text entry "grid" of the PNG file of a grid: columns x rows."""
    entries = PngInfo()
    entries.add_text("grid", f"{columns}x{rows}")
    return entries


def tile_images(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """Images of one size as one picture, RGBA on a checkerboard; a last row that is not full is left grey."""
    tiles = torch.stack(
        [torch.from_numpy(np.array(composite_on_checkerboard(image))) for image in images]
    )  # (N, H, W[, 3])
    height, width, rest = tiles.shape[1], tiles.shape[2], tiles.shape[3:]
    rows = -(-len(tiles) // columns)
    sheet = torch.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, *rest), GREY, dtype=torch.uint8)
    for index, tile in enumerate(tiles):
        top, left = GAP + index // columns * (height + GAP), GAP + index % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    return Image.fromarray(sheet.numpy())


def enlarge(pixels: Tensor, rows: int) -> Image.Image:
    """(C, H, W) uint8 as a Pillow image of about `rows` rows, by a whole factor; larger images stay as they are."""
    image = to_pillow(pixels)
    factor = max(1, round(rows / image.height))
    how = Image.Resampling.LANCZOS if image.height < SMOOTH_BELOW else Image.Resampling.NEAREST
    return image.resize((image.width * factor, image.height * factor), how) if factor > 1 else image


def resize_pixels(pixels: Tensor, size: Size | None) -> Tensor:
    """(C, H, W) uint8 at that size, colours of RGBA weighted by alpha; as it is without one."""
    if size is None:
        return pixels
    wanted = size.of(*pixels.shape[1:])
    if wanted == tuple(pixels.shape[1:]):
        return pixels
    values = resize_array(to_premultiplied_bytes(pixels[None])[0].permute(1, 2, 0).numpy(), wanted)
    return to_saved_pixels(to_unit(torch.from_numpy(values).permute(2, 0, 1)[None]))[0]


def resize_array(values: NDArray[Any], size: tuple[int, int], smooth: bool = True) -> NDArray[Any]:
    """(H, W, C) uint8 or uint16 as (height, width, C) of the same type. Small images are enlarged by whole factors as in grids,
    all else is resized by Lanczos. smooth False: without new values, as class numbers need it."""
    rows, columns = values.shape[:2]
    if size == (rows, columns):
        return values
    whole = size[0] % rows == 0 and size[0] * columns == size[1] * rows
    near = not smooth or (whole and SMOOTH_BELOW <= rows <= SHARP_TO)
    how = Image.Resampling.NEAREST if near else Image.Resampling.LANCZOS
    kind = np.uint8 if values.dtype == np.uint8 else np.float32  # Pillow resizes no 16 bits
    planes = [Image.fromarray(np.ascontiguousarray(values[..., c].astype(kind))) for c in range(values.shape[2])]
    found = np.stack([np.array(plane.resize(size[::-1], how)) for plane in planes], axis=2)
    return found if kind is np.uint8 else np.rint(found).clip(0, np.iinfo(values.dtype).max).astype(values.dtype)


def suggest_half_size(height: int, width: int) -> tuple[str, str] | None:
    """(setting, what it saves) for images of half the height and width; None where they cannot be smaller."""
    half = max(8, height // 2), max(8, width // 2)
    if half == (height, width):
        return None
    return f"data.size={half[0] if half[0] == half[1] else f'[{half[0]},{half[1]}]'}", "a quarter of the pixels"


def check_picture_size(num: int, tile: tuple[int, int], path: Path, columns: int | None = None) -> None:
    """UserError where a picture of so many samples, (height, width) pixels each, would have more than MOST_PIXELS."""
    columns = max(1, round(max(num, 1) ** 0.5)) if columns is None else columns
    height, width = -(-num // columns) * tile[0], columns * tile[1]
    if height * width > MOST_PIXELS:
        raise UserError(
            f"--out {path}: one picture of {num:,} samples would have about {width:,} x {height:,} pixels; at most "
            f"{MOST_PIXELS:,} are written. Give a folder (--out {path.with_suffix('')}) for single files, .npy for an "
            "array, or a smaller number or size."
        )


def to_pillow(pixels: Tensor) -> Image.Image:
    """(C, H, W) uint8, C 1, 3 or 4, as a Pillow image."""
    array = pixels.squeeze(0) if pixels.shape[0] == 1 else pixels.permute(1, 2, 0).contiguous()
    return Image.fromarray(array.numpy())


def save_samples(samples: Tensor, path: Path, size: Size | None = None, names: Sequence[str] = ()) -> list[Path]:
    """Writes samples in [-1, 1]: one grid for a path that ends in .png/.jpg/.webp, all pixels as uint8 (N, H, W, C) for
    .npy, else a folder of numbered PNG files. Returns the paths written.

    size: of each image in a picture; None: single images keep theirs, grids are enlarged. names: `numbered_names`.
    """
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = to_saved_pixels(samples)
        if len(pixels) == 1:
            if pixels.shape[1] == RGBA and suffix in (".jpg", ".jpeg"):
                raise UserError(f"--out {path}: JPEG holds no transparency. Use .png or .webp.")
            to_pillow(resize_pixels(pixels[0], size)).save(path)
        else:
            save_grid(samples, max(1, round(len(pixels) ** 0.5)), path, size)
        return [path]
    if suffix == ".npy":
        if size is not None:
            raise UserError(f"--size: {path} holds the samples as they were made. Write pictures, .png or a folder.")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, to_saved_pixels(samples).permute(0, 2, 3, 1).numpy())
        return [path]
    if suffix:
        raise UserError(
            f"--out {path}: cannot write {suffix}. Use .png, .jpg, .webp, .npy, or a folder for single files."
        )
    path.mkdir(parents=True, exist_ok=True)
    paths = [path / name for name in numbered_names(len(samples), ".png", names)]
    for target, pixels in zip(paths, to_saved_pixels(samples), strict=True):
        to_pillow(resize_pixels(pixels, size)).save(target)
    return paths
