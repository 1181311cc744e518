"""The images of one side in memory, read from files without loss of size, bits or channels.

Legend: C channels in memory (1 for labels: the class number), H height, W width; H and W may differ between images.
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
from zerosum.data.images.loaded import MAX_BYTES
from zerosum.data.images.lossless_io import LosslessImage, read
from zerosum.domains.translation.sides import Code, Side, Values, class_numbers, codes_of, one_hot
from zerosum.errors import UserError

MAX_CLASSES = 256
AUTO_CLASSES = 40
"""Inputs with at most this many distinct values are read as label maps when data.labels is "auto"."""
MIN_REGION_SHARE = 1 / 3
"""At least this share of the pixels of a label map has a right neighbour of the same class; the greys of an
anti-aliased line have fewer."""
Kind = Literal["auto", "image", "labels"]


@dataclass(frozen=True, eq=False)
class ImageCollection:
    """Images (C, H, W) in uint8, or int32 for 16-bit values, and the side that describes them."""

    images: tuple[Tensor, ...]
    side: Side

    def __len__(self) -> int:
        return len(self.images)

    def select(self, rows: Iterable[int]) -> ImageCollection:
        """The images of these rows, in this order."""
        return replace(self, images=tuple(self.images[row] for row in rows))

    def unit(self, images: Tensor) -> Tensor:
        """(..., C, H, W) of this collection -> float32 in the format of the networks, see `sides`."""
        if self.side.kind == "labels":
            return one_hot(images.squeeze(-3), self.side.channels)
        return images.float().mul_(2 / (2**self.side.bits - 1)).sub_(1)

    def whole(self, row: int) -> Tensor:
        """(C, H, W) float32 of one image at its own size, in the format of the networks."""
        return self.unit(self.images[row])

    def to(self, device: torch.device) -> ImageCollection:
        """The same images on another device."""
        return replace(self, images=tuple(image.to(device) for image in self.images))

    @property
    def sizes(self) -> set[tuple[int, int]]:
        """The distinct (height, width) of the images."""
        return {(int(image.shape[1]), int(image.shape[2])) for image in self.images}

    def dark_notes(self, what: str) -> tuple[str, ...]:
        """A note if the images are nearly black."""
        if self.side.kind == "labels":
            return ()
        return dark_note(max(int(image.max()) for image in self.images), 2**self.side.bits - 1, what)

    def digests(self) -> list[bytes]:
        """SHA-256 of each image."""
        return [hashlib.sha256(image.cpu().numpy().tobytes()).digest() for image in self.images]


def collection_of(stack: Tensor, side: Side) -> ImageCollection:
    """A collection of (N, C, H, W) uint8."""
    return ImageCollection(tuple(stack), side)


def read_collection(
    paths: Sequence[Path], kind: Kind = "image", like: Side | None = None, size: tuple[int, ...] = ()
) -> ImageCollection:
    """Reads the files of one side. like: the side that the files must fit, as found in the training part; None: it is
    determined from the files. size: see `resize`. UserError names the file at fault."""
    loaded = [_read_file(path) for path in paths]
    side = like or side_of(loaded, paths, kind)
    images, total = [], 0
    for image, path in zip(loaded, paths, strict=True):
        images.append(resize(to_tensor(image, side, path), side, size))
        total += images[-1].nbytes
        if total > MAX_BYTES:
            raise UserError(
                f"{path.parent}: more than {MAX_BYTES >> 30} GiB of pixels. Use --set data.size=256 or fewer files."
            )
    return ImageCollection(tuple(images), side)


def _read_file(path: Path) -> LosslessImage:
    try:
        return read(path)
    except (BadImageError, OSError) as error:
        raise UserError(f"{path}: {error}. Remove or replace this file.") from None


def side_of(images: Sequence[LosslessImage], paths: Sequence[Path], kind: Kind) -> Side:
    """Describes the files of one side: label maps if `kind` is "labels", or, for "auto", if the files are lossless, hold few
    distinct values and are not line drawings."""
    if kind != "image":
        lossless = all(path.suffix.lower() not in LOSSY for path in paths)
        most = MAX_CLASSES if kind == "labels" else AUTO_CLASSES
        codes = _find_codes(images, most) if kind == "labels" or lossless else None
        if codes is not None and (kind == "labels" or not _are_line_drawings(images)):
            return Side(len(codes), "labels", tuple(sorted(codes)))
        if kind == "labels":
            raise UserError(
                f"{paths[0].parent}: more than {MAX_CLASSES} different values, so these files are not label maps. Label maps "
                "are saved without loss (PNG), with one value or one colour for each class."
            )
    channels = {image.to_colours().shape[2] for image in images}
    if not channels <= {1, 3} and len(channels) > 1:
        raise UserError(f"{paths[0].parent}: images of {_join(channels)} channels; all must have the same number.")
    return Side(max(channels), bits=16 if any(image.values.dtype == np.uint16 for image in images) else 8)


def _are_line_drawings(images: Sequence[LosslessImage]) -> bool:
    """Whether images with few values are black and white, with no other greys than those of anti-aliased lines."""
    between = alike = 0
    extremes = False
    for image in images:
        values = image.to_colours()
        top = np.iinfo(values.dtype).max
        black, white = (values == 0).all(2), (values == top).all(2)
        middle = ~(black | white)
        extremes |= bool(black.any() and white.any())
        between += int(middle[:, :-1].sum())
        alike += int((middle[:, :-1] & (values[:, :-1] == values[:, 1:]).all(2)).sum())
    return extremes and alike <= MIN_REGION_SHARE * between


def _find_codes(images: Sequence[LosslessImage], most: int) -> set[Code] | None:
    """The codes of all maps, one value or one colour for each class; None if there are more than `most`, or fewer than
    two."""
    codes: set[Code] = set()
    for image in images:
        if image.values.shape[2] not in (1, 3):
            return None
        codes |= codes_of(image.values)
        if len(codes) > most or len({len(code) for code in codes}) > 1:
            return None
    return codes if len(codes) > 1 else None


def to_tensor(image: LosslessImage, side: Side, path: Path) -> Tensor:
    """(C, H, W) uint8 or int32 of one file; UserError if it does not fit the side."""
    if side.kind == "labels":
        if image.values.shape[2] != len(side.classes[0]):
            raise UserError(f"{path}: this label map does not match the others: some hold numbers, some colours.")
        try:
            numbers = class_numbers(image.values, side)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        return torch.from_numpy(numbers[None].astype(np.uint8))
    values = _same_depth(image.to_colours(), side)
    if values.shape[2] == 1 and side.channels == 3:
        values = np.repeat(values, 3, axis=2)
    if values.shape[2] != side.channels:
        raise UserError(f"{path}: {values.shape[2]} channels, the training images have {side.channels}.")
    deep = values if side.bits == 8 else values.astype(np.int32)
    return torch.from_numpy(np.array(deep.transpose(2, 0, 1), order="C"))


def _same_depth(values: Values, side: Side) -> Values:
    """Converts between 8 and 16 bits by a factor of 257, which keeps black and white."""
    if side.bits == 16 and values.dtype == np.uint8:
        return values.astype(np.uint16) * np.uint16(257)
    if side.bits == 8 and values.dtype == np.uint16:
        return np.rint(values / 257).astype(np.uint8)
    return values


def resize(image: Tensor, side: Side, size: tuple[int, ...]) -> Tensor:
    """(C, H, W) at another size: (S,) brings the shorter side to S; (H, W) fills that frame and crops the rest evenly.

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


def _join(numbers: Iterable[int]) -> str:
    return " and ".join(str(number) for number in sorted(numbers))
