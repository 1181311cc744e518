"""Images of one side in memory: read from files at their own sizes, every bit and channel kept.

Legend: C channels in memory (1 for labels: the class number), H height, W width, differing from image to image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zerosum.data.images.arrays import dark_note
from zerosum.data.images.files import LOSSY, BadImageError
from zerosum.data.images.lossless_io import LosslessImage, read
from zerosum.data.images.types import MAX_BYTES
from zerosum.domains.translation.sides import Code, Side, Values, class_numbers, codes_of, one_hot
from zerosum.errors import UserError

MAX_CLASSES = 256
AUTO_CLASSES = 40
"""At most so many distinct values make the inputs a label map when nobody says what they are."""
LEAST_REGIONS = 1 / 3
"""Of the pixels of a label map at least this share has a right neighbour of the same class; the greys of an anti-aliased line
have none."""
Kind = Literal["auto", "image", "labels"]


@dataclass(frozen=True, eq=False)
class ImageCollection:
    """Images (C, H, W) uint8, or int32 where the values need more, and what they are."""

    images: tuple[Tensor, ...]
    side: Side

    def __len__(self) -> int:
        return len(self.images)

    def picked(self, rows: Iterable[int]) -> ImageCollection:
        """These images, in that order."""
        return replace(self, images=tuple(self.images[row] for row in rows))

    def unit(self, images: Tensor) -> Tensor:
        """(..., C, H, W) of this album -> float32 as the networks want it, see facts."""
        if self.side.kind == "labels":
            return one_hot(images.squeeze(-3), self.side.channels)
        return images.float().mul_(2 / (2**self.side.bits - 1)).sub_(1)

    def whole(self, row: int) -> Tensor:
        """(C, H, W) float32 of one image at its own size."""
        return self.unit(self.images[row])

    def to(self, device: torch.device) -> ImageCollection:
        """The same images on another device."""
        return replace(self, images=tuple(image.to(device) for image in self.images))

    @property
    def sizes(self) -> set[tuple[int, int]]:
        """Heights and widths."""
        return {(int(image.shape[1]), int(image.shape[2])) for image in self.images}

    def told(self, what: str) -> tuple[str, ...]:
        """The note on images that are nearly black."""
        if self.side.kind == "labels":
            return ()
        return dark_note(max(int(image.max()) for image in self.images), 2**self.side.bits - 1, what)

    def digests(self) -> list[bytes]:
        """SHA-256 of each image."""
        return [hashlib.sha256(image.cpu().numpy().tobytes()).digest() for image in self.images]


def album_of(stack: Tensor, side: Side) -> ImageCollection:
    """(N, C, H, W) of uint8 as an album."""
    return ImageCollection(tuple(stack), side)


def read_album(
    paths: Sequence[Path], kind: Kind = "image", like: Side | None = None, size: tuple[int, ...] = ()
) -> ImageCollection:
    """All files of one side. like: the side that they must fit, as found in the training part; else it is found here.
    size: see `resized`. UserError names the file at fault."""
    exact = [_read(path) for path in paths]
    side = like or side_of(exact, paths, kind)
    images, total = [], 0
    for one, path in zip(exact, paths, strict=True):
        images.append(resized(in_memory(one, side, path), side, size))
        total += images[-1].nbytes
        if total > MAX_BYTES:
            raise UserError(
                f"{path.parent}: more than {MAX_BYTES >> 30} GiB of pixels. Use --set data.size=256 or fewer files."
            )
    return ImageCollection(tuple(images), side)


def _read(path: Path) -> LosslessImage:
    try:
        return read(path)
    except (BadImageError, OSError) as error:
        raise UserError(f"{path}: {error}. Remove or replace this file.") from None


def side_of(images: Sequence[LosslessImage], paths: Sequence[Path], kind: Kind) -> Side:
    """What the files of one side are: labels where told, or (kind "auto") where lossless files hold few values in all and are no
    drawings."""
    if kind != "image":
        lossless = all(path.suffix.lower() not in LOSSY for path in paths)
        most = MAX_CLASSES if kind == "labels" else AUTO_CLASSES
        codes = _codes(images, most) if kind == "labels" or lossless else None
        if codes is not None and (kind == "labels" or not _drawings(images)):
            return Side(len(codes), "labels", tuple(sorted(codes)))
        if kind == "labels":
            raise UserError(
                f"{paths[0].parent}: more than {MAX_CLASSES} different values, so these files are no label maps. Label maps "
                "are saved without loss (PNG), one value or one colour a class."
            )
    channels = {one.painted().shape[2] for one in images}
    if not channels <= {1, 3} and len(channels) > 1:
        raise UserError(f"{paths[0].parent}: images of {_listed(channels)} channels; all must have the same number.")
    return Side(max(channels), bits=16 if any(one.values.dtype == np.uint16 for one in images) else 8)


def _drawings(images: Sequence[LosslessImage]) -> bool:
    """Whether images of few values are black and white, with at most the greys of anti-aliased lines between."""
    between = alike = 0
    extremes = False
    for one in images:
        values = one.painted()
        top = np.iinfo(values.dtype).max
        black, white = (values == 0).all(2), (values == top).all(2)
        middle = ~(black | white)
        extremes |= bool(black.any() and white.any())
        between += int(middle[:, :-1].sum())
        alike += int((middle[:, :-1] & (values[:, :-1] == values[:, 1:]).all(2)).sum())
    return extremes and alike <= LEAST_REGIONS * between


def _codes(images: Sequence[LosslessImage], most: int) -> set[Code] | None:
    """The codes of all maps, None where there are more than `most` or no two; one value a class, or one colour."""
    codes: set[Code] = set()
    for one in images:
        if one.values.shape[2] not in (1, 3):
            return None
        codes |= codes_of(one.values)
        if len(codes) > most or len({len(code) for code in codes}) > 1:
            return None
    return codes if len(codes) > 1 else None


def in_memory(image: LosslessImage, side: Side, path: Path) -> Tensor:
    """(C, H, W) uint8 or int32 of one file; UserError where it does not fit the side."""
    if side.kind == "labels":
        if image.values.shape[2] != len(side.classes[0]):
            raise UserError(f"{path}: its label map is of another kind than the others (numbers or colours).")
        try:
            numbers = class_numbers(image.values, side)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        return torch.from_numpy(numbers[None].astype(np.uint8))
    values = _same_depth(image.painted(), side)
    if values.shape[2] == 1 and side.channels == 3:
        values = np.repeat(values, 3, axis=2)
    if values.shape[2] != side.channels:
        raise UserError(f"{path}: {values.shape[2]} channels, the training images have {side.channels}.")
    deep = values if side.bits == 8 else values.astype(np.int32)
    return torch.from_numpy(np.array(deep.transpose(2, 0, 1), order="C"))


def _same_depth(values: Values, side: Side) -> Values:
    """8-bit values among deeper ones are scaled by 257, which keeps black and white."""
    if side.bits == 16 and values.dtype == np.uint8:
        return values.astype(np.uint16) * np.uint16(257)
    if side.bits == 8 and values.dtype == np.uint16:
        return np.rint(values / 257).astype(np.uint8)
    return values


def resized(image: Tensor, side: Side, size: tuple[int, ...]) -> Tensor:
    """(C, H, W) at another size: (S,) brings the shorter side to S; (H, W) fills that frame and cuts the rest off evenly.

    Bicubic with antialiasing; label maps by the nearest value.
    """
    if not size or tuple(image.shape[1:]) == size:
        return image
    height, width = image.shape[1:]
    frame = (size[0], size[0]) if len(size) == 1 else (size[0], size[1])
    scale = max(frame[0] / height, frame[1] / width)
    target = (max(frame[0], round(height * scale)), max(frame[1], round(width * scale)))
    if side.kind == "labels":
        out = interpolate(image[None].float(), target, mode="nearest-exact")[0]
    else:
        out = interpolate(image[None].float(), target, mode="bicubic", antialias=True, align_corners=False)[0]
        out = out.round().clamp(0, 2**side.bits - 1)
    if len(size) == 2:
        top, left = (target[0] - frame[0]) // 2, (target[1] - frame[1]) // 2
        out = out[:, top : top + frame[0], left : left + frame[1]]
    return out.to(image.dtype).contiguous()


def _listed(numbers: Iterable[int]) -> str:
    return " and ".join(str(number) for number in sorted(numbers))
